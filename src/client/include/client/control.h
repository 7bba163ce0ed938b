/*
 * The node's side of the control protocol as a state machine without I/O
 * (spec/control.md 10): three loops that share one server.
 *
 *   auth    /key, then /machine/register, until the server knows our node key
 *   map     the long poll of /machine/map, whose messages build the netmap
 *   update  lite map requests that tell the server what is new about us
 *
 * The client asks for HTTP requests through wire->request and is fed what comes
 * back, later, never from inside that call. It never blocks, reads no clock and draws no randomness of its own. One
 * thread; calls->* may be made from within any function here that takes `now`, and
 * may call back into the client, except for control_client_free().
 */
#ifndef CLIENT_CONTROL_H
#define CLIENT_CONTROL_H

#include "base/random.h"
#include "base/timer.h"
#include "client/netmap.h"

struct control_client;

enum control_transport {
        CONTROL_PLAIN, /* outside Noise: url is a path below the server's URL, or absolute */
        CONTROL_NOISE, /* HTTP/2 inside Noise with request.server_key */
};

/* All slices are valid during the call of wire->request only. */
struct control_request {
        uint64_t id;
        enum control_transport transport;
        struct public_key server_key;   /* CONTROL_NOISE: who must answer */
        const char *method;
        struct slice url;               /* "/machine/map", "/key?v=119", "https://..." */
        const char *content_type;       /* or NULL */
        struct slice load_balancer[2];  /* values of ts-lb headers, empty: none */
        struct slice body;
};

/* What the server has learned about this node's login. */
enum control_login_state {
        CONTROL_LOGGED_OUT,  /* nothing asked for, or logout is done */
        CONTROL_LOGGING_IN,  /* registering, perhaps waiting to try again */
        CONTROL_WAITS_FOR_URL, /* someone has to visit auth_url */
        CONTROL_LOGGED_IN,   /* registered; the map loop runs */
};

/* The keys that outlive the process; zero: none. Whoever keeps a copy wipes it. */
struct control_keys {
        struct secret_key node, old_node;
        /* A new node key that control may know already, though we have not heard yet:
         * kept so that a crash at that moment does not cost a single-use auth key. */
        struct secret_key pending;
};

/* A request of the server to this node, unpacked from a PingRequest. */
struct control_c2n {
        struct slice method, path, query, body;
};

/* Whoever carries requests: control_io, or a test. */
struct control_wire {
        void (*request)(void *ctx, const struct control_request *rq);
        /* The request is of no interest any more; nothing more may come for its id. */
        void (*cancel)(void *ctx, uint64_t id);
};

/* What the owner hears. ctx is the one given at creation; NULL members are not called. */
struct control_calls {
        void (*login_changed)(void *ctx, enum control_login_state state);
        void (*auth_url)(void *ctx, struct slice url);
        /* Store the keys before returning: the next request may use them. */
        void (*keys_changed)(void *ctx, const struct control_keys *keys);
        void (*registered)(void *ctx, const struct tailcfg_register_response *r);
        /* A sentence about what failed last, "" when it works again. */
        void (*problem)(void *ctx, const char *text);
        /* The server answered the login with a no; problem() says the same next, and it
         * is tried again all the same: an administrator may change his mind. */
        void (*refused)(void *ctx, const char *text);

        void (*netmap_changed)(void *ctx, const struct netmap_changes *changes);
        /* The long poll has begun to answer, or has ended. */
        void (*poll_changed)(void *ctx, bool is_up);
        void (*pop_browser)(void *ctx, struct slice url);
        void (*client_version)(void *ctx, const struct tailcfg_client_version *v);
        void (*dial_plan)(void *ctx, const struct tailcfg_dial_plan *plan);
        void (*debug)(void *ctx, const struct tailcfg_debug *debug);

