/*
 * HTTP clients.
 *
 *   http_fetch_start()    one request to a URL: dial, TLS, request, answer, close
 *   http_client_*         a connection of one's own over any stream, HTTP/1.1 (requests
 *                         one after another) or HTTP/2 (many at once, e.g. inside Noise)
 *   http_upgrade_start()  a request that turns the stream into something else (101)
 */
#ifndef NET_HTTP_CLIENT_H
#define NET_HTTP_CLIENT_H

#include "net/dial.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/stream.h"

struct http_response {
        unsigned status;
        const struct http_header *headers;
        size_t header_count;
};
/* The first header of that name, or an empty slice with ptr NULL. */
struct slice http_response_header(const struct http_response *r, const char *name);

/* What is to be asked. Everything is copied. */
struct http_ask {
        const char *method;    /* NULL: GET */
        const char *target;    /* "/path?query" */
        const char *authority; /* Host or :authority */
        const char *scheme;    /* HTTP/2's :scheme; NULL: "https" */
        const struct http_header *headers;
        size_t header_count;
        struct slice body;     /* sent with any method, GET too, if not empty */
        bool stream_body;      /* HTTP/2: the body comes by http_call_write() */
};

/* The answer to a call. on_done is called once and is the last; with OK after a whole
 * answer, else with a sentence. No other call comes after on_done or cancelling. */
struct http_call_events {
        void (*on_head)(void *ctx, const struct http_response *r); /* r lives during the call */
        void (*on_data)(void *ctx, struct slice data);
        void (*on_done)(void *ctx, enum err e, const struct diag *d);
        void (*on_writable)(void *ctx);                            /* for stream_body */
};

struct http_client;
struct http_call;
/* Takes the stream, on failure too. on_end (may be NULL) says that the connection has
 * ended and takes no more calls, after on_done of all calls; free it then. */
enum err MUST_USE http_client_new(struct net_stream *s, bool h2,
        void (*on_end)(void *ctx, enum err why, const struct diag *d), void *ctx, struct http_client **out);
/* Calls in progress end without on_done. NULL is fine. */
void http_client_free(struct http_client *c);
/* ERR_LIMIT: too many calls at once (HTTP/1.1: 16 waiting; HTTP/2: what the server allows,
 * then 256 waiting); ERR_CLOSED. */
enum err MUST_USE http_client_call(struct http_client *c, const struct http_ask *ask,
        const struct http_call_events *ev, void *ctx, struct http_call **out);
/* Slows the answer down: flow control (HTTP/2) or the connection (HTTP/1.1). */
void http_call_pause(struct http_call *call, bool pause);
/* For stream_body. ERR_LIMIT: wait for on_writable. */
enum err MUST_USE http_call_write(struct http_call *call, struct slice bytes);
void http_call_finish(struct http_call *call);
/* on_done will not be called. On HTTP/1.1 a call under way ends the connection. */
void http_call_cancel(struct http_call *call);
bool http_client_is_alive(const struct http_client *c);
unsigned http_client_calls(const struct http_client *c);

/*
 * One request and its answer. Redirects are not followed. The whole answer is
 * collected up to max_body, or handed over in pieces if ev->on_data is given.
 */
struct http_fetch_options {
        const char *url;             /* http:// or https:// */
        const char *unix_path;       /* dial this Unix socket instead; url gives the rest */
        const char *method;          /* NULL: GET */
        const struct http_header *headers;
        size_t header_count;
        struct slice body;
        size_t max_body;             /* 0: 1 MiB */
        unsigned timeout_ms;         /* until the answer's end; 0: 30 s. With on_data: until its head */
        bool offer_h2;               /* HTTP/2 if TLS agrees */
        const struct net_dial_options
                *dial; /* addresses, mark, proxy, TLS options; host and port are ignored */
};
struct http_fetch_result {
        enum err e;                  /* OK: a response was read, whatever its status */
        struct diag diag;
        struct http_response response;
        struct slice body;           /* what was collected */
};
struct http_fetch_events {
        void (*on_head)(void *ctx, const struct http_response *r); /* optional */
        void (*on_data)(void *ctx, struct slice data);             /* optional: not collected then */
        void (*on_done)(void *ctx, const struct http_fetch_result *result); /* result lives during the call */
};
struct http_fetch;
/* ERR_FORMAT for a bad URL. *out (may be NULL) serves to cancel until on_done. */
enum err MUST_USE http_fetch_start(struct net_loop *loop, const struct http_fetch_options *o,
        const struct http_fetch_events *ev, void *ctx, struct http_fetch **out);
void http_fetch_cancel(struct http_fetch *f); /* NULL is fine */

/* Asks for an upgrade on a fresh stream, which is taken. headers must include Upgrade
 * and Connection. done(): the stream with what followed the 101 head, or an error
 * (status names a refusal, else 0). r and the diag live during the call. */
struct http_upgrading;
enum err MUST_USE http_upgrade_start(struct net_stream *s, const struct http_ask *ask, unsigned timeout_ms,
        void (*done)(void *ctx, enum err e, struct net_stream *s, const struct http_response *r,
                const struct diag *d),
        void *ctx, struct http_upgrading **out);
void http_upgrade_cancel(struct http_upgrading *u); /* NULL is fine */

/* The pieces of an http or https URL. */
struct http_url {
        bool is_https;
        char host[256];      /* without brackets */
        uint16_t port;       /* 80 or 443 if not given */
        char authority[272]; /* as in the URL */
        const char *target;  /* into the URL; "" means "/" */
};
enum err MUST_USE http_url_parse(const char *url, struct http_url *out);

#endif
