/*
 * For targets behind a stream: one loop and one HTTP server a process, and the input
 * given to them over a pipe in memory. The input's first byte says where it is cut.
 */
#ifndef FUZZ_NET_FEED_H
#define FUZZ_NET_FEED_H

#include <stdlib.h>

#include "net/http.h"
#include "net/http_client.h"
#include "net/websocket.h"

static inline void feed_rounds(struct net_loop *loop)
{
        for (int i = 0; i < 6; i++)
                net_loop_run_once(loop, 0);
}

/* Answers in the ways handlers have, chosen by the path's last letter. */
static inline void feed_request(void *ctx, struct http_exchange *x)
{
        struct slice path = http_request(x)->path, value;
        struct net_stream *s;

        (void)ctx;
        (void)http_query(x, "q", &value);
        (void)http_client_ip(x, NULL, 0);
        switch (path.len ? path.ptr[path.len - 1] : 0) {
        case 's':
                http_start(x, 200, "text/plain");
                (void)!http_write(x, http_body(x));
                http_finish(x);
                return;
        case 'c':
                http_cut(x);
                return;
        case 'u':
                if (http_upgrade(x, "x", &s) == OK)
                        net_stream_close_soon(s);
                else
                        http_respond_text(x, 400, "");
                return;
        case 'w':
                if (ws_accept(x, NULL, &s) == OK)
                        net_stream_close_soon(s);
                return;
        default:
                http_respond(x, 200, NULL, http_body(x));
        }
}

/* The loop and server of the process; never freed. */
static inline struct http_server *feed_server(struct net_loop **loop)
{
        static const struct http_server_calls calls = { .on_request = feed_request };
        static struct net_loop *the_loop;
        static struct http_server *the_server;

        if (!the_loop && (net_loop_new(&the_loop) != OK || http_server_new(the_loop, NULL, &calls, NULL, &the_server) != OK))
                abort();
        *loop = the_loop;
        return the_server;
}

/* Writes the input in two parts to s, runs the loop, and closes s. */
static inline void feed_stream(struct net_loop *loop, struct net_stream *s, const uint8_t *data, size_t len)
{
        static const struct net_stream_handler nobody;
        size_t cut = len ? data[0] : 0;
        struct slice in = len ? slice_make(data + 1, len - 1) : slice_make(data, 0);

        net_stream_set_handler(s, &nobody, NULL);
        (void)!net_stream_write(s, slice_first(in, cut));
        feed_rounds(loop);
        (void)!net_stream_write(s, slice_after(in, cut < in.len ? cut : in.len));
        feed_rounds(loop);
        net_stream_close(s);
        feed_rounds(loop);
}

#endif
