/*
 * WebSocket (RFC 6455) as a byte stream: what is written goes out in binary messages,
 * and the binary messages that come are one run of bytes, their bounds without meaning
 * (spec/control.md 1.6, spec/paths.md 3.1). No extensions. Text messages end the stream.
 */
#ifndef NET_WEBSOCKET_H
#define NET_WEBSOCKET_H

#include "net/http.h"
#include "net/http_client.h"
#include "net/stream.h"

/* Whether the request is a WebSocket handshake; and whether it offers a subprotocol. */
bool ws_is_handshake(const struct http_exchange *x);
bool ws_offers(const struct http_exchange *x, const char *subprotocol);
/* Accepts, with the subprotocol (may be NULL). ERR_FORMAT: a bad handshake, answered
 * with 400 already. x is gone either way. */
enum err MUST_USE ws_accept(struct http_exchange *x, const char *subprotocol, struct net_stream **out);
/* A close frame with a code (RFC 6455, 7.4), then the end. Takes s. */
void ws_close(struct net_stream *s, unsigned code, const char *reason);

/* The client's side on a fresh stream, which is taken. The server must choose the
 * subprotocol if one is given. Cancel with http_upgrade_cancel(). */
enum err MUST_USE ws_connect(struct net_stream *s, const char *authority, const char *target,
        const char *subprotocol, unsigned timeout_ms,
        void (*done)(void *ctx, enum err e, struct net_stream *s, const struct diag *d), void *ctx,
        struct http_upgrading **out);

#endif
