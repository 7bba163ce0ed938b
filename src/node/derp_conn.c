#include "derp_conn.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "net/tls.h"
#include "path/relay_dial.h"

const struct log derp_log = { "derp" };

enum {
        QUEUE_MAX = 32, /* packets that wait for a connection; the oldest go first */
        DIAL_MS = 5000, /* TCP and TLS of one node of the region */
        BACKOFF_MAX_MS = 5000,
};

struct queued {
        struct list link;
        struct public_key dst;
        size_t len;
        uint8_t bytes[];
};

static void dial(struct derp_conn *c);

/* ---- ends --------------------------------------------------------------------------------- */

static void drop_queue(struct derp_conn *c)
{
        struct list *it;

        while ((it = list_pop_front(&c->queue)))
                free(container_of(it, struct queued, link));
        c->queued = 0;
}

/* Back to no connection; the record, its queue and its attempts stay. */
static void disconnect(struct derp_conn *c)
{
        bool was_ready = c->is_ready;

        net_dial_cancel(c->dial);
        c->dial = NULL;
        net_task_cancel(&c->close_task);
        net_timer_stop(c->pool->loop, &c->timer);
        derp_client_stop(&c->engine);
        net_stream_close(c->stream);
        c->stream = NULL;
        c->is_ready = false;
        if (was_ready)
                c->pool->events->count_changed(c->pool->ctx);
}

void derp_conn_free(struct derp_conn *c)
{
        list_remove(&c->link);
        c->pool->count--;
        disconnect(c);
        drop_queue(c);
        derp_client_fini(&c->engine);
        free(c);
}

bool derp_conn_is_home(const struct derp_conn *c)
{
        return c->region == c->pool->home;
}

static void retry_later(struct derp_conn *c)
{
        uint64_t n = c->attempt < 30 ? ++c->attempt : 30;
        uint64_t ms = n * n * 10 < BACKOFF_MAX_MS ? n * n * 10 : BACKOFF_MAX_MS;

        ms = rng_between(net_rng(), ms / 2, ms * 3 / 2);
        net_timer_start(c->pool->loop, &c->timer, ms);
}

/* The connection is of no use. Home is dialled again; others wait for a packet. */
static void fail(struct derp_conn *c, const char *why)
{
        struct derp_pool *p = c->pool;
        bool was_open = c->stream != NULL;

        if (derp_conn_is_home(c)) {
                if (c->attempt == 0 || was_open)
                        log_info(&derp_log, "home relay lost", "region=%u why=\"%s\"", c->region, why);
                snprintf(p->trouble, sizeof p->trouble, "the home relay (region %u) cannot be reached: %s", c->region, why);
        } else {
                log_debug(&derp_log, "relay lost", "region=%u why=\"%s\"", c->region, why);
        }
        disconnect(c);
        if (derp_conn_is_home(c) || c->queued)
                retry_later(c);
        if (c->attempt > 4)
                drop_queue(c);
        if (was_open)
                p->events->failed(p->ctx, c->region);
}

static void flush_queue(struct derp_conn *c)
{
        const struct now now = net_loop_now(c->pool->loop);
        struct list *it;

        while (derp_client_can_send(&c->engine) && (it = list_pop_front(&c->queue))) {
                struct queued *q = container_of(it, struct queued, link);
                c->queued--;
                if (derp_client_send(&c->engine, &now, &q->dst, slice_make(q->bytes, q->len)) != OK)
                        log_debug(&derp_log, "packet dropped", "region=%u", c->region);
                free(q);
        }
}

static void arm_engine(struct derp_conn *c)
{
        if (c->stream)
                net_timer_start_at(c->pool->loop, &c->timer, derp_client_deadline(&c->engine));
}

/* ---- the engine's events -------------------------------------------------------------- */

static void on_write(void *ctx, struct slice head, struct slice tail)
{
        struct derp_conn *c = ctx;
        const struct slice pieces[] = { head, tail };

        /* A full queue drops the packet whole, as a network does; what matters for the
         * connection itself fits always. */
        if (net_stream_writev(c->stream, pieces, 2) != OK)
                log_debug(&derp_log, "relay connection is full", "region=%u", c->region);
}

