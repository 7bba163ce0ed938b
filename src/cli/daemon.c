/* Asking the daemon: one request, or the bus. */
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "cli.h"
#include "net/http_client.h"

enum {
        REPLY_MAX = 64 << 20,
        LINE_MAX = 16 << 20,
        PATIENCE_MS = 5000, /* in line with others who want the daemon's ear */
};

struct request {
        struct cli *cli;
        struct cli_reply *reply;
        struct diag *diag;
        enum err err;
        bool is_done;
};

static enum err explain_dial(const struct cli *cli, enum err err, struct diag *diag)
{
        if (err == ERR_DENIED)
                return diag_set(diag, err, "no permission to use the daemon's socket %s; try sudo", cli->socket_path);
        if (err == ERR_LIMIT)
                return diag_set(diag, err, "too many programs ask weftd at %s at once; try again", cli->socket_path);
        return diag_set(diag, err, "cannot reach weftd at %s; is it running? Start it with: sudo weftd",
                cli->socket_path);
}

/* Said once: a script that sees it knows what it talks to (spec/node.md 2.1). */
static void check_version(struct cli *cli, const struct http_response *r)
{
        struct slice version = http_response_header(r, "Tailscale-Version");

        if (!version.len || slice_is(version, WEFT_VERSION) || cli->warned_version)
                return;
        cli->warned_version = true;
        cli_say(stderr, "Warning: client version \"%s\" != tailscaled server version \"%.*s\"\n", WEFT_VERSION,
                SLICE_ARGS(version));
}

static void request_head(void *ctx, const struct http_response *r)
{
        struct request *q = ctx;

        q->reply->status = r->status;
        check_version(q->cli, r);
}

static void request_data(void *ctx, struct slice data)
{
        struct request *q = ctx;

        buf_append_slice(&q->reply->body, data);
}

static void request_done(void *ctx, enum err e, const struct diag *d)
{
        struct request *q = ctx;

        q->err = e ? diag_set(q->diag, e, "the daemon broke off: %s", d->text) : buf_status(&q->reply->body);
        q->is_done = true;
}

/* A connection of its own for each request: they are few. */
static enum err start(struct cli *cli, const char *method, const char *path, struct slice body,
        const struct http_call_events *events, void *ctx, struct http_client **client, struct diag *diag)
{
        struct net_stream *stream = NULL;
        struct buf target = BUF_INIT(8192);
        char cap[16];
        struct http_call *call;

        snprintf(cap, sizeof cap, "%d", TAILCFG_CAPVER);
        const struct http_header headers[] = { { SLICE_LIT("Tailscale-Cap"), slice_str(cap) } };
        enum err err = net_dial_unix(cli->loop, cli->socket_path, PATIENCE_MS, &stream, diag);
        if (err)
                return explain_dial(cli, err, diag);
        err = http_client_new(stream, false, NULL, NULL, client);
        if (err)
                return diag_set(diag, err, "cannot speak HTTP to the daemon: %s", err_str(err));
        buf_printf(&target, "/localapi/v0/%s", path);
        const struct http_ask ask = {
                .method = method,
                .target = buf_cstr(&target),
                .authority = CLI_DAEMON,
                .scheme = "http",
                .headers = headers,
                .header_count = 1,
                .body = body,
        };
        err = buf_status(&target);
        if (!err)
                err = http_client_call(*client, &ask, events, ctx, &call);
        buf_fini(&target);
        if (err) {
                http_client_free(*client);
                return diag_set(diag, err, "cannot ask the daemon: %s", err_str(err));
        }
        return OK;
}

enum err cli_request(struct cli *cli, const char *method, const char *path, struct slice body,
        struct cli_reply *reply, struct diag *diag)
{
        static const struct http_call_events events = {
                .on_head = request_head, .on_data = request_data, .on_done = request_done,
        };
        struct request q = { cli, reply, diag, OK, false };
        struct http_client *client;

        *reply = (struct cli_reply){ 0, BUF_INIT(REPLY_MAX) };
        enum err err = start(cli, method, path, body, &events, &q, &client, diag);
        if (err)
                return err;
        while (!q.is_done)
                net_loop_run_once(cli->loop, 1000);
        http_client_free(client);
        return q.err;
}

void cli_reply_fini(struct cli_reply *reply)
{
        buf_fini(&reply->body);
}

/* The sentence in a failed reply: JSON {"error":...} in either case, or plain text. */
static struct slice reply_text(const struct cli_reply *reply, struct arena *arena)
{
        struct slice text = slice_trim(buf_slice(&reply->body)), name, found = { 0 };
        struct json_reader r;

        json_reader_init(&r, text, arena);
        if (json_peek(&r) == JSON_OBJECT) {
                json_object_begin(&r);
                while (json_member(&r, &name)) {
                        if (slice_equal_nocase(name, SLICE_LIT("error")))
                                found = json_string(&r);
                        else
                                json_skip(&r);
                }
        }
        return found.len && json_finish(&r) == OK ? found : text;
}

static void print_denied_hint(const struct cli *cli)
{
        if (geteuid() == 0)
                return;
        fprintf(stderr, "Use 'sudo %s', or allow your user once with 'sudo %s set --operator=$USER'.\n", cli->program,
                cli->program);
}

static void print_reply(const struct cli *cli, const struct cli_reply *reply)
{
        struct arena arena = ARENA_INIT(1 << 20);
        struct slice text = reply_text(reply, &arena);

        if (text.len)
                cli_fail(cli, "%.*s", SLICE_ARGS(text));
        else
                cli_fail(cli, "the daemon answered with status %u", reply->status);
        if (reply->status == 403)
                print_denied_hint(cli);
        arena_fini(&arena);
}

