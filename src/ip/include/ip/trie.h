/*
 * Longest-prefix match: which value owns the most specific prefix that covers an
 * address. Built once, then read by any thread (workers hold it in a snapshot).
 */
#ifndef IP_TRIE_H
#define IP_TRIE_H

#include "ip/addr.h"

struct ip_trie;

struct ip_trie *ip_trie_new(void); /* NULL: out of memory */
void ip_trie_free(struct ip_trie *t);
/* The value for a prefix (host bits ignored); a later insert of the same prefix
 * replaces the earlier. value must not be NULL; it is borrowed. ERR_NOMEM. */
enum err MUST_USE ip_trie_insert(struct ip_trie *t, const struct ip_prefix *p, void *value);
/* Removes exactly this prefix; returns its value or NULL. */
void *ip_trie_remove(struct ip_trie *t, const struct ip_prefix *p);
/* NULL if nothing covers the address. */
void *ip_trie_lookup(const struct ip_trie *t, const struct ip_addr *a);
void *ip_trie_lookup_v4(const struct ip_trie *t, uint32_t host_order);
void *ip_trie_lookup_v6(const struct ip_trie *t, const uint8_t addr[static 16]);
size_t ip_trie_count(const struct ip_trie *t);

#endif
