/* Asking the server: over its Unix socket, or over the network with an API key. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "cli.h"
#include "net/http_client.h"
#include "net/loop.h"

enum { ANSWER_MAX = 64 << 20, RETRY_FIRST_MS = 50, RETRY_MOST_MS = 1000 };

struct asking {
        struct cli *cli;
        struct net_loop *loop;
        bool done;
        enum err e;
        struct diag diag;
        unsigned status;
        struct slice body; /* in the cli's arena */
};

static void on_done(void *ctx, const struct http_fetch_result *result)
{
        struct asking *a = ctx;

        a->done = true;
        a->e = result->e;
        a->diag = result->diag;
        a->status = result->response.status;
        a->body = arena_copy(&a->cli->arena, result->body);
        net_loop_stop(a->loop);
}

static const struct http_fetch_events events = { .on_done = on_done };

/* "headscale.example.com" means https; an explicit scheme stays. */
static const char *base_url(struct cli *cli)
{
        const char *address = cli->config.cli_address;

        if (!*address)
                return "http://localhost";
        return strstr(address, "://") ? address : arena_printf(&cli->arena, "https://%s", address);
}

static enum err ask_once(
        struct asking *a, const char *method, const char *path, struct slice body, unsigned timeout_ms)
{
        struct config *c = &a->cli->config;
        const char *bearer = arena_printf(&a->cli->arena, "Bearer %s", c->cli_api_key);
        struct http_header headers[] = {
                { SLICE_LIT("Content-Type"), SLICE_LIT("application/json") },
                { SLICE_LIT("Authorization"), slice_str(bearer) },
        };
        struct tls_client_options tls = { .insecure = c->cli_insecure };
        struct net_dial_options dial = { .tls = &tls };
        struct http_fetch_options options = {
                .url = arena_printf(&a->cli->arena, "%s%s", base_url(a->cli), path),
                .unix_path = *c->cli_address ? NULL : c->unix_socket,
                .method = method,
                .headers = headers,
                .header_count = *c->cli_address ? 2 : 1,
                .body = body,
                .max_body = ANSWER_MAX,
                .timeout_ms = timeout_ms,
                .dial = *c->cli_address && c->cli_insecure ? &dial : NULL,
        };

        a->done = false;
        enum err e = http_fetch_start(a->loop, &options, &events, a, NULL);
        if (e != OK)
                return diag_set(&a->diag, e, "cli.address is no URL");
        while (!a->done)
                net_loop_run(a->loop);
        return a->e;
}

static uint64_t elapsed_ms(const struct now *since) { return (net_clock().mono_us - since->mono_us) / 1000; }

/* A server that is just starting gets a moment (spec/server.md, section 2). */
static enum err ask(struct asking *a, const char *method, const char *path, struct slice body)
{
        uint64_t budget_ms = (uint64_t)a->cli->config.cli_timeout_ns / 1000000;
        struct now begin = net_clock();
        unsigned pause_ms = RETRY_FIRST_MS;

        for (;;) {
                uint64_t spent = elapsed_ms(&begin);
                enum err e = ask_once(
                        a, method, path, body, (unsigned)(budget_ms > spent + 100 ? budget_ms - spent : 100));
                bool may_retry = e == ERR_NOTFOUND || e == ERR_CLOSED || e == ERR_SYS;
                if (e == OK || !may_retry || elapsed_ms(&begin) + pause_ms >= budget_ms)
                        return e;
                nanosleep(&(struct timespec){ 0, (long)pause_ms * 1000000 }, NULL);
                pause_ms = pause_ms * 2 > RETRY_MOST_MS ? RETRY_MOST_MS - 1 : pause_ms * 2;
        }
}

/* "renaming node: another node has this name" of a problem document. */
static void tell_problem(struct cli *cli, unsigned status, struct slice body)
{
        const struct value *problem = value_parse(&cli->arena, body);
        const struct value *errors = value_get(problem, "errors");
        struct slice cause = value_text(errors ? errors->children : NULL, "message"),
                     doing = value_text(problem, "detail");

        if (cause.len)
                cli_fail(cli, "%.*s: %.*s", SLICE_ARGS(doing), SLICE_ARGS(cause));
        else
                cli_fail(cli, "the server answered %u: %.*s", status, SLICE_ARGS(slice_trim(slice_first(body, 200))));
}