        /* type: "disco", "TSMP", "ICMP" or "peerapi". Answer within 10 s, with
         * control_client_ping_reply(); a ping that could not be made has no answer. */
        void (*ping)(void *ctx, uint64_t ping_id, struct slice type, const struct ip_addr *ip);
        /* Answer with control_client_c2n_reply(), now or within a minute. False: no such
         * path. /echo is answered by the client itself. */
        bool (*c2n)(void *ctx, uint64_t ping_id, const struct control_c2n *rq);
};

struct control_config {
        const char *server_url; /* decides which schemes an auth URL may have; copied */
        const struct control_calls *calls; /* borrowed */
        void *ctx;
        const struct control_wire *wire; /* borrowed */
        void *wire_ctx;
        struct rng *rng;        /* borrowed */
        struct netmap *netmap;  /* borrowed; may hold a cached map */
        struct control_keys keys;
        struct public_key nl_key; /* tailnet-lock public key, may be zero */
        bool is_ephemeral;
};

/* Idle until a goal is set. NULL: out of memory. */
struct control_client *control_client_new(const struct control_config *config);
/* Cancels what is under way. Calls nothing but wire->cancel. */
void control_client_free(struct control_client *c);

/* Goals. A new one replaces the one before. */
enum control_login_flags {
        CONTROL_LOGIN_INTERACTIVE = 1, /* a person asked: use a new node key */
};
/* auth_key may be NULL or empty; its tailnet-lock suffix is cut off. It is sent with
 * every register until it is replaced by another call of this. */
void control_client_login(struct control_client *c, const struct now *now, unsigned flags, const char *auth_key);
/* Tells control that our key ends now. done via login_changed(CONTROL_LOGGED_OUT). */
void control_client_logout(struct control_client *c, const struct now *now);
/* Asks for a nearer expiry of the present key. */
void control_client_expire_at(struct control_client *c, const struct now *now, int64_t unix_ns);
/* While paused nothing is in flight; state is kept. */
void control_client_pause(struct control_client *c, const struct now *now, bool paused);

/* What we tell about ourselves; copied. Unchanged values cost nothing; changed ones
 * are sent by the update loop, the latest only. */
void control_client_set_hostinfo(struct control_client *c, const struct now *now, const struct tailcfg_hostinfo *h);
/* types: enum tailcfg_endpoint_type, parallel to endpoints. */
void control_client_set_endpoints(struct control_client *c, const struct now *now, const struct ip_port *endpoints,
                                  const int64_t *types, size_t count);
/* NetInfo replaces the one inside the hostinfo last set, and is kept when that changes. */
void control_client_set_netinfo(struct control_client *c, const struct now *now, const struct tailcfg_netinfo *n);
void control_client_set_disco_key(struct control_client *c, const struct now *now, const struct public_key *key);

/* What comes back for a request. Calls for ids that were cancelled or have ended are
 * ignored. retry_after: the header's text, or empty. */
void control_client_response(struct control_client *c, const struct now *now, uint64_t id, unsigned status,
                             struct slice retry_after);
void control_client_body(struct control_client *c, const struct now *now, uint64_t id, struct slice bytes);
/* The end of the answer (OK), or why it failed; ERR_AUTH: the Noise handshake did not
 * fit the server key, which is then asked for anew. why is a sentence, may be NULL. */
void control_client_end(struct control_client *c, const struct now *now, uint64_t id, enum err e, const char *why);

/* When control_client_run() wants to be called next; TIME_NEVER: not before an event. */
uint64_t control_client_next(const struct control_client *c);
void control_client_run(struct control_client *c, const struct now *now);

/* Answers to calls->ping and calls->c2n; those that come too late are ignored. */
void control_client_ping_reply(struct control_client *c, const struct now *now, uint64_t ping_id,
                               const struct tailcfg_ping_response *r);
/* content_type may be NULL. */
void control_client_c2n_reply(struct control_client *c, const struct now *now, uint64_t ping_id, unsigned status,
                              const char *content_type, struct slice body);

/* Valid while CONTROL_WAITS_FOR_URL; empty otherwise. */
struct slice control_client_auth_url(const struct control_client *c);
bool control_client_in_poll(const struct control_client *c);

#endif
