/*
 * The state thread's truth of one tailnet: users, keys and nodes in memory, with
 * their indexes, and the journal through which every durable change goes.
 *
 * A node has a hard part, its row, which changes only through the journal, and a
 * soft part (endpoints, disco key, Hostinfo, last seen), which the client repeats at
 * every connect: it changes at once and is written back lazily, once a second.
 */
#ifndef SERVER_STATE_H
#define SERVER_STATE_H

#include "base/buf.h"
#include "base/log.h"
#include "base/table.h"
#include "id_set.h"
#include "policy/state.h"
#include "proto/tailcfg.h"
#include "server/server.h"

/* Rows ordered by their first member, the id. */
struct row_set {
        int64_t **items;
        size_t n, cap;
        int64_t last_id; /* the highest ever given out */
};
void *row_set_get(const struct row_set *set, int64_t id);
/* Puts a row in its place; returns the one of the same id that it replaces. Out of
 * memory stops the process: half a truth must not go on. */
void *row_set_put(struct row_set *set, void *row);
void *row_set_remove(struct row_set *set, int64_t id);

/* What of a node changed; each kind remembers when (tailnet.change_seq). */
enum change {
        CHANGE_NODE,      /* send the whole peer */
        CHANGE_KEY,       /* patch: key, disco key, key expiry, endpoints */
        CHANGE_ENDPOINTS, /* patch */
        CHANGE_DERP,      /* patch */
        CHANGE_ONLINE,    /* patch: online, last seen */
        CHANGE_EXPIRY,    /* patch */
        CHANGE_SELF,      /* only the node itself is told, from here on: its Node */
        CHANGE_FILTER,    /* its packet filter */
        CHANGE_SSH,       /* its SSH policy */
        N_CHANGES,
};

/* How a node sees the others: nodes of one view are told the same of them. */
struct view {
        uint32_t policy_class;
        bool no_ipv4; /* attribute disable-ipv4: neither it nor what it sees has IPv4 addresses */
};
static inline bool view_equal(struct view a, struct view b)
{
        return a.policy_class == b.policy_class && a.no_ipv4 == b.no_ipv4;
}

struct node {
        int64_t id;             /* first: a node is a member of a row_set */
        struct store_node *row; /* owned; its soft fields are stale, see below */
        bool is_removed;        /* deleted, kept until that is durable */

        /* Soft part. */
        struct slice hostinfo;      /* canonical JSON with NetInfo, owned */
        struct slice hostinfo_peer; /* the same without NetInfo, as peers get it, owned */
        struct ip_port *endpoints;  /* owned, in the client's order */
        size_t n_endpoints;
        struct public_key disco_key;
        int cap_version;
        int64_t last_seen_us;
        struct list dirty; /* linked while the soft part waits to be written */

        /* Derived. */
        int64_t home_derp;
        struct ip_prefix *announced, *primary; /* owned: routes offered; routes served to peers */
        size_t n_announced, n_primary;
        struct node *machine_next; /* other nodes of the same machine key */
        struct view view;

        /* Connections. */
        struct list sessions;
        bool online;
        struct timer offline_timer;   /* grace after the last session has ended */
        struct timer ephemeral_timer; /* removal of an ephemeral node that stays away */
        bool expiry_told;             /* that the key is expired has been announced */

        /* What sessions must be told. */
        uint64_t seq[N_CHANGES];
        uint64_t changed_seq; /* the latest of seq[] */
        struct list changed;  /* tailnet.changed, oldest first */
        struct buf peer_json; /* cache; empty: must be written anew */
        struct view peer_json_view; /* whose it is: all of it where the node has routes, else no_ipv4 */
        uint64_t peer_json_policy;  /* and the policy generation it was written under */
        struct server *server;
};

/* Peers of ids [64 k, 64 k + 63] as one zstd frame, shared by all full maps. */
struct peer_chunk {
        uint64_t changed_seq; /* of the latest change of one of its nodes */
        uint64_t built_seq;   /* tailnet.change_seq when built; 0: never */
        uint64_t view;        /* the policy generation it was built under */
        struct view viewer;   /* it was built for */
        struct buf frame;
};
enum { PEER_CHUNK_SHIFT = 6 };

struct tombstone {
        uint64_t seq;
        int64_t id;
};
enum { N_TOMBSTONES = 4096 };

