/* What the tests of net/ share: a loop, waiting with a limit, a stream that records. */
#ifndef NET_TEST_UTIL_H
#define NET_TEST_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "net/loop.h"
#include "net/stream.h"

enum { TEST_WAIT_MS = 5000 };

/* Runs the loop until the expression holds; fails the test after five seconds. */
#define run_until(loop, expr)                                                        \
        do {                                                                         \
                uint64_t until_us_ = net_clock().mono_us + TIME_MS(TEST_WAIT_MS);    \
                while (!(expr)) {                                                    \
                        if (net_clock().mono_us > until_us_)                         \
                                fail_msg("waited in vain for %s", #expr);            \
                        net_loop_run_once((loop), 20);                               \
                }                                                                    \
        } while (0)

static inline void run_for(struct net_loop *loop, unsigned ms)
{
        uint64_t until_us = net_clock().mono_us + TIME_MS(ms);
        while (net_clock().mono_us < until_us)
                net_loop_run_once(loop, 5);
}

/* The user of a stream, keeping what happens. */
struct recorder {
        struct net_stream *s;
        struct buf got;
        unsigned opened, writable, ended;
        enum err why;
        bool echo;
};

static inline void recorder_open(struct net_stream *s, void *ctx)
{
        (void)s;
        ((struct recorder *)ctx)->opened++;
}
static inline void recorder_data(struct net_stream *s, void *ctx, struct slice data)
{
        struct recorder *r = ctx;
        buf_append_slice(&r->got, data);
        if (r->echo)
                assert_int_equal(net_stream_write(s, data), OK);
}
static inline void recorder_writable(struct net_stream *s, void *ctx)
{
        (void)s;
        ((struct recorder *)ctx)->writable++;
}
static inline void recorder_end(struct net_stream *s, void *ctx, enum err why)
{
        struct recorder *r = ctx;
        (void)s;
        r->ended++;
        r->why = why;
}
static const struct net_stream_handler recorder_handler __attribute__((unused)) = {
        recorder_open, recorder_data, recorder_writable, recorder_end
};

static inline void recorder_attach(struct recorder *r, struct net_stream *s)
{
        *r = (struct recorder){ .s = s, .got = BUF_INIT(64 << 20) };
        net_stream_set_handler(s, &recorder_handler, r);
}
static inline void recorder_fini(struct recorder *r)
{
        net_stream_close(r->s);
        r->s = NULL;
        buf_fini(&r->got);
}
/* The text is what has been received, no more and no less. */
static inline bool recorder_has(const struct recorder *r, const char *text)
{
        return slice_is(buf_slice(&r->got), text);
}

static inline int loop_setup(void **state)
{
        struct net_loop *loop;
        enum err e = net_loop_new(&loop);
        *state = loop;
        return e == OK ? 0 : -1;
}
static inline int loop_teardown(void **state)
{
        net_loop_free(*state);
        return 0;
}

#endif
