/*
 * The way to a Noise stream with the control server (spec/control.md 1.3, 1.5): a
 * plain leg and a TLS leg race; each dials, asks for the upgrade and shakes hands.
 */
#ifndef CLIENT_CONTROL_DIAL_H
#define CLIENT_CONTROL_DIAL_H

#include "net/http_client.h"
#include "net/loop.h"
#include "net/stream.h"
#include "proto/noise.h"

struct control_dial;

struct control_dial_options {
        const struct http_url *server;       /* copied */
        const struct secret_key *machine_key; /* copied, wiped when the dial ends */
        const struct public_key *server_key;
        uint32_t mark;
        bool skip_plain; /* the plain leg failed us lately; ignored where there is no TLS leg */
};

/* done() is called once, never inside this call: with an open stream that the callee
 * owns, or with an error and a sentence. ERR_AUTH: there is a control server, but its
 * handshake does not fit server_key. */
enum err MUST_USE control_dial_start(struct net_loop *loop, const struct control_dial_options *options,
                                     void (*done)(void *ctx, enum err e, struct net_stream *s, const char *why),
                                     void *ctx, struct control_dial **out);
void control_dial_cancel(struct control_dial *d); /* done() will not be called; NULL is fine */

#endif
