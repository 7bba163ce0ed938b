/* The HTTP endpoints of a DERP node (spec/paths.md 3.1 and 3.9). */
#include "relay_io_internal.h"

#include "base/text.h"
#include "net/websocket.h"

static bool is_get(const struct http_exchange *x)
{
        struct slice method = http_request(x)->method;

        return slice_is(method, "GET") || slice_is(method, "HEAD");
}

static struct ip_addr client_ip(struct relay_io *io, const struct http_exchange *x)
{
        struct ip_addr ip = http_client_ip(x, io->trusted_proxies, io->trusted_proxy_count);

        return ip_unmap(ip);
}

/* ---- /derp -------------------------------------------------------------- */

/* Websocket without the subprotocol is plain DERP: clients of long ago asked so. */
static void derp_websocket(struct relay_io *io, struct http_exchange *x, const struct ip_addr *client, bool is_not_ideal)
{
        struct net_stream *stream;

        if (ws_accept(x, "derp", &stream) == OK)
                relay_io_accept(io, stream, client, is_not_ideal);
}

/* The client showed by knowing the key from the TLS chain that no answer is needed:
 * the first byte it gets is of a frame. */
static void derp_fast_start(struct relay_io *io, struct http_exchange *x, const struct ip_addr *client, bool is_not_ideal)
{
        struct net_stream *stream;

        if (http_hijack(x, &stream) == OK)
                relay_io_accept(io, stream, client, is_not_ideal);
        else
                http_respond_text(x, 426, "DERP needs HTTP/1.1.\n");
}

static void derp_upgrade(struct relay_io *io, struct http_exchange *x, const struct ip_addr *client, bool is_not_ideal)
{
        char key[2 * KEY_LEN + 1];
        struct net_stream *stream;

        hex_encode(key_slice(relay_public_key(io->engine)), key);
        http_add_header_str(x, "Derp-Version", "2");
        http_add_header_str(x, "Derp-Public-Key", key);
        if (http_upgrade(x, "DERP", &stream) == OK)
                relay_io_accept(io, stream, client, is_not_ideal);
        else
                http_respond_text(x, 426, "DERP needs HTTP/1.1.\n");
}

static void derp(struct relay_io *io, struct http_exchange *x)
{
        struct slice upgrade = slice_trim(http_header(x, "Upgrade"));
        bool is_websocket = slice_equal_nocase(upgrade, SLICE_LIT("websocket"));
        bool is_not_ideal = http_header(x, "Ideal-Node").len > 0;
        struct ip_addr client = client_ip(io, x);

        if (!is_websocket && !slice_equal_nocase(upgrade, SLICE_LIT("derp"))) {
                http_respond_text(x, 426, "DERP requires connection upgrade\n");
                return;
        }
        if (is_websocket && ws_offers(x, "derp"))
                derp_websocket(io, x, &client, is_not_ideal);
        else if (slice_is(http_header(x, "Derp-Fast-Start"), "1"))
                derp_fast_start(io, x, &client, is_not_ideal);
        else
                derp_upgrade(io, x, &client, is_not_ideal);
}

/* ---- The small ones ----------------------------------------------------- */

static void probe(struct http_exchange *x)
{
        if (!is_get(x)) {
                http_respond_text(x, 405, "method not allowed\n");
                return;
        }
        http_add_header_str(x, "Access-Control-Allow-Origin", "*");
        http_respond(x, 200, NULL, (struct slice){ 0 });
}

/* What may be echoed into a header: never a line break. */
static bool is_challenge(struct slice text)
{
        if (text.len == 0 || text.len > 64)
                return false;
        for (size_t i = 0; i < text.len; i++) {
                uint8_t c = text.ptr[i];
                bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
                if (!is_alnum && c != '.' && c != '-' && c != '_' && c != ':')
                        return false;
        }
        return true;
}

static void generate_204(struct http_exchange *x)
{
        struct slice challenge = http_header(x, "X-Tailscale-Challenge");

        if (is_challenge(challenge)) {
                char *answer = arena_printf(http_arena(x), "response %.*s", SLICE_ARGS(challenge));
                if (answer)
                        http_add_header_str(x, "X-Tailscale-Response", answer);
        }
        http_add_header_str(x, "Cache-Control", "no-cache, no-store, must-revalidate, no-transform, max-age=0");
        http_respond(x, 204, NULL, (struct slice){ 0 });
}

bool relay_io_handle_204(struct http_exchange *x)
{
        if (!slice_is(http_request(x)->path, "/generate_204"))
                return false;
        generate_204(x);
        return true;
}

bool relay_io_handle(struct relay_io *io, struct http_exchange *x)
{
        struct slice path = http_request(x)->path;

        if (slice_is(path, "/derp"))
                derp(io, x);
        else if (slice_is(path, "/derp/probe") || slice_is(path, "/derp/latency-check"))
                probe(x);
        else if (slice_is(path, "/bootstrap-dns"))
                relay_bootstrap_answer(io->bootstrap, x);
        else
                return relay_io_handle_204(x);
        return true;
}

/* ---- The site of a relay that stands alone ------------------------------ */

static void home_page(struct relay_io *io, struct http_exchange *x)
{
        static const char page[] = "<!DOCTYPE html>\n<html><head><title>DERP relay</title></head><body>\n"
                                   "<h1>DERP relay</h1>\n"
                                   "<p>This server passes encrypted packets between the nodes of a private network "
                                   "that have no direct path to each other. It cannot read them.</p>\n"
                                   "</body></html>\n";

        if (!io->home || !*io->home) {
                http_respond(x, 200, "text/html; charset=utf-8", SLICE_LIT(page));
        } else if (strcmp(io->home, "blank") == 0) {
                http_respond(x, 200, "text/html; charset=utf-8", (struct slice){ 0 });
        } else {
                http_add_header_str(x, "Location", io->home);
                http_respond(x, 302, NULL, (struct slice){ 0 });
        }
}

static void metrics(struct relay_io *io, struct http_exchange *x)
{
        struct buf text = BUF_INIT(1 << 16);

        relay_io_metrics(io, "weft_relay_", &text);
        if (buf_status(&text) == OK)
                http_respond(x, 200, "text/plain; version=0.0.4", buf_slice(&text));
        else
                http_respond_text(x, 500, "not enough memory\n");
        buf_fini(&text);
}

void relay_io_handle_site(struct relay_io *io, struct http_exchange *x)
{
        struct slice path = http_request(x)->path;
        struct ip_addr peer = ip_unmap(net_stream_peer(http_stream(x)).ip);

        if (slice_is(http_request(x)->method, "CONNECT"))
                http_respond_text(x, 403, "CONNECT is not allowed here\n");
        else if (!is_get(x))
                http_respond_text(x, 405, "method not allowed\n");
        else if (slice_is(path, "/robots.txt"))
                http_respond_text(x, 200, "User-agent: *\nDisallow: /\n");
        else if (slice_is(path, "/"))
                home_page(io, x);
        else if (slice_is(path, "/metrics") && ip_is_loopback(&peer))
                metrics(io, x);
        else
                http_respond_text(x, 404, "not found\n");
}
