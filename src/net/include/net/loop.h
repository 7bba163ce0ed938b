/*
 * The event loop: one libuv loop and what every module on it needs, namely the
 * clock, timers, deferred calls, calls from other threads, watched descriptors and
 * the kernel's randomness.
 *
 * A loop and everything created on it belong to one thread. The exceptions are
 * net_loop_post() and net_loop_stop(), which any thread may call.
 *
 * Callbacks of this library may close the object they came from, and any other:
 * closing never calls back, and memory is freed after the round.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include "base/err.h"
#include "base/list.h"
#include "base/random.h"
#include "base/timer.h"

struct net_loop;
struct uv_loop_s;

/* A loop of its own; NULL in *out and an error when the system refuses one.
 * The first loop makes the process ignore SIGPIPE. */
enum err MUST_USE net_loop_new(struct net_loop **out);
/* Everything on the loop must have been closed; what is still closing is waited
 * for. Deferred and posted tasks still queued are run. */
void net_loop_free(struct net_loop *loop);

/* Runs until net_loop_stop() or until nothing on the loop can call back any more. */
void net_loop_run(struct net_loop *loop);
/* One round: waits at most wait_ms for something to happen. For tests and fuzzing. */
void net_loop_run_once(struct net_loop *loop, unsigned wait_ms);
/* Makes net_loop_run() return after the present round. Any thread. */
void net_loop_stop(struct net_loop *loop);

/* The time, read from the system once a round (net_loop_now) or now (net_clock). */
struct now net_loop_now(struct net_loop *loop);
struct now net_clock(void);
/* getrandom(2). May be used by every thread. */
struct rng *net_rng(void);

/* Arms t (base/timer.h) in the loop's heap, delay_ms from the present round; moves
 * it if armed. The memory of t stays the caller's, who cancels before freeing it. */
void net_timer_start(struct net_loop *loop, struct timer *t, uint64_t delay_ms);
void net_timer_start_at(struct net_loop *loop, struct timer *t, uint64_t at_us);
void net_timer_stop(struct net_loop *loop, struct timer *t);

/* A call to be made later. The memory is the caller's; zero it before first use. */
struct net_task {
        struct list link;
        void (*run)(struct net_task *task);
};
/* Runs the task before the loop next waits; does nothing if it is already queued. */
void net_loop_defer(struct net_loop *loop, struct net_task *task);
void net_task_cancel(struct net_task *task);
/* Runs the task on the loop's thread. Any thread. A posted task cannot be
 * cancelled, and may be posted again only from its run() on. */
void net_loop_post(struct net_loop *loop, struct net_task *task);

/* Watches a descriptor that libuv knows nothing about: netlink, eventfd, TUN. */
enum net_poll_events { NET_POLL_READ = 1, NET_POLL_WRITE = 2 };
struct net_poll;
/* ready() is called with a set of enum net_poll_events, again and again while they
 * last. The descriptor stays the caller's and must outlive the watch. */
enum err MUST_USE net_poll_start(struct net_loop *loop, int fd, int events,
        void (*ready)(void *ctx, int events), void *ctx, struct net_poll **out);
void net_poll_stop(struct net_poll *poll); /* NULL is fine */

/* Watches a signal; several watchers of one signal are all called. */
struct net_signal;
enum err MUST_USE net_signal_start(struct net_loop *loop, int signum,
        void (*caught)(void *ctx, int signum), void *ctx, struct net_signal **out);
void net_signal_stop(struct net_signal *sig); /* NULL is fine */

/* Watches a folder: something in it came, went or was written, perhaps several times in
 * a row. To watch a file, watch its folder: editors put a new file in the old one's place. */
struct net_watch;
enum err MUST_USE net_watch_start(struct net_loop *loop, const char *folder, void (*changed)(void *ctx),
        void *ctx, struct net_watch **out);
void net_watch_stop(struct net_watch *watch); /* NULL is fine */

/*
 * Work that takes long (a password hash, a compile) on a thread of libuv's pool.
 * run() is called there and must touch nothing of the loop; then done() on the
 * loop's thread. Cancelling drops the call of done() if run() has begun or makes
 * neither happen if it has not; ctx then goes to drop() (may be NULL), on the loop's
 * thread, once nobody uses it any more.
 */
struct net_work;
struct net_work_calls {
        void (*run)(void *ctx);
        void (*done)(void *ctx);
        void (*drop)(void *ctx);
};
enum err MUST_USE net_work_start(struct net_loop *loop, const struct net_work_calls *calls, void *ctx,
        struct net_work **out);
void net_work_cancel(struct net_work *work);

/* For modules that need a libuv handle not offered here. */
struct uv_loop_s *net_loop_uv(struct net_loop *loop);

#endif
