/* Any bytes as frames behind a good handshake. */
#include "net_feed.h"

#include "fuzz.h"

static struct net_stream *accepted;

static void take_data(struct net_stream *s, void *ctx, struct slice data)
{
        (void)ctx;
        (void)!net_stream_write(s, data);
}
static void take_end(struct net_stream *s, void *ctx, enum err why)
{
        (void)ctx;
        (void)why;
        net_stream_close(s);
        accepted = NULL;
}

static void accept_request(void *ctx, struct http_exchange *x)
{
        static const struct net_stream_handler echo = { .on_data = take_data, .on_end = take_end };

        (void)ctx;
        if (ws_accept(x, NULL, &accepted) == OK)
                net_stream_set_handler(accepted, &echo, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static const struct http_server_calls calls = { .on_request = accept_request };
        static struct http_server *srv;
        struct net_loop *loop;
        struct net_stream *server, *client;

        (void)feed_server(&loop);
        if (!srv && http_server_new(loop, NULL, &calls, NULL, &srv) != OK)
                abort();
        if (net_stream_pair(loop, &server, &client) != OK)
                return 0;
        http_serve(srv, server, NULL);
        (void)!net_stream_write(client, SLICE_LIT("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"));
        feed_stream(loop, client, data, len);
        net_stream_close(accepted); /* NULL if the frames have ended it */
        accepted = NULL;
        feed_rounds(loop);
        return 0;
}
