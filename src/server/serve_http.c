/* What the world sees outside Noise (spec/server.md 6.1). */
#include <stdio.h>

#include "base/buf.h"
#include "base/text.h"
#include "proto/tailcfg.h"
#include "serve.h"
#include "json/reader.h"

static void respond_json(struct http_exchange *x, unsigned status, const char *type, struct buf *body)
{
        http_respond(x, status, type, buf_slice(body));
        buf_fini(body);
}

/* GET /key?v=131: our Noise key. */
static void get_key(struct serve *sv, struct http_exchange *x)
{
        enum { NOISE_SINCE = 39 };
        struct tailcfg_key_response response = { .public_key = sv->noise_public };
        struct buf body = BUF_INIT(1024);
        struct json_writer w;
        struct slice version;
        uint64_t v;

        if (!http_query(x, "v", &version) || parse_u64(version, UINT16_MAX, &v) != OK) {
                http_respond_text(x, 400, "the capability version v is missing\n");
                return;
        }
        if (v >= NOISE_SINCE) {
                json_writer_init(&w, &body, NULL);
                tailcfg_key_response_write(&w, &response);
        }
        respond_json(x, 200, "application/json", &body);
}

static void get_health(struct serve *sv, struct http_exchange *x)
{
        bool well = server_health(sv->server) == OK;

        http_respond(x, well ? 200 : 500, "application/health+json",
                well ? SLICE_LIT("{\"status\":\"pass\"}") : SLICE_LIT("{\"status\":\"fail\"}"));
}

static void get_version(struct serve *sv, struct http_exchange *x)
{
        (void)sv;
        http_respond(x, 200, "application/json",
                SLICE_LIT("{\"version\":\"" WEFT_VERSION "\",\"commit\":\"\",\"buildTime\":\"\","
                          "\"go\":{\"version\":\"\",\"os\":\"linux\",\"arch\":\"\"},\"dirty\":false}"));
}

/* POST /verify: may this node use our relays? */
static void post_verify(struct serve *sv, struct http_exchange *x)
{
        enum { BODY_MAX = 4096 };
        struct public_key node = { 0 };
        struct json_reader r;
        struct slice name;

        if (http_body(x).len > BODY_MAX) {
                http_respond_text(x, 413, "the request is too large\n");
                return;
        }
        json_reader_init(&r, http_body(x), http_arena(x));
        json_object_begin(&r);
        while (json_member(&r, &name)) {
                if (!slice_equal_nocase(name, SLICE_LIT("NodePublic")))
                        json_skip(&r);
                else if (key_parse("nodekey:", json_string(&r), &node) != OK)
                        json_fail(&r, ERR_FORMAT, "no node key");
        }
        if (json_finish(&r) != OK)
                http_respond_text(x, 400, "the request is not a DERP admission request\n");
        else
                http_respond(x, 200, "application/json",
                        server_knows_node(sv->server, &node) ? SLICE_LIT("{\"Allow\":true}")
                                                             : SLICE_LIT("{\"Allow\":false}"));
}

static bool is_auth_id(struct slice id)
{
        struct slice prefix = SLICE_LIT("hskey-authreq-");

        if (!slice_has_prefix(id, prefix) || id.len != prefix.len + 24)
                return false;
        for (size_t i = prefix.len; i < id.len; i++) {
                bool digit = id.ptr[i] >= '0' && id.ptr[i] <= '9';
                if (!digit && !(id.ptr[i] >= 'a' && id.ptr[i] <= 'f'))
                        return false;
        }
        return true;
}

/* The page names the command that approves the login. It looks the same whether the
 * id exists or not. */
static void get_register(struct serve *sv, struct http_exchange *x, struct slice id)
{
        struct buf page = BUF_INIT(8192);

        (void)sv;
        if (!is_auth_id(id)) {
                http_respond_text(x, 400, "this address has no valid login id\n");
                return;
        }
        buf_printf(&page,
                "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">"
                "<meta name=\"viewport\" content=\"width=device-width\"><title>Add this device</title>\n"
                "<style>body{font:16px/1.5 sans-serif;max-width:44rem;margin:4rem auto;padding:0 1rem}"
                "code{display:block;padding:1rem;background:#eee;overflow-x:auto}</style></head>\n"
                "<body><h1>Add this device</h1>\n"
                "<p>Ask the administrator of this network to run, with the name of the user who owns the "
                "device:</p>\n"
                "<code>weft-control auth register --auth-id %.*s --user USERNAME</code>\n"
                "<p>The device connects by itself as soon as that is done.</p></body></html>\n",
                SLICE_ARGS(id));
        http_add_header_str(x, "X-Frame-Options", "DENY");
        http_add_header_str(x, "Content-Security-Policy", "frame-ancestors 'none'");
        http_add_header_str(x, "X-Content-Type-Options", "nosniff");
        http_add_header_str(x, "Referrer-Policy", "no-referrer");
        respond_json(x, 200, "text/html; charset=utf-8", &page);
}

static void get_robots(struct serve *sv, struct http_exchange *x)
{
        (void)sv;
        http_respond_text(x, 200, "User-agent: *\nDisallow: /\n");
}

static void get_root(struct serve *sv, struct http_exchange *x)
{
        (void)sv;
        http_respond(x, 200, "text/html; charset=utf-8", (struct slice){ 0 });
}

static void get_not_yet(struct serve *sv, struct http_exchange *x)
{
        (void)sv;
        http_respond_text(x, 501, "this page is not supported by this release of weft-control\n");
}

static const struct {
        const char *method, *path;
        void (*handle)(struct serve *sv, struct http_exchange *x);
} routes[] = {
        { "POST", "/ts2021", serve_noise_upgrade },
        { "GET", "/ts2021", serve_noise_upgrade },
        { "GET", "/key", get_key },
        { "GET", "/health", get_health },
        { "GET", "/version", get_version },
        { "POST", "/verify", post_verify },
        { "GET", "/robots.txt", get_robots },
        { "GET", "/", get_root },
        { "GET", "/oidc/callback", get_not_yet },
        { "GET", "/apple", get_not_yet },
        { "GET", "/windows", get_not_yet },
};

static void on_request(void *ctx, struct http_exchange *x)
{
        struct serve *sv = ctx;
        const struct http_request *r = http_request(x);
        struct slice register_page = SLICE_LIT("/register/");

        for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
                if (slice_is(r->path, routes[i].path) && slice_is(r->method, routes[i].method)) {
                        routes[i].handle(sv, x);
                        return;
                }
        }
        if (slice_has_prefix(r->path, register_page) && slice_is(r->method, "GET"))
                get_register(sv, x, slice_after(r->path, register_page.len));
        else if (slice_has_prefix(r->path, SLICE_LIT("/api/")))
                serve_api_remote(sv, x);
        else if (!serve_derp_request(sv, x))
                http_respond_text(x, 404, "not found\n");
}

const struct http_server_calls serve_outer_calls = { .on_head = serve_api_remote_head, .on_request = on_request };
