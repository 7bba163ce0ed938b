#include "loop_internal.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "base/log.h"
#include "net/stream.h"
#include "stream_internal.h"

static const struct log lg = { "net" };

/* Deferred tasks often defer others (TLS over TCP); this many generations run before
 * the loop looks at its descriptors again. */
enum { DEFER_GENERATIONS = 4 };

struct now net_clock(void)
{
        struct timespec mono, wall;

        clock_gettime(CLOCK_BOOTTIME, &mono);
        clock_gettime(CLOCK_REALTIME, &wall);
        return (struct now){
                .mono_us = (uint64_t)mono.tv_sec * 1000000 + (uint64_t)mono.tv_nsec / 1000,
                .unix_us = (int64_t)wall.tv_sec * 1000000 + wall.tv_nsec / 1000,
        };
}

struct now net_loop_now(struct net_loop *loop)
{
        if (loop->is_now_stale) {
                loop->now = net_clock();
                loop->is_now_stale = false;
        }
        return loop->now;
}

static void kernel_fill(struct rng *rng, void *out, size_t n)
{
        uint8_t *p = out;

        (void)rng;
        while (n > 0) {
                ssize_t got = getrandom(p, n, 0);
                if (got < 0) {
                        if (errno == EINTR)
                                continue;
                        abort(); /* no kernel we run on refuses; without randomness nothing is safe */
                }
                p += got;
                n -= (size_t)got;
        }
}

struct rng *net_rng(void)
{
        static struct rng kernel = { kernel_fill };
        return &kernel;
}

enum err net_err_from_uv(int uv_status)
{
        if (uv_status == 0)
                return OK;
        if (uv_status == UV_EOF)
                return ERR_CLOSED;
        enum err e = err_from_errno(-uv_status);
        return e == ERR_CLOSED || e == OK ? ERR_SYS : e;
}

/* ---- deferred and posted tasks ---- */

static void on_idle(uv_idle_t *idle)
{
        (void)idle; /* its being active is what matters: the loop does not wait */
}

void net_loop_defer(struct net_loop *loop, struct net_task *task)
{
        if (list_linked(&task->link))
                return;
        list_push_back(&loop->deferred, &task->link);
        if (!uv_is_active((uv_handle_t *)&loop->idle))
                uv_idle_start(&loop->idle, on_idle);
}

void net_task_cancel(struct net_task *task)
{
        list_remove(&task->link);
}

static void take_all(struct list *from, struct list *to)
{
        list_init(to);
        for (struct list *node; (node = list_pop_front(from));)
                list_push_back(to, node);
}

/* A task may cancel those behind it: they are taken one by one. */
static void run_tasks(struct list *tasks)
{
        for (struct list *node; (node = list_pop_front(tasks));) {
                struct net_task *task = container_of(node, struct net_task, link);
                task->run(task);
        }
}

static void run_deferred(struct net_loop *loop)
{
        for (int i = 0; i < DEFER_GENERATIONS && !list_empty(&loop->deferred); i++) {
                struct list batch;
                take_all(&loop->deferred, &batch);
                run_tasks(&batch);
        }
        if (list_empty(&loop->deferred))
                uv_idle_stop(&loop->idle);
}

void net_loop_post(struct net_loop *loop, struct net_task *task)
{
        uv_mutex_lock(&loop->mutex);
        list_push_back(&loop->posted, &task->link);
        uv_mutex_unlock(&loop->mutex);
        uv_async_send(&loop->async);
}

static void run_posted(struct net_loop *loop)
{
        struct list batch;

        uv_mutex_lock(&loop->mutex);
        take_all(&loop->posted, &batch);
        uv_mutex_unlock(&loop->mutex);
        run_tasks(&batch);
}

static void on_async(uv_async_t *async)
{
        struct net_loop *loop = async->data;

        run_posted(loop);
        if (atomic_exchange(&loop->is_stopping, false))
                uv_stop(&loop->uv);
}

/* ---- timers ---- */

static void on_timer(uv_timer_t *timer)
{
        struct net_loop *loop = timer->data;

        loop->is_now_stale = true;
        struct now now = net_loop_now(loop);
        timer_run(&loop->timers, &now);
}

static void set_timer(struct net_loop *loop)
{
        uint64_t next = timer_next(&loop->timers);

        if (next == TIME_NEVER) {
                uv_timer_stop(&loop->timer);
                return;
        }
        /* The heap counts suspend, libuv's clock does not: so the delay is computed
         * anew every round. */
        uint64_t mono_us = net_clock().mono_us;
        uint64_t delay_ms = next > mono_us ? (next - mono_us + 999) / 1000 : 0;
        uv_update_time(&loop->uv);
        uv_timer_start(&loop->timer, on_timer, delay_ms, 0);
}

