/*
 * What the HTTP/1.1 and the HTTP/2 side of the server share: the server object, its
 * connections, and the exchange with the operations each side supplies.
 *
 * Order of destruction. The user's calls never free anything at once: they set
 * x->finished and tell the connection, which frees the exchange from a deferred task,
 * when no parser and no callback is on the stack. A connection that fails aborts its
 * exchanges (on_abort), closes its stream and frees itself from the same task.
 */
#ifndef NET_HTTP_INTERNAL_H
#define NET_HTTP_INTERNAL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "net/http.h"

enum {
        EXCHANGE_ARENA_MAX = 4 << 20,
        RESPONSE_HEADERS_MAX = 64,
};

struct http_server {
        struct net_loop *loop;
        struct http_limits limits; /* defaults filled in */
        const struct http_server_calls *calls;
        void *ctx;
        struct list conns;
        unsigned conn_count;
        unsigned refs; /* connections, listeners and the owner */
        bool closing;
        struct http_listening *listening; /* what each listener serves with */
};

struct http_conn;
struct http_conn_ops {
        /* Abort the exchanges, let go of the stream, free the connection soon. */
        void (*kill)(struct http_conn *c);
};

/* The part of a connection that the server knows. */
struct http_conn {
        const struct http_conn_ops *ops;
        struct http_server *srv;
        struct list link;
        struct net_stream *s;
        void *ctx;
        struct net_task task;
        bool end_told; /* on_conn_end has been called */
};

/* Closes a stream that does not become a connection; its conn_ctx still finds its end. */
void http_conn_refuse(struct http_server *srv, struct net_stream *s, void *conn_ctx);
void http_conn_init(struct http_conn *c, const struct http_conn_ops *ops, struct http_server *srv,
        struct net_stream *s, void *conn_ctx);
/* Tells on_conn_end, and leaves. */
void http_conn_fini(struct http_conn *c);
/* The server knows the connection no more; the server may go with it. */
void http_conn_leave(struct http_conn *c);
void http_server_release(struct http_server *srv);
void http_listening_free(struct http_server *srv);

void h1_serve(struct http_server *srv, struct net_stream *s, void *conn_ctx);
void h2_serve(struct http_server *srv, struct net_stream *s, void *conn_ctx);

/* How one version of HTTP carries an answer. */
struct exchange_ops {
        /* The head, x->status and x->out_headers; length is NULL if unknown. */
        void (*head)(struct http_exchange *x, const uint64_t *length);
        /* whole: part of an answer that is there already; it is taken whatever its size. */
        enum err (*body)(struct http_exchange *x, struct slice bytes, bool whole);
        void (*finish)(struct http_exchange *x);
        void (*cut)(struct http_exchange *x);
        size_t (*room)(const struct http_exchange *x);
        void (*pause)(struct http_exchange *x, bool pause);
        enum err (*hijack)(struct http_exchange *x, struct slice head, struct net_stream **out);
};

struct http_exchange {
        const struct exchange_ops *ops;
        struct http_conn *conn;
        struct arena arena;
        struct http_request req;
        struct buf body;         /* collected */
        size_t body_limit;
        const struct http_watch *watch;
        void *watch_ctx;
        unsigned status;
        struct http_header out_headers[RESPONSE_HEADERS_MAX];
        unsigned out_count;
        bool head_told;          /* on_head or on_request has seen it */
        bool body_done;          /* the request's last byte is here */
        bool started;            /* the answer's head has gone */
        bool finished;           /* the user is done with it */
        bool is_head_method;     /* HEAD: the answer has no body */
};

void exchange_init(struct http_exchange *x, const struct exchange_ops *ops, struct http_conn *conn);
void exchange_fini(struct http_exchange *x);
/* The head of the request is in x->req but for path and query: splits the target,
 * calls on_head. */
enum err MUST_USE exchange_split_target(struct http_exchange *x);
void exchange_tell_head(struct http_exchange *x);
/* Bytes of the request's body, to be collected or handed on. ERR_LIMIT. */
enum err MUST_USE exchange_body(struct http_exchange *x, struct slice bytes);
/* The request is whole. */
void exchange_tell_whole(struct http_exchange *x);
/* The client has gone. x is not the user's any more. */
void exchange_abort(struct http_exchange *x);
void exchange_writable(struct http_exchange *x);
bool exchange_wants_pieces(const struct http_exchange *x);
/* Whether an answer of that status has a body at all. */
bool http_status_has_body(unsigned status);

/* The header's value as a comma list contains the token (no case). */
bool http_list_has(const struct http_header *headers, size_t count, const char *name, const char *token);
struct slice http_find_header(const struct http_header *headers, size_t count, const char *name);
/* "Mon, 02 Jan 2006 15:04:05 GMT", as of now. */
void http_date(int64_t unix_us, char out[static 32]);
/* Characters that may stand in a field's name; in a field's value. */
bool http_token_valid(struct slice s);
bool http_value_valid(struct slice s);

#endif
