/*
 * For those who implement a struct net_stream: the common part, and what it expects.
 *
 * The implementation embeds struct net_stream as its first member and supplies struct
 * net_stream_ops. The common part keeps the handler, the pause state, pushed-back
 * bytes, the idle timer and the write-queue accounting, so that an implementation is
 * only bytes in, bytes out, begin reading, stop reading, free.
 */
#ifndef NET_STREAM_IMPL_H
#define NET_STREAM_IMPL_H

#include "base/buf.h"
#include "net/loop.h"
#include "net/stream.h"

struct net_stream_ops {
        const char *name; /* "tcp", "tls": for logs */
        /* Begin or stop taking bytes from below; called only when it changes. */
        void (*set_reading)(struct net_stream *s, bool on);
        /* Take the bytes; they fit (see queued). An error breaks the stream. */
        enum err (*writev)(struct net_stream *s, const struct slice *pieces, size_t n);
        /* Bytes taken and not yet given to the kernel or to the peer. */
        size_t (*queued)(const struct net_stream *s);
        void (*shutdown)(struct net_stream *s);
        /* Let go of everything and free s, at once or when the system allows. Call
         * net_stream_fini() before freeing. */
        void (*destroy)(struct net_stream *s);
        void (*peer)(const struct net_stream *s, struct ip_port *out);  /* NULL: ask lower */
        void (*local)(const struct net_stream *s, struct ip_port *out); /* NULL: ask lower */
};

struct net_stream {
        const struct net_stream_ops *ops;
        struct net_loop *loop;
        struct net_stream *lower; /* what we rest on, owned, or NULL */
        const struct net_stream_handler *handler;
        void *ctx;
        size_t write_limit;
        struct buf unread;        /* pushed back, not delivered again yet */
        struct net_task deliver;  /* brings unread bytes and the end to the handler */
        struct timer idle;        /* or, while lingering, the end of patience */
        struct list linger;       /* in the loop, after net_stream_close_soon() */
        uint64_t idle_ms, active_us;
        enum err end;             /* OK while bytes may still come */
        char *why;
        bool is_open;
        bool paused;              /* by the user */
        bool reading;             /* what set_reading was last told */
        bool end_told, open_told; /* the handler knows */
        bool shut;                /* our direction is ended */
        bool above;               /* the queue was above half of its bound */
        bool closed;              /* by the user; nothing is called back */
};

/* s was zeroed. is_open: no handshake to come. */
void net_stream_init(struct net_stream *s, const struct net_stream_ops *ops, struct net_loop *loop,
        struct net_stream *lower, bool is_open);
/* Releases what the common part holds, not lower. */
void net_stream_fini(struct net_stream *s);

/* Bytes for the user: delivered at once, or kept if the user is paused. The stream
 * may be closed (s->closed) on return; its memory is still there until the end of the
 * round because destroy() is called deferred. */
void net_stream_emit_data(struct net_stream *s, struct slice bytes);
/* Keeps bytes behind those pushed back, to be delivered with them. */
void net_stream_unread_after(struct net_stream *s, struct slice bytes);
void net_stream_emit_open(struct net_stream *s);
/* The end, after all bytes. The first call counts. why_fmt may be NULL. */
void net_stream_emit_end(struct net_stream *s, enum err why, const char *why_fmt, ...) PRINTF_LIKE(3, 4);
/* The queue shrank. Not from inside writev(). */
void net_stream_emit_drained(struct net_stream *s);

#endif
