/* A listener whose connections are served as they come. */
#include <stdlib.h>

#include "http_internal.h"

/* Lives as long as the server: a listener may be closed at any time. */
struct http_listening {
        struct http_server *srv;
        struct tls_server *tls;
        struct http_listening *next;
};

static void on_accept(void *ctx, struct net_stream *s)
{
        struct http_listening *l = ctx;

        if (l->tls && tls_accept(l->tls, s, &s) != OK)
                return;
        http_serve(l->srv, s, NULL);
}

static const struct net_listener_calls listener_calls = { .on_accept = on_accept };

enum err http_server_listen(struct http_server *srv, const struct ip_port *addr, struct tls_server *tls,
        struct net_listener **out, struct diag *d)
{
        struct http_listening *l = calloc(1, sizeof(*l));

        *out = NULL;
        if (!l)
                return diag_set(d, ERR_NOMEM, "out of memory");
        l->srv = srv;
        l->tls = tls;
        enum err e = net_listen_tcp(srv->loop, addr, srv->limits.connections, &listener_calls, l, out, d);
        if (e != OK) {
                free(l);
                return e;
        }
        l->next = srv->listening;
        srv->listening = l;
        return OK;
}

void http_listening_free(struct http_server *srv)
{
        while (srv->listening) {
                struct http_listening *l = srv->listening;
                srv->listening = l->next;
                free(l);
        }
}
