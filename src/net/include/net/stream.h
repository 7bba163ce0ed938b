/*
 * A byte stream in both directions: TCP, Unix socket, TLS, Noise, WebSocket and
 * in-memory pairs are all a struct net_stream, and layers stack: TLS is created over
 * a TCP stream, Noise over either, and the user of the top never sees what is below.
 *
 * Ownership. Whoever holds the pointer owns the stream and ends it with
 * net_stream_close(), exactly once, from any callback. After that the pointer is
 * invalid and nothing is called back. Creating a layer over a stream gives the lower
 * stream to the layer, which closes it with itself. A stream that has failed stays
 * valid (and useless) until its owner closes it.
 *
 * Reading. Bytes arrive through on_data, valid during the call only. The receiver
 * takes them all, or pushes the rest back with net_stream_unread(), which is also how
 * a stream passes from one protocol to the next: unread what is not yours, give the
 * pointer away, the next owner sets its handler. net_stream_pause() stops reading, so
 * that the sender at the far end is slowed down.
 *
 * Writing. Bytes are copied into a bounded queue and leave together at the end of the
 * round. A write that does not fit is refused whole with ERR_LIMIT. on_writable comes
 * once the queue has drained to half of its bound or less after having been above.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <sys/types.h>

#include "base/err.h"
#include "base/slice.h"
#include "ip/addr.h"

struct net_stream;
struct net_loop;

struct net_stream_handler {
        /* A handshake of the layer has succeeded. Streams that are open when created
         * (TCP, Unix, WebSocket) do not call this. Writing before is fine: it waits. */
        void (*on_open)(struct net_stream *s, void *ctx);
        void (*on_data)(struct net_stream *s, void *ctx, struct slice data);
        void (*on_writable)(struct net_stream *s, void *ctx);
        /* No more bytes will come; called once. why == ERR_CLOSED: the peer ended its
         * direction in good order, and we may still write. Anything else: the stream
         * is broken, net_stream_why() has a sentence. Then close it. */
        void (*on_end)(struct net_stream *s, void *ctx, enum err why);
};

/* The default bound of a write queue; net_stream_set_write_limit() changes it. */
enum { NET_WRITE_LIMIT = 1 << 20 };

/* Takes over the events of s. h and ctx live until replaced or the stream is closed;
 * members of h may be NULL. Reading begins with the first handler unless paused. What
 * happened before (pushed-back bytes, the end) is delivered soon, never inside this
 * call. */
void net_stream_set_handler(struct net_stream *s, const struct net_stream_handler *h, void *ctx);

/* Queues a copy of the bytes. ERR_LIMIT: does not fit now, nothing was taken;
 * ERR_CLOSED: the stream is broken or shut down. */
enum err MUST_USE net_stream_write(struct net_stream *s, struct slice bytes);
/* The same for n pieces as one: all or none. */
enum err MUST_USE net_stream_writev(struct net_stream *s, const struct slice *pieces, size_t n);
/* How many bytes a write may have now; and how many wait. */
size_t net_stream_room(const struct net_stream *s);
size_t net_stream_queued(const struct net_stream *s);
void net_stream_set_write_limit(struct net_stream *s, size_t bytes);
/* Sends what is queued, then ends our direction. */
void net_stream_shutdown(struct net_stream *s);

void net_stream_pause(struct net_stream *s);
void net_stream_resume(struct net_stream *s);
/* Pushes bytes back: a copy of them is delivered before anything new. */
void net_stream_unread(struct net_stream *s, struct slice bytes);

/* After this many milliseconds without a byte in either direction the stream ends
 * with ERR_TIMEOUT. 0: never, the default. */
void net_stream_set_idle_timeout(struct net_stream *s, uint64_t ms);

/* Ends the stream. Queued bytes are thrown away; for a polite end call
 * net_stream_close_soon(). NULL is fine. */
void net_stream_close(struct net_stream *s);
/* Gives the stream up: it sends what is queued, ends our direction and closes itself
 * when done, at the latest after 10 s. No more callbacks. NULL is fine. */
void net_stream_close_soon(struct net_stream *s);

/* Facts. Layers answer for the stream they rest on. */
struct net_loop *net_stream_loop(const struct net_stream *s);
struct ip_port net_stream_peer(const struct net_stream *s);  /* family IP_NONE if there is none */
struct ip_port net_stream_local(const struct net_stream *s);
bool net_stream_is_open(const struct net_stream *s);
/* The stream that s rests on, borrowed, or NULL. */
struct net_stream *net_stream_lower(const struct net_stream *s);
/* Why the stream ended, a sentence; "" while it lives. */
const char *net_stream_why(const struct net_stream *s);

/* The process at the other end of a Unix socket, as the kernel saw it connect. */
struct net_creds {
        uid_t uid;
        gid_t gid;
        pid_t pid;
};
/* False for anything but a Unix socket. */
bool net_stream_creds(const struct net_stream *s, struct net_creds *out);

/* Two ends of a pipe in memory; what is written to one arrives at the other in a
 * later round. For tests, and for programs that talk to themselves. */
enum err MUST_USE net_stream_pair(struct net_loop *loop, struct net_stream **a, struct net_stream **b);

#endif
