/*
 * A whole tailnet in one process on virtual time: two nodes behind NATs, a control
 * server and a relay, each the engines of the real programs, joined by a network
 * that delays, loses, reorders and cuts as its seed says. The same seed gives the
 * same world, packet by packet.
 *
 *      main.c      seeds from the command line, one world each
 *      world.c     a world's life: boot, faults, calm
 *      judge.c     what must be true at its end
 *      events.c    what will happen, in order of time
 *      net.c       datagrams, NATs
 *      stream.c    reliable streams (in place of TCP and TLS)
 *      control.c   the control server:  server engine + memory store
 *      relay.c     the relay:           relay engine + STUN
 *      node*.c     a node:              backend, control client, paths, tunnel, filter
 */
#ifndef SIM_H
#define SIM_H

#include "base/buf.h"
#include "base/list.h"
#include "base/random.h"
#include "base/table.h"
#include "base/timer.h"
#include "ip/addr.h"

struct world;

/* ---- events ---- */

struct event {
        uint64_t at_us, number; /* the order of two at the same time is that of their making */
        void (*run)(struct world *w, struct event *e);
        void *ctx;              /* something that lives as long as the world */
        uint64_t id;            /* or the id of something that may not */
        unsigned kind;
        struct ip_port src, dst;
        size_t len;
        uint8_t bytes[];
};

struct events {
        struct event **heap;
        size_t count, cap;
        uint64_t made;
};

/* Copies the bytes. The caller fills in the rest before the next event is made. */
struct event *event_add(struct world *w, uint64_t at_us, void (*run)(struct world *w, struct event *e), struct slice bytes);
uint64_t events_next(const struct events *ev);
/* Runs the first event, which must be due. */
void events_run_one(struct world *w);
void events_fini(struct events *ev);

/* ---- hosts and their network ---- */

enum host_id { HOST_NODE_A, HOST_NODE_B, HOST_CONTROL, HOST_RELAY, HOST_COUNT };
enum { NODE_COUNT = 2 };
const char *host_name(enum host_id h);

/* How a NAT lets packets in. */
enum nat_filter { NAT_FULL_CONE, NAT_ADDRESS, NAT_ADDRESS_PORT };

enum { NAT_MAPPINGS_MAX = 64, NAT_PERMITS_MAX = 64 };

struct nat_mapping {
        uint16_t inside, outside; /* ports; 0: unused */
        struct ip_port dst;       /* for this destination only; IP_NONE: for all */
        uint64_t used_at_us;
        struct ip_port permits[NAT_PERMITS_MAX]; /* whom the host has sent to */
        size_t permit_count;
};

struct host {
        bool is_up;
        int64_t clock_offset_us;   /* wall clock minus true time */
        uint64_t cut_until_us;     /* no packet passes before */
        struct ip_addr ip;         /* its own */
        bool has_nat;
        struct ip_addr outside;
        enum nat_filter filter;
        bool keeps_port;
        bool is_hard;              /* a mapping of its own for each destination */
        uint64_t mapping_lifetime_us;
        struct nat_mapping mappings[NAT_MAPPINGS_MAX];
        uint16_t next_port;
};

void net_init(struct world *w);
/* A datagram leaves a host from one of its ports; it may or may not arrive. */
void net_send(struct world *w, enum host_id from, uint16_t port, const struct ip_port *dst, struct slice datagram);
/* Whether a direct path between the two nodes can exist at all. */
bool net_allows_direct(const struct world *w);
/* The NAT in front of a host loses its memory. */
void net_nat_reboot(struct world *w, enum host_id h);

/* ---- streams ---- */

struct stream;
enum stream_end { STREAM_CLOSED, STREAM_BROKEN, STREAM_REFUSED };

struct stream_handler {
        void (*on_open)(struct world *w, struct stream *s, void *ctx);
        void (*on_data)(struct world *w, struct stream *s, void *ctx, struct slice bytes);
        /* The other side is gone; the stream is, too. */
        void (*on_end)(struct world *w, struct stream *s, void *ctx, enum stream_end why);
};

/* Opens a stream between two hosts; messages keep their bounds and order. */
struct stream *stream_dial(struct world *w, enum host_id from, enum host_id to, const struct stream_handler *h, void *ctx);
/* The accepting side says who listens to its end. */
void stream_accept(struct stream *s, const struct stream_handler *h, void *ctx);
enum host_id stream_client(const struct stream *s);
void stream_write(struct world *w, struct stream *s, enum host_id from, struct slice bytes);
/* Our side is done: nothing is called any more, the other side hears of it. */
void stream_close(struct world *w, struct stream *s, enum host_id from);
/* A host has died: its streams break. */
void streams_break(struct world *w, enum host_id h);
void streams_fini(struct world *w);

