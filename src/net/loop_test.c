#include "test_util.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct ticks {
        struct timer timer;
        struct net_task task;
        struct net_loop *loop;
        unsigned fired, ran;
        pthread_t thread;
};

static void on_tick(struct timer *t, const struct now *now)
{
        struct ticks *k = container_of(t, struct ticks, timer);
        assert_true(now->mono_us >= t->at_us);
        if (++k->fired < 3)
                net_timer_start(k->loop, t, 5);
}

static void timers_fire_and_keep_the_loop_alive(void **state)
{
        struct ticks k = { .timer.fire = on_tick, .loop = *state };
        uint64_t begin_us = net_clock().mono_us;

        net_timer_start(k.loop, &k.timer, 5);
        net_loop_run(k.loop); /* ends by itself when no timer is left */
        assert_int_equal(k.fired, 3);
        assert_true(net_clock().mono_us - begin_us >= TIME_MS(15));

        k.fired = 0;
        net_timer_start(k.loop, &k.timer, 1);
        net_timer_stop(k.loop, &k.timer);
        net_loop_run(k.loop);
        assert_int_equal(k.fired, 0);
}

static void on_task(struct net_task *task)
{
        struct ticks *k = container_of(task, struct ticks, task);
        if (++k->ran < 20)
                net_loop_defer(k->loop, task);
}

static void deferred_tasks_run_before_waiting(void **state)
{
        struct ticks k = { .task.run = on_task, .loop = *state };

        net_loop_defer(k.loop, &k.task);
        net_loop_defer(k.loop, &k.task);
        net_loop_run(k.loop);
        assert_int_equal(k.ran, 20);

        k.ran = 0;
        net_loop_defer(k.loop, &k.task);
        net_task_cancel(&k.task);
        net_loop_run(k.loop);
        assert_int_equal(k.ran, 0);
}

static void on_post(struct net_task *task)
{
        struct ticks *k = container_of(task, struct ticks, task);
        assert_false(pthread_equal(pthread_self(), k->thread));
        k->ran++;
        net_loop_stop(k->loop);
}

static void *poster(void *arg)
{
        struct ticks *k = arg;
        net_loop_post(k->loop, &k->task);
        return NULL;
}

static void posting_crosses_threads_and_stop_stops(void **state)
{
        struct ticks k = { .task.run = on_post, .timer.fire = on_tick, .loop = *state };

        net_timer_start(k.loop, &k.timer, 60 * 1000);
        assert_int_equal(pthread_create(&k.thread, NULL, poster, &k), 0);
        net_loop_run(k.loop);
        assert_int_equal(k.ran, 1);
        pthread_join(k.thread, NULL);
        net_timer_stop(k.loop, &k.timer);
}

static void on_event(void *ctx, int events)
{
        assert_int_equal(events, NET_POLL_READ);
        ++*(unsigned *)ctx;
}

static void descriptors_are_watched(void **state)
{
        struct net_loop *loop = *state;
        struct net_poll *poll;
        unsigned seen = 0;
        int fd = eventfd(0, EFD_CLOEXEC);

        assert_int_equal(net_poll_start(loop, fd, NET_POLL_READ, on_event, &seen, &poll), OK);
        run_for(loop, 10);
        assert_int_equal(seen, 0);
        assert_int_equal(eventfd_write(fd, 1), 0);
        run_until(loop, seen > 1);
        net_poll_stop(poll);
        unsigned before = seen;
        run_for(loop, 10);
        assert_int_equal(seen, before);
        close(fd);
}

static void on_caught(void *ctx, int signum)
{
        *(int *)ctx = signum;
}

static void signals_are_caught(void **state)
{
        struct net_loop *loop = *state;
        struct net_signal *sig;
        int caught = 0;

        assert_int_equal(net_signal_start(loop, SIGHUP, on_caught, &caught, &sig), OK);
        raise(SIGHUP);
        run_until(loop, caught == SIGHUP);
        net_signal_stop(sig);
}

struct job {
        _Atomic int ran;
        int done, dropped;
        unsigned sleep_us;
};
static void job_run(void *ctx)
{
        struct job *j = ctx;
        usleep(j->sleep_us);
        j->ran = 1;
}
static void job_done(void *ctx) { ((struct job *)ctx)->done++; }
static void job_drop(void *ctx) { ((struct job *)ctx)->dropped++; }

static void work_is_done_elsewhere_and_can_be_cancelled(void **state)
{
        static const struct net_work_calls calls = { job_run, job_done, job_drop };
        struct net_loop *loop = *state;
        struct job a = { 0 }, b = { .sleep_us = 20000 };
        struct net_work *work;

        assert_int_equal(net_work_start(loop, &calls, &a, &work), OK);
        run_until(loop, a.done == 1);
        assert_int_equal(a.ran, 1);
        assert_int_equal(net_work_start(loop, &calls, &b, &work), OK);
        net_work_cancel(work);
        run_until(loop, b.dropped == 1);
        assert_int_equal(b.done, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        timers_fire_and_keep_the_loop_alive, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(deferred_tasks_run_before_waiting, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(
                        posting_crosses_threads_and_stop_stops, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(descriptors_are_watched, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(signals_are_caught, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(
                        work_is_done_elsewhere_and_can_be_cancelled, loop_setup, loop_teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