void net_timer_start_at(struct net_loop *loop, struct timer *t, uint64_t at_us)
{
        timer_arm(&loop->timers, t, at_us);
        /* Keeps the loop alive; set_timer() gives it its true delay before waiting. */
        if (!uv_is_active((uv_handle_t *)&loop->timer))
                uv_timer_start(&loop->timer, on_timer, 0, 0);
}

void net_timer_start(struct net_loop *loop, struct timer *t, uint64_t delay_ms)
{
        net_timer_start_at(loop, t, net_loop_now(loop).mono_us + TIME_MS(delay_ms));
}

void net_timer_stop(struct net_loop *loop, struct timer *t)
{
        timer_cancel(&loop->timers, t);
}

/* ---- the round ---- */

static void on_prepare(uv_prepare_t *prepare)
{
        struct net_loop *loop = prepare->data;

        run_deferred(loop);
        set_timer(loop);
        loop->is_now_stale = true; /* the wait is next */
}

static void on_check(uv_check_t *check)
{
        struct net_loop *loop = check->data;
        loop->is_now_stale = true;
}

static void on_wait(uv_timer_t *timer)
{
        (void)timer; /* that the round ends is all it is for */
}

enum err net_loop_new(struct net_loop **out)
{
        struct net_loop *loop = calloc(1, sizeof(*loop));

        *out = NULL;
        if (!loop)
                return ERR_NOMEM;
        if (uv_loop_init(&loop->uv) != 0 || uv_mutex_init(&loop->mutex) != 0) {
                free(loop);
                return ERR_SYS;
        }
        if (uv_async_init(&loop->uv, &loop->async, on_async) != 0) {
                uv_mutex_destroy(&loop->mutex);
                uv_loop_close(&loop->uv);
                free(loop);
                return ERR_SYS;
        }
        signal(SIGPIPE, SIG_IGN);
        uv_prepare_init(&loop->uv, &loop->prepare);
        uv_check_init(&loop->uv, &loop->check);
        uv_idle_init(&loop->uv, &loop->idle);
        uv_timer_init(&loop->uv, &loop->timer);
        uv_timer_init(&loop->uv, &loop->wait);
        loop->async.data = loop->prepare.data = loop->check.data = loop->timer.data = loop;
        list_init(&loop->posted);
        list_init(&loop->deferred);
        list_init(&loop->lingering);
        timer_heap_init(&loop->timers);
        uv_prepare_start(&loop->prepare, on_prepare);
        uv_check_start(&loop->check, on_check);
        uv_unref((uv_handle_t *)&loop->prepare);
        uv_unref((uv_handle_t *)&loop->check);
        uv_unref((uv_handle_t *)&loop->async);
        loop->is_now_stale = true;
        *out = loop;
        return OK;
}

void net_loop_run(struct net_loop *loop)
{
        uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void net_loop_run_once(struct net_loop *loop, unsigned wait_ms)
{
        if (wait_ms == 0) {
                uv_run(&loop->uv, UV_RUN_NOWAIT);
                return;
        }
        uv_update_time(&loop->uv);
        uv_timer_start(&loop->wait, on_wait, wait_ms, 0);
        uv_run(&loop->uv, UV_RUN_ONCE);
        uv_timer_stop(&loop->wait);
}

void net_loop_stop(struct net_loop *loop)
{
        atomic_store(&loop->is_stopping, true);
        uv_async_send(&loop->async);
}

static void close_forgotten(uv_handle_t *handle, void *arg)
{
        (void)arg;
        if (uv_is_closing(handle))
                return;
        log_error(&lg, "loop freed while something on it is still open", "handle=%s",
                uv_handle_type_name(handle->type));
        uv_close(handle, NULL); /* its memory leaks, but nothing hangs */
}

void net_loop_free(struct net_loop *loop)
{
        if (!loop)
                return;
        while (!list_empty(&loop->lingering))
                stream_linger_end(loop->lingering.next);
        run_posted(loop);
        while (!list_empty(&loop->deferred))
                run_deferred(loop);
        uv_close((uv_handle_t *)&loop->prepare, NULL);
        uv_close((uv_handle_t *)&loop->check, NULL);
        uv_close((uv_handle_t *)&loop->idle, NULL);
        uv_close((uv_handle_t *)&loop->timer, NULL);
        uv_close((uv_handle_t *)&loop->wait, NULL);
        uv_close((uv_handle_t *)&loop->async, NULL);
        uv_walk(&loop->uv, close_forgotten, NULL);
        uv_run(&loop->uv, UV_RUN_DEFAULT);
        int status = uv_loop_close(&loop->uv);
        assert(status == 0);
        (void)status;
        uv_mutex_destroy(&loop->mutex);
        timer_heap_fini(&loop->timers);
        free(loop);
}

struct uv_loop_s *net_loop_uv(struct net_loop *loop)
{
        return &loop->uv;
}
