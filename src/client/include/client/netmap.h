/*
 * The network map: what control has told this node about itself, its peers, relays,
 * DNS and filters, built message by message by the delta rules of spec/control.md 7.
 *
 * A netmap owns all it holds. Pointers to its parts stay valid until the next call
 * that changes it. netmap_apply() reports what really changed, compared by value, so
 * that a new session which repeats the known map costs its listeners nothing.
 *
 * Nodes are kept in their modern form: allowed_ips is always filled in (from the
 * addresses where control left it out), home_derp likewise from the legacy text.
 */
#ifndef CLIENT_NETMAP_H
#define CLIENT_NETMAP_H

#include "base/timer.h"
#include "proto/tailcfg.h"

struct netmap;

/* What changed; the first seven are parts that netmap_X() returns. */
enum netmap_part {
        NETMAP_SELF = 1 << 0,
        NETMAP_DERP_MAP = 1 << 1,
        NETMAP_DNS = 1 << 2,
        NETMAP_FILTER = 1 << 3,
        NETMAP_USERS = 1 << 4,
        NETMAP_SSH = 1 << 5,
        NETMAP_MISC = 1 << 6,  /* domain, audit id, collect services, lock state */
        NETMAP_HEALTH = 1 << 7, /* health texts and display messages */
        NETMAP_PEERS = 1 << 8, /* see the list of peer changes */
};

enum netmap_peer_part {
        NETMAP_PEER_ADDED = 1 << 0,
        NETMAP_PEER_REMOVED = 1 << 1,
        NETMAP_PEER_KEY = 1 << 2,
        NETMAP_PEER_DISCO = 1 << 3,
        NETMAP_PEER_ENDPOINTS = 1 << 4,
        NETMAP_PEER_DERP = 1 << 5,
        NETMAP_PEER_ROUTES = 1 << 6, /* addresses or allowed_ips */
        NETMAP_PEER_ONLINE = 1 << 7, /* online, last_seen, expired */
        NETMAP_PEER_OTHER = 1 << 8,
};

struct netmap_peer_change {
        int64_t id;
        unsigned what;                   /* set of enum netmap_peer_part */
        struct public_key old_key;       /* zero when added */
        const struct tailcfg_node *node; /* as it is now; NULL when removed */
        struct slice old_stable_id;      /* empty when added */
};

/* Valid until the next change of the netmap. A peer appears at most once. */
struct netmap_changes {
        unsigned parts; /* set of enum netmap_part */
        bool is_first;  /* first map of a session */
        const struct netmap_peer_change *peers;
        size_t peer_count;
};

struct netmap *netmap_new(void); /* NULL: out of memory */
void netmap_free(struct netmap *nm);

/* The next message opens a new session: what it does not mention is gone. */
void netmap_begin_session(struct netmap *nm);
/*
 * Applies one message that is no keep-alive, in the order of section 7. ERR_FORMAT:
 * the first message of a session without Node, the netmap is as it was. ERR_NOMEM:
 * what could be applied was; begin a new session. *changes may be NULL.
 */
enum err MUST_USE netmap_apply(struct netmap *nm, const struct tailcfg_map_response *m, const struct now *now,
                               const struct netmap_changes **changes);
/* Marks peers whose key has run out by control's clock: expired is set, endpoints
 * and home_derp are cleared. Sets *next_unix_us to the next expiry (INT64_MAX: none).
 * A netmap without such peers is not touched. */
void netmap_expire_peers(struct netmap *nm, const struct now *now, int64_t *next_unix_us,
                         const struct netmap_changes **changes);

/* Keep-alives tell the time too. */
void netmap_note_control_time(struct netmap *nm, const struct tailcfg_time *t, const struct now *now);
/* Our clock corrected by control's, where they differ by more than a minute. */
int64_t netmap_control_time_us(const struct netmap *nm, const struct now *now);

/* NULL before the first map, or where control has sent none. */
const struct tailcfg_node *netmap_self(const struct netmap *nm);
const struct tailcfg_derp_map *netmap_derp_map(const struct netmap *nm);
const struct tailcfg_dns_config *netmap_dns(const struct netmap *nm);
/* All named filters, one after the other by name. Without any (or has_filter false)
 * everything that comes in is blocked. */
const struct tailcfg_filter_rules *netmap_filter(const struct netmap *nm);
bool netmap_has_filter(const struct netmap *nm);
struct slice netmap_ssh_policy(const struct netmap *nm); /* raw JSON, or empty */
struct slice netmap_domain(const struct netmap *nm);
enum tailcfg_opt_bool netmap_collect_services(const struct netmap *nm);
/* Tailnet lock; head is empty while it is off. */
bool netmap_tka_enabled(const struct netmap *nm);
struct slice netmap_tka_head(const struct netmap *nm);
const struct tailcfg_strings *netmap_health(const struct netmap *nm);
const struct tailcfg_named_display_messages *netmap_display_messages(const struct netmap *nm);

/* Peers ordered by id. */
size_t netmap_peer_count(const struct netmap *nm);
const struct tailcfg_node *netmap_peer_at(const struct netmap *nm, size_t i);
const struct tailcfg_node *netmap_peer_by_id(const struct netmap *nm, int64_t id);
const struct tailcfg_node *netmap_peer_by_key(const struct netmap *nm, const struct public_key *key);
/* The node, self included, one of whose addresses ip is, or NULL. Linear. */
const struct tailcfg_node *netmap_node_by_ip(const struct netmap *nm, const struct ip_addr *ip);
const struct tailcfg_user_profile *netmap_user(const struct netmap *nm, int64_t id);
/* The name below which MagicDNS names live: self's name without its first label and
 * without the trailing dot; empty before the first map. */
struct slice netmap_magic_dns_suffix(const struct netmap *nm);

/*
 * The disk cache (spec/node.md 1.8): one item per part, `self`, `misc`, `dns`,
 * `derpmap`, `ssh`, `filter`, `peer-<StableID>`, `user-<id>`. Files, their names and
 * their atomic replacement are the caller's.
 */
struct netmap_store {
        void (*put)(void *ctx, struct slice key, struct slice bytes);
        void (*remove)(void *ctx, struct slice key);
        void *ctx;
};
/* Hands out what changed, or everything if changes is NULL. ERR_NOMEM. */
enum err MUST_USE netmap_save(const struct netmap *nm, const struct netmap_changes *changes, const struct netmap_store *to);
/* Takes one item back into a netmap that has seen no message yet; unknown keys are
 * refused. ERR_FORMAT: the cache is damaged, throw it and this netmap away. */
enum err MUST_USE netmap_load(struct netmap *nm, struct slice key, struct slice bytes);

#endif
