/*
 * The embedded relay (derp.server): the same engine that weft-relay runs, on our own
 * HTTP listener, with a STUN server beside it. With verify_clients only registered
 * nodes may use it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "net/http_client.h"
#include "relay/relay_io.h"
#include "relay/relay_stun.h"
#include "serve.h"

struct serve_relay {
        struct serve *sv;
        struct relay_io *io;
        struct relay_stun *stun[2]; /* one for each family */
        struct ip_port stun_addr;
};

static void on_ask(void *ctx, uint64_t ticket, const struct public_key *node, const struct ip_addr *source)
{
        struct serve_relay *r = ctx;

        (void)source;
        relay_io_answer(r->io, ticket, server_knows_node(r->sv->server, node));
}

static enum err start_stun(struct serve_relay *r, struct diag *diag)
{
        struct ip_port addr = r->stun_addr, v4 = { ip_v4(0, 0, 0, 0), r->stun_addr.port };
        enum err e = relay_stun_start(r->sv->loop, &addr, &r->stun[0], diag);

        /* ":3478" and "[::]:3478" mean both families. */
        if (e == OK && addr.ip.family == IP_V6 && ip_is_unspecified(&addr.ip))
                e = relay_stun_start(r->sv->loop, &v4, &r->stun[1], diag);
        return e;
}

enum err serve_relay_start(struct serve *sv, struct serve_relay **out, struct diag *diag)
{
        const struct config *c = sv->config;
        struct relay_io_config config = {
                .loop = sv->loop,
                .admission = c->derp_verify_clients ? RELAY_ADMIT_ASK : RELAY_ADMIT_ALL,
                .ask = on_ask,
        };
        struct serve_relay *r = calloc(1, sizeof(*r));
        enum err e;

        if (!r)
                return diag_set(diag, ERR_NOMEM, "out of memory");
        *out = r;
        r->sv = sv;
        config.ctx = r;
        if (ip_listen_parse(slice_str(c->derp_stun_addr), &r->stun_addr) != OK)
                return diag_set(diag, ERR_FORMAT,
                        "derp.server.stun_listen_addr: \"%s\" is no address such as 0.0.0.0:3478",
                        c->derp_stun_addr);
        e = key_file_load("derp.server.private_key_path", c->derp_key_path, net_rng(), &config.key, diag);
        if (e == OK && secret_equal(&config.key, &sv->noise_key, sizeof(config.key)))
                e = diag_set(diag, ERR_FORMAT,
                        "the relay's key in %s is the server's Noise key; delete that file to get a new one",
                        c->derp_key_path);
        if (e == OK)
                e = relay_io_new(&config, &r->io, diag);
        key_wipe(&config.key, sizeof(config.key));
        return e == OK ? start_stun(r, diag) : e;
}

void serve_relay_metrics(struct serve_relay *r, struct buf *out) { relay_io_metrics(r->io, "weft_relay_", out); }

void serve_relay_stop(struct serve_relay *r)
{
        if (!r)
                return;
        relay_io_free(r->io);
        relay_stun_stop(r->stun[0]);
        relay_stun_stop(r->stun[1]);
        free(r);
}

bool serve_relay_request(struct serve_relay *r, struct http_exchange *x)
{
        return r && relay_io_handle(r->io, x);
}

/* The region that stands for us in the map: host and port are those of server_url. */
enum err serve_relay_region(const struct serve_relay *r, struct derp_sources *src, struct diag *diag)
{
        const struct config *c = r->sv->config;
        struct http_url url;
        struct tailcfg_derp_node node = { .region_id = c->derp_region_id, .stun_port = r->stun_addr.port };
        struct tailcfg_derp_region region = {
                .region_id = c->derp_region_id,
                .region_code = slice_str(c->derp_region_code),
                .region_name = slice_str(c->derp_region_name),
                .nodes = { &node, 1 },
        };

        if (http_url_parse(c->server_url, &url) != OK)
                return diag_set(diag, ERR_FORMAT, "server_url is no URL: %s", c->server_url);
        node.name = slice_str(arena_printf(src->arena, "%lld", (long long)c->derp_region_id));
        node.host_name = slice_str(url.host);
        node.derp_port = url.port;
        node.ipv4 = slice_str(c->derp_ipv4);
        node.ipv6 = slice_str(c->derp_ipv6);
        if (!url.is_https)
                log_warn(&serve_log,
                        "nodes speak TLS to relays and server_url is not https: the embedded relay cannot be "
                        "used",
                        "server_url=%s", c->server_url);
        return derp_map_add(src, &region);
}

/* Names that clients without working DNS may ask our /bootstrap-dns for: this server
 * and every relay of the map. */
void serve_relay_set_names(struct serve_relay *r, const struct derp_sources *src)
{
        const char *names[RELAY_BOOTSTRAP_NAMES_MAX];
        struct http_url url;
        size_t n = 0;

        if (http_url_parse(r->sv->config->server_url, &url) == OK)
                names[n++] = url.host;
        for (size_t i = 0; i < src->n; i++) {
                const struct tailcfg_derp_nodes *nodes = &src->regions[i].nodes;
                for (size_t k = 0; k < nodes->count && n < RELAY_BOOTSTRAP_NAMES_MAX; k++) {
                        const char *name = arena_cstr(src->arena, nodes->items[k].host_name);
                        if (name)
                                names[n++] = name;
                }
        }
        if (relay_io_set_bootstrap_names(r->io, names, n) != OK)
                log_warn(&serve_log, "/bootstrap-dns keeps its old names", NULL);
}
