/*
 * HTTP servers: one shape of handler for HTTP/1.1 and HTTP/2, over any stream.
 *
 * A request is a struct http_exchange. on_request gets it when head and body are
 * there; the handler answers at once, or keeps the pointer and answers later. It is
 * valid until the answer is complete (http_respond, http_finish, http_upgrade,
 * http_hijack return) or until on_abort says that the client has gone; then the memory
 * goes. A handler that keeps an exchange therefore sets http_watch with on_abort.
 *
 * All the request's slices live as long as the exchange.
 */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "ip/addr.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/stream.h"
#include "net/tls.h"

struct http_header {
        struct slice name, value; /* names compare without case; HTTP/2 has them lower */
};

/* The head of a request. */
struct http_request {
        struct slice method;
        struct slice target;      /* as sent: path and query */
        struct slice path;        /* percent-encoding kept */
        struct slice query;       /* after '?', or empty */
        struct slice authority;   /* Host or :authority */
        const struct http_header *headers;
        size_t header_count;
        bool is_h2;
};

struct http_exchange;

struct http_limits {              /* zero members take the default */
        size_t header_bytes;      /* of one request's head: 32 KiB */
        unsigned header_count;    /* 128 */
        size_t body_bytes;        /* of a body that is collected: 1 MiB */
        size_t write_bytes;       /* response bytes waiting per exchange: 1 MiB */
        unsigned streams;         /* HTTP/2: requests at once on a connection: 250 */
        unsigned connections;     /* at once on this server: 65536 */
        unsigned header_ms;       /* from the first byte to the end of the head: 10 s */
        unsigned body_ms;         /* for the whole of a collected body: 30 s */
        unsigned idle_ms;         /* between requests of a connection: 2 min */
        unsigned write_ms;        /* a response making no progress: 2 min */
};

struct http_server_calls {
        /* Optional: the head is there, the body is not. May set http_set_body_limit(),
         * ask for the body in pieces (http_watch with on_body), or answer already; the
         * body is then thrown away and on_request not called. */
        void (*on_head)(void *ctx, struct http_exchange *x);
        /* Head and body are there. Not called if on_head answered or took the body. */
        void (*on_request)(void *ctx, struct http_exchange *x);
        /* Optional: a connection has ended, after the last on_abort of its requests. */
        void (*on_conn_end)(void *ctx, void *conn_ctx);
};

struct http_server;
enum err MUST_USE http_server_new(struct net_loop *loop, const struct http_limits *limits /* or NULL */,
        const struct http_server_calls *calls, void *ctx, struct http_server **out);
/* Closes every connection: on_abort and on_conn_end are called. NULL is fine. */
void http_server_free(struct http_server *srv);

/* Serves one stream, which is taken (closed on failure too). conn_ctx comes back by
 * http_conn_ctx() and on_conn_end. http_serve() speaks HTTP/1.1, or HTTP/2 if TLS has
 * negotiated it; http_serve_h2() HTTP/2 from the first byte, as inside Noise. */
void http_serve(struct http_server *srv, struct net_stream *s, void *conn_ctx);
void http_serve_h2(struct http_server *srv, struct net_stream *s, void *conn_ctx);
/* Listens on addr and serves what comes; tls (borrowed) may be NULL. Close the listener
 * before the server is freed. */
enum err MUST_USE http_server_listen(struct http_server *srv, const struct ip_port *addr,
        struct tls_server *tls, struct net_listener **out, struct diag *d);
unsigned http_server_connections(const struct http_server *srv);

/* The request. */
const struct http_request *http_request(const struct http_exchange *x);
/* The first header of that name, or an empty slice with ptr NULL. */
struct slice http_header(const struct http_exchange *x, const char *name);
/* The collected body; empty in on_head and for bodies taken in pieces. */
struct slice http_body(const struct http_exchange *x);
/* The first value of a query parameter, decoded ("+" is a space), in the exchange's
 * arena. False if absent or badly encoded. */
bool http_query(struct http_exchange *x, const char *name, struct slice *value);
/* Percent-decoding of a path segment; "+" stays. False on bad digits or no memory. */
bool http_unescape(struct arena *a, struct slice text, struct slice *out);
/* Memory that goes with the exchange (at most 4 MiB). */
struct arena *http_arena(struct http_exchange *x);
/* The connection: peer address, credentials and TLS by net_stream_*(), borrowed. */
struct net_stream *http_stream(const struct http_exchange *x);
void *http_conn_ctx(const struct http_exchange *x);

void http_set_body_limit(struct http_exchange *x, size_t bytes);

/* What the handler wants to hear about. */
struct http_watch {
        void (*on_abort)(void *ctx, struct http_exchange *x); /* the client has gone; x ends with this call */
        void (*on_writable)(void *ctx, struct http_exchange *x); /* half of write_bytes is free again */
        /* Set in on_head: the body comes in pieces. last is true once, perhaps with no
         * bytes. http_body_pause() slows the client down. */
        void (*on_body)(void *ctx, struct http_exchange *x, struct slice data, bool last);
};
/* w and ctx live as long as the exchange. */
void http_watch(struct http_exchange *x, const struct http_watch *w, void *ctx);
void http_body_pause(struct http_exchange *x, bool pause);

/* The answer. Date and Content-Length or Transfer-Encoding are added; names are sent
 * as written on HTTP/1.1 and in lower case on HTTP/2. A name or value with a line
 * break or control character is a bug and stops the process. */
void http_add_header(struct http_exchange *x, const char *name, struct slice value);
void http_add_header_str(struct http_exchange *x, const char *name, const char *value);
/* A whole answer. content_type may be NULL. x is gone after this. */
void http_respond(struct http_exchange *x, unsigned status, const char *content_type, struct slice body);
/* The same with a text: "text/plain; charset=utf-8". */
void http_respond_text(struct http_exchange *x, unsigned status, const char *text);
/* An answer of unknown length: the head goes out at once, then pieces, each flushed. */
void http_start(struct http_exchange *x, unsigned status, const char *content_type);
/* Queues a copy. ERR_LIMIT: write_bytes would be passed, nothing was taken. */
enum err MUST_USE http_write(struct http_exchange *x, struct slice bytes);
size_t http_room(const struct http_exchange *x);
void http_finish(struct http_exchange *x);
/* Ends the exchange with an error the client can see: the connection (HTTP/1.1) or the
 * stream (HTTP/2) is cut. */
void http_cut(struct http_exchange *x);

/* HTTP/1.1 only (ERR_UNSUPPORTED, x stays valid): hands over the connection with all
 * bytes that followed the request. http_upgrade() first answers 101 with the protocol
 * named and the headers added; http_hijack() answers nothing. x is gone on success. */
enum err MUST_USE http_upgrade(struct http_exchange *x, const char *protocol, struct net_stream **out);
enum err MUST_USE http_hijack(struct http_exchange *x, struct net_stream **out);
/* Whether Upgrade names the protocol (no case) and Connection says upgrade. */
bool http_wants_upgrade(const struct http_exchange *x, const char *protocol);

/*
 * Who the client is behind reverse proxies that we trust (spec/server.md, trap 17):
 * if the peer is in trusted, True-Client-IP, X-Real-IP, then X-Forwarded-For from the
 * right up to the first address not trusted; else the peer itself.
 */
struct ip_addr http_client_ip(const struct http_exchange *x, const struct ip_prefix *trusted, size_t count);

/* "Not Found" for 404; "" if unknown. */
const char *http_status_text(unsigned status);

#endif