bool cli_call(struct cli *cli, const char *method, const char *path, struct slice body, struct cli_reply *reply)
{
        struct diag diag;

        if (cli_request(cli, method, path, body, reply, &diag) != OK) {
                cli_fail(cli, "%s", diag.text);
                cli_reply_fini(reply);
                return false;
        }
        if (reply->status / 100 == 2)
                return true;
        print_reply(cli, reply);
        cli_reply_fini(reply);
        return false;
}

bool cli_get_status(struct cli *cli, bool with_peers, struct arena *arena, struct status *out)
{
        struct cli_reply reply;

        if (!cli_call(cli, "GET", with_peers ? "status" : "status?peers=false", (struct slice){ 0 }, &reply))
                return false;
        struct slice text = arena_copy(arena, buf_slice(&reply.body));
        cli_reply_fini(&reply);
        if (!arena_failed(arena) && status_decode(text, arena, out) == OK)
                return true;
        cli_fail(cli, "the daemon's status cannot be understood; are daemon and command of the same version?");
        return false;
}

bool cli_get_prefs(struct cli *cli, struct prefs *out)
{
        struct cli_reply reply;
        struct diag diag;

        if (!cli_call(cli, "GET", "prefs", (struct slice){ 0 }, &reply))
                return false;
        prefs_init(out);
        enum err err = prefs_decode(buf_slice(&reply.body), out, NULL, &diag);
        cli_reply_fini(&reply);
        if (!err)
                return true;
        prefs_fini(out);
        cli_fail(cli, "%s", diag.text);
        return false;
}

/* ---- the bus --------------------------------------------------------------- */

struct watching {
        struct cli *cli;
        const struct cli_watch *calls;
        void *ctx;
        struct buf line;
        enum err err;
        struct diag *diag;
        unsigned status;
        bool is_done, is_opened;
};

static void watch_head(void *ctx, const struct http_response *r)
{
        struct watching *w = ctx;

        w->status = r->status;
        check_version(w->cli, r);
        w->is_opened = r->status == 200;
}

static void watch_data(void *ctx, struct slice data)
{
        struct watching *w = ctx;

        buf_append_slice(&w->line, data);
}

static void watch_done(void *ctx, enum err e, const struct diag *d)
{
        struct watching *w = ctx;

        w->err = diag_set(w->diag, e ? e : ERR_CLOSED, "the daemon ended the connection%s%s", e ? ": " : "",
                e ? d->text : "");
        w->is_done = true;
}

/* Hands over the lines that are complete. Not done inside watch_data(), since a
 * handler makes requests of its own. False: the handler has seen enough. */
static bool pass_lines(struct watching *w)
{
        for (;;) {
                struct slice text = buf_slice(&w->line);
                size_t end = slice_find(text, '\n');
                if (end == text.len)
                        return true;
                struct buf line = BUF_INIT(LINE_MAX);
                buf_append_slice(&line, slice_first(text, end));
                buf_consume(&w->line, end + 1);
                bool more = slice_trim(buf_slice(&line)).len == 0 || w->calls->line(w->ctx, buf_slice(&line));
                buf_fini(&line);
                if (!more)
                        return false;
        }
}

enum err cli_watch_bus(struct cli *cli, unsigned mask, const struct cli_watch *calls, void *ctx, int64_t timeout_ns,
        struct diag *diag)
{
        static const struct http_call_events events = {
                .on_head = watch_head, .on_data = watch_data, .on_done = watch_done,
        };
        struct watching w = { .cli = cli, .calls = calls, .ctx = ctx, .line = BUF_INIT(LINE_MAX), .diag = diag };
        uint64_t until = timeout_ns > 0 ? net_clock().mono_us + (uint64_t)timeout_ns / 1000 : TIME_NEVER;
        struct http_client *client;
        char path[64];
        bool told_open = false, more = true;

        snprintf(path, sizeof path, "watch-ipn-bus?mask=%u", mask);
        enum err err = start(cli, "GET", path, (struct slice){ 0 }, &events, &w, &client, diag);
        if (err)
                return err;
        while (more && !w.is_done) {
                uint64_t now = net_clock().mono_us;
                if (now >= until)
                        break;
                uint64_t left_ms = (until - now) / 1000 + 1;
                net_loop_run_once(cli->loop, left_ms < 1000 ? (unsigned)left_ms : 1000);
                if (w.is_opened && !told_open) {
                        told_open = true;
                        more = calls->opened(ctx);
                }
                more = more && (!told_open || pass_lines(&w));
        }
        http_client_free(client);
        if (!more)
                err = OK;
        else if (w.is_done)
                err = w.err;
        else
                err = diag_set(diag, ERR_TIMEOUT, "timed out");
        if (more && w.status && w.status != 200)
                err = diag_set(diag, w.status == 403 ? ERR_DENIED : ERR_STATE, "the daemon refuses to be watched: %.*s",
                        SLICE_ARGS(slice_trim(buf_slice(&w.line))));
        buf_fini(&w.line);
        return err;
}

/* ---- JSON printed anew ------------------------------------------------------ */

enum err cli_print_json(FILE *out, struct slice json, void (*copy)(struct json_reader *r, struct json_writer *w))
{
        struct arena arena = ARENA_INIT(REPLY_MAX);
        struct buf text = BUF_INIT(2 * (size_t)REPLY_MAX);
        struct json_reader r;
        struct json_writer w;

        json_reader_init(&r, json, &arena);
        json_writer_init(&w, &text, "  ");
        copy(&r, &w);
        enum err err = json_finish(&r);
        if (!err)
                err = buf_status(&text);
        if (!err)
                fprintf(out, "%.*s\n", SLICE_ARGS(buf_slice(&text)));
        buf_fini(&text);
        arena_fini(&arena);
        return err;
}