struct registration; /* a login that waits for a person (register_auth.c) */

struct tailnet {
        int64_t id;
        struct row_set users, auth_keys, api_keys;
        struct row_set nodes; /* struct node */
        struct table by_node_key, by_machine_key, by_name, by_ip;
        uint64_t lowest_free_v4, lowest_free_v6; /* no address below this offset is free */

        uint64_t change_seq;
        struct list changed; /* nodes by changed_seq */
        struct tombstone tombstones[N_TOMBSTONES];
        uint64_t n_tombstones; /* ever; the ring holds the last ones */
        uint64_t derp_seq, policy_seq, dns_seq;
        struct peer_chunk *chunks;
        size_t n_chunks;

        struct table registrations; /* by auth id */
        struct list registrations_by_age;
};

struct held;
struct undo;
struct journal {
        uint64_t submitted, durable; /* commit numbers */
        struct list undo;            /* struct undo, oldest first */
        struct list held;            /* struct held, oldest first */
        size_t n_held;
        struct list dirty;    /* nodes whose soft part waits */
        struct list writing;  /* nodes whose soft part commit soft_commit carries */
        uint64_t soft_commit; /* 0: none is under way */
        struct log_limit trouble;
};

/* A round in which every session is told what it does not know yet. It is done in
 * parts, so that thousands of sessions do not keep requests waiting. */
enum { N_SHARED_DELTAS = 64 };
struct flush {
        struct timer timer; /* of the next part, or of the next round */
        size_t left;        /* sessions whose turn is yet to come, from the front of the list */
        bool again;         /* something changed since the round began */
        uint64_t shared_seq; /* the deltas below lead to this change */
        size_t n_shared;
        struct shared_delta {
                struct view view;
                uint64_t cursor;
                bool zstd;
                struct server_message *message;
        } shared[N_SHARED_DELTAS];
};

struct server {
        const struct server_settings *settings;
        struct store *store;
        struct rng *rng;
        struct policy_state *policy; /* use policy_now() */
        bool policy_pending;         /* it was changed; sessions have not been marked yet */
        bool users_pending;          /* users changed; it has not been told yet */
        bool policy_is_new;          /* all the touched must compare their peers */
        struct slice policy_text;    /* owned; empty: none, everything is allowed */
        int64_t policy_since_us, last_policy_id;
        struct timer_heap timers;
        struct now now; /* of the call being handled */
        struct tailnet tailnet;
        struct journal journal;
        struct slice derp_map; /* JSON, owned */
        struct arena records_arena;
        const struct server_dns_record *records; /* DNS, besides the nodes' names */
        size_t n_records;
        struct list sessions;
        size_t n_sessions;
        struct flush flush;
        struct server_stats stats;
        struct timer soft_timer, expiry_timer;
        int64_t expiry_scanned_us;
};

extern const struct log server_log;

/* ---- state.c: indexes ------------------------------------------------------- */

void tailnet_init(struct tailnet *t);
void tailnet_fini(struct tailnet *t);
struct node *tailnet_node(const struct tailnet *t, int64_t id);
struct node *tailnet_node_by_key(const struct tailnet *t, const struct public_key *node_key);
/* The first node of that machine; others follow by machine_next. */
struct node *tailnet_node_by_machine(const struct tailnet *t, const struct public_key *machine);
struct node *tailnet_node_by_name(const struct tailnet *t, struct slice given_name);
static inline struct store_user *tailnet_user(const struct tailnet *t, int64_t id)
{
        return row_set_get(&t->users, id);
}
/* The one user of that name; ERR_NOTFOUND, ERR_EXISTS if several. */
enum err MUST_USE tailnet_user_by_name(const struct tailnet *t, struct slice name, struct store_user **out);

/* A node around a row (owned from here on), linked into every index. */
struct node *node_add(struct server *s, struct store_node *row);
/* Out of every index; the memory stays. Its sessions are ended. */
void node_unlink(struct server *s, struct node *n);
void node_relink(struct server *s, struct node *n);
void node_free(struct node *n);
/* Replaces the row (ownership of the new one comes, of the old one goes). */
struct store_node *node_swap_row(struct server *s, struct node *n, struct store_node *row);
/* Hostinfo as received; NetInfo absent keeps the stored one. Tells what changed as
 * bits 1 << enum change. ERR_NOMEM, ERR_FORMAT. */
