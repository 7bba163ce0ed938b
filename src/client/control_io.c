/*
 * Requests of the control client on their way: those outside Noise each by a fetch of
 * its own, those inside as streams of one HTTP/2 connection, which is dialled when the
 * first of them comes and again after it was lost.
 */
#include "client/control_io.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "control_dial.h"

enum {
        HINTS_MAX = 2,
        FETCH_TIMEOUT_MS = 30000,
        PLAIN_SKIPPED_S = 120, /* after a dial to an https server (spec/control.md 1.3) */
        FETCH_BODY_MAX = 64 << 10,
};

static const struct log io_log = { "control" };

/* One request; lives until its end was told or it was cancelled. */
struct carried {
        struct list link;
        struct control_io *io;
        uint64_t id;
        enum control_transport transport;
        const char *method;
        char *url;
        char hints[HINTS_MAX][KEY_TEXT_MAX];
        struct buf body;
        struct http_call *call;   /* inside Noise, once there is a connection */
        bool is_cut;              /* its connection was taken away: to be ended */
        struct http_fetch *fetch; /* outside */
};

struct control_io {
        struct net_loop *loop;
        char *server_url;
        struct http_url server;
        struct secret_key machine_key;
        uint32_t mark;
        struct control_client *client;
        struct timer timer;      /* what the client wants next */
        struct net_task start;   /* begins what was asked for meanwhile */
        struct list carried;
        struct control_dial *dial;
        struct http_client *conn;
        bool conn_is_new;        /* no request was sent on it yet */
        struct public_key server_key; /* conn and dial are to this one */
        uint64_t dialled_at_us;
};

static void carried_free(struct carried *r)
{
        list_remove(&r->link);
        if (r->call)
                http_call_cancel(r->call);
        http_fetch_cancel(r->fetch);
        buf_wipe(&r->body);
        free(r->url);
        free(r);
}

/* Tells the client how a request ended; the client may ask for others at once. */
static void end(struct carried *r, enum err e, const char *why)
{
        struct control_io *io = r->io;
        uint64_t id = r->id;
        struct now now = net_loop_now(io->loop);

        carried_free(r);
        control_client_end(io->client, &now, id, e, why);
        control_io_poke(io);
}

static void on_fetched(void *ctx, const struct http_fetch_result *result)
{
        struct carried *r = ctx;
        struct control_io *io = r->io;
        struct now now = net_loop_now(io->loop);

        r->fetch = NULL;
        if (!result->e) {
                control_client_response(io->client, &now, r->id, result->response.status,
                                        http_response_header(&result->response, "Retry-After"));
                control_client_body(io->client, &now, r->id, result->body);
        }
        end(r, result->e, result->diag.text);
}

static void begin_fetch(struct carried *r)
{
        static const struct http_fetch_events events = { .on_done = on_fetched };
        const struct net_dial_options dial = { .mark = r->io->mark, .use_proxy = true };
        const struct http_fetch_options options = {
                .url = r->url,
                .method = r->method,
                .body = buf_slice(&r->body),
                .max_body = FETCH_BODY_MAX,
                .timeout_ms = FETCH_TIMEOUT_MS,
                .offer_h2 = true,
                .dial = &dial,
        };
        enum err e = http_fetch_start(r->io->loop, &options, &events, r, &r->fetch);

        if (e)
                end(r, e, "the control server's URL cannot be used");
}

static void on_head(void *ctx, const struct http_response *response)
{
        struct carried *r = ctx;
        struct control_io *io = r->io;
        struct now now = net_loop_now(io->loop);

        control_client_response(io->client, &now, r->id, response->status, http_response_header(response, "Retry-After"));
        control_io_poke(io);
}

static void on_data(void *ctx, struct slice data)
{
        struct carried *r = ctx;
        struct control_io *io = r->io;
        struct now now = net_loop_now(io->loop);

        control_client_body(io->client, &now, r->id, data);
        control_io_poke(io);
}

static void on_done(void *ctx, enum err e, const struct diag *d)
{
        struct carried *r = ctx;

        r->call = NULL;
        /* A connection that was fine once: its key fits, whatever ended it. */
        end(r, e == ERR_AUTH ? ERR_CLOSED : e, d ? d->text : NULL);
}

static size_t make_headers(const struct carried *r, struct http_header headers[static HINTS_MAX])
{
        size_t n = 0;

        for (size_t i = 0; i < HINTS_MAX; i++) {
                if (r->hints[i][0])
                        headers[n++] = (struct http_header){ SLICE_LIT("ts-lb"), slice_str(r->hints[i]) };
        }
        return n;
}

