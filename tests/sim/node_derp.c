/* A node's connection to the relay: dialled when wanted, dialled again when lost. */
#include "node_internal.h"

#include "proto/tailcfg.h"

enum { RETRY_MIN_MS = 250, RETRY_MAX_MS = 5000 };

static void on_write(void *ctx, struct slice head, struct slice tail)
{
        struct sim_node *n = ctx;
        struct buf whole = BUF_INIT(DERP_FRAME_MAX);

        buf_append_slice(&whole, head);
        buf_append_slice(&whole, tail);
        if (n->derp_stream)
                stream_write(n->w, n->derp_stream, n->host, buf_slice(&whole));
        buf_fini(&whole);
}

static void on_ready(void *ctx, const struct public_key *server)
{
        struct sim_node *n = ctx;

        (void)server;
        n->derp_is_ready = true;
}

static void on_packet(void *ctx, const struct public_key *src, struct slice packet)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);
        struct tunnel_source from = { .via = TUNNEL_VIA_DERP, .region = RELAY_REGION, .from = *src };

        path_derp_alive(n->path, RELAY_REGION, &now);
        if (!path_derp_received(n->path, RELAY_REGION, src, packet, &now))
                node_wireguard(n, packet, &from);
}

static void on_peer_gone(void *ctx, const struct public_key *peer, enum derp_gone_reason reason)
{
        struct sim_node *n = ctx;

        (void)reason;
        path_derp_peer_gone(n->path, RELAY_REGION, peer);
}

static void on_closed(void *ctx, enum err e, const char *why)
{
        struct sim_node *n = ctx;

        world_say(n->w, "%s: relay connection closed: %s (%s)", n->name, why, err_str(e));
        n->derp_is_broken = true;
}

static const struct derp_client_events events = {
        .write = on_write, .ready = on_ready, .packet = on_packet, .peer_gone = on_peer_gone, .closed = on_closed,
};

static void on_open(struct world *w, struct stream *s, void *ctx)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);
        const struct derp_connect to = { .host = "relay.sim", .is_upgraded = true };

        (void)s;
        if (derp_client_start(&n->derp, &now, &to))
                world_fail(w, "%s cannot begin with the relay", n->name);
        node_settle(n);
}

static void on_data(struct world *w, struct stream *s, void *ctx, struct slice bytes)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);

        (void)w;
        (void)s;
        path_derp_alive(n->path, RELAY_REGION, &now);
        derp_client_input(&n->derp, &now, bytes);
        node_settle(n);
}

static void on_end(struct world *w, struct stream *s, void *ctx, enum stream_end why)
{
        struct sim_node *n = ctx;

        (void)w;
        (void)s;
        (void)why;
        n->derp_stream = NULL;
        n->derp_is_broken = true;
        node_settle(n);
}

static void dial(struct sim_node *n)
{
        static const struct stream_handler handler = { on_open, on_data, on_end };
        struct derp_client_config config = {
                .key = backend_prefs(n->backend)->persist.node_key,
                .can_ack_pings = true,
                .rng = &n->rng.rng,
                .events = &events,
                .ctx = n,
        };

        derp_client_init(&n->derp, &config);
        key_wipe(&config.key, sizeof(config.key));
        n->derp_exists = true;
        derp_client_note_preferred(&n->derp, true);
        n->derp_stream = stream_dial(n->w, n->host, HOST_RELAY, &handler, n);
}

void node_derp_stop(struct sim_node *n)
{
        if (n->derp_stream)
                stream_close(n->w, n->derp_stream, n->host);
        if (n->derp_exists)
                derp_client_fini(&n->derp);
        n->derp_stream = NULL;
        n->derp_exists = n->derp_is_ready = n->derp_is_broken = false;
}

/* Not from within an event of the engine. */
void node_derp_settle(struct sim_node *n)
{
        struct now now = node_now(n);

        if (n->derp_is_broken) {
                node_derp_stop(n);
                path_derp_failed(n->path, RELAY_REGION, &now);
                n->derp_retry_at_us = n->w->now_us + TIME_MS(rng_between(&n->rng.rng, RETRY_MIN_MS, RETRY_MAX_MS));
        }
        if (n->derp_is_wanted && !n->derp_exists && n->w->now_us >= n->derp_retry_at_us)
                dial(n);
}

uint64_t node_derp_deadline(const struct sim_node *n)
{
        if (n->derp_exists)
                return derp_client_deadline(&n->derp);
        return n->derp_is_wanted ? n->derp_retry_at_us : TIME_NEVER;
}

void node_derp_run(struct sim_node *n)
{
        struct now now = node_now(n);

        if (n->derp_exists && derp_client_deadline(&n->derp) <= n->w->now_us)
                derp_client_tick(&n->derp, &now);
}

void node_derp_send(struct sim_node *n, const struct public_key *peer, struct slice packet)
{
        struct now now = node_now(n);

        n->derp_is_wanted = true;
        if (!n->derp_exists || !n->derp_is_ready)
                return; /* as lost on the way */
        if (derp_client_send(&n->derp, &now, peer, packet))
                world_say(n->w, "%s: a packet was not relayed", n->name);
}
