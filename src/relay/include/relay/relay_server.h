/*
 * A relay that stands alone: the listeners of weft-relay around one relay_io. TLS
 * (or plain HTTP) for DERP, and beside TLS a plain port for the captive-portal
 * check, which sends everybody else to https.
 */
#ifndef RELAY_RELAY_SERVER_H
#define RELAY_RELAY_SERVER_H

#include "net/tls.h"
#include "relay/relay_io.h"

struct relay_server;

struct relay_server_config {
        struct net_loop *loop;    /* borrowed */
        struct relay_io *io;      /* borrowed; ends after the server */
        struct ip_port addr;
        struct tls_server *tls;   /* borrowed; NULL: plain HTTP */
        bool serves_derp;         /* off: everything but /derp */
        int plain_port;           /* with TLS; -1: none */
        double accepts_per_second; /* new connections beyond are closed at once; 0: no limit */
        unsigned accept_burst;
};

enum err MUST_USE relay_server_start(const struct relay_server_config *config, struct relay_server **out,
                                     struct diag *d);
struct ip_port relay_server_addr(const struct relay_server *s);
/* Requests end; connections that became DERP are relay_io's. NULL is fine. */
void relay_server_stop(struct relay_server *s);

#endif
