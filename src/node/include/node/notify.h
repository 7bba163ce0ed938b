/*
 * Messages of the IPN bus, one JSON object a line (spec/node.md 3.3): what changed
 * since the last one. The daemon writes them, the command line reads them.
 */
#ifndef NODE_NOTIFY_H
#define NODE_NOTIFY_H

#include "node/prefs.h"
#include "node/status.h"

/* Numbers and names are the protocol's (spec/node.md 1.10). */
enum ipn_state {
        IPN_NO_STATE = 0,
        IPN_IN_USE_OTHER_USER = 1,
        IPN_NEEDS_LOGIN = 2,
        IPN_NEEDS_MACHINE_AUTH = 3,
        IPN_STOPPED = 4,
        IPN_STARTING = 5,
        IPN_RUNNING = 6,
};
const char *ipn_state_name(enum ipn_state s); /* "NeedsLogin" */

/* Bits of watch-ipn-bus?mask=N that change what we send. */
enum notify_watch {
        WATCH_ENGINE_UPDATES = 1 << 0,
        WATCH_INITIAL_STATE = 1 << 1,
        WATCH_INITIAL_PREFS = 1 << 2,
        WATCH_INITIAL_NETMAP = 1 << 3,
        WATCH_INITIAL_HEALTH = 1 << 7,
        WATCH_RATE_LIMIT = 1 << 8,
        WATCH_PEER_CHANGES = 1 << 12,
        WATCH_INITIAL_STATUS = 1 << 14,
        WATCH_PEER_PATCHES = 1 << 15,
        WATCH_IN_PROCESS = 1 << 16,
};

/* Counts of the packet path, sent every 2 s to who asked for them. */
struct notify_engine {
        uint64_t rx_bytes, tx_bytes;
        unsigned live_peers, live_derps;
};

/* Pointers and texts are borrowed; what is NULL or ptr NULL is not said. */
struct notify {
        const char *session_id; /* 32 hex digits, first message only */
        struct slice err_message;
        bool login_finished;
        bool has_state;
        enum ipn_state state;
        const struct prefs *prefs;             /* write only; keys are hidden */
        const struct tailcfg_node *self;
        const struct status *initial_status;   /* write only */
        const struct tailcfg_node *peers_changed; /* write only */
        size_t peers_changed_count;
        const int64_t *peers_removed;          /* write only */
        size_t peers_removed_count;
        const struct notify_engine *engine;    /* write only */
        struct slice browse_to_url;
        const struct tailcfg_strings *health;  /* write only: texts */
        struct public_key self_key;            /* read only: of SelfChange */
};

/* Compact, without the newline. Fields that the protocol always sends are there as
 * null (spec/node.md, trap 1). */
void notify_write(struct json_writer *w, const struct notify *n);
/* Reads what a client needs of one line: session-less, without the marks above. */
enum err MUST_USE notify_decode(struct slice line, struct arena *arena, struct notify *out);

#endif