enum err MUST_USE node_set_hostinfo(
        struct node *n, const struct tailcfg_hostinfo *hostinfo, unsigned *changes);
/* True if they differ from what was known. */
bool node_set_endpoints(struct node *n, const struct ip_port *endpoints, size_t count);

static inline bool node_is_tagged(const struct node *n) { return n->row->tags.len != 0; }
bool node_is_expired(const struct server *s, const struct node *n);
/* The key expiry that clients are told: 0 for none. */
static inline int64_t node_expiry(const struct node *n) { return n->row->expires_us; }

/* ---- names.c, addresses.c ---------------------------------------------------- */

enum { LABEL_MAX = 63 };
/* The DNS label for a host name (spec/server.md 4.8); "" if nothing is left. */
size_t name_sanitize(struct slice hostname, char out[static LABEL_MAX + 1]);
/* A free given name for a host name; `self` (may be NULL) does not count as taken. */
size_t name_choose(const struct tailnet *t, struct slice hostname, const struct node *self,
        char out[static LABEL_MAX + 1]);
/* Whether a new host name changes the given name (an administrator's choice stays). */
bool name_follows_hostname(const struct store_node *row);
bool name_is_label(struct slice name);
bool name_is_user(struct slice name);
bool name_is_tag(struct slice tag);

/* Free addresses in the configured prefixes. ERR_LIMIT when one is used up. */
enum err MUST_USE address_allocate(struct server *s, struct ip_addr *v4, struct ip_addr *v6);
/* Of one family; none if it is not configured. */
enum err MUST_USE address_allocate_family(struct server *s, enum ip_family family, struct ip_addr *out);
void address_released(struct server *s, const struct ip_addr *a);

/* ---- journal.c: durable changes ------------------------------------------------ */

/* One transaction: begin, any number of puts and deletes, commit. Changes take effect
 * in memory at once; rows are copied. */
struct tx {
        struct server *s;
        struct store_tx *store;
};
struct tx journal_begin(struct server *s);
void journal_commit(struct tx *tx);
void journal_put_user(struct tx *tx, const struct store_user *row);
void journal_delete_user(struct tx *tx, int64_t id);
void journal_put_auth_key(struct tx *tx, const struct store_auth_key *row);
void journal_delete_auth_key(struct tx *tx, int64_t id);
/* Marks a single-use key used, under the guard that it was not. */
void journal_use_auth_key(struct tx *tx, const struct store_auth_key *row);
void journal_put_api_key(struct tx *tx, const struct store_api_key *row);
void journal_delete_api_key(struct tx *tx, int64_t id);
/* A new node (id not known yet) or a new row for a known one. */
struct node *journal_put_node(struct tx *tx, const struct store_node *row);
void journal_delete_node(struct tx *tx, struct node *n);

/* Enforces it, too; with errors nothing is put. */
enum err MUST_USE journal_put_policy(struct tx *tx, struct slice text, struct policy_errors *errors);

/* The soft part of the node is to be written soon. */
void journal_soft_changed(struct server *s, struct node *n);
void journal_write_soft(struct server *s);
void journal_init(struct server *s);
void journal_fini(struct server *s);

/* ---- hold.c ------------------------------------------------------------------------ */

/* Answers: held until everything committed so far is durable. The form says how to
 * word an error in place of the answer, should the store refuse. */
enum reply_form { FORM_REGISTER, FORM_API, FORM_PLAIN };
void hold_reply(
        struct server *s, struct server_call *call, enum reply_form form, const struct server_reply *reply);
/* Takes a reference. */
void hold_message(struct server *s, struct session *session, struct server_message *m);
/* What waited for commits up to this one goes out. */
void hold_release(struct server *s, uint64_t durable);
/* Nothing that waits may go out: replies become errors, messages are dropped. */
void hold_refuse_all(struct server *s, const char *why);
/* So much waits for the disk that new work must be refused. */
bool hold_is_swamped(const struct server *s);
/* Forgets all answers to a call that has gone, or to a session. */
void hold_forget(struct server *s, struct server_call *call);

/* ---- changes.c ------------------------------------------------------------------ */

