/* Streams: in order and without loss, but late, and broken when a host dies. */
#include "sim.h"

#include <stdlib.h>

struct end {
        enum host_id host;
        bool is_open; /* somebody listens here */
        const struct stream_handler *handler;
        void *ctx;
        uint64_t last_arrival_us; /* what comes later arrives later */
};

struct stream {
        struct list link;
        uint64_t id;
        struct end ends[2]; /* 0: who dialled */
        unsigned in_flight; /* events that name it */
};

enum { LOST_SEGMENT_US = 250000 };
enum { EVENT_SYN, EVENT_OPEN, EVENT_DATA, EVENT_END };

static void drop_if_done(struct stream *s)
{
        if (s->ends[0].is_open || s->ends[1].is_open || s->in_flight)
                return;
        list_remove(&s->link);
        free(s);
}

static void arrive(struct world *w, struct event *e);

/* Something for the end `to`, after all that was sent there before. */
static void post(struct world *w, struct stream *s, unsigned to, unsigned kind, uint64_t detail, struct slice bytes)
{
        struct end *end = &s->ends[to];
        uint64_t at = w->now_us + world_latency_us(w);
        struct event *e;

        if (rng_below(&w->rng.rng, 1000000) < w->loss_per_million)
                at += LOST_SEGMENT_US;
        for (unsigned i = 0; i < 2; i++) {
                uint64_t cut = w->hosts[s->ends[i].host].cut_until_us;
                if (at < cut)
                        at = cut + LOST_SEGMENT_US;
        }
        if (at <= end->last_arrival_us)
                at = end->last_arrival_us + 1;
        end->last_arrival_us = at;
        e = event_add(w, at, arrive, bytes);
        e->ctx = s;
        e->kind = kind;
        e->id = detail << 1 | to;
        s->in_flight++;
}

static void greet(struct world *w, struct stream *s)
{
        struct end *server = &s->ends[1];

        if (!w->hosts[server->host].is_up) {
                post(w, s, 0, EVENT_END, STREAM_REFUSED, (struct slice){ 0 });
                return;
        }
        server->is_open = true;
        post(w, s, 0, EVENT_OPEN, 0, (struct slice){ 0 });
        if (server->host == HOST_CONTROL)
                sim_control_accept(w, s);
        else
                sim_relay_accept(w, s);
}

static void arrive(struct world *w, struct event *e)
{
        struct stream *s = e->ctx;
        struct end *end = &s->ends[e->id & 1];
        struct slice bytes = slice_make(e->bytes, e->len);

        if (e->kind == EVENT_SYN) {
                greet(w, s);
        } else if (!end->is_open) {
                /* nobody listens any more */
        } else if (e->kind == EVENT_OPEN) {
                end->handler->on_open(w, s, end->ctx);
        } else if (e->kind == EVENT_DATA) {
                world_note(w, end->host, bytes);
                end->handler->on_data(w, s, end->ctx, bytes);
        } else {
                end->is_open = false;
                end->handler->on_end(w, s, end->ctx, (enum stream_end)(e->id >> 1));
        }
        s->in_flight--;
        drop_if_done(s);
}

struct stream *stream_dial(struct world *w, enum host_id from, enum host_id to, const struct stream_handler *h, void *ctx)
{
        struct stream *s = calloc(1, sizeof(*s));

        if (!s)
                abort();
        s->id = ++w->last_stream_id;
        s->ends[0] = (struct end){ .host = from, .is_open = true, .handler = h, .ctx = ctx };
        s->ends[1] = (struct end){ .host = to };
        list_push_back(&w->streams, &s->link);
        post(w, s, 1, EVENT_SYN, 0, (struct slice){ 0 });
        return s;
}

void stream_accept(struct stream *s, const struct stream_handler *h, void *ctx)
{
        s->ends[1].handler = h;
        s->ends[1].ctx = ctx;
}

enum host_id stream_client(const struct stream *s)
{
        return s->ends[0].host;
}

static unsigned side(const struct stream *s, enum host_id h)
{
        return s->ends[0].host == h ? 0 : 1;
}

void stream_write(struct world *w, struct stream *s, enum host_id from, struct slice bytes)
{
        unsigned us = side(s, from);

        if (s->ends[us].is_open)
                post(w, s, !us, EVENT_DATA, 0, bytes);
}

static void end_side(struct world *w, struct stream *s, unsigned us, enum stream_end why)
{
        if (!s->ends[us].is_open)
                return;
        s->ends[us].is_open = false;
        post(w, s, !us, EVENT_END, why, (struct slice){ 0 });
}

void stream_close(struct world *w, struct stream *s, enum host_id from)
{
        end_side(w, s, side(s, from), STREAM_CLOSED);
}

void streams_break(struct world *w, enum host_id h)
{
        list_each_safe(it, &w->streams) {
                struct stream *s = container_of(it, struct stream, link);

                for (unsigned i = 0; i < 2; i++) {
                        if (s->ends[i].host == h)
                                end_side(w, s, i, STREAM_BROKEN);
                }
        }
}

void streams_fini(struct world *w)
{
        list_each_safe(it, &w->streams) {
                struct stream *s = container_of(it, struct stream, link);

                list_remove(it);
                free(s);
        }
}
