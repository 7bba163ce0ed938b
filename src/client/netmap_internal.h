/* The netmap's memory, shared by its files. */
#ifndef CLIENT_NETMAP_INTERNAL_H
#define CLIENT_NETMAP_INTERNAL_H

#include "base/log.h"
#include "base/table.h"
#include "client/netmap.h"

enum {
        NETMAP_PEERS_MAX = 1 << 17,
        NETMAP_USERS_MAX = 1 << 17,
        NETMAP_NODE_MEMORY = 1 << 20, /* one node with all its texts */
        NETMAP_PART_MEMORY = 256 << 20,
        NETMAP_NAMES_MAX = 4096, /* named filters, display messages */
};

/*
 * One node in memory of its own. A peer never changes once it is in the map: a new
 * one takes its place and the old one is kept until the next call, so that listeners
 * can still look at what was.
 */
struct peer {
        struct arena arena;
        struct tailcfg_node node;         /* as control sent it, in modern form */
        const struct tailcfg_node *shown; /* &node, or a copy that is marked expired */
        uint64_t mark;                    /* equal to netmap.mark: confirmed by the last full list */
        struct peer *next_dead;
};

struct user {
        struct arena arena;
        struct tailcfg_user_profile profile;
};

/* A part of the map that is replaced whole. */
struct part {
        struct arena arena;
        bool is_set;
};

struct netmap {
        bool is_fresh; /* the next message is the first of its session */
        int64_t skew_us; /* control's clock minus ours, 0 if within a minute */

        struct peer *self;
        struct peer **peers; /* ordered by id */
        size_t peer_count, peer_cap;
        struct table peers_by_key;
        uint64_t mark;
        struct user **users; /* ordered by id */
        size_t user_count, user_cap;

        struct part derp_part, dns_part, filter_part, health_part;
        struct tailcfg_derp_map derp;
        struct tailcfg_dns_config dns;
        struct tailcfg_named_filters filters; /* ordered by name */
        struct tailcfg_filter_rules rules;    /* all of them, one after the other */
        struct tailcfg_strings health;
        struct tailcfg_named_display_messages messages;
        struct buf ssh, domain, audit_id, tka_head;
        bool tka_enabled;
        enum tailcfg_opt_bool collect_services;

        /* The call under way, or the last one. */
        struct arena scratch;
        struct peer **before; /* the peers as they were, once one has changed */
        size_t before_count;
        struct peer *dead;
        struct netmap_changes changes;
        const struct now *now;
};

extern const struct log netmap_log;

/* netmap_peers.c. All of them note what they replace; ERR_NOMEM. */
enum err MUST_USE peers_apply(struct netmap *nm, const struct tailcfg_map_response *m);
enum err MUST_USE peers_set_self(struct netmap *nm, const struct tailcfg_node *node);
enum err MUST_USE peers_expire(struct netmap *nm);
enum err MUST_USE peers_note_changes(struct netmap *nm);
const struct peer *peers_find(const struct netmap *nm, int64_t id);
void peers_bury(struct netmap *nm); /* frees what the last call replaced */
void peers_fini(struct netmap *nm);
bool peer_is_out_of_time(const struct netmap *nm, const struct tailcfg_node *n);

/* netmap_parts.c */
enum err MUST_USE parts_apply(struct netmap *nm, const struct tailcfg_map_response *m);
enum err MUST_USE users_apply(struct netmap *nm, const struct tailcfg_user_profiles *users);
void parts_fini(struct netmap *nm);
/* netmap_filter.c */
enum err MUST_USE filters_apply(struct netmap *nm, const struct tailcfg_map_response *m);

/* Empties a part. */
void part_clear(struct part *p);

#endif
