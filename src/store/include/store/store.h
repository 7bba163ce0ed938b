/*
 * Durable state of the control server behind one interface: users, keys, nodes
 * and policies of every tailnet, as plain rows.
 *
 * Writing is asynchronous. The state thread numbers its commits 1, 2, 3 and hands
 * each over as a transaction; a thread of the store's own makes them durable, as
 * many as are waiting in one sync of the disk (group commit), and answers
 * "durable up to n". When a commit fails (disk full, read-only), that commit and
 * every later one is refused until the state thread, which takes back in memory
 * what was refused, calls store_resume(): memory and disk never disagree for long,
 * and nothing is lost that anyone was told of.
 *
 * Rows are packed into one allocation by store_X_dup(); their slices and arrays
 * live and die with them. Times are microseconds since 1970; 0 is "none".
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/err.h"
#include "base/slice.h"
#include "crypto/key.h"
#include "ip/addr.h"

/* The one tailnet that the product exposes today. */
enum { STORE_TAILNET_DEFAULT = 1 };

struct store_user {
        int64_t id, tailnet;
        struct slice name; /* unique among users without provider_id */
        struct slice display_name, email, provider_id, provider, picture_url;
        int64_t created_us;
};

struct store_auth_key {
        int64_t id, tailnet;
        int64_t user_id;     /* 0: a tags-only key */
        struct slice prefix; /* 12 characters, unique; names the key, is no secret */
        struct slice hash;   /* SHA-256 of the secret part */
        struct slice tags;   /* as in store_node */
        struct slice description;
        bool reusable, ephemeral, used;
        int64_t expires_us, revoked_us, created_us;
};

struct store_api_key {
        int64_t id, tailnet;
        int64_t user_id;
        struct slice prefix, hash;
        int64_t expires_us, last_seen_us, created_us;
};

enum store_register_method { STORE_REGISTER_AUTH_KEY, STORE_REGISTER_CLI, STORE_REGISTER_OIDC };

struct store_node {
        int64_t id, tailnet;
        struct public_key machine_key, node_key, disco_key; /* disco_key: zero if never seen */
        struct ip_addr ipv4, ipv6;                          /* family IP_NONE if not assigned */
        struct slice hostname;                              /* as the client sent it; never put it into DNS */
        struct slice given_name;                            /* DNS label, unique in the tailnet */
        struct slice tags;     /* "tag:a,tag:b" sorted; empty: owned by user_id */
        struct slice hostinfo; /* canonical JSON, or empty */
        const struct ip_port *endpoints;
        const struct ip_prefix *approved_routes;
        size_t n_endpoints, n_approved_routes;
        int64_t user_id;     /* 0 for tagged nodes */
        int64_t auth_key_id; /* 0: none, or the key was deleted */
        enum store_register_method method;
        int cap_version; /* what the client last told */
        bool ephemeral;
        int64_t last_seen_us, expires_us, created_us;
};

struct store_policy {
        int64_t id, tailnet;
        struct slice data;
        int64_t created_us;
};

/* Copies in one allocation each; NULL when out of memory. Freed with free(). */
struct store_user *store_user_dup(const struct store_user *row);
struct store_auth_key *store_auth_key_dup(const struct store_auth_key *row);
struct store_api_key *store_api_key_dup(const struct store_api_key *row);
struct store_node *store_node_dup(const struct store_node *row);
struct store_policy *store_policy_dup(const struct store_policy *row);

/*
 * A transaction: rows to put (insert or replace by id) and ids to delete, in
 * order. All take effect or none. Out of memory while it is built is remembered
 * and makes the commit fail.
 */
enum store_op_kind {
        STORE_PUT_USER,
        STORE_DELETE_USER,
        STORE_PUT_AUTH_KEY,
        STORE_DELETE_AUTH_KEY,
        STORE_USE_AUTH_KEY, /* marks it used; the commit fails if it already was */
        STORE_PUT_API_KEY,
        STORE_DELETE_API_KEY,
        STORE_PUT_NODE,
        STORE_DELETE_NODE,
        STORE_PUT_POLICY,
};
enum { STORE_OP_KINDS = STORE_PUT_POLICY + 1 };

struct store_op {
        enum store_op_kind kind;
        int64_t id;
        void *row; /* the kind's struct, owned; NULL for deletes and USE */
};

struct store_tx {
        uint64_t number;
        struct store_op *ops;
        size_t n_ops, cap;
        bool failed; /* out of memory while it was built */
        struct store_tx *next;
};

struct store_tx *store_tx_new(void);
void store_tx_free(struct store_tx *tx);
void store_tx_put_user(struct store_tx *tx, const struct store_user *row);
void store_tx_put_auth_key(struct store_tx *tx, const struct store_auth_key *row);
void store_tx_put_api_key(struct store_tx *tx, const struct store_api_key *row);
void store_tx_put_node(struct store_tx *tx, const struct store_node *row);
void store_tx_put_policy(struct store_tx *tx, const struct store_policy *row);
/* A delete, or STORE_USE_AUTH_KEY. */
void store_tx_id(struct store_tx *tx, enum store_op_kind kind, int64_t id);

/* Called once per stored row by store_load(); the row is borrowed for the call.
 * last_id tells the highest id ever given in a table, so that none is reused. */
struct store_visitor {
        void *ctx;
        enum err (*user)(void *ctx, const struct store_user *row);
        enum err (*auth_key)(void *ctx, const struct store_auth_key *row);
        enum err (*api_key)(void *ctx, const struct store_api_key *row);
        enum err (*node)(void *ctx, const struct store_node *row);
        enum err (*policy)(void *ctx, const struct store_policy *row);
        void (*last_ids)(void *ctx, int64_t user, int64_t auth_key, int64_t api_key, int64_t node);
};

struct store_result {
        uint64_t durable; /* every commit up to this one is on disk */
        enum err error;   /* not OK: durable + 1 and all later ones are refused */
        struct diag diag; /* why, for people */
};

struct store;
struct store_backend {
        const char *name;
        enum err (*load)(struct store *st, const struct store_visitor *v, struct diag *diag);
        void (*commit)(struct store *st, struct store_tx *tx);
        bool (*poll)(struct store *st, struct store_result *out);
        void (*resume)(struct store *st, uint64_t next);
        enum err (*check)(struct store *st);
        void (*close)(struct store *st);
};
struct store {
        const struct store_backend *backend;
};

/* Reads everything, once, before the first commit. */
static inline enum err MUST_USE store_load(struct store *st, const struct store_visitor *v, struct diag *diag)
{
        return st->backend->load(st, v, diag);
}
/* Hands over tx (owned from here on) as commit tx->number, one more than the last. */
static inline void store_commit(struct store *st, struct store_tx *tx) { st->backend->commit(st, tx); }
/* News since the last call; false if there is none. Never blocks. */
static inline bool store_poll(struct store *st, struct store_result *out)
{
        return st->backend->poll(st, out);
}
/* After a failure: commits before `next` were taken back, from there on try again. */
static inline void store_resume(struct store *st, uint64_t next) { st->backend->resume(st, next); }
/* OK while the last thing tried on the database worked (for /health). */
static inline enum err MUST_USE store_check(struct store *st) { return st->backend->check(st); }
/* Makes all that was handed over durable, then closes. */
static inline void store_close(struct store *st) { st->backend->close(st); }

#endif
