/*
 * Links to the neighbours of the region (spec/paths.md 3.7): a client of theirs
 * with our own key and the mesh key, that watches who is connected there and
 * passes packets on.
 */
#include "relay_io_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/dial.h"
#include "net/tls.h"
#include "proto/derp_client.h"

enum {
        RETRY_MS = 5000,
        WRITE_STALL_MS = 5000,     /* a neighbour that takes nothing for so long is given up */
        WRITE_LIMIT = 512 << 10,
        STABLE_S = 60,             /* a link that held so long was a good one */
};

struct mesh_link {
        struct list link;
        struct relay_io *io;
        char *host, *dial_name;
        uint16_t port;
        bool is_plain, is_up, is_self;
        unsigned losses; /* one after the other; said when 1, 2, 4, 8... */
        uint64_t up_us;
        struct net_dial *dial;
        struct net_stream *stream;
        struct derp_client client;
        struct relay_forwarder forwarder;
        struct timer retry, watchdog, stall;
};

static void link_dial(struct mesh_link *l);

/* ---- Up and down -------------------------------------------------------- */

static void watchdog_set(struct mesh_link *l)
{
        uint64_t at_us = derp_client_deadline(&l->client);

        if (at_us == TIME_NEVER)
                net_timer_stop(l->io->loop, &l->watchdog);
        else if (!timer_armed(&l->watchdog) || l->watchdog.at_us != at_us)
                net_timer_start_at(l->io->loop, &l->watchdog, at_us);
}

/* A neighbour that is away for a day is not worth a line every five seconds. */
static bool is_worth_a_line(const struct mesh_link *l)
{
        return (l->losses & (l->losses - 1)) == 0;
}

static void link_down(struct mesh_link *l, const char *why)
{
        struct now now = net_loop_now(l->io->loop);

        if (l->is_up && now.mono_us > l->up_us + TIME_S(STABLE_S))
                l->losses = 0;
        l->losses++;
        if (!l->is_self && is_worth_a_line(l))
                log_warn(&relay_io_log, l->is_up ? "mesh link lost" : "mesh link failed", "neighbour=%s times=%u why=%s", l->host,
                         l->losses, why);
        l->is_up = false;
        derp_client_stop(&l->client);
        net_stream_close(l->stream);
        l->stream = NULL;
        net_timer_stop(l->io->loop, &l->watchdog);
        net_timer_stop(l->io->loop, &l->stall);
        relay_routes_clear(l->io->engine, &now, &l->forwarder);
        relay_io_schedule(l->io);
        if (!l->is_self)
                net_timer_start(l->io->loop, &l->retry, RETRY_MS);
}

static void on_retry(struct timer *t, const struct now *now)
{
        (void)now;
        link_dial(container_of(t, struct mesh_link, retry));
}

static void on_watchdog(struct timer *t, const struct now *now)
{
        struct mesh_link *l = container_of(t, struct mesh_link, watchdog);

        derp_client_tick(&l->client, now);
        watchdog_set(l);
}

static void on_stall(struct timer *t, const struct now *now)
{
        (void)now;
        link_down(container_of(t, struct mesh_link, stall), "it takes no packets");
}

/* ---- The client's events ------------------------------------------------ */

static void client_write(void *ctx, struct slice head, struct slice tail)
{
        struct mesh_link *l = ctx;
        struct slice pieces[] = { head, tail };

        if (net_stream_writev(l->stream, pieces, 2) != OK)
                log_debug(&relay_io_log, "mesh packet dropped", "neighbour=%s", l->host);
        bool is_full = net_stream_queued(l->stream) > WRITE_LIMIT / 2;
        if (is_full && !timer_armed(&l->stall))
                net_timer_start(l->io->loop, &l->stall, WRITE_STALL_MS);
}

