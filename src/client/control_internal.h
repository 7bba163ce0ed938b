/* The control client's memory, shared by the files of its three loops. */
#ifndef CLIENT_CONTROL_INTERNAL_H
#define CLIENT_CONTROL_INTERNAL_H

#include "base/list.h"
#include "base/log.h"
#include "client/control.h"
#include "proto/map_frame.h"

enum {
        CONTROL_REQUEST_MAX = 1 << 20,   /* what servers accept (spec/control.md 4.1) */
        CONTROL_ANSWER_MAX = 1 << 20,    /* of /key and register (5.1) */
        CONTROL_ERROR_TEXT_MAX = 200,    /* of a refusal that is shown */
        CONTROL_MEMORY_MAX = 512 << 20,  /* one parsed map message */
        CONTROL_KEY_TIMEOUT_S = 30,
        CONTROL_REGISTER_TIMEOUT_S = 60,
        CONTROL_UPDATE_TIMEOUT_S = 60,
        CONTROL_WATCHDOG_S = 120,        /* 4.2: without a whole message */
        CONTROL_PINGS_MAX = 16,
};

extern const struct log control_log;

/* One request under way. Idle while id is zero. */
struct exchange {
        struct control_client *client;
        uint64_t id;
        unsigned status;       /* 0: no head yet */
        uint64_t retry_after_s; /* 0: none given */
        struct buf body;       /* collected, unless on_body takes it */
        struct timer timeout;
        void (*on_status)(struct exchange *x, const struct now *now); /* may be NULL */
        void (*on_body)(struct exchange *x, const struct now *now, struct slice bytes); /* may be NULL */
        /* Called once when it ends by itself; the exchange is idle again. */
        void (*on_end)(struct exchange *x, const struct now *now, enum err e, const char *why);
};

/* Failures in a row, and the timer until the next attempt. */
struct backoff {
        struct timer timer;
        unsigned failures;
};

enum auth_state { AUTH_IDLE, AUTH_FETCHES_KEY, AUTH_REGISTERS, AUTH_BACKS_OFF };
enum auth_goal { GOAL_NONE, GOAL_LOGIN, GOAL_LOGOUT, GOAL_EXPIRE };

struct auth_loop {
        enum auth_state state;
        enum auth_goal goal;
        bool needs_new_key;    /* control refused the present one, or a person asked */
        bool used_pending;     /* the register under way has the pending key */
        struct buf followup;   /* the URL to be visited */
        struct buf auth_key;
        int64_t expire_at_ns;
        struct exchange x;
        struct backoff backoff;
};

struct map_loop {
        bool is_up;            /* a message has come on this poll */
        bool saw_netmap;
        struct map_splitter splitter;
        struct buf pop_url;    /* opened last */
        struct exchange x;     /* its timeout is the watchdog */
        struct backoff backoff;
};

struct update_loop {
        bool is_dirty;         /* control does not know our latest news */
        struct exchange x;
        struct backoff backoff;
};

struct control_client {
        const struct control_calls *calls;
        void *ctx;
        const struct control_wire *wire;
        void *wire_ctx;
        struct rng *rng;
        struct netmap *netmap;
        struct timer_heap timers;
        uint64_t last_id;

        bool server_is_plain;  /* http://: auth URLs may be, too */
        bool is_ephemeral, is_paused, is_logged_in;
        bool has_server_key;
        struct public_key server_key;
        struct control_keys keys;
        struct public_key nl_key, disco_key;
        enum control_login_state login_state;
        bool has_problem;

        struct arena hostinfo_arena, netinfo_arena;
        struct tailcfg_hostinfo hostinfo;
        struct tailcfg_netinfo netinfo;
        bool has_netinfo;
        struct ip_port *endpoints;
        int64_t *endpoint_types;
        size_t endpoint_count;

        struct auth_loop auth;
        struct map_loop map;
        struct update_loop update;
        struct list pings;
        size_t ping_count;
        struct buf last_ping_url;
};

/* control.c: requests. */
struct request_text {
        enum control_transport transport;
        const char *method;
        struct slice url;
        const char *content_type;
        struct slice body;
        const struct public_key *node_key, *old_node_key; /* hints for load balancers, may be NULL */
};
void control_exchange_init(struct exchange *x, struct control_client *c,
                   void (*on_end)(struct exchange *, const struct now *, enum err, const char *));
/* timeout_s 0: none. */
void exchange_start(struct exchange *x, const struct now *now, const struct request_text *rq, uint64_t timeout_s);
void exchange_cancel(struct exchange *x);
void control_exchange_fini(struct exchange *x);
static inline bool exchange_is_idle(const struct exchange *x) { return x->id == 0; }
/* A refusal in words: the status and the beginning of what came with it. */
void exchange_refusal(const struct exchange *x, struct diag *d);

void backoff_init(struct backoff *b, void (*fire)(struct timer *, const struct now *));
/* Arms the timer for the next attempt. */
void backoff_wait(struct control_client *c, struct backoff *b, const struct now *now);
void backoff_reset(struct control_client *c, struct backoff *b);

void control_problem(struct control_client *c, const char *text); /* "" when it works again */

/* control_auth.c */
void auth_init(struct control_client *c);
void auth_fini(struct control_client *c);
void auth_stop(struct control_client *c);
void auth_continue(struct control_client *c, const struct now *now);
/* control_map.c */
void map_init(struct control_client *c);
void map_fini(struct control_client *c);
void map_stop(struct control_client *c);
void map_start(struct control_client *c, const struct now *now); /* from the beginning */
/* control_update.c */
void update_init(struct control_client *c);
void update_fini(struct control_client *c);
void update_stop(struct control_client *c);
void update_continue(struct control_client *c, const struct now *now);
/* The hostinfo to send: with the netinfo in its place. Borrowed. */
struct tailcfg_hostinfo control_hostinfo(const struct control_client *c);
/* Starts a map request: the long poll, or what is new of us (no peers in the answer). */
enum map_kind { MAP_POLL, MAP_UPDATE };
void control_send_map(struct control_client *c, const struct now *now, struct exchange *x, enum map_kind kind, uint64_t timeout_s);
/* control_ping.c */
void ping_handle(struct control_client *c, const struct now *now, const struct tailcfg_ping_request *rq);
void ping_stop(struct control_client *c); /* forgets all */
void ping_fini(struct control_client *c);
struct exchange *ping_exchange(struct control_client *c, uint64_t id); /* or NULL */

#endif
