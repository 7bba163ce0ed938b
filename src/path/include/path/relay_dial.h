/*
 * How the nodes of a relay map are connected to: TLS to a host name, with the addresses,
 * the port and the rules for the certificate that the map gives (spec/paths.md 3.1).
 */
#ifndef PATH_RELAY_DIAL_H
#define PATH_RELAY_DIAL_H

#include "net/dial.h"
#include "proto/tailcfg_derp.h"

/* What the options point into; must outlive the call that uses them, and not move. */
struct relay_dial {
        struct net_dial_options options; /* to be completed: timeout_ms, mark */
        struct tls_client_options tls;
        struct ip_addr addrs[2];
        uint8_t pin[32];
        char host[256], cert_name[256];
};

/* ERR_FORMAT: the map's entry is of no use. */
enum err MUST_USE relay_dial_make(const struct tailcfg_derp_node *node, struct relay_dial *out);

#endif
