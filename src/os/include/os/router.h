/*
 * What the node wants the kernel to route, as data, and the difference between two
 * such wishes as a list of small changes (spec/node.md 4.1, 4.2). Computing the
 * difference makes no system call; router_apply() performs one change and is called
 * on the privileged side.
 */
#ifndef OS_ROUTER_H
#define OS_ROUTER_H

#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "ip/addr.h"

enum {
        ROUTER_TABLE = 52,          /* our routing table, as the official client's */
        ROUTER_MARK = 0x80000,      /* SO_MARK of the daemon's own sockets */
        ROUTER_MARK_MASK = 0xff0000,
        ROUTER_RULE_BASE = 5200,
        ROUTER_PREFIX_MAX = 16384,  /* most addresses and routes in one wish */
};

struct router_config {
        uint32_t ifindex;                  /* of the TUN device */
        const struct ip_prefix *addresses; /* the node's own, /32 and /128 */
        size_t address_count;
        const struct ip_prefix *routes;    /* into the tunnel */
        size_t route_count;
        const struct ip_prefix *throws;    /* back to the other tables: LAN behind an exit node */
        size_t throw_count;
        bool has_rules;                    /* the four policy rules of each family */
};

enum router_op {
        ROUTER_ADDRESS_ADD = 1, ROUTER_ADDRESS_DEL,
        ROUTER_ROUTE_ADD, ROUTER_ROUTE_DEL,
        ROUTER_THROW_ADD, ROUTER_THROW_DEL,
        ROUTER_RULES_ADD, ROUTER_RULES_DEL,
};

struct router_change {
        uint8_t op; /* enum router_op */
        uint32_t ifindex;
        struct ip_prefix prefix;
};

/*
 * Calls emit for every change that turns `from` (NULL: nothing set yet) into `to`
 * (NULL: nothing), in an order that never leaves a moment without an address:
 * rules, throws, routes, addresses added before removed. Neither list need be
 * sorted. ERR_LIMIT if a wish exceeds ROUTER_PREFIX_MAX; ERR_NOMEM.
 */
enum err MUST_USE router_diff(const struct router_config *from, const struct router_config *to,
        void (*emit)(void *ctx, const struct router_change *c), void *ctx);

/* Wire form, for the channel to the privileged process: 24 bytes. */
enum { ROUTER_CHANGE_LEN = 24 };
void router_change_write(struct writer *w, const struct router_change *c);
void router_change_read(struct reader *r, struct router_change *out);

/* Performs one change. What is already so is no error; IPv6 changes are skipped
 * quietly on a host without IPv6. */
enum err MUST_USE router_apply(const struct router_change *c, struct diag *d);

/* Whether the kernel lets this process change routes: CAP_NET_ADMIN. */
bool router_is_permitted(void);
/* Removes every rule of ours and flushes our table: crash recovery and --cleanup. */
void router_cleanup(void);

#endif
