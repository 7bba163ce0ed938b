#include "relay_io_internal.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Bytes that wait in a client's stream. Beyond half of it the engine is told to
 * hold on, so that a frame of any size fits into the other half.
 */
enum { WRITE_LIMIT = 160 << 10 };
static_assert(WRITE_LIMIT / 2 > DERP_PACKET_MAX + DERP_PACKET_HEAD_MAX, "a frame fits into half of it");

const struct log relay_io_log = { "relay" };

/* ---- The engine's surroundings ------------------------------------------ */

static bool conn_write(void *ctx, struct slice head, struct slice tail)
{
        struct io_conn *c = ctx;
        struct slice pieces[] = { head, tail };
        size_t need = head.len + tail.len;

        if (net_stream_room(c->stream) < need) {
                /* only what a neighbour that watches has waiting can be that long */
                c->write_limit = 2 * (net_stream_queued(c->stream) + need);
                net_stream_set_write_limit(c->stream, c->write_limit);
        }
        enum err e = net_stream_writev(c->stream, pieces, 2);
        if (e != OK) /* the stream is broken and its end is on the way */
                log_debug(&relay_io_log, "write failed", "why=%s", err_str(e));
        return net_stream_queued(c->stream) <= c->write_limit / 2;
}

static size_t conn_queued(void *ctx)
{
        return net_stream_queued(((struct io_conn *)ctx)->stream);
}

static void conn_set_reading(void *ctx, bool on)
{
        struct io_conn *c = ctx;

        if (on)
                net_stream_resume(c->stream);
        else
                net_stream_pause(c->stream);
}

static void conn_free(struct io_conn *c)
{
        http_fetch_cancel(c->asking);
        net_stream_close(c->stream);
        list_remove(&c->link);
        list_remove(&c->asked);
        free(c);
}

static void conn_close(void *ctx, enum relay_end why)
{
        (void)why; /* the engine has logged and counted it */
        conn_free(ctx);
}

/* ---- Streams ------------------------------------------------------------ */

static void on_data(struct net_stream *s, void *ctx, struct slice data)
{
        struct io_conn *c = ctx;
        struct relay_io *io = c->io;
        struct now now = net_loop_now(io->loop);

        (void)s;
        relay_conn_input(c->conn, &now, data); /* c may be gone now */
        relay_io_schedule(io);
}

static void on_writable(struct net_stream *s, void *ctx)
{
        struct io_conn *c = ctx;
        struct relay_io *io = c->io;
        struct now now = net_loop_now(io->loop);

        (void)s;
        relay_conn_writable(c->conn, &now);
        relay_io_schedule(io);
}

static void on_end(struct net_stream *s, void *ctx, enum err why)
{
        struct io_conn *c = ctx;
        struct relay_io *io = c->io;
        struct now now = net_loop_now(io->loop);

        log_debug(&relay_io_log, "connection ended", "why=%s %s", err_str(why), net_stream_why(s));
        relay_conn_end(c->conn, &now);
        conn_free(c);
        relay_io_schedule(io);
}

static const struct net_stream_handler stream_handler = {
        .on_data = on_data,
        .on_writable = on_writable,
        .on_end = on_end,
};

void relay_io_accept(struct relay_io *io, struct net_stream *stream, const struct ip_addr *client, bool is_not_ideal)
{
        struct ip_port remote = { *client, net_stream_peer(stream).port };
        struct now now = net_loop_now(io->loop);
        struct io_conn *c = calloc(1, sizeof(*c));

        if (!c) {
                net_stream_close(stream);
                return;
        }
        c->io = io;
        c->stream = stream;
        c->write_limit = WRITE_LIMIT;
        net_stream_set_write_limit(stream, WRITE_LIMIT);
        list_push_back(&io->conns, &c->link);
        enum err e = relay_accept(io->engine, &now, &remote, is_not_ideal, c, &c->conn);
        if (e != OK) {
                log_debug(&relay_io_log, "connection refused", "why=%s", err_str(e));
                conn_free(c);
                return;
        }
        net_stream_set_handler(stream, &stream_handler, c);
        relay_io_schedule(io);
}

/* ---- The whole ---------------------------------------------------------- */

void relay_io_schedule(struct relay_io *io)
{
        uint64_t at_us = relay_deadline(io->engine);

        if (at_us == TIME_NEVER)
                net_timer_stop(io->loop, &io->timer);
        else if (!timer_armed(&io->timer) || io->timer.at_us != at_us)
                net_timer_start_at(io->loop, &io->timer, at_us);
}

static void on_deadline(struct timer *t, const struct now *now)
{
        struct relay_io *io = container_of(t, struct relay_io, timer);

        relay_tick(io->engine, now);
        relay_io_schedule(io);
}

static bool copy_text(char **to, const char *from)
{
        *to = from ? strdup(from) : NULL;
        return *to || !from;
}

enum err relay_io_new(const struct relay_io_config *config, struct relay_io **out, struct diag *d)
{
        static const struct relay_calls open_calls = { conn_write, conn_queued, conn_set_reading, conn_close, NULL };
        static const struct relay_calls asking_calls = { conn_write, conn_queued, conn_set_reading, conn_close, relay_io_admit };
        struct http_url url;

        if (config->admission == RELAY_ADMIT_URL && http_url_parse(config->verify_url, &url) != OK)
                return diag_set(d, ERR_FORMAT, "'%s' is not an http or https URL to ask for admission", config->verify_url);
        struct relay_io *io = calloc(1, sizeof(*io));
        if (!io)
                return diag_set(d, ERR_NOMEM, "not enough memory for the relay");
        io->loop = config->loop;
        io->timer.fire = on_deadline;
        list_init(&io->conns);
        list_init(&io->asked);
        list_init(&io->links);
        io->admission = config->admission;
        io->ask = config->ask;
        io->ctx = config->ctx;
        io->verify_fail_open = config->verify_fail_open;
        io->trusted_proxies = config->trusted_proxies;
        io->trusted_proxy_count = config->trusted_proxy_count;
        io->key = config->key;
        io->has_mesh_key = config->mesh_key != NULL;
        if (config->mesh_key)
                io->mesh_key = *config->mesh_key;

        struct relay_config engine = {
                .key = config->key,
                .mesh_key = config->mesh_key,
                .rate = config->rate,
                .max_conns = config->max_conns,
                .rng = net_rng(),
                .calls = config->admission == RELAY_ADMIT_ALL ? &open_calls : &asking_calls,
                .ctx = io,
        };
        enum err e = relay_new(&engine, &io->engine);
        key_wipe(&engine.key, sizeof(engine.key));
        if (e != OK || !copy_text(&io->verify_url, config->verify_url) ||
            !copy_text(&io->local_socket, config->local_socket) || !copy_text(&io->home, config->home)) {
                relay_io_free(io);
                return diag_set(d, ERR_NOMEM, "not enough memory for the relay");
        }
        *out = io;
        return OK;
}

void relay_io_free(struct relay_io *io)
{
        if (!io)
                return;
        relay_links_free(io); /* first: their routes lead into the engine */
        if (io->engine)
                relay_free(io->engine); /* closes every struct io_conn */
        relay_bootstrap_free(io->bootstrap);
        net_timer_stop(io->loop, &io->timer);
        key_wipe(&io->key, sizeof(io->key));
        key_wipe(&io->mesh_key, sizeof(io->mesh_key));
        free(io->verify_url);
        free(io->local_socket);
        free(io->home);
        free(io);
}

struct relay *relay_io_engine(struct relay_io *io)
{
        return io->engine;
}
