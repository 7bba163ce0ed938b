/*
 * Any bytes as what a server sends: to an HTTP/1.1 client, to an HTTP/2 client, or to an
 * upgrade that becomes a WebSocket. The first byte chooses.
 */
#include "net_feed.h"

#include "fuzz.h"

static struct net_stream *upgraded;

static void on_done(void *ctx, enum err e, const struct diag *d)
{
        (void)e;
        (void)d;
        ++*(unsigned *)ctx;
}

static void on_upgraded(void *ctx, enum err e, struct net_stream *s, const struct diag *d)
{
        static const struct net_stream_handler nobody;

        on_done(ctx, e, d);
        upgraded = s;
        if (s)
                net_stream_set_handler(s, &nobody, NULL);
}

static void ask_twice(struct net_loop *loop, struct net_stream *near, struct net_stream *far, bool h2,
        const uint8_t *data, size_t len)
{
        static const struct http_call_events events = { .on_done = on_done };
        static const struct http_ask asks[] = {
                { .method = "HEAD", .target = "/", .authority = "h" },
                { .method = "POST", .target = "/", .authority = "h", .body = SLICE_LIT("body") },
        };
        struct http_client *client;
        unsigned done = 0;

        if (http_client_new(near, h2, NULL, NULL, &client) != OK)
                abort();
        for (size_t i = 0; i < 2; i++)
                if (http_client_call(client, &asks[i], &events, &done, NULL) != OK)
                        abort();
        feed_stream(loop, far, data, len);
        if (done != 2) /* the server has closed: each call has come to an end */
                abort();
        http_client_free(client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct net_loop *loop;
        struct net_stream *near, *far;
        unsigned done = 0;

        (void)feed_server(&loop);
        if (len == 0 || net_stream_pair(loop, &near, &far) != OK)
                return 0;
        if (data[0] % 3 < 2) {
                ask_twice(loop, near, far, data[0] % 3 == 1, data + 1, len - 1);
        } else if (ws_connect(near, "h", "/", NULL, 0, on_upgraded, &done, NULL) == OK) {
                feed_stream(loop, far, data + 1, len - 1);
                if (done != 1)
                        abort();
                net_stream_close(upgraded);
                upgraded = NULL;
        }
        feed_rounds(loop);
        return 0;
}
