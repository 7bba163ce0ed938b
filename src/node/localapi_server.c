#include "localapi_server.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "net/http.h"

static const struct log api_log = { "localapi" };

enum {
        CONNECTIONS_MAX = 256,
        STRANGERS_MAX = 48, /* connections of users who may only look; below every bound they could use up */
        WATCHERS_MAX = 128,
        PINGS_MAX = 64,
        WATCHER_BYTES = 2 << 20, /* a slower watcher is cut off */
        ENGINE_PERIOD_MS = 2000,
};

struct watcher {
        struct list link;
        struct localapi_server *server;
        struct http_exchange *x;
        unsigned mask;
};

struct localapi_ping {
        struct list link;
        struct http_exchange *x;
        struct localapi_server *server;
        struct ip_addr ip;
        uint64_t token;
        struct timer patience;
};

/* Somebody who waits: for the backend, or for the end of a logout. */
struct waiter {
        struct list link;
        struct http_exchange *x;
};

struct localapi_server {
        struct net_loop *loop;
        const struct localapi_server_ops *ops;
        void *ctx;
        struct backend *backend;
        struct http_server *http;
        struct net_listener *listener;
        struct list watchers, pings, logouts;
        struct list early; /* asked before there was a backend to answer */
        unsigned watcher_count, ping_count, stranger_count;
        uint64_t next_token;
        struct timer engine_timer;
};

/* ---- who asks (spec/node.md 1.9) ---------------------------------------------------- */

static bool is_operator(const struct backend *b, uid_t uid)
{
        struct slice name = backend_prefs(b)->operator_user;
        char text[256], space[4096];
        struct passwd entry, *found = NULL;

        if (!name.len || name.len >= sizeof text)
                return false;
        memcpy(text, name.ptr, name.len);
        text[name.len] = 0;
        return getpwnam_r(text, &entry, space, sizeof space, &found) == 0 && found && found->pw_uid == uid;
}

static bool may_write(const struct localapi_server *s, const struct net_stream *stream)
{
        struct net_creds who;

        if (!net_stream_creds(stream, &who))
                return false;
        return who.uid == 0 || (geteuid() != 0 && who.uid == geteuid()) ||
               (s->backend && is_operator(s->backend, who.uid));
}

/* ---- answers that take time ------------------------------------------------------------ */

static void watcher_free(struct watcher *w)
{
        list_remove(&w->link);
        w->server->watcher_count--;
        free(w);
}

static void watcher_gone(void *ctx, struct http_exchange *x)
{
        (void)x;
        watcher_free(ctx);
}

static void watcher_send(struct watcher *w, struct slice line)
{
        if (http_write(w->x, line) == OK)
                return;
        log_info(&api_log, "a watcher of the bus is too slow and cut off", NULL);
        struct http_exchange *x = w->x;
        watcher_free(w);
        http_cut(x);
}

static void start_watch(struct localapi_server *s, struct http_exchange *x, unsigned mask)
{
        static const struct http_watch calls = { .on_abort = watcher_gone };
        struct watcher *w = s->watcher_count < WATCHERS_MAX ? calloc(1, sizeof *w) : NULL;
        struct buf line = BUF_INIT(LOCALAPI_REPLY_MAX);
        uint8_t random[16];
        char session[2 * sizeof random + 1];

        if (!w) {
                http_respond_text(x, 503, "too many watchers of the bus\n");
                return;
        }
        *w = (struct watcher){ .server = s, .x = x, .mask = mask };
        list_push_back(&s->watchers, &w->link);
        s->watcher_count++;
        http_watch(x, &calls, w);
        http_start(x, 200, "application/json");
        rng_fill(net_rng(), random, sizeof random);
        hex_encode(SLICE_ARRAY(random), session);
        const struct now now = net_loop_now(s->loop);
        if (localapi_first_message(s->backend, mask, session, &now, &line))
                watcher_send(w, buf_slice(&line));
        buf_fini(&line);
        if (mask & WATCH_ENGINE_UPDATES && !timer_armed(&s->engine_timer))
                net_timer_start(s->loop, &s->engine_timer, ENGINE_PERIOD_MS);
}

static void ping_free(struct localapi_ping *p)
{
        net_timer_stop(p->server->loop, &p->patience);
        list_remove(&p->link);
        p->server->ping_count--;
        free(p);
}

static void ping_gone(void *ctx, struct http_exchange *x)
{
        (void)x;
        ping_free(ctx);
}

static void ping_impatient(struct timer *t, const struct now *now)
{
        struct localapi_ping *p = container_of(t, struct localapi_ping, patience);
        struct localapi_ping_result r = { .err = SLICE_LIT("timeout") };

        (void)now;
        localapi_server_pong(p->server, p->token, &r);
}

