/* The relay's host: its engine on streams, and a STUN server. */
#include "relay/relay.h"

#include <stdlib.h>

#include "proto/stun.h"
#include "sim.h"

struct sim_relay {
        struct world *w;
        struct rng_seeded rng;
        struct secret_key key;
        struct relay *relay;
        struct list conns;
};

struct conn {
        struct list link;
        struct sim_relay *relay;
        struct stream *stream;
        struct relay_conn *conn;
};

static struct now relay_now(const struct sim_relay *r)
{
        return world_now(r->w, HOST_RELAY);
}

static void conn_free(struct conn *c)
{
        list_remove(&c->link);
        free(c);
}

static bool on_write(void *io, struct slice head, struct slice tail)
{
        struct conn *c = io;
        struct buf whole = BUF_INIT(DERP_FRAME_MAX);

        buf_append_slice(&whole, head);
        buf_append_slice(&whole, tail);
        stream_write(c->relay->w, c->stream, HOST_RELAY, buf_slice(&whole));
        buf_fini(&whole);
        return true;
}

static size_t on_queued(void *io)
{
        (void)io;
        return 0;
}

static void on_set_reading(void *io, bool on)
{
        (void)io;
        (void)on;
}

static void on_close(void *io, enum relay_end why)
{
        struct conn *c = io;

        (void)why;
        stream_close(c->relay->w, c->stream, HOST_RELAY);
        conn_free(c);
}

static const struct relay_calls calls = {
        .write = on_write, .queued = on_queued, .set_reading = on_set_reading, .close = on_close,
};

static void on_data(struct world *w, struct stream *s, void *ctx, struct slice bytes)
{
        struct conn *c = ctx;
        struct now now = relay_now(c->relay);

        (void)w;
        (void)s;
        relay_conn_input(c->conn, &now, bytes);
}

static void on_end(struct world *w, struct stream *s, void *ctx, enum stream_end why)
{
        struct conn *c = ctx;
        struct now now = relay_now(c->relay);

        (void)w;
        (void)s;
        (void)why;
        relay_conn_end(c->conn, &now);
        conn_free(c);
}

void sim_relay_accept(struct world *w, struct stream *s)
{
        static const struct stream_handler handler = { .on_data = on_data, .on_end = on_end };
        struct sim_relay *r = w->relay;
        struct now now = relay_now(r);
        struct ip_port from = { w->hosts[stream_client(s)].outside, 50000 };
        struct conn *c = calloc(1, sizeof(*c));

        if (!c)
                abort();
        c->relay = r;
        c->stream = s;
        list_push_back(&r->conns, &c->link);
        stream_accept(s, &handler, c);
        if (relay_accept(r->relay, &now, &from, false, c, &c->conn))
                world_fail(w, "the relay accepts no connection");
}

void sim_relay_datagram(struct sim_relay *r, const struct ip_port *src, uint16_t port, struct slice datagram)
{
        uint8_t answer[STUN_RESPONSE_MAX];
        struct stun_txid txid;

        if (port != STUN_SERVER_PORT || stun_request_parse(datagram, &txid))
                return;
        net_send(r->w, HOST_RELAY, port, src, slice_make(answer, stun_response_write(&txid, src, answer)));
}

struct sim_relay *sim_relay_new(struct world *w)
{
        struct sim_relay *r = calloc(1, sizeof(*r));

        if (!r)
                abort();
        r->w = w;
        rng_seed(&r->rng, rng_u64(&w->rng.rng));
        key_generate(&r->rng.rng, &r->key);
        list_init(&r->conns);
        sim_relay_boot(r);
        return r;
}

void sim_relay_boot(struct sim_relay *r)
{
        const struct relay_config config = { .key = r->key, .rng = &r->rng.rng, .calls = &calls };

        if (relay_new(&config, &r->relay))
                world_fail(r->w, "the relay does not start");
        r->w->hosts[HOST_RELAY].is_up = true;
}

void sim_relay_crash(struct sim_relay *r)
{
        r->w->hosts[HOST_RELAY].is_up = false;
        streams_break(r->w, HOST_RELAY);
        relay_free(r->relay);
        r->relay = NULL;
}

void sim_relay_free(struct sim_relay *r)
{
        if (r->relay)
                sim_relay_crash(r);
        free(r);
}

uint64_t sim_relay_deadline(const struct sim_relay *r)
{
        return r->relay ? relay_deadline(r->relay) : TIME_NEVER;
}

void sim_relay_run(struct sim_relay *r)
{
        struct now now = relay_now(r);

        relay_tick(r->relay, &now);
}
