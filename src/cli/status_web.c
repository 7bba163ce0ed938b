/* `weft status --web`: the table as a page; the daemon is asked anew each time it is opened. */
#include <spawn.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/http.h"
#include "net/http_client.h"
#include "status_rows.h"

enum { STATUS_MAX = 64 << 20, PAGE_MAX = 64 << 20, VISITORS_MAX = 64 };

struct web {
        struct cli *cli;
        const struct status_show *show;
};

/* One request, in the exchange's arena. */
struct visit {
        struct web *web;
        struct http_exchange *x;
        struct http_fetch *fetch;
};

/* ---- the page ---------------------------------------------------------------- */

static void put_text(struct buf *page, struct slice text)
{
        for (size_t i = 0; i < text.len; i++)
                switch (text.ptr[i]) {
                case '<':
                        buf_append_str(page, "&lt;");
                        break;
                case '>':
                        buf_append_str(page, "&gt;");
                        break;
                case '&':
                        buf_append_str(page, "&amp;");
                        break;
                default:
                        buf_append_byte(page, text.ptr[i]);
                }
}

static void put_table(const struct status *st, const struct status_show *show, struct arena *arena, struct buf *page)
{
        size_t count = 0;
        const struct status_row *rows = status_rows(st, show, net_clock().unix_us * 1000, arena, &count);

        buf_append_str(page, "<table>\n<tr>");
        for (int c = 0; c < STATUS_COLUMNS; c++)
                buf_printf(page, "<th>%s</th>", status_titles[c]);
        buf_append_str(page, "</tr>\n");
        for (size_t i = 0; rows && i < count; i++) {
                buf_append_str(page, "<tr>");
                for (int c = 0; c < STATUS_COLUMNS; c++) {
                        buf_append_str(page, "<td>");
                        put_text(page, slice_str(rows[i].cell[c]));
                        buf_append_str(page, "</td>");
                }
                buf_append_str(page, "</tr>\n");
        }
        buf_append_str(page, rows ? "</table>\n" : "</table>\n<p>There is not enough memory to show all.</p>\n");
}

static void put_page(const struct status *st, const struct status_show *show, struct arena *arena, struct buf *page)
{
        struct buf why_not = BUF_INIT(16 << 10);

        buf_append_str(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">"
                "<meta name=\"viewport\" content=\"width=device-width\"><title>Weft status</title>\n"
                "<style>body { font-family: sans-serif; margin: 2em } table { border-collapse: collapse }\n"
                "th, td { text-align: left; padding: .3em 1em; border-bottom: 1px solid #ccc }</style></head>\n"
                "<body><h1>Weft status</h1>\n");
        if (status_is_up(st)) {
                put_table(st, show, arena, page);
        } else {
                status_why_not(st, &why_not);
                buf_append_str(page, "<p>");
                put_text(page, buf_slice(&why_not));
                buf_append_str(page, "</p>\n");
        }
        for (size_t i = 0; i < st->health.count; i++) {
                buf_append_str(page, i ? "<li>" : "<h2>Health</h2>\n<ul>\n<li>");
                put_text(page, st->health.items[i]);
                buf_append_str(page, i + 1 < st->health.count ? "</li>\n" : "</li>\n</ul>\n");
        }
        buf_append_str(page, "</body></html>\n");
        buf_fini(&why_not);
}

/* ---- serving it ---------------------------------------------------------------- */

