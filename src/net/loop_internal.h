/* What the files of net/ know about a loop beyond its public face. */
#ifndef NET_LOOP_INTERNAL_H
#define NET_LOOP_INTERNAL_H

#include <stdatomic.h>
#include <uv.h>

#include "net/loop.h"

/* One read, one decrypted record run, one frame to be made: see the uses. */
enum { LOOP_READ_BYTES = 64 * 1024 };

struct net_loop {
        uv_loop_t uv;
        uv_prepare_t prepare; /* before waiting: deferred tasks, then the next deadline */
        uv_check_t check;     /* after waiting: the clock has moved */
        uv_idle_t idle;       /* runs while tasks are deferred, so that nothing waits */
        uv_timer_t timer;     /* the earliest deadline of the heap */
        uv_timer_t wait;      /* bounds net_loop_run_once() */
        uv_async_t async;     /* wakes the loop for posted tasks and stop */
        uv_mutex_t mutex;     /* guards posted */
        struct list posted, deferred;
        struct list lingering; /* streams given up by net_stream_close_soon() */
        struct timer_heap timers;
        struct now now;
        bool is_now_stale;
        atomic_bool is_stopping; /* uv_stop() itself may not be called by other threads */
        uint8_t read_buf[LOOP_READ_BYTES]; /* valid within one read callback */
};

/* The system's errno (or libuv's negative) as our error, for a connection: never
 * ERR_CLOSED, which streams keep for an end in good order. */
enum err net_err_from_uv(int uv_status);

#endif