static void begin_call(struct carried *r)
{
        static const struct http_call_events events = { .on_head = on_head, .on_data = on_data, .on_done = on_done };
        struct http_header headers[HINTS_MAX];
        struct http_url url;
        struct http_ask ask = {
                .method = r->method,
                .headers = headers,
                .header_count = make_headers(r, headers),
                .body = buf_slice(&r->body),
        };
        enum err e = http_url_parse(r->url, &url);

        r->io->conn_is_new = false;
        ask.authority = url.authority;
        ask.target = url.target[0] ? url.target : "/";
        if (!e)
                e = http_client_call(r->io->conn, &ask, &events, r, &r->call);
        if (e)
                end(r, e, "the request to the control server could not be sent");
}

/* Ends every request of a kind; new ones that come up meanwhile are left alone. */
static void end_noise_requests(struct control_io *io, enum err e, const char *why)
{
        uint64_t last = 0;

        list_each(it, &io->carried) {
                const struct carried *r = container_of(it, struct carried, link);
                if (r->id > last)
                        last = r->id;
        }
        for (;;) {
                struct carried *next = NULL;

                list_each(it, &io->carried) {
                        struct carried *r = container_of(it, struct carried, link);
                        if (!next && r->transport == CONTROL_NOISE && r->id <= last)
                                next = r;
                }
                if (!next)
                        return;
                end(next, e, why);
        }
}

static void on_conn_end(void *ctx, enum err why, const struct diag *d)
{
        struct control_io *io = ctx;
        const char *text = d && d->text[0] ? d->text : err_str(why);

        log_debug(&io_log, "connection to control has ended", "why=\"%s\"", text);
        http_client_free(io->conn);
        io->conn = NULL;
        if (io->conn_is_new)
                end_noise_requests(io, ERR_CLOSED, text);
}

/* Requests under way on the connection are ended later, when nobody walks the list. */
static void drop_connection(struct control_io *io)
{
        control_dial_cancel(io->dial);
        io->dial = NULL;
        list_each(it, &io->carried) {
                struct carried *r = container_of(it, struct carried, link);
                r->is_cut = r->is_cut || r->call;
                r->call = NULL;
        }
        http_client_free(io->conn);
        io->conn = NULL;
        net_loop_defer(io->loop, &io->start);
}

static void on_dialled(void *ctx, enum err e, struct net_stream *s, const char *why)
{
        struct control_io *io = ctx;

        io->dial = NULL;
        if (!e)
                e = http_client_new(s, true, on_conn_end, io, &io->conn);
        if (e) {
                end_noise_requests(io, e, why);
                return;
        }
        /* A server that ends it before a request could be sent is a failure of those that
         * wait: dialled for again and again they would wait without a pause or a word. */
        io->conn_is_new = true;
        log_debug(&io_log, "connected to control", NULL);
        net_loop_defer(io->loop, &io->start);
}

/* A server with an http:// URL may have no TLS at all, so that skipping its plain port
 * could lock us out for good; the rule is only for those that surely have. */
static bool plain_was_tried_lately(const struct control_io *io, const struct now *now)
{
        return io->server.is_https && io->dialled_at_us && now->mono_us - io->dialled_at_us < TIME_S(PLAIN_SKIPPED_S);
}

static void dial(struct control_io *io)
{
        struct now now = net_loop_now(io->loop);
        const struct control_dial_options options = {
                .server = &io->server,
                .machine_key = &io->machine_key,
                .server_key = &io->server_key,
                .mark = io->mark,
                .skip_plain = plain_was_tried_lately(io, &now),
        };
        enum err e;

        io->dialled_at_us = now.mono_us;
        e = control_dial_start(io->loop, &options, on_dialled, io, &io->dial);
        if (e)
                end_noise_requests(io, e, err_str(e));
}

/* True if r could begin; otherwise it waits for the connection. */
static bool begin_carried(struct carried *r)
{
        struct control_io *io = r->io;

        if (r->call || r->fetch)
                return false;
        if (r->is_cut) {
                end(r, ERR_CLOSED, "the connection to the control server was given up");
                return true;
        }
        if (r->transport == CONTROL_PLAIN) {
                begin_fetch(r);
                return true;
        }
        if (io->conn && !http_client_is_alive(io->conn)) {
                drop_connection(io);
                if (io->conn_is_new) {
                        end_noise_requests(io, ERR_CLOSED, "the control server closes new connections at once");
                        return true;
                }
        }
        if (io->conn) {
                begin_call(r);
                return true;
        }
        if (!io->dial)
                dial(io);
        return false;
}