static void show_status(struct visit *v, struct slice json)
{
        struct arena arena = ARENA_INIT(4 * (size_t)STATUS_MAX);
        struct buf page = BUF_INIT(PAGE_MAX);
        struct status st;

        if (status_decode(json, &arena, &st) != OK) {
                http_respond_text(v->x, 502, "The daemon's status cannot be understood.\n");
        } else {
                put_page(&st, v->web->show, &arena, &page);
                http_add_header_str(v->x, "Cache-Control", "no-store");
                http_add_header_str(v->x, "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
                if (buf_status(&page) == OK)
                        http_respond(v->x, 200, "text/html; charset=utf-8", buf_slice(&page));
                else
                        http_respond_text(v->x, 500, "The status is too large for a page.\n");
        }
        buf_fini(&page);
        arena_fini(&arena);
}

static void on_answer(void *ctx, const struct http_fetch_result *r)
{
        struct visit *v = ctx;

        v->fetch = NULL;
        if (r->e == OK && r->response.status == 200)
                show_status(v, r->body);
        else
                http_respond_text(v->x, 502, "The daemon does not answer. Is weftd running?\n");
}

static void on_abort(void *ctx, struct http_exchange *x)
{
        struct visit *v = ctx;

        (void)x;
        http_fetch_cancel(v->fetch);
}

/* A page elsewhere could give its own name our address and read the answer: only
 * names that nobody else can give are served. */
static bool is_own_name(struct slice authority)
{
        struct ip_port address;
        struct ip_addr ip;

        return slice_is(authority, "localhost") || ip_listen_parse(authority, &address) == OK || ip_parse(authority, &ip) == OK;
}

static void on_request(void *ctx, struct http_exchange *x)
{
        static const struct http_fetch_events events = { .on_done = on_answer };
        static const struct http_watch watch = { .on_abort = on_abort };
        struct web *web = ctx;
        const struct http_request *rq = http_request(x);
        const struct http_fetch_options ask = {
                .url = web->show->peers ? CLI_DAEMON_URL "status" : CLI_DAEMON_URL "status?peers=false",
                .unix_path = web->cli->socket_path,
                .max_body = STATUS_MAX,
        };

        if (!is_own_name(rq->authority)) {
                http_respond_text(x, 403, "Use the address that was printed.\n");
                return;
        }
        if (!slice_is(rq->path, "/")) {
                http_respond_text(x, 404, "There is only one page: /\n");
                return;
        }
        if (!slice_is(rq->method, "GET") && !slice_is(rq->method, "HEAD")) {
                http_respond_text(x, 405, "This page can only be read.\n");
                return;
        }
        struct visit *v = ARENA_NEW(http_arena(x), struct visit);
        if (v)
                *v = (struct visit){ web, x, NULL };
        if (!v || http_fetch_start(web->cli->loop, &ask, &events, v, &v->fetch) != OK)
                http_respond_text(x, 500, "Out of memory.\n");
        else
                http_watch(x, &watch, v);
}

/* ---- start ---------------------------------------------------------------------- */

static void format_url(const struct ip_port *addr, char *out, size_t cap)
{
        char text[IP_TEXT_MAX];

        ip_port_format(addr, text);
        if (ip_is_unspecified(&addr->ip))
                snprintf(out, cap, "http://localhost:%u", addr->port);
        else
                snprintf(out, cap, "http://%s", text);
}

/* Where there is no screen nobody would see it, and the address is printed anyway. */
static void open_browser(char *url)
{
        static char program[] = "xdg-open";
        char *const argv[] = { program, url, NULL };
        pid_t pid;

        if (getenv("DISPLAY") || getenv("WAYLAND_DISPLAY"))
                (void)posix_spawnp(&pid, program, NULL, NULL, argv, environ);
}

int status_serve(struct cli *cli, const struct status_show *show, const char *listen, bool browser)
{
        static const struct http_server_calls calls = { .on_request = on_request };
        const struct http_limits limits = { .write_bytes = PAGE_MAX + (64 << 10), .connections = VISITORS_MAX };
        struct web web = { cli, show };
        struct http_server *server = NULL;
        struct net_listener *listener = NULL;
        struct ip_port addr;
        struct diag diag = { "" };
        char url[IP_TEXT_MAX + 16];

        if (ip_listen_parse(slice_str(listen), &addr) != OK)
                return cli_fail(cli, "%s is no address to listen on: write it as 127.0.0.1:8384", listen);
        if (http_server_new(cli->loop, &limits, &calls, &web, &server) != OK)
                return cli_fail(cli, "out of memory");
        if (http_server_listen(server, &addr, NULL, &listener, &diag) != OK) {
                http_server_free(server);
                return cli_fail(cli, "%s", diag.text);
        }
        addr = net_listener_addr(listener);
        format_url(&addr, url, sizeof url);
        printf("Serving Tailscale status at %s ...\n", url);
        fflush(stdout);
        if (browser)
                open_browser(url);
        net_loop_run(cli->loop);
        net_listener_close(listener);
        http_server_free(server);
        return 0;
}