static void client_ready(void *ctx, const struct public_key *server)
{
        struct mesh_link *l = ctx;

        if (key_equal(server, relay_public_key(l->io->engine))) {
                l->is_self = true; /* link_down() when the engine has returned */
                return;
        }
        l->is_up = true;
        l->up_us = net_loop_now(l->io->loop).mono_us;
        if (is_worth_a_line(l))
                log_info(&relay_io_log, "mesh link is up", "neighbour=%s", l->host);
}

static void client_present(void *ctx, const struct derp_peer_present *peer)
{
        struct mesh_link *l = ctx;
        struct now now = net_loop_now(l->io->loop);

        if (relay_route_add(l->io->engine, &now, &l->forwarder, &peer->peer) != OK)
                log_warn(&relay_io_log, "not enough memory for a mesh route", NULL);
}

static void client_gone(void *ctx, const struct public_key *peer, enum derp_gone_reason reason)
{
        struct mesh_link *l = ctx;
        struct now now = net_loop_now(l->io->loop);

        if (reason == DERP_GONE_DISCONNECTED)
                relay_route_remove(l->io->engine, &now, &l->forwarder, peer);
}

static void client_closed(void *ctx, enum err e, const char *why)
{
        (void)e;
        link_down(ctx, why);
}

static const struct derp_client_events client_events = {
        .write = client_write,
        .ready = client_ready,
        .peer_present = client_present,
        .peer_gone = client_gone,
        .closed = client_closed,
};

static void forward(struct relay_forwarder *f, const struct public_key *src, const struct public_key *dst,
                    struct slice packet)
{
        struct mesh_link *l = container_of(f, struct mesh_link, forwarder);

        /* Full: this packet is lost, as in any queue of the relay. */
        if (net_stream_room(l->stream) < DERP_PACKET_HEAD_MAX + packet.len)
                return;
        if (derp_client_forward(&l->client, src, dst, packet) != OK)
                log_debug(&relay_io_log, "mesh packet not sent", "neighbour=%s", l->host);
}

/* ---- The stream --------------------------------------------------------- */

static void on_data(struct net_stream *s, void *ctx, struct slice data)
{
        struct mesh_link *l = ctx;
        struct now now = net_loop_now(l->io->loop);

        (void)s;
        derp_client_input(&l->client, &now, data);
        if (l->is_self && l->stream) {
                log_info(&relay_io_log, "mesh link leads to ourselves: dropped", "neighbour=%s", l->host);
                link_down(l, "ourselves");
                return;
        }
        watchdog_set(l);
        relay_io_schedule(l->io);
}

static void on_writable(struct net_stream *s, void *ctx)
{
        struct mesh_link *l = ctx;

        (void)s;
        net_timer_stop(l->io->loop, &l->stall);
}

static void on_end(struct net_stream *s, void *ctx, enum err why)
{
        link_down(ctx, why == ERR_CLOSED ? "closed by the neighbour" : net_stream_why(s));
}

static const struct net_stream_handler stream_handler = {
        .on_data = on_data,
        .on_writable = on_writable,
        .on_end = on_end,
};

/* The neighbour's key, if its TLS chain tells it and TLS is 1.3 (3.2). */
static bool key_from_chain(const struct net_stream *s, struct public_key *out)
{
        char name[256];
        uint32_t serial;

        return tls_is(s) && tls_is_1_3(s) && tls_find_peer_cert(s, "derpkey", name, &serial) == OK &&
               derp_metacert_parse(slice_str(name), serial, out) == OK;
}

static void on_dialed(void *ctx, enum err e, struct net_stream *s, const struct diag *d)
{
        struct mesh_link *l = ctx;
        struct now now = net_loop_now(l->io->loop);
        struct public_key server;

        l->dial = NULL;
        if (e != OK)
                return link_down(l, d->text);
        l->stream = s;
        net_stream_set_write_limit(s, WRITE_LIMIT);
        net_stream_set_handler(s, &stream_handler, l);
        struct derp_connect to = { .host = l->host, .port = l->port };
        if (key_from_chain(s, &server))
                to.server_key = &server;
        if (l->is_plain && l->port == 80)
                to.port = 0;
        if (derp_client_start(&l->client, &now, &to) != OK)
                return link_down(l, "its key is not usable");
        watchdog_set(l);
}

