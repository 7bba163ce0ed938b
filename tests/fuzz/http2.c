/* Any bytes behind the preface as a client of the HTTP/2 server. */
#include "net_feed.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct net_loop *loop;
        struct http_server *srv = feed_server(&loop);
        struct net_stream *server, *client;

        if (net_stream_pair(loop, &server, &client) != OK)
                return 0;
        http_serve_h2(srv, server, NULL);
        (void)!net_stream_write(client, SLICE_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"));
        feed_stream(loop, client, data, len);
        if (http_server_connections(srv) != 0)
                abort();
        return 0;
}