static void start_waiting(struct net_task *task)
{
        struct control_io *io = container_of(task, struct control_io, start);
        bool again = true;

        while (again) { /* beginning one may end others: walk anew after each */
                again = false;
                list_each(it, &io->carried) {
                        again = begin_carried(container_of(it, struct carried, link));
                        if (again)
                                break;
                }
        }
}

static char *join_url(const struct control_io *io, struct slice url)
{
        char *text = NULL;
        bool is_absolute = !slice_has_prefix(url, SLICE_LIT("/"));

        if (asprintf(&text, "%s%.*s", is_absolute ? "" : io->server_url, SLICE_ARGS(url)) < 0)
                return NULL;
        return text;
}

static void wire_request(void *ctx, const struct control_request *rq)
{
        struct control_io *io = ctx;
        struct carried *r = calloc(1, sizeof(*r));

        if (r)
                r->url = join_url(io, rq->url);
        if (!r || !r->url) {
                log_warn(&io_log, "out of memory: a request to control waits for its time-out", NULL);
                free(r);
                return;
        }
        r->io = io;
        r->id = rq->id;
        r->transport = rq->transport;
        r->method = rq->method;
        for (size_t i = 0; i < HINTS_MAX; i++)
                snprintf(r->hints[i], sizeof(r->hints[i]), "%.*s", SLICE_ARGS(rq->load_balancer[i]));
        buf_init(&r->body, SIZE_MAX);
        buf_append_slice(&r->body, rq->body);
        if (rq->transport == CONTROL_NOISE && !key_equal(&rq->server_key, &io->server_key)) {
                io->server_key = rq->server_key;
                drop_connection(io);
        }
        list_push_back(&io->carried, &r->link);
        net_loop_defer(io->loop, &io->start);
}

static void wire_cancel(void *ctx, uint64_t id)
{
        struct control_io *io = ctx;

        list_each_safe(it, &io->carried) {
                struct carried *r = container_of(it, struct carried, link);
                if (r->id == id)
                        carried_free(r);
        }
}

static const struct control_wire wire = { wire_request, wire_cancel };

static void timer_fired(struct timer *t, const struct now *now)
{
        struct control_io *io = container_of(t, struct control_io, timer);

        control_client_run(io->client, now);
        control_io_poke(io);
}

void control_io_poke(struct control_io *io)
{
        uint64_t at = control_client_next(io->client);

        if (at == TIME_NEVER)
                net_timer_stop(io->loop, &io->timer);
        else
                net_timer_start_at(io->loop, &io->timer, at);
}

void control_io_network_changed(struct control_io *io)
{
        io->dialled_at_us = 0;
        drop_connection(io);
}

struct control_client *control_io_client(struct control_io *io)
{
        return io->client;
}

enum err control_io_new(struct net_loop *loop, const struct control_io_options *options, struct control_io **out,
                        struct diag *d)
{
        struct control_io *io = calloc(1, sizeof(*io));
        struct control_config config = *options->client;
        size_t len = strlen(options->server_url);
        enum err e;

        *out = NULL;
        if (!io)
                return ERR_NOMEM;
        while (len && options->server_url[len - 1] == '/')
                len--;
        list_init(&io->carried);
        io->loop = loop;
        io->machine_key = *options->machine_key;
        io->mark = options->mark;
        io->timer.fire = timer_fired;
        io->start.run = start_waiting;
        io->server_url = strndup(options->server_url, len);
        e = io->server_url ? http_url_parse(io->server_url, &io->server) : ERR_NOMEM;
        config.server_url = io->server_url;
        config.wire = &wire;
        config.wire_ctx = io;
        if (!config.rng)
                config.rng = net_rng();
        if (!e) {
                io->client = control_client_new(&config);
                e = io->client ? OK : ERR_NOMEM;
        }
        if (e) {
                control_io_free(io);
                return diag_set(d, e, "the server URL \"%s\" cannot be used: it should look like https://control.example.com",
                                options->server_url);
        }
        *out = io;
        return OK;
}

void control_io_free(struct control_io *io)
{
        if (!io)
                return;
        control_client_free(io->client);
        list_each_safe(it, &io->carried)
                carried_free(container_of(it, struct carried, link));
        drop_connection(io);
        net_timer_stop(io->loop, &io->timer);
        net_task_cancel(&io->start);
        key_wipe(&io->machine_key, sizeof(io->machine_key));
        free(io->server_url);
        free(io);
}
