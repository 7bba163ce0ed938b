/* Any bytes as a client of the HTTP/1.1 server: it answers or ends, and leaks nothing. */
#include "net_feed.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct net_loop *loop;
        struct http_server *srv = feed_server(&loop);
        struct net_stream *server, *client;

        if (net_stream_pair(loop, &server, &client) != OK)
                return 0;
        http_serve(srv, server, NULL);
        feed_stream(loop, client, data, len);
        if (http_server_connections(srv) != 0)
                abort();
        return 0;
}
