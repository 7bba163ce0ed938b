#include "control_dial.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/text.h"
#include "net/noise.h"
#include "proto/tailcfg_base.h"

enum { TLS_DELAY_MS = 500, DIAL_TIMEOUT_MS = 10000, HANDSHAKE_TIMEOUT_MS = 10000, PLAIN_PORT = 80, TLS_PORT = 443 };

static const struct log dial_log = { "control" };
static const char protocol_name[] = "tailscale-control-protocol";

/* One way to the server: a connection, on it the upgrade, on that Noise. */
struct leg {
        struct control_dial *dial;
        bool is_tls;
        bool exists, has_begun, has_failed;
        uint16_t port;
        struct net_dial *connecting;
        struct http_upgrading *upgrading;
        struct net_stream *noise;
        struct noise_client hs;
        struct timer handshake_timeout;
};

struct control_dial {
        struct net_loop *loop;
        struct http_url server;
        struct secret_key machine_key;
        struct public_key server_key;
        uint32_t mark;
        void (*done)(void *ctx, enum err e, struct net_stream *s, const char *why);
        void *ctx;
        struct leg plain, tls;
        struct timer start;     /* of the TLS leg, or of both */
        enum err e;             /* the most telling failure so far */
        struct diag why;
};

static void leg_stop(struct leg *leg)
{
        net_dial_cancel(leg->connecting);
        http_upgrade_cancel(leg->upgrading);
        net_stream_close(leg->noise);
        net_timer_stop(leg->dial->loop, &leg->handshake_timeout);
        noise_client_wipe(&leg->hs);
        leg->connecting = NULL;
        leg->upgrading = NULL;
        leg->noise = NULL;
}

void control_dial_cancel(struct control_dial *d)
{
        if (!d)
                return;
        leg_stop(&d->plain);
        leg_stop(&d->tls);
        net_timer_stop(d->loop, &d->start);
        key_wipe(&d->machine_key, sizeof(d->machine_key));
        free(d);
}

static void finish(struct control_dial *d, enum err e, struct net_stream *s)
{
        void (*done)(void *, enum err, struct net_stream *, const char *) = d->done;
        void *ctx = d->ctx;
        struct diag why = d->why;

        control_dial_cancel(d);
        done(ctx, e, s, why.text);
}

static void leg_begin(struct leg *leg);

/* A handshake that went wrong says more than a port that is closed. */
static void leg_failed(struct leg *leg, enum err e, const char *why)
{
        struct control_dial *d = leg->dial;
        struct leg *other = leg == &d->plain ? &d->tls : &d->plain;

        log_debug(&dial_log, "cannot reach control this way", "port=%u tls=%d why=\"%s\"", leg->port, leg->is_tls, why);
        leg_stop(leg);
        leg->has_failed = true;
        if (d->e != ERR_AUTH) {
                d->e = e;
                diag_set(&d->why, e, "%s", why);
        }
        if (other->exists && !other->has_begun)
                leg_begin(other);
        else if (!other->exists || other->has_failed)
                finish(d, d->e, NULL);
}

static void on_noise_open(struct net_stream *s, void *ctx)
{
        struct leg *leg = ctx;

        leg->noise = NULL;
        net_stream_set_handler(s, NULL, NULL);
        finish(leg->dial, OK, s);
}

static void on_noise_end(struct net_stream *s, void *ctx, enum err e)
{
        (void)e;
        leg_failed(ctx, ERR_AUTH, net_stream_why(s)[0] ? net_stream_why(s)
                                                        : "the control server refused the Noise handshake");
}

static const struct net_stream_handler noise_handler = { .on_open = on_noise_open, .on_end = on_noise_end };

static void handshake_timed_out(struct timer *t, const struct now *now)
{
        (void)now;
        leg_failed(container_of(t, struct leg, handshake_timeout), ERR_TIMEOUT,
                   "the control server does not finish the Noise handshake");
}

static void on_upgraded(void *ctx, enum err e, struct net_stream *s, const struct http_response *r, const struct diag *diag)
{
        struct leg *leg = ctx;

        leg->upgrading = NULL;
        if (e == ERR_CLOSED) {
                /* A control server hangs up on a handshake made for another key. */
                leg_failed(leg, ERR_AUTH, "the control server hangs up during the handshake");
                return;
        }
        if (!e && !slice_is(http_response_header(r, "Upgrade"), protocol_name)) {
                net_stream_close(s);
                leg_failed(leg, ERR_FORMAT, "the server agreed to another protocol than asked for");
                return;
        }
        if (!e)
                e = net_noise_connect(s, &leg->hs, &leg->noise);
        if (e) {
                leg_failed(leg, e, diag && diag->text[0] ? diag->text : err_str(e));
                return;
        }
        net_stream_set_handler(leg->noise, &noise_handler, leg);
        net_timer_start(leg->dial->loop, &leg->handshake_timeout, HANDSHAKE_TIMEOUT_MS);
}

