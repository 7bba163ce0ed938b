#include "ip/trie.h"

#include <stdlib.h>

/*
 * Two path-compressed binary tries, one a family. A node stands for a prefix; its
 * children extend that prefix by at least one bit, the next bit choosing the side:
 *
 *                    10.0.0.0/8 = A
 *                   /              \
 *          10.0.0.0/24 = B      10.128.0.0/9 (no value, only a fork)
 *                                /            \
 *                        10.130.0.0/16 = C   10.200.0.1/32 = D
 *
 * Look-up walks down while the node's prefix covers the address and remembers the
 * last value seen. Nodes without a value have two children, so the number of nodes
 * is below twice the number of prefixes.
 */
struct node {
        uint8_t addr[16];
        uint8_t bits;
        void *value;
        struct node *child[2];
};

struct ip_trie {
        struct node *root[2]; /* IPv4, IPv6 */
        size_t count;
};

static unsigned bit_at(const uint8_t *addr, unsigned i)
{
        return addr[i / 8] >> (7 - i % 8) & 1;
}

static unsigned common_bits(const uint8_t *a, const uint8_t *b, unsigned max)
{
        for (unsigned i = 0; i < max; i += 8) {
                uint8_t diff = a[i / 8] ^ b[i / 8];
                if (diff) {
                        unsigned n = i + (unsigned)__builtin_clz(diff) - 24;
                        return n < max ? n : max;
                }
        }
        return max;
}

static bool covers(const struct node *n, const uint8_t *addr)
{
        unsigned whole = n->bits / 8, rest = n->bits % 8;

        if (memcmp(n->addr, addr, whole) != 0)
                return false;
        return rest == 0 || ((n->addr[whole] ^ addr[whole]) >> (8 - rest)) == 0;
}

struct ip_trie *ip_trie_new(void)
{
        return calloc(1, sizeof(struct ip_trie));
}

/* Without recursion: each freed node hands its left child to its right one's end. */
static void free_nodes(struct node *n)
{
        while (n) {
                struct node *left = n->child[0], *right = n->child[1];
                if (left) {
                        struct node *edge = left;
                        while (edge->child[1])
                                edge = edge->child[1];
                        edge->child[1] = right;
                }
                free(n);
                n = left ? left : right;
        }
}

void ip_trie_free(struct ip_trie *t)
{
        if (!t)
                return;
        free_nodes(t->root[0]);
        free_nodes(t->root[1]);
        free(t);
}

static struct node *node_new(const struct ip_prefix *p, unsigned bits, void *value)
{
        struct node *n = calloc(1, sizeof(*n));
        struct ip_prefix masked = ip_prefix_masked((struct ip_prefix){ p->ip, (uint8_t)bits });

        if (n) {
                memcpy(n->addr, masked.ip.b, sizeof(n->addr));
                n->bits = (uint8_t)bits;
                n->value = value;
        }
        return n;
}

enum err ip_trie_insert(struct ip_trie *t, const struct ip_prefix *p, void *value)
{
        struct node **link = &t->root[p->ip.family == IP_V6];
        struct node *n;
        unsigned shared = 0;

        for (; (n = *link); link = &n->child[bit_at(p->ip.b, n->bits)]) {
                shared = common_bits(n->addr, p->ip.b, n->bits < p->bits ? n->bits : p->bits);
                if (shared < n->bits)
                        break;
                if (n->bits == p->bits) {
                        t->count += !n->value;
                        n->value = value;
                        return OK;
                }
        }
        struct node *leaf = node_new(p, p->bits, value);
        if (!leaf)
                return ERR_NOMEM;
        if (n && shared == p->bits) { /* the new prefix covers n */
                leaf->child[bit_at(n->addr, shared)] = n;
        } else if (n) { /* they part ways above both */
                struct node *fork = node_new(p, shared, NULL);
                if (!fork) {
                        free(leaf);
                        return ERR_NOMEM;
                }
                fork->child[bit_at(n->addr, shared)] = n;
                fork->child[bit_at(leaf->addr, shared)] = leaf;
                leaf = fork;
        }
        *link = leaf;
        t->count++;
        return OK;
}

/* Takes a valueless node with fewer than two children out of its place. */
static void prune(struct node **link)
{
        struct node *n = *link;

        if (!n || n->value || (n->child[0] && n->child[1]))
                return;
        *link = n->child[0] ? n->child[0] : n->child[1];
        free(n);
}

void *ip_trie_remove(struct ip_trie *t, const struct ip_prefix *p)
{
        struct node **parent = NULL, **link = &t->root[p->ip.family == IP_V6];

        for (struct node *n; (n = *link); parent = link, link = &n->child[bit_at(p->ip.b, n->bits)]) {
                if (n->bits > p->bits || !covers(n, p->ip.b))
                        return NULL;
                if (n->bits < p->bits)
                        continue;
                void *value = n->value;
                t->count -= value != NULL;
                n->value = NULL;
                prune(link);
                if (parent)
                        prune(parent);
                return value;
        }
        return NULL;
}

static void *lookup(const struct node *n, const uint8_t *addr, unsigned bits)
{
        void *best = NULL;

        while (n && covers(n, addr)) {
                if (n->value)
                        best = n->value;
                if (n->bits == bits)
                        break;
                n = n->child[bit_at(addr, n->bits)];
        }
        return best;
}

void *ip_trie_lookup_v4(const struct ip_trie *t, uint32_t host_order)
{
        uint8_t addr[4];
        put_be32(addr, host_order);
        return lookup(t->root[0], addr, 32);
}

void *ip_trie_lookup_v6(const struct ip_trie *t, const uint8_t addr[static 16])
{
        return lookup(t->root[1], addr, 128);
}

void *ip_trie_lookup(const struct ip_trie *t, const struct ip_addr *a)
{
        if (a->family == IP_V4)
                return lookup(t->root[0], a->b, 32);
        return a->family == IP_V6 ? lookup(t->root[1], a->b, 128) : NULL;
}

size_t ip_trie_count(const struct ip_trie *t)
{
        return t->count;
}