static void on_ready(void *ctx, const struct public_key *server)
{
        struct derp_conn *c = ctx;
        struct derp_pool *p = c->pool;

        (void)server;
        c->is_ready = true;
        c->attempt = 0;
        log_info(&derp_log, "relay connected", "region=%u home=%s", c->region, derp_conn_is_home(c) ? "yes" : "no");
        if (derp_conn_is_home(c))
                p->trouble[0] = 0;
        flush_queue(c);
        p->events->count_changed(p->ctx);
}

static void on_packet(void *ctx, const struct public_key *src, struct slice packet)
{
        struct derp_conn *c = ctx;

        c->used_us = net_loop_now(c->pool->loop).mono_us;
        c->pool->events->packet(c->pool->ctx, c->region, src, packet);
}

static void on_peer_gone(void *ctx, const struct public_key *peer, enum derp_gone_reason reason)
{
        struct derp_conn *c = ctx;

        (void)reason;
        c->pool->events->peer_gone(c->pool->ctx, c->region, peer);
}

static void on_closed(void *ctx, enum err e, const char *why)
{
        struct derp_conn *c = ctx;

        (void)e;
        c->close_why = why;
        net_loop_defer(c->pool->loop, &c->close_task);
}

static void close_later(struct net_task *task)
{
        struct derp_conn *c = container_of(task, struct derp_conn, close_task);

        fail(c, c->close_why);
}

static const struct derp_client_events engine_events = {
        .write = on_write,
        .ready = on_ready,
        .packet = on_packet,
        .peer_gone = on_peer_gone,
        .closed = on_closed,
};

/* ---- the stream's events ---------------------------------------------------------------- */

static void on_data(struct net_stream *s, void *ctx, struct slice data)
{
        struct derp_conn *c = ctx;
        const struct now now = net_loop_now(c->pool->loop);

        (void)s;
        c->pool->events->alive(c->pool->ctx, c->region);
        derp_client_input(&c->engine, &now, data);
        if (derp_client_can_send(&c->engine))
                flush_queue(c);
        arm_engine(c);
}

static void on_end(struct net_stream *s, void *ctx, enum err why)
{
        struct derp_conn *c = ctx;
        char text[256];

        (void)why;
        snprintf(text, sizeof text, "%s", net_stream_why(s)[0] ? net_stream_why(s) : "closed by the relay");
        fail(c, text);
}

static const struct net_stream_handler stream_events = { .on_data = on_data, .on_end = on_end };

/* ---- dialling ------------------------------------------------------------------------------ */

static const struct tailcfg_derp_node *pick_node(const struct derp_conn *c, size_t *index)
{
        const struct tailcfg_derp_region *r = tailcfg_derp_region_find(&c->pool->map, c->region);
        size_t usable = 0, skip;

        for (size_t i = 0; r && i < r->nodes.count; i++)
                usable += !r->nodes.items[i].stun_only;
        if (!usable)
                return NULL;
        skip = c->attempt % usable;
        for (size_t i = 0; i < r->nodes.count; i++) {
                if (r->nodes.items[i].stun_only || skip-- > 0)
                        continue;
                *index = i;
                return &r->nodes.items[i];
        }
        return NULL;
}

