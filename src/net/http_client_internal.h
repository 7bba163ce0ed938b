/*
 * What the two versions of the HTTP client share: the connection, and its calls.
 *
 * Nothing is freed while a parser or a callback may be on the stack: http_client_free()
 * silences the calls, closes the stream and leaves the memory to a deferred task.
 */
#ifndef NET_HTTP_CLIENT_INTERNAL_H
#define NET_HTTP_CLIENT_INTERNAL_H

#include "base/arena.h"
#include "base/list.h"
#include "net/http_client.h"

enum {
        RESPONSE_HEAD_MAX = 64 * 1024,
        RESPONSE_FIELDS_MAX = 128,
        CALL_BODY_MAX = 16 << 20, /* most of a request's body waiting to be sent */
        CALL_STREAM_MAX = 1 << 20, /* the same where the body comes in pieces */
};

struct http_client_ops {
        /* Sends the call's request, or queues it. */
        enum err (*start)(struct http_call *call);
        void (*resume_body)(struct http_call *call); /* more bytes, or the end, came */
        void (*pause)(struct http_call *call, bool pause);
        /* The call is leaving before its end. */
        void (*cancel)(struct http_call *call);
        void (*destroy)(struct http_client *c); /* frees c */
};

struct http_client {
        const struct http_client_ops *ops;
        struct net_stream *s;
        struct list calls;     /* in the order they were made */
        unsigned call_count;
        void (*on_end)(void *ctx, enum err why, const struct diag *d);
        void *ctx;
        struct net_task reaper;
        bool freed;            /* by the user: nothing is called back */
        bool ended;            /* no more calls */
};

struct http_call {
        struct http_client *client;
        struct list link;
        const struct http_call_events *ev;
        void *ctx;
        struct arena arena;    /* the request's text, then the response's head */
        const char *method, *target, *authority, *scheme;
        struct http_header *headers;
        size_t header_count;
        struct buf body;       /* not sent yet */
        bool stream_body, body_done, paused, head_told;
        bool above;            /* a piece of the body was refused, or half of its bound is passed */
        bool wants_writable;   /* there is room again, its user is to be told */
        int32_t stream_id;     /* HTTP/2 */
        size_t unacknowledged; /* HTTP/2: bytes that came while paused */
        struct http_header *response_headers;
        size_t response_count, response_bytes;
        unsigned status;
};

void client_init(struct http_client *c, const struct http_client_ops *ops, struct net_stream *s,
        void (*on_end)(void *ctx, enum err why, const struct diag *d), void *ctx);
/* Events to the user of a call; quiet if the client was freed. done frees the call. */
void call_head(struct http_call *call);
void call_data(struct http_call *call, struct slice data);
void call_writable(struct http_call *call);
void call_done(struct http_call *call, enum err e, const char *why);
/* The connection has ended: all calls are done, then on_end. */
void client_end(struct http_client *c, enum err why, const char *text);
/* One more field of the response. False: too many, or no memory. */
bool call_add_field(struct http_call *call, struct slice name, struct slice value);

enum err MUST_USE h1_client_new(struct net_stream *s,
        void (*on_end)(void *ctx, enum err why, const struct diag *d), void *ctx, struct http_client **out);
enum err MUST_USE h2_client_new(struct net_stream *s,
        void (*on_end)(void *ctx, enum err why, const struct diag *d), void *ctx, struct http_client **out);

/* "POST /x HTTP/1.1" and all fields; appends to out. length < 0: no Content-Length. */
void h1_write_request(struct buf *out, const char *method, const char *target, const char *authority,
        const struct http_header *headers, size_t header_count, int64_t length);

/* Memory that goes with the upgrade, after done() or when it is cancelled. */
void http_upgrade_own(struct http_upgrading *u, void *memory);

#endif
