/*
 * An HTTP exchange as a call to the engine. A streaming call keeps references to the
 * messages that did not fit the exchange's queue yet; while any wait it tells the
 * engine to hold back, so that what waits here is a message or two.
 */
#include <stdio.h>
#include <stdlib.h>

#include "serve.h"

struct waiting {
        struct waiting *next;
        struct server_message *message;
        size_t sent;
};

struct io_call {
        struct server_call call;
        struct serve *sv;
        struct http_exchange *x;
        struct waiting *head, **tail;
};

static void io_call_free(struct io_call *c)
{
        for (struct waiting *w = c->head, *next; w; w = next) {
                next = w->next;
                server_message_unref(w->message);
                free(w);
        }
        free(c);
}

static void on_reply(struct server_call *call, const struct server_reply *reply)
{
        struct io_call *c = container_of(call, struct io_call, call);
        char seconds[16];

        if (reply->retry_after_s) {
                snprintf(seconds, sizeof(seconds), "%u", reply->retry_after_s);
                http_add_header_str(c->x, "Retry-After", seconds);
        }
        http_respond(c->x, (unsigned)reply->status, reply->content_type, reply->body);
        io_call_free(c);
}

static void on_begin(struct server_call *call)
{
        struct io_call *c = container_of(call, struct io_call, call);

        http_start(c->x, 200, "application/json");
}

/* Moves what fits; true when nothing waits any more. */
static bool pump(struct io_call *c)
{
        while (c->head) {
                struct waiting *w = c->head;
                size_t room = http_room(c->x), left = w->message->len - w->sent;
                struct slice piece = slice_make(w->message->bytes + w->sent, left < room ? left : room);
                if (piece.len == 0 || http_write(c->x, piece) != OK)
                        return false;
                w->sent += piece.len;
                if (w->sent < w->message->len)
                        continue;
                c->head = w->next;
                if (!c->head)
                        c->tail = &c->head;
                server_message_unref(w->message);
                free(w);
        }
        return true;
}

static bool on_send(struct server_call *call, struct server_message *m)
{
        struct io_call *c = container_of(call, struct io_call, call);
        struct waiting *w = calloc(1, sizeof(*w));

        if (!w)
                abort(); /* a message left out would leave the node with a wrong map */
        w->message = server_message_ref(m);
        *c->tail = w;
        c->tail = &w->next;
        return pump(c);
}

static void on_end(struct server_call *call)
{
        struct io_call *c = container_of(call, struct io_call, call);

        http_finish(c->x);
        io_call_free(c);
}

static const struct server_call_ops io_call_ops = { on_reply, on_begin, on_send, on_end };

static void on_abort(void *ctx, struct http_exchange *x)
{
        struct io_call *c = ctx;
        struct now now = net_loop_now(c->sv->loop);

        (void)x;
        server_call_closed(c->sv->server, &now, &c->call);
        serve_rearm(c->sv);
        io_call_free(c);
}

static void on_writable(void *ctx, struct http_exchange *x)
{
        struct io_call *c = ctx;
        struct serve *sv = c->sv;
        struct now now = net_loop_now(sv->loop);

        (void)x;
        if (pump(c))
                server_call_writable(sv->server, &now, &c->call);
        serve_rearm(sv);
}

static const struct http_watch io_call_watch = { .on_abort = on_abort, .on_writable = on_writable };

struct server_call *serve_call_new(struct serve *sv, struct http_exchange *x)
{
        struct io_call *c = calloc(1, sizeof(*c));

        if (!c) {
                http_respond_text(x, 503, "out of memory\n");
                return NULL;
        }
        c->call.ops = &io_call_ops;
        c->sv = sv;
        c->x = x;
        c->tail = &c->head;
        http_watch(x, &io_call_watch, c);
        return &c->call;
}
