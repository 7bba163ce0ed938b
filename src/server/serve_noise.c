/*
 * /ts2021 and what is inside: Noise, then HTTP/2 without TLS (spec/control.md 1.5 to
 * 5.1). A connection is a machine; each request says which node it speaks for, and the
 * engine checks that the two belong together.
 */
#include <stdio.h>
#include <stdlib.h>

#include "net/noise.h"
#include "serve.h"

struct machine {
        struct public_key key;
};

static bool accept_version(void *ctx, const struct net_noise_peer *peer)
{
        (void)ctx;
        return peer->version >= SERVER_MIN_CAP_VERSION;
}

/* {"nodeKeyChallenge":"chalpub:..."}: a fresh key; clients parse it and nothing more. */
static size_t early_payload(struct rng *rng, char out[static 128])
{
        struct secret_key secret;
        struct public_key challenge;
        char text[KEY_TEXT_MAX];

        key_generate(rng, &secret);
        key_public(&secret, &challenge);
        key_wipe(&secret, sizeof(secret));
        key_format("chalpub:", &challenge, text);
        return (size_t)snprintf(out, 128, "{\"nodeKeyChallenge\":\"%s\"}", text);
}

void serve_noise_upgrade(struct serve *sv, struct http_exchange *x)
{
        struct net_noise_peer peer;
        struct net_stream *stream;
        char early[128];
        size_t len = early_payload(net_rng(), early);

        if (!http_header(x, "Upgrade").ptr)
                log_debug(&serve_log,
                        "a request for /ts2021 has no Upgrade header; does a reverse proxy remove it?", NULL);
        if (net_noise_accept(x, &sv->noise_key, slice_make(early, len), accept_version, sv, &peer, &stream) !=
                OK)
                return;
        struct machine *m = calloc(1, sizeof(*m));
        if (!m) {
                net_stream_close(stream);
                return;
        }
        m->key = peer.machine_key;
        http_serve_h2(sv->inner, stream, m);
}

static void on_conn_end(void *ctx, void *conn_ctx)
{
        (void)ctx;
        free(conn_ctx);
}

static const char *const not_done[] = {
        "/machine/whoami",
        "/machine/set-dns",
        "/machine/set-device-attr",
        "/machine/audit-log",
        "/machine/id-token",
        "/machine/feature/query",
        "/machine/update-health",
        "/machine/c2n",
};

static void on_request(void *ctx, struct http_exchange *x)
{
        struct serve *sv = ctx;
        const struct http_request *r = http_request(x);
        const struct machine *m = http_conn_ctx(x);
        struct now now = net_loop_now(sv->loop);
        struct server_call *call;

        if (slice_is(r->method, "POST") &&
                (slice_is(r->path, "/machine/register") || slice_is(r->path, "/machine/map"))) {
                if (!(call = serve_call_new(sv, x)))
                        return;
                if (slice_is(r->path, "/machine/register"))
                        server_register(sv->server, &now, &m->key, http_body(x), call);
                else
                        server_map(sv->server, &now, &m->key, http_body(x), call);
                serve_rearm(sv);
                return;
        }
        for (size_t i = 0; i < sizeof(not_done) / sizeof(not_done[0]); i++) {
                if (slice_is(r->path, not_done[i])) {
                        http_respond_text(x, 501, "Not implemented yet\n");
                        return;
                }
        }
        http_respond_text(x, 404, "not found\n");
}

const struct http_server_calls serve_inner_calls = { .on_request = on_request, .on_conn_end = on_conn_end };