void change_mark(struct server *s, struct node *n, enum change what);
/* For several: bits 1 << enum change. */
void change_mark_all(struct server *s, struct node *n, unsigned changes);
void change_removed(struct server *s, int64_t node_id);
/* Something that all are told: a DERP map (seq: &tailnet.derp_seq), a policy. */
void change_mark_common(struct server *s, uint64_t *seq);

/* ---- policies.c ---------------------------------------------------------------------- */

/* The node is there, or what the policy looks at has changed: owner, tags, routes. */
void policy_note_node(struct server *s, struct node *n);
void policy_forget_node(struct server *s, const struct node *n);
void policy_note_users(struct server *s);
/* The engine, up to date: whatever it touched is marked for the sessions concerned. */
struct policy_state *policy_now(struct server *s);
void policy_keep_text(struct server *s, struct slice text, int64_t since_us);
/* Parses for this tailnet. NULL with errors. */
struct policy *policy_read(struct server *s, struct slice text, struct policy_errors *errors);
/* See server_set_policy(); without approving routes. */
enum err MUST_USE policy_enforce(struct server *s, struct slice text, int64_t since_us, bool tests_must_pass,
        struct policy_errors *errors);
/* Whether a tag may be put on a node; without a policy any may. */
bool policy_defines_tag(struct server *s, struct slice tag);

/* ---- routes.c -------------------------------------------------------------------- */

/* Elects who serves each approved route (spec/server.md 6.3); marks what changed. */
void routes_elect(struct server *s);
/* Approves what the policy approves by itself; true if the list grew. */
bool routes_auto_approve(struct server *s, const struct store_node *row, const struct node *n,
        struct arena *a, struct tailcfg_prefixes *approved);
/* The same for every node, stored: a policy is new. */
void routes_approve_all(struct server *s);
bool routes_is_exit(const struct ip_prefix *p);
/* The node announces it, and it is approved. */
bool routes_serves(const struct node *n, const struct ip_prefix *p);

/* ---- keys.c --------------------------------------------------------------------- */

enum { KEY_PREFIX_LEN = 12, KEY_SECRET_LEN = 64, KEY_TOKEN_MAX = 128 };
/* "KIND" is "auth" or "api". A fresh "hskey-KIND-<12>-<64>"; prefix points into it. */
struct new_key {
        char text[KEY_TOKEN_MAX];
        struct slice prefix;
        uint8_t hash[32];
};
void key_mint(struct server *s, const char *kind, struct new_key *out);
struct store_auth_key *key_find_auth(struct server *s, struct slice text);
struct store_api_key *key_find_api_prefix(struct server *s, struct slice prefix);
/* NULL if it may be used now, else what to tell the client. */
const char *key_auth_refusal(const struct server *s, const struct store_auth_key *key);

/* ---- register*.c ------------------------------------------------------------------ */

/* What a client asked for, kept while a person decides. */
struct candidate {
        struct public_key machine_key, node_key;
        struct slice hostname;
        const struct tailcfg_hostinfo *hostinfo; /* may be NULL */
        int64_t expires_us;                      /* requested, or 0 */
        int cap_version;
};
void register_reply_node(struct server *s, struct server_call *call, const struct node *n);
void register_reply_error(struct server *s, struct server_call *call, const char *text);
void register_with_key(
        struct server *s, const struct candidate *c, struct slice auth_key, struct server_call *call);
/* Mints an auth id and answers with its URL. */
void register_interactive(struct server *s, const struct candidate *c, struct server_call *call);
void register_follow_up(
        struct server *s, const struct candidate *c, struct slice url, struct server_call *call);
/* An administrator approves a waiting login for a user. ERR_NOTFOUND: no such login
 * (any more); otherwise a sentence in diag. */
enum err MUST_USE register_approve(struct server *s, struct slice auth_id, const struct store_user *user,
        struct node **out, struct diag *diag);
enum err MUST_USE register_reject(struct server *s, struct slice auth_id);
void registration_fini(struct server *s);
/* The rest of creating or updating a node, common to both ways. The row carries the
 * ownership; the function fills in keys, names, addresses and announces. NULL with a
 * sentence. */
struct node *register_new(
        struct tx *tx, struct store_node *row, const struct candidate *c, struct diag *diag);
