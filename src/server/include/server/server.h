/*
 * The control server's engine: who is registered, who is connected, what each node
 * must be told. It does no I/O, reads no clock and draws no randomness of its own.
 *
 * Calls come in with the machine key that the Noise connection proved, or from the
 * administrator; each is a struct server_call of the driver's, answered through its
 * ops, perhaps later (durability, a login page, a long poll). One thread calls
 * everything here: the state thread.
 *
 * The rule of output commit: whatever leaves the engine waits until every commit
 * that it could reveal is durable. A change is applied in memory at once and handed
 * to the store; replies and map messages built after it are held until the store
 * answers. If the store refuses, memory is taken back to what is on disk, callers
 * get an error, and sessions get a fresh full map (journal.c, hold.c).
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "base/list.h"
#include "base/random.h"
#include "base/timer.h"
#include "policy/policy.h"
#include "server/settings.h"
#include "store/store.h"

/* The least capability version that may register or poll: v1.80 (spec/server.md 10, trap 19). */
enum { SERVER_MIN_CAP_VERSION = 113 };

struct server;
struct server_call;
struct session;

/* Bytes shared by many connections, e.g. one delta for a thousand nodes. */
struct server_message {
        unsigned refs;
        size_t len;
        uint8_t bytes[];
};
struct server_message *server_message_ref(struct server_message *m);
void server_message_unref(struct server_message *m);

struct server_reply {
        int status;
        const char *content_type; /* static text */
        struct slice body;        /* borrowed for the call */
        unsigned retry_after_s;   /* 0: no such header */
};

/* How the driver answers. After reply() or end() the engine never touches the call
 * again. A call that streams gets begin(), then send()s, then perhaps end(). */
struct server_call_ops {
        void (*reply)(struct server_call *call, const struct server_reply *reply);
        void (*begin)(struct server_call *call);
        /* One framed map message; take a reference to keep it. False: enough is
         * queued for now; nothing more comes before server_call_writable(). */
        bool (*send)(struct server_call *call, struct server_message *m);
        void (*end)(struct server_call *call);
};

struct server_call {
        const struct server_call_ops *ops;
        /* The engine's, zero at the start: */
        struct list link;        /* where it waits: a login page */
        struct session *session; /* of a streaming map call */
        unsigned held;           /* answers that wait for durability */
};

/* The store and rng are borrowed and outlive the server. NULL with a sentence when the
 * stored rows cannot be loaded, or the stored policy (settings->policy_in_store) is none. */
struct server *server_new(const struct server_settings *settings, struct store *store, struct rng *rng,
        const struct now *now, struct diag *diag);
/* Ends every call; what was committed but is not yet durable is the store's to finish. */
void server_free(struct server *s);

/* When server_run() wants to be called next (mono_us), or TIME_NEVER. */
uint64_t server_deadline(const struct server *s);
void server_run(struct server *s, const struct now *now);
/* The store has news (store_poll). */
void server_store_ready(struct server *s, const struct now *now);

/* POST /machine/register and POST /machine/map inside Noise (spec/control.md 5.1). */
void server_register(struct server *s, const struct now *now, const struct public_key *machine,
        struct slice body, struct server_call *call);
void server_map(struct server *s, const struct now *now, const struct public_key *machine, struct slice body,
        struct server_call *call);
/* An administrator's request of the REST API: path begins with "/api/v1/", query is
 * the text after '?', still encoded. The driver has checked who asks. */
void server_api(struct server *s, const struct now *now, struct slice method, struct slice path,
        struct slice query, struct slice body, struct server_call *call);
/* Whether "Authorization: Bearer" with this key may use the API. */
bool server_api_key_valid(struct server *s, const struct now *now, struct slice key);

/* The client of a waiting or streaming call went away; the call is forgotten. */
void server_call_closed(struct server *s, const struct now *now, struct server_call *call);
/* A stream that refused more has room again. */
void server_call_writable(struct server *s, const struct now *now, struct server_call *call);

/* The DERP map as JSON text, checked by the caller; told to every node. ERR_NOMEM. */
enum err MUST_USE server_set_derp_map(struct server *s, const struct now *now, struct slice json);
/* Names that nodes resolve besides their own, in place of those of the settings; copied.
 * Told to every node if they differ from what was. ERR_NOMEM. */
enum err MUST_USE server_set_extra_records(
        struct server *s, const struct now *now, const struct server_dns_record *records, size_t n);
/* Puts the policy of this HuJSON text in force (empty: none, everything is allowed) and
 * tells the nodes. ERR_FORMAT or ERR_EXISTS: it is none; ERR_DENIED: its tests fail (only
 * with tests_must_pass); ERR_NOMEM. Then the old one stays, and errors says why. */
enum err MUST_USE server_set_policy(struct server *s, const struct now *now, struct slice text,
        bool tests_must_pass, struct policy_errors *errors);
/* Whether any policy is in force; whether this text is the one. */
bool server_has_policy(const struct server *s);
bool server_policy_is(const struct server *s, struct slice text);
/* Whether a node of this key is registered (POST /verify, the embedded relay). */
bool server_knows_node(const struct server *s, const struct public_key *node_key);
/* OK while the store accepts writes (GET /health). */
enum err MUST_USE server_health(struct server *s);

struct server_counts {
        size_t users, nodes, online;
        size_t sessions, blocked; /* long polls; those whose reader is too slow */
        size_t waiting;           /* answers and maps that wait for the disk */
        struct server_stats {
                uint64_t registrations; /* new nodes and old ones that came again */
                uint64_t full_maps, deltas, map_bytes;
                uint64_t policies; /* put in force */
        } since; /* the start */
};
void server_count(const struct server *s, struct server_counts *out);

#endif
