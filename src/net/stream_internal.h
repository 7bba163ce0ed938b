/* Shared by the stream implementations of net/. */
#ifndef NET_STREAM_INTERNAL_H
#define NET_STREAM_INTERNAL_H

#include <uv.h>

#include "ip/addr.h"
#include "net/listener.h"
#include "net/stream_impl.h"

/* Ends a stream that lingers after net_stream_close_soon(), by its link in the loop. */
void stream_linger_end(struct list *link);

/* How many connections of a listener live; outlives the listener. */
struct conn_count {
        unsigned refs, live, max;
};

/* A stream over a connected socket that was accepted or connected through libuv. The
 * handle is inside the stream, so it is made first and initialised by the caller. */
struct sock_stream;
struct sock_stream *sock_stream_new(struct net_loop *loop, bool is_unix);
uv_stream_t *sock_stream_handle(struct sock_stream *s);
/* For its facts, before it is opened. */
const struct net_stream *sock_stream_base(const struct sock_stream *s);
/* It is connected: from now on it is an ordinary stream. count (may be NULL) is told
 * when it goes. */
struct net_stream *sock_stream_opened(struct sock_stream *s, struct conn_count *count);
/* It never became one. */
void sock_stream_discard(struct sock_stream *s);

void conn_count_release(struct conn_count *count);

struct sockaddr_storage;
/* Between our addresses and the system's; false for a family that is not IP. */
bool sockaddr_to_ip(const struct sockaddr_storage *ss, struct ip_port *out);
void sockaddr_from_ip(const struct ip_port *a, struct sockaddr_storage *ss);

#endif