struct node *register_again(
        struct tx *tx, struct node *n, struct store_node *row, const struct candidate *c, struct diag *diag);
/* now + node.expiry unless the client asked for a date; 0: never. */
int64_t register_expiry(const struct server *s, const struct candidate *c);

/* ---- session.c, mapper.c ----------------------------------------------------------- */

struct session {
        struct server *server;
        struct server_call *call;
        struct node *node;
        struct list in_node, in_server;
        struct timer keepalive;
        uint64_t keepalive_us; /* period of this session */
        uint64_t cursor;       /* told everything up to this change */
        bool zstd;
        struct id_set told;    /* the peers it has */
        uint64_t known[N_CHANGES - CHANGE_SELF]; /* digests of what it was told of itself; 0: unknown */
        bool compares_peers;   /* the next delta says how told differs from what it sees */
        bool blocked;    /* the reader is slow */
        bool needs_full; /* the next message is a whole map */
        bool told_first; /* the first message has gone out */
};
void session_open(struct server *s, struct node *n, struct server_call *call, bool zstd);
void session_end(struct session *ss);
/* Something changed: a round begins when changes have been gathered for a moment. */
void session_schedule_flush(struct server *s);
/* The timer is due: the next part of the round, or a new round. */
void session_flush_all(struct server *s);
/* After a rollback: nothing told since can be trusted. */
void session_restart_all(struct server *s);

/* A whole map for a node, framed. NULL: out of memory. */
struct server_message *mapper_full(struct server *s, struct node *viewer, bool zstd, bool is_first);
/* What changed after `cursor`. One message serves all of a view whose cursor is the
 * same; those who need their own (mapper_needs_own_delta) pass themselves as
 * viewer and get their own; with `compare` (the peers it was told of, else NULL) it also
 * says which others came into sight and which went out of it. A message of no bytes: there
 * is nothing to tell. A patch of the reader itself may be in the shared one:
 * clients ignore patches of nodes that are no peers (spec/control.md 7). */
struct server_message *mapper_delta(struct server *s, struct view view, const struct node *viewer,
        uint64_t cursor, const struct id_set *compare, bool zstd);
/* Whether any node of that view but the peer itself sees the peer. */
static inline bool mapper_sees(const struct server *s, struct view view, const struct node *peer)
{
        return policy_state_classes_see(s->policy, view.policy_class, peer->view.policy_class);
}
/* Brings a set of told peers up to what a full map, or a delta after the cursor, says. */
void mapper_note_full(const struct server *s, const struct node *viewer, struct id_set *told);
void mapper_note_delta(
        const struct server *s, const struct node *viewer, uint64_t cursor, struct id_set *told);
struct server_message *mapper_keepalive(bool zstd);
/* Of what the node is told now of itself: CHANGE_SELF, CHANGE_FILTER or CHANGE_SSH. 0:
 * out of memory. */
uint64_t mapper_digest(struct server *s, const struct node *n, enum change what);
/* Whether there is anything to tell; whether there is of the viewer itself; whether it cannot share a delta with others. */
bool mapper_has_news(const struct server *s, const struct node *viewer, uint64_t cursor);
bool mapper_is_in_delta(const struct node *viewer, uint64_t cursor);
bool mapper_needs_own_delta(const struct node *viewer, uint64_t cursor);
/* So much changed that whole maps, whose chunks are shared, are less work than deltas
 * of one's own. */
bool mapper_is_mass_change(const struct server *s, uint64_t cursor);
/* So many nodes were removed since the cursor that their ids are forgotten. */
bool mapper_lost_removals(const struct server *s, uint64_t cursor);

/* mapper_dns.c: arrays in the arena. */
void mapper_dns_config(const struct server *s, struct arena *a, struct tailcfg_dns_config *out);
/* "label.base." or "label." */
struct slice mapper_fqdn(const struct server_settings *settings, struct arena *a, struct slice label);

/* The wire's owner of tagged nodes. */
enum { TAGGED_DEVICES_ID = 2147455555 };

/* Microseconds since 1970 to the JSON time of tailcfg and of the API. */
static inline struct tailcfg_time time_of_us(int64_t us)
{
        return us ? tailcfg_time_ns(us * 1000) : (struct tailcfg_time){ 0 };
}

#endif