const struct value *cli_answer(struct cli *cli, unsigned status, struct slice body)
{
        const struct value *v = status == 200 ? value_parse(&cli->arena, body) : NULL;

        if (status != 200)
                tell_problem(cli, status, body);
        else if (!v)
                cli_fail(cli, "the server's answer is not JSON");
        return v;
}

bool cli_has_server(const struct cli *cli)
{
        return *cli->config.cli_address || access(cli->config.unix_socket, F_OK) == 0;
}

const struct value *cli_call(struct cli *cli, const char *method, const char *path, struct slice body)
{
        struct asking a = { .cli = cli };
        const struct value *v = NULL;

        if (*cli->config.cli_address && !*cli->config.cli_api_key) {
                cli_fail(cli, "cli.address is set, so cli.api_key is needed; make one with `weft-control "
                              "apikeys create` on the server");
                return NULL;
        }
        if (net_loop_new(&a.loop) != OK) {
                cli_fail(cli, "cannot start the event loop");
                return NULL;
        }
        enum err e = ask(&a, method, path, body);
        if (e != OK)
                cli_fail(cli,
                        "cannot reach the control server at %s: %s; is `weft-control serve` running, and may "
                        "this user open the socket?",
                        *cli->config.cli_address ? cli->config.cli_address : cli->config.unix_socket,
                        a.diag.text);
        else
                v = cli_answer(cli, a.status, a.body);
        net_loop_free(a.loop);
        return v;
}

/* ---- building requests ----------------------------------------------------------------- */

struct json_writer cli_json_begin(struct cli *cli)
{
        struct buf *text = ARENA_NEW(&cli->arena, struct buf);
        struct json_writer w;

        if (!text)
                abort();
        buf_init(text, 1 << 20);
        json_writer_init(&w, text, NULL);
        json_object_open(&w);
        return w;
}

struct slice cli_json_end(struct cli *cli, struct json_writer *w)
{
        json_object_close(w);
        struct slice text = arena_copy(&cli->arena, buf_slice(w->out));
        buf_fini(w->out);
        return text;
}

char *cli_escape(struct cli *cli, const char *text)
{
        char *out = arena_alloc(&cli->arena, strlen(text) * 3 + 1), *at = out;

        if (!out)
                abort();
        for (; *text; text++) {
                uint8_t c = (uint8_t)*text;
                bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                             c == '-' || c == '.' || c == '_';
                if (plain)
                        *at++ = (char)c;
                else
                        at += snprintf(at, 4, "%%%02X", c);
        }
        *at = '\0';
        return out;
}

const char *cli_expiration(struct cli *cli, const char *flag, const char *fallback)
{
        const char *text = cli_flag(cli, flag);
        char *out = arena_alloc(&cli->arena, 40);
        int64_t ns;

        if (!text)
                text = fallback;
        if (prom_duration_parse(slice_str(text), &ns) != OK) {
                cli_fail(cli, "--%s: \"%s\" is no duration such as 90d, 12h or 30m", flag, text);
                return NULL;
        }
        if (out)
                rfc3339_format(net_clock().unix_us * 1000 + ns, out);
        return out;
}

void cli_put_csv(struct json_writer *w, const char *csv)
{
        struct slice rest = slice_str(csv), item;

        json_array_open(w);
        while (rest.len && slice_split(&rest, ',', &item)) {
                item = slice_trim(item);
                if (item.len)
                        json_put_string(w, item);
        }
        json_array_close(w);
}

const char *cli_id(struct cli *cli)
{
        const char *text = cli_flag(cli, "identifier");
        uint64_t id;

        if (!text)
                text = cli_flag(cli, "id");
        if (!text || parse_u64(slice_str(text), INT64_MAX, &id) != OK || id == 0) {
                cli_fail(cli, text ? "-i must be followed by the number that `list` shows as ID"
                                   : "say which one with -i ID");
                return NULL;
        }
        return text;
}
