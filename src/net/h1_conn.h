/* One HTTP/1.1 connection of a server; shared by its reading and its writing half. */
#ifndef NET_H1_CONN_H
#define NET_H1_CONN_H

#include <http_parser.h>

#include "h1_head.h"
#include "http_internal.h"

/*
 * A connection serves one request after another:
 *
 *   IDLE      nothing of a request has come             (idle_ms)
 *   HEAD      the head is coming                        (header_ms for all of it)
 *   BODY      on_head has been told, the body comes     (body_ms)
 *   ANSWER    the request is whole, the user has it     (write_ms without progress)
 *   DEAD      failed, hijacked or ended; freed soon
 */
enum h1_state { H1_IDLE, H1_HEAD, H1_BODY, H1_ANSWER, H1_DEAD };

struct h1_conn {
        struct http_conn base;
        enum h1_state state;
        http_parser parser;
        struct h1_head head;
        enum { H1_NOTHING, H1_HEAD_DONE, H1_MESSAGE_DONE } seen; /* why the parser paused */
        unsigned refusal;           /* status for a request that breaks a rule, or 0 */
        struct http_exchange *x;    /* from HEAD done to the end of the answer */
        struct buf pending;         /* bytes behind a request that is being answered */
        struct slice rest;          /* of the bytes being fed, what the parser has not had */
        struct timer timer;
        uint64_t written;           /* bytes given to the stream */
        uint64_t body_bytes;        /* of the body of x that have come */
        uint64_t progress;          /* what had moved when the timer last looked */
        bool keep_alive;            /* after this answer */
        bool is_chunked;            /* the answer's body */
        bool expects_continue;
        bool body_paused;
};

struct h1_conn *h1_of(const struct http_exchange *x);
extern const struct exchange_ops h1_exchange_ops;

/* (Re)starts the timer of the present state. */
void h1_arm(struct h1_conn *c);
/* The connection is of no more use: aborts the exchange and frees itself soon. polite:
 * what is queued still goes out. */
void h1_die(struct h1_conn *c, bool polite);

#endif
