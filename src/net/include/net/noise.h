/*
 * The control protocol's Noise transport (spec/control.md 1.5, 1.6, 2, 3) as a stream.
 */
#ifndef NET_NOISE_H
#define NET_NOISE_H

#include "net/http.h"
#include "net/stream.h"
#include "proto/noise.h"

/* Server: what the handshake told. */
struct net_noise_peer {
        struct public_key machine_key;
        uint16_t version;
};

/*
 * Accepts POST /ts2021 (upgrade) and GET /ts2021 (WebSocket). Answers 101 and the Noise
 * response together with the early payload (its JSON; none if empty, and none on
 * WebSocket). A bad request is answered with 400 and a bad handshake with the end of the
 * connection. check (may be NULL) sees the peer before anything of Noise is sent; false
 * closes. x is gone in any case.
 */
enum err MUST_USE net_noise_accept(struct http_exchange *x, const struct secret_key *server_key,
        struct slice early_json, bool (*check)(void *ctx, const struct net_noise_peer *peer), void *ctx,
        struct net_noise_peer *peer, struct net_stream **out);

/*
 * Client: hs has made the initiation that went out in the upgrade request; the response
 * is read from lower, which is taken. The stream opens when it is verified and the early
 * payload, if the server sends one, has been read.
 */
enum err MUST_USE net_noise_connect(
        struct net_stream *lower, struct noise_client *hs, struct net_stream **out);
/* The JSON of the early payload of an open client stream; empty if there was none. */
struct slice net_noise_early(const struct net_stream *s);

#endif