static void link_dial(struct mesh_link *l)
{
        struct tls_client_options tls = { .server_name = l->host };
        struct net_dial_options options = {
                .host = l->dial_name ? l->dial_name : l->host,
                .port = l->port,
                .tls = l->is_plain ? NULL : &tls,
        };

        if (net_dial_start(l->io->loop, &options, on_dialed, l, &l->dial) != OK)
                link_down(l, "it cannot be dialed");
}

/* ---- Making and ending links -------------------------------------------- */

static void link_free(struct mesh_link *l)
{
        struct now now = net_loop_now(l->io->loop);

        list_remove(&l->link);
        if (l->dial)
                net_dial_cancel(l->dial);
        net_stream_close(l->stream);
        net_timer_stop(l->io->loop, &l->retry);
        net_timer_stop(l->io->loop, &l->watchdog);
        net_timer_stop(l->io->loop, &l->stall);
        if (l->forwarder.routes.next)
                relay_routes_clear(l->io->engine, &now, &l->forwarder);
        derp_client_fini(&l->client);
        free(l->host);
        free(l->dial_name);
        free(l);
}

void relay_links_free(struct relay_io *io)
{
        while (!list_empty(&io->links))
                link_free(container_of(io->links.next, struct mesh_link, link));
}

static unsigned link_count(const struct relay_io *io)
{
        unsigned n = 0;

        list_each(it, &io->links)
                n++;
        return n;
}

enum err relay_io_mesh_with(struct relay_io *io, const char *where, const char *dial_name, struct diag *d)
{
        bool is_plain = strncmp(where, "http://", 7) == 0;
        char text[320];
        struct http_url url;

        if (!io->has_mesh_key)
                return diag_set(d, ERR_STATE, "a mesh needs its key: give -mesh-psk-file");
        if (link_count(io) >= RELAY_LINKS_MAX)
                return diag_set(d, ERR_LIMIT, "a relay can have at most %d neighbours", RELAY_LINKS_MAX);
        snprintf(text, sizeof(text), "%s%s/derp", is_plain ? "" : "https://", where);
        if (http_url_parse(text, &url) != OK)
                return diag_set(d, ERR_FORMAT, "'%s' is not a host name to mesh with", where);

        struct mesh_link *l = calloc(1, sizeof(*l));
        if (!l)
                return diag_set(d, ERR_NOMEM, "not enough memory for a mesh link");
        struct derp_client_config config = {
                .key = io->key,
                .mesh_key = &io->mesh_key,
                .can_ack_pings = true,
                .rng = net_rng(),
                .events = &client_events,
                .ctx = l,
        };
        derp_client_init(&l->client, &config);
        key_wipe(&config.key, sizeof(config.key));
        derp_client_watch_conns(&l->client);
        l->io = io;
        l->is_plain = is_plain;
        l->port = url.port;
        l->host = strdup(url.host);
        l->dial_name = dial_name ? strdup(dial_name) : NULL;
        l->forwarder.forward = forward;
        list_init(&l->forwarder.routes);
        l->retry.fire = on_retry;
        l->watchdog.fire = on_watchdog;
        l->stall.fire = on_stall;
        list_push_back(&io->links, &l->link);
        if (!l->host || (dial_name && !l->dial_name)) {
                link_free(l);
                return diag_set(d, ERR_NOMEM, "not enough memory for a mesh link");
        }
        link_dial(l);
        return OK;
}

unsigned relay_io_mesh_links(const struct relay_io *io)
{
        unsigned n = 0;

        list_each(it, &io->links)
                n += container_of(it, struct mesh_link, link)->is_up;
        return n;
}