static void start_ping(struct localapi_server *s, struct http_exchange *x, const struct localapi_reply *reply)
{
        static const struct http_watch calls = { .on_abort = ping_gone };
        struct localapi_ping *p = s->ping_count < PINGS_MAX ? calloc(1, sizeof *p) : NULL;

        if (!p) {
                http_respond_text(x, 503, "too many pings at once\n");
                return;
        }
        *p = (struct localapi_ping){ .x = x, .server = s, .ip = reply->ping_ip, .token = ++s->next_token };
        list_push_back(&s->pings, &p->link);
        s->ping_count++;
        http_watch(x, &calls, p);
        p->patience.fire = ping_impatient;
        if (reply->ping_timeout_ms)
                net_timer_start(s->loop, &p->patience, reply->ping_timeout_ms);
        s->ops->ping(s->ctx, p, &reply->ping_ip, reply->ping_type, reply->ping_size);
}

uint64_t localapi_ping_token(const struct localapi_ping *ping)
{
        return ping->token;
}

void localapi_server_pong(struct localapi_server *s, uint64_t token, struct localapi_ping_result *result)
{
        struct buf out = BUF_INIT(64 << 10);
        struct json_writer w;

        list_each_safe (it, &s->pings) {
                struct localapi_ping *p = container_of(it, struct localapi_ping, link);
                if (p->token != token)
                        continue;
                struct http_exchange *x = p->x;
                result->ip = p->ip;
                ping_free(p);
                json_writer_init(&w, &out, NULL);
                localapi_ping_write(&w, result);
                http_respond(x, 200, "application/json", buf_slice(&out));
                break;
        }
        buf_fini(&out);
}

static void waiter_gone(void *ctx, struct http_exchange *x)
{
        struct waiter *w = ctx;

        (void)x;
        list_remove(&w->link);
        free(w);
}

static bool start_wait(struct list *line, struct http_exchange *x)
{
        static const struct http_watch calls = { .on_abort = waiter_gone };
        struct waiter *w = calloc(1, sizeof *w);

        if (!w)
                return false;
        w->x = x;
        list_push_back(line, &w->link);
        http_watch(x, &calls, w);
        return true;
}

static void answer_logouts(struct localapi_server *s)
{
        struct list *it;

        while ((it = list_pop_front(&s->logouts))) {
                struct waiter *w = container_of(it, struct waiter, link);
                http_respond(w->x, 204, NULL, (struct slice){ 0 });
                free(w);
        }
}

/* ---- requests ---------------------------------------------------------------------------- */

static bool get_query(void *ctx, const char *name, struct slice *value)
{
        return http_query(ctx, name, value);
}

static void add_headers(struct http_exchange *x)
{
        char cap[16];

        snprintf(cap, sizeof cap, "%d", TAILCFG_CAPVER);
        http_add_header_str(x, "Tailscale-Version", WEFT_VERSION);
        http_add_header_str(x, "Tailscale-Cap", cap);
        http_add_header_str(x, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; "
                "script-src 'none'; script-src-elem 'none'; script-src-attr 'none'");
        http_add_header_str(x, "X-Frame-Options", "DENY");
        http_add_header_str(x, "X-Content-Type-Options", "nosniff");
}

static void answer(struct localapi_server *s, struct http_exchange *x)
{
        const struct http_request *head = http_request(x);
        struct localapi_reply reply;

        const struct now now = net_loop_now(s->loop);
        const struct localapi_request rq = {
                .method = head->method,
                .path = head->path,
                .host = head->authority,
                .has_origin = http_header(x, "Origin").ptr || http_header(x, "Referer").ptr,
                .body = http_body(x),
                .may_read = true,
                .may_write = may_write(s, http_stream(x)),
                .query = get_query,
                .query_ctx = x,
        };
        localapi_handle(s->backend, &rq, &now, &reply);
        switch (reply.kind) {
        case LOCALAPI_DONE:
                http_respond(x, reply.status, reply.content_type, buf_slice(&reply.body));
                break;
        case LOCALAPI_WATCH:
                start_watch(s, x, reply.mask);
                break;
        case LOCALAPI_PING:
                start_ping(s, x, &reply);
                break;
        case LOCALAPI_LOGOUT:
                if (!start_wait(&s->logouts, x))
                        http_respond(x, 204, NULL, (struct slice){ 0 });
                break;
        }
        localapi_reply_fini(&reply);
}

