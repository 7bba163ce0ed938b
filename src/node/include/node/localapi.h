/*
 * The LocalAPI without its sockets: what each endpoint answers (spec/node.md 3).
 * The server (node/localapi_server.h) reads HTTP, judges who asks, and carries out
 * the three kinds of answer that take time.
 */
#ifndef NODE_LOCALAPI_H
#define NODE_LOCALAPI_H

#include "node/backend.h"

enum { LOCALAPI_BODY_MAX = 512 << 10, LOCALAPI_REPLY_MAX = 64 << 20 };

struct localapi_request {
        struct slice method;
        struct slice path;    /* "/localapi/v0/status" */
        struct slice host;    /* Host header */
        bool has_origin;      /* Referer or Origin is there: a browser speaks */
        struct slice body;
        bool may_read, may_write; /* spec/node.md 1.9 */
        /* Value of a query parameter, decoded; false if absent. */
        bool (*query)(void *ctx, const char *name, struct slice *value);
        void *query_ctx;
};

enum localapi_kind {
        LOCALAPI_DONE,   /* status, content_type and body are the answer */
        LOCALAPI_WATCH,  /* stream the bus with `mask` */
        LOCALAPI_PING,   /* answer when the ping has come to an end */
        LOCALAPI_LOGOUT, /* 204 once backend_is_logging_out() is false */
};

enum localapi_ping_type { PING_DISCO, PING_TSMP };

struct localapi_reply {
        enum localapi_kind kind;
        unsigned status;
        const char *content_type; /* NULL: no body */
        struct buf body;
        unsigned mask;
        struct ip_addr ping_ip;
        enum localapi_ping_type ping_type;
        size_t ping_size;
        unsigned ping_timeout_ms; /* 0: as long as the ping takes */
};

/* Answers, having done what was asked. localapi_reply_fini() is due. */
void localapi_handle(struct backend *b, const struct localapi_request *rq, const struct now *now,
        struct localapi_reply *out);
void localapi_reply_fini(struct localapi_reply *reply);

/* The first message of a watcher with this mask, or false when it gets none. */
bool localapi_first_message(const struct backend *b, unsigned mask, const char *session_id, const struct now *now,
        struct buf *out);
/* The line (with newline) that a watcher with this mask is to see of n; false: none. */
bool localapi_message(const struct notify *n, unsigned mask, struct buf *out);

/* PingResult (spec/node.md 3.2). Texts are borrowed. */
struct localapi_ping_result {
        struct ip_addr ip;
        struct slice node_ip, node_name, err, endpoint, derp_code;
        uint64_t latency_us;
        unsigned derp_region;
        bool is_local_ip;
};
void localapi_ping_write(struct json_writer *w, const struct localapi_ping_result *r);

#endif