static enum err ask_upgrade(struct leg *leg, struct net_stream *s)
{
        struct control_dial *d = leg->dial;
        uint8_t initiation[NOISE_INITIATION_LEN];
        char authority[300], encoded[4 * ((NOISE_INITIATION_LEN + 2) / 3) + 1] = "";
        bool is_v6 = strchr(d->server.host, ':') != NULL;
        const struct http_header headers[] = {
                { SLICE_LIT("Upgrade"), SLICE_LIT(protocol_name) },
                { SLICE_LIT("Connection"), SLICE_LIT("upgrade") },
                { SLICE_LIT("X-Tailscale-Handshake"), slice_make(encoded, sizeof(encoded) - 1) },
        };
        const struct http_ask ask = {
                .method = "POST", .target = "/ts2021", .authority = authority, .headers = headers, .header_count = 3,
        };
        enum err e = noise_client_start(&leg->hs, &d->machine_key, &d->server_key, TAILCFG_CAPVER, net_rng(), initiation);

        if (e) {
                net_stream_close(s);
                return e;
        }
        base64_encode(SLICE_ARRAY(initiation), encoded);
        snprintf(authority, sizeof(authority), is_v6 ? "[%s]:%u" : "%s:%u", d->server.host, leg->port);
        return http_upgrade_start(s, &ask, HANDSHAKE_TIMEOUT_MS, on_upgraded, leg, &leg->upgrading);
}

static void on_connected(void *ctx, enum err e, struct net_stream *s, const struct diag *diag)
{
        struct leg *leg = ctx;

        leg->connecting = NULL;
        if (!e)
                e = ask_upgrade(leg, s);
        if (e)
                leg_failed(leg, e, diag && diag->text[0] ? diag->text : err_str(e));
}

static void leg_begin(struct leg *leg)
{
        struct control_dial *d = leg->dial;
        /* Noise authenticates: a certificate that does not fit is logged, not fatal. */
        const struct tls_client_options tls = { .log_only = true };
        const struct net_dial_options options = {
                .host = d->server.host,
                .port = leg->port,
                .timeout_ms = DIAL_TIMEOUT_MS,
                .mark = d->mark,
                .use_proxy = true,
                .tls = leg->is_tls ? &tls : NULL,
        };
        enum err e;

        leg->has_begun = true;
        e = net_dial_start(d->loop, &options, on_connected, leg, &leg->connecting);
        if (e)
                leg_failed(leg, e, err_str(e));
}

static void begin(struct timer *t, const struct now *now)
{
        struct control_dial *d = container_of(t, struct control_dial, start);

        (void)now;
        if (d->plain.exists && !d->plain.has_begun) {
                if (d->tls.exists)
                        net_timer_start(d->loop, &d->start, TLS_DELAY_MS);
                leg_begin(&d->plain);
        } else if (d->tls.exists && !d->tls.has_begun) {
                leg_begin(&d->tls);
        }
}

static bool is_local(const char *host)
{
        struct ip_addr ip;

        if (!strcmp(host, "localhost"))
                return true;
        return ip_parse(slice_str(host), &ip) == OK && (ip_is_private(&ip) || ip_is_loopback(&ip));
}

/* The table of spec/control.md 1.3. */
static void choose_legs(struct control_dial *d, bool skip_plain)
{
        const struct http_url *u = &d->server;

        d->plain.port = u->is_https ? PLAIN_PORT : u->port;
        d->tls.port = u->is_https ? u->port : TLS_PORT;
        d->tls.exists = u->is_https || !is_local(u->host);
        d->plain.exists = !d->tls.exists || !skip_plain;
}

enum err control_dial_start(struct net_loop *loop, const struct control_dial_options *o,
                            void (*done)(void *ctx, enum err e, struct net_stream *s, const char *why), void *ctx,
                            struct control_dial **out)
{
        struct control_dial *d = calloc(1, sizeof(*d));

        if (!d)
                return ERR_NOMEM;
        d->loop = loop;
        d->server = *o->server;
        d->machine_key = *o->machine_key;
        d->server_key = *o->server_key;
        d->mark = o->mark;
        d->done = done;
        d->ctx = ctx;
        d->plain = (struct leg){ .dial = d, .handshake_timeout.fire = handshake_timed_out };
        d->tls = (struct leg){ .dial = d, .is_tls = true, .handshake_timeout.fire = handshake_timed_out };
        choose_legs(d, o->skip_plain);
        d->start.fire = begin;
        net_timer_start(loop, &d->start, 0);
        *out = d;
        return OK;
}
