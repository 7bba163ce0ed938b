/*
 * DNS messages as far as a node needs them (RFC 1035, 6891): the question of a query, and
 * answers of its own about names it knows. Everything else is handed on unread.
 */
#ifndef PROTO_DNS_H
#define PROTO_DNS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "ip/addr.h"

enum {
        DNS_MESSAGE_MAX = 65535,
        DNS_UDP_MIN = 512,   /* what any client takes over UDP */
        DNS_UDP_MAX = 4095,  /* what we take and promise (spec/node.md 5.4) */
        DNS_NAME_MAX = 256,  /* as text, with its end */
        DNS_TTL_S = 5,       /* of positive answers; 5.3 */
        DNS_NEGATIVE_TTL_S = 10,
};

enum dns_type { DNS_A = 1, DNS_NS = 2, DNS_SOA = 6, DNS_PTR = 12, DNS_HINFO = 13, DNS_AAAA = 28, DNS_AXFR = 252, DNS_ANY = 255 };
enum { DNS_CLASS_IN = 1 };

enum dns_rcode {
        DNS_OK = 0, DNS_FORMERR = 1, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3, DNS_NOTIMP = 4, DNS_REFUSED = 5,
};

struct dns_query {
        uint16_t id, flags;
        /* Lower case, without a final dot; empty for the root, and if it has bytes that no host
         * name has. */
        char name[DNS_NAME_MAX];
        bool is_odd;         /* the name is of the second kind */
        uint16_t type, class;
        size_t question_len; /* of the bytes after the header */
        uint16_t udp_size;   /* that the client takes over UDP */
};

/* A query of one question. ERR_SHORT: no header, not to be answered; ERR_STATE: a response,
 * likewise; ERR_FORMAT: to be answered FORMERR, id and flags are set. */
enum err MUST_USE dns_query_parse(struct slice message, struct dns_query *out);

/* Whether message is the answer to that query: its id, a response, the same question. */
bool dns_is_answer(struct slice message, struct slice query, const struct dns_query *q);
enum dns_rcode dns_rcode_of(struct slice message); /* of at least 12 bytes */
bool dns_is_truncated(struct slice message);
/* Copies an answer that is too long for the client as its header and question with TC set. */
enum err MUST_USE dns_truncate(struct slice message, const struct dns_query *q, struct buf *out);

/* What an answer says: addresses, or a name (for PTR), or neither. */
struct dns_answer {
        enum dns_rcode rcode;
        const struct ip_addr *addrs;
        size_t addr_count;
        struct slice name;  /* text, with or without its final dot */
        struct slice zone;  /* of a negative answer: its SOA; empty: none */
        uint32_t serial;
};
/* Appends the answer to query, which q was parsed from. ERR_LIMIT. */
enum err MUST_USE dns_answer_write(struct slice query, const struct dns_query *q, const struct dns_answer *a, struct buf *out);

/* "4.3.2.1.in-addr.arpa" or the long form of IPv6 as an address; ERR_FORMAT. */
enum err MUST_USE dns_reverse_parse(const char *name, struct ip_addr *out);

#endif
