/* A stream of records once the handshake is done; internal. */
#ifndef NET_NOISE_STREAM_H
#define NET_NOISE_STREAM_H

#include "net/stream.h"
#include "proto/noise.h"

/* Takes lower, on failure too. Copies the session; the caller wipes its own. */
enum err MUST_USE noise_stream_new(
        struct net_stream *lower, const struct noise_session *session, struct net_stream **out);

#endif