/* Who starts the daemon and asks it at once waits until it can answer (spec/node.md 1.10). */
static void on_request(void *ctx, struct http_exchange *x)
{
        struct localapi_server *s = ctx;

        add_headers(x);
        if (s->backend)
                answer(s, x);
        else if (!start_wait(&s->early, x))
                http_respond(x, 503, "application/json", SLICE_LIT("{\"error\":\"backend not ready\"}\n"));
}

/* The socket is open to every user of the machine, and none may lock its owner out. A
 * connection of a stranger carries the server as its context, others carry none. */
static bool admit(void *ctx, const struct net_stream *stream)
{
        const struct localapi_server *s = ctx;

        return s->stranger_count < STRANGERS_MAX || may_write(s, stream);
}

static void on_accept(void *ctx, struct net_stream *stream)
{
        struct localapi_server *s = ctx;
        bool is_stranger = !may_write(s, stream);

        s->stranger_count += is_stranger;
        http_serve(s->http, stream, is_stranger ? s : NULL);
}

static void on_conn_end(void *ctx, void *conn_ctx)
{
        (void)ctx;
        if (conn_ctx)
                ((struct localapi_server *)conn_ctx)->stranger_count--;
}

/* ---- the bus ------------------------------------------------------------------------------ */

void localapi_server_notify(struct localapi_server *s, const struct notify *n)
{
        struct buf line = BUF_INIT(LOCALAPI_REPLY_MAX);

        list_each_safe (it, &s->watchers) {
                struct watcher *w = container_of(it, struct watcher, link);
                buf_clear(&line);
                if (localapi_message(n, w->mask, &line))
                        watcher_send(w, buf_slice(&line));
        }
        buf_fini(&line);
        if (s->backend && !backend_is_logging_out(s->backend))
                answer_logouts(s);
}

static void send_engine(struct timer *t, const struct now *now)
{
        struct localapi_server *s = container_of(t, struct localapi_server, engine_timer);
        struct notify_engine counts = { 0 };
        bool is_wanted = false;

        (void)now;
        list_each (it, &s->watchers)
                is_wanted |= container_of(it, struct watcher, link)->mask & WATCH_ENGINE_UPDATES;
        if (!is_wanted)
                return;
        s->ops->engine_counts(s->ctx, &counts);
        localapi_server_notify(s, &(struct notify){ .engine = &counts });
        net_timer_start(s->loop, t, ENGINE_PERIOD_MS);
}

/* ---- start and stop ------------------------------------------------------------------------- */

enum err localapi_server_start(struct net_loop *loop, const char *path, const struct localapi_server_ops *ops,
        void *ctx, struct localapi_server **out, struct diag *diag)
{
        static const struct http_server_calls http_calls = { .on_request = on_request, .on_conn_end = on_conn_end };
        static const struct net_listener_calls listener_calls = { .admit = admit, .on_accept = on_accept };
        const struct http_limits limits = {
                .body_bytes = LOCALAPI_BODY_MAX, .write_bytes = WATCHER_BYTES, .connections = CONNECTIONS_MAX,
        };
        struct localapi_server *s = calloc(1, sizeof *s);
        struct diag inner;

        *out = NULL;
        if (!s)
                return diag_set(diag, ERR_NOMEM, "out of memory");
        s->loop = loop;
        s->ops = ops;
        s->ctx = ctx;
        s->engine_timer.fire = send_engine;
        list_init(&s->watchers);
        list_init(&s->pings);
        list_init(&s->logouts);
        list_init(&s->early);
        enum err err = http_server_new(loop, &limits, &http_calls, s, &s->http);
        if (err) {
                free(s);
                return diag_set(diag, err, "out of memory");
        }
        err = net_listen_unix(loop, path, 0666, CONNECTIONS_MAX, &listener_calls, s, &s->listener, &inner);
        if (err) {
                localapi_server_stop(s);
                return diag_set(diag, err, err == ERR_EXISTS ? "%s, or choose another path with --socket"
                                                             : "%s; choose another path with --socket", inner.text);
        }
        *out = s;
        return OK;
}

void localapi_server_stop(struct localapi_server *s)
{
        if (!s)
                return;
        net_listener_close(s->listener);
        http_server_free(s->http);
        net_timer_stop(s->loop, &s->engine_timer);
        free(s);
}

void localapi_server_set_backend(struct localapi_server *s, struct backend *b)
{
        struct list *it;

        s->backend = b;
        while (b && (it = list_pop_front(&s->early))) {
                struct waiter *w = container_of(it, struct waiter, link);
                struct http_exchange *x = w->x;
                http_watch(x, NULL, NULL);
                free(w);
                answer(s, x);
        }
}