/* ---- the four programs ---- */

struct sim_control;
struct sim_relay;
struct sim_node;

struct sim_control *sim_control_new(struct world *w);
void sim_control_free(struct sim_control *c);
void sim_control_boot(struct sim_control *c);
/* Power off: what was not durable is lost. */
void sim_control_crash(struct sim_control *c);
uint64_t sim_control_deadline(const struct sim_control *c);
void sim_control_run(struct sim_control *c);
void sim_control_accept(struct world *w, struct stream *s);
/* A new pre-auth key for a single use. */
void sim_control_make_key(struct sim_control *c, char *out, size_t size);
/* A person opens the login page and says yes. False: control is down. */
bool sim_control_visit(struct sim_control *c, struct slice url);
/* The administrator ends a node's key: `weft-control nodes expire`. */
void sim_control_expire(struct sim_control *c, int64_t node_id);
size_t sim_control_nodes(const struct sim_control *c);

struct sim_relay *sim_relay_new(struct world *w);
void sim_relay_free(struct sim_relay *r);
void sim_relay_boot(struct sim_relay *r);
void sim_relay_crash(struct sim_relay *r);
uint64_t sim_relay_deadline(const struct sim_relay *r);
void sim_relay_run(struct sim_relay *r);
void sim_relay_accept(struct world *w, struct stream *s);
void sim_relay_datagram(struct sim_relay *r, const struct ip_port *src, uint16_t port, struct slice datagram);

struct sim_node *sim_node_new(struct world *w, enum host_id id, const char *name);
void sim_node_free(struct sim_node *n);
void sim_node_boot(struct sim_node *n);
void sim_node_crash(struct sim_node *n);
uint64_t sim_node_deadline(const struct sim_node *n);
void sim_node_run(struct sim_node *n);
void sim_node_datagram(struct sim_node *n, const struct ip_port *src, uint16_t port, struct slice datagram);
/* `weft up --auth-key`; without a key somebody has to visit a page. */
void sim_node_up(struct sim_node *n, const char *auth_key);
/* The user, who finds after a restart that a login is needed, says the same again. */
void sim_node_up_again(struct sim_node *n);
/* The number that control gave it; 0 before the first map. */
int64_t sim_node_id(const struct sim_node *n);
bool sim_node_needs_login(const struct sim_node *n);
bool sim_node_is_running(const struct sim_node *n);
/* Whether packets to the other node go by UDP alone now. */
bool sim_node_is_direct(const struct sim_node *n);
/* Echo requests sent to the other node, and replies that came back. */
uint64_t sim_node_pings(const struct sim_node *n);
uint64_t sim_node_pongs(const struct sim_node *n);
/* A line about its state for a failure report. */
void sim_node_describe(const struct sim_node *n, struct buf *out);

/* ---- the world ---- */

struct world {
        uint64_t seed;
        bool is_verbose;
        struct rng_seeded rng; /* of the network and of fate; hosts have their own */
        uint64_t now_us;
        struct events events;
        struct host hosts[HOST_COUNT];
        uint64_t loss_per_million, duplicate_per_million;
        uint64_t latency_min_us, latency_max_us;
        struct list streams;
        uint64_t last_stream_id;
        struct sim_control *control;
        struct sim_relay *relay;
        struct sim_node *nodes[NODE_COUNT];
        uint64_t digest;       /* of everything that ever passed the network */
        uint64_t faults;       /* how many have happened */
        char failure[1000];    /* "" while all is well */
};

/* What a host's clocks show. */
struct now world_now(const struct world *w, enum host_id h);
/* How long something takes to get across, drawn anew. */
uint64_t world_latency_us(struct world *w);
/* Counts bytes into the digest. */
void world_note(struct world *w, unsigned what, struct slice bytes);
/* An invariant is broken: the first one is kept. */
void world_fail(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
void world_say(const struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Lets everything happen up to that moment, or up to the first failure. */
void world_live_until(struct world *w, uint64_t end_us);
/* Power off and on. */
void world_crash(struct world *w, enum host_id h);
void world_boot(struct world *w, enum host_id h);
void world_judge(struct world *w);

/* Lives through a whole world. False: w->failure says what went wrong. */
bool world_live(struct world *w, uint64_t seed, bool is_verbose);

enum { STUN_SERVER_PORT = 3478, NODE_PORT = 41641, RELAY_REGION = 900 };

#endif