static void dialled(void *ctx, enum err e, struct net_stream *s, const struct diag *d)
{
        struct derp_conn *c = ctx;
        struct derp_pool *p = c->pool;
        const struct now now = net_loop_now(p->loop);
        const struct tailcfg_derp_region *r = tailcfg_derp_region_find(&p->map, c->region);
        struct public_key server;
        char host[256], ideal[256], name[256];
        uint32_t serial;
        bool knows_key = false;

        c->dial = NULL;
        if (e || !r || c->node_index >= r->nodes.count) {
                if (!e)
                        net_stream_close(s);
                fail(c, e ? d->text : "the relay is gone from the map");
                return;
        }
        const struct tailcfg_derp_node *n = &r->nodes.items[c->node_index];
        snprintf(host, sizeof host, "%.*s", SLICE_ARGS(n->host_name));
        snprintf(ideal, sizeof ideal, "%.*s", SLICE_ARGS(r->nodes.items[0].name));
        if (tls_is_1_3(s) && tls_find_peer_cert(s, "derpkey", name, &serial) == OK)
                knows_key = derp_metacert_parse(slice_str(name), serial, &server) == OK;
        c->stream = s;
        c->used_us = now.mono_us;
        const struct derp_connect to = {
                .host = host,
                .port = (uint16_t)n->derp_port,
                .ideal_node = c->node_index ? ideal : NULL,
                .server_key = knows_key ? &server : NULL,
        };
        if (derp_client_start(&c->engine, &now, &to) != OK) {
                fail(c, "the relay's key is impossible");
                return;
        }
        net_stream_set_handler(s, &stream_events, c);
        flush_queue(c);
        arm_engine(c);
}

static void dial(struct derp_conn *c)
{
        struct derp_pool *p = c->pool;
        const struct tailcfg_derp_node *n = pick_node(c, &c->node_index);
        struct relay_dial to;

        if (!p->is_up || !p->has_key || c->dial || c->stream)
                return;
        if (!n || relay_dial_make(n, &to) != OK) {
                fail(c, "the relay map has no usable address for it");
                return;
        }
        to.options.timeout_ms = DIAL_MS;
        to.options.mark = p->mark;
        if (net_dial_start(p->loop, &to.options, dialled, c, &c->dial) != OK) {
                c->dial = NULL;
                fail(c, "the system refuses a connection");
        }
}

static void conn_timer(struct timer *t, const struct now *now)
{
        struct derp_conn *c = container_of(t, struct derp_conn, timer);

        if (!c->stream) {
                dial(c);
                return;
        }
        derp_client_tick(&c->engine, now);
        arm_engine(c);
}

/* ---- life and sending ------------------------------------------------------------------------ */

struct derp_conn *derp_conn_new(struct derp_pool *p, uint16_t region)
{
        struct derp_conn *c = calloc(1, sizeof *c);

        if (!c)
                return NULL;
        const struct derp_client_config config = {
                .key = p->key, .can_ack_pings = true, .rng = net_rng(), .events = &engine_events, .ctx = c,
        };
        c->pool = p;
        c->region = region;
        c->timer.fire = conn_timer;
        c->close_task.run = close_later;
        c->used_us = net_loop_now(p->loop).mono_us;
        list_init(&c->queue);
        derp_client_init(&c->engine, &config);
        derp_client_note_preferred(&c->engine, region == p->home);
        list_push_back(&p->conns, &c->link);
        p->count++;
        net_timer_start(p->loop, &c->timer, 0); /* dialled from the loop, not from here */
        return c;
}

static void enqueue(struct derp_conn *c, const struct public_key *dst, struct slice packet)
{
        struct queued *q = malloc(sizeof *q + packet.len);

        if (!q)
                return;
        *q = (struct queued){ .dst = *dst, .len = packet.len };
        memcpy(q->bytes, packet.ptr, packet.len);
        if (c->queued == QUEUE_MAX) {
                free(container_of(list_pop_front(&c->queue), struct queued, link));
                c->queued--;
        }
        list_push_back(&c->queue, &q->link);
        c->queued++;
}

void derp_conn_send(struct derp_conn *c, const struct public_key *dst, struct slice packet)
{
        struct net_loop *loop = c->pool->loop;
        const struct now now = net_loop_now(loop);

        c->used_us = now.mono_us;
        if (!derp_client_can_send(&c->engine)) {
                enqueue(c, dst, packet);
                if (!c->dial && !c->stream && !timer_armed(&c->timer))
                        net_timer_start(loop, &c->timer, 0);
        } else if (derp_client_send(&c->engine, &now, dst, packet) != OK) {
                log_debug(&derp_log, "packet dropped", "region=%u", c->region);
        }
}
