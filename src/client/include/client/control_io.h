/*
 * Carries the requests of a control_client over the network: /key by HTTPS or HTTP,
 * the rest over HTTP/2 inside Noise, whose connection is dialled as spec/control.md
 * 1.3 says: the plain port first, TLS half a second later, the first to shake hands
 * wins. On the loop of its owner.
 */
#ifndef CLIENT_CONTROL_IO_H
#define CLIENT_CONTROL_IO_H

#include "client/control.h"
#include "net/loop.h"

struct control_io;

struct control_io_options {
        const char *server_url;           /* trailing slashes are ignored; copied */
        const struct secret_key *machine_key; /* copied, wiped by _free */
        const struct control_config *client; /* of the client to create; wire is ours, rng may be NULL */
        uint32_t mark;                    /* SO_MARK of every socket; 0: none */
};

/* The client is created with it and lives as long. d: what is wrong with the URL. */
enum err MUST_USE control_io_new(struct net_loop *loop, const struct control_io_options *options,
                                 struct control_io **out, struct diag *d);
/* Not from within a call of control_calls. NULL is fine. */
void control_io_free(struct control_io *io);

/* Give it goals and news directly; afterwards call control_io_poke(), which arms the
 * timer for what the client wants next. */
struct control_client *control_io_client(struct control_io *io);
void control_io_poke(struct control_io *io);
/* The network has changed: the connection is given up, requests are tried again. */
void control_io_network_changed(struct control_io *io);

#endif
