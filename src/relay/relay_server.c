#include "relay/relay_server.h"

#include <stdlib.h>

#include "base/log.h"

struct relay_server {
        struct net_loop *loop;
        struct relay_io *io;
        struct tls_server *tls;
        bool serves_derp;
        double accepts_per_second, accept_burst, accept_tokens;
        uint64_t accept_at_us;
        struct log_limit log_limit;
        struct http_server *http, *plain;
        struct net_listener *listener, *plain_listener;
};

static const struct log logger = { "relay" };

/* ---- Requests ----------------------------------------------------------- */

static void on_request(void *ctx, struct http_exchange *x)
{
        struct relay_server *s = ctx;

        if (!s->serves_derp && slice_is(http_request(x)->path, "/derp")) {
                http_respond_text(x, 404, "derp server disabled\n");
                return;
        }
        if (!relay_io_handle(s->io, x))
                relay_io_handle_site(s->io, x);
}

static void to_https(struct http_exchange *x)
{
        const struct http_request *r = http_request(x);
        struct slice host = r->authority;
        size_t colon = slice_find(host, ':');
        bool is_v6_literal = host.len && host.ptr[0] == '[';

        if (is_v6_literal)
                host = slice_first(host, slice_find(host, ']') + 1);
        else
                host = slice_first(host, colon);
        char *location = arena_printf(http_arena(x), "https://%.*s%.*s", SLICE_ARGS(host), SLICE_ARGS(r->target));
        if (!location || host.len == 0) {
                http_respond_text(x, 400, "Use HTTPS\n");
                return;
        }
        http_add_header_str(x, "Location", location);
        http_respond(x, 302, NULL, (struct slice){ 0 });
}

static void on_plain_request(void *ctx, struct http_exchange *x)
{
        struct slice method = http_request(x)->method;

        (void)ctx;
        if (relay_io_handle_204(x))
                return;
        if (slice_is(method, "GET") || slice_is(method, "HEAD"))
                to_https(x);
        else
                http_respond_text(x, 400, "Use HTTPS\n");
}

/* ---- Connections -------------------------------------------------------- */

/* Accept and close at once: the client learns more from that than from silence. */
static bool within_accept_rate(struct relay_server *s)
{
        struct now now = net_loop_now(s->loop);

        if (s->accepts_per_second <= 0)
                return true;
        s->accept_tokens += (double)(now.mono_us - s->accept_at_us) * s->accepts_per_second / 1e6;
        s->accept_at_us = now.mono_us;
        if (s->accept_tokens > s->accept_burst)
                s->accept_tokens = s->accept_burst;
        if (s->accept_tokens < 1) {
                if (log_allow(&s->log_limit, now.mono_us))
                        log_warn(&logger, "connections come too fast: refused", "limit=%g/s", s->accepts_per_second);
                return false;
        }
        s->accept_tokens -= 1;
        return true;
}

static void on_accept(void *ctx, struct net_stream *stream)
{
        struct relay_server *s = ctx;

        if (!within_accept_rate(s)) {
                net_stream_close(stream);
                return;
        }
        if (s->tls && tls_accept(s->tls, stream, &stream) != OK)
                return;
        http_serve(s->http, stream, NULL);
}

static void on_plain_accept(void *ctx, struct net_stream *stream)
{
        struct relay_server *s = ctx;

        if (within_accept_rate(s))
                http_serve(s->plain, stream, NULL);
        else
                net_stream_close(stream);
}

enum err relay_server_start(const struct relay_server_config *config, struct relay_server **out, struct diag *d)
{
        static const struct http_server_calls http_calls = { .on_request = on_request };
        static const struct http_server_calls plain_calls = { .on_request = on_plain_request };
        static const struct net_listener_calls calls = { .on_accept = on_accept };
        static const struct net_listener_calls plain_accept_calls = { .on_accept = on_plain_accept };
        static const struct http_limits limits = { .body_bytes = 4096 };
        struct relay_server *s = calloc(1, sizeof(*s));

        if (!s)
                return diag_set(d, ERR_NOMEM, "not enough memory for the relay");
        s->loop = config->loop;
        s->io = config->io;
        s->tls = config->tls;
        s->serves_derp = config->serves_derp;
        s->accepts_per_second = config->accepts_per_second;
        s->accept_burst = config->accept_burst ? config->accept_burst : 1;
        s->accept_tokens = s->accept_burst;
        s->accept_at_us = net_loop_now(s->loop).mono_us;

        enum err e = http_server_new(s->loop, &limits, &http_calls, s, &s->http);
        if (e == OK)
                e = net_listen_tcp(s->loop, &config->addr, 0, &calls, s, &s->listener, d);
        if (e == OK && s->tls && config->plain_port >= 0) {
                struct ip_port addr = { config->addr.ip, (uint16_t)config->plain_port };
                e = http_server_new(s->loop, &limits, &plain_calls, s, &s->plain);
                if (e == OK)
                        e = net_listen_tcp(s->loop, &addr, 0, &plain_accept_calls, s, &s->plain_listener, d);
        }
        if (e != OK) {
                relay_server_stop(s);
                return e;
        }
        *out = s;
        return OK;
}

struct ip_port relay_server_addr(const struct relay_server *s)
{
        return net_listener_addr(s->listener);
}

void relay_server_stop(struct relay_server *s)
{
        if (!s)
                return;
        net_listener_close(s->listener);
        net_listener_close(s->plain_listener);
        http_server_free(s->http);
        http_server_free(s->plain);
        free(s);
}
