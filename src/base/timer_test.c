#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/list.h"
#include "base/random.h"
#include "base/timer.h"

enum { TIMERS = 200 };

struct probe {
        struct timer timer;
        struct timer_heap *heap;
        uint64_t fired_at;
        uint64_t rearm_us;
};

static uint64_t last_at;

static void on_fire(struct timer *t, const struct now *now)
{
        struct probe *p = container_of(t, struct probe, timer);

        assert_true(t->at_us >= last_at);
        assert_true(t->at_us <= now->mono_us);
        last_at = t->at_us;
        p->fired_at = now->mono_us;
        if (p->rearm_us)
                timer_arm(p->heap, t, now->mono_us + p->rearm_us);
}

static void fires_in_order_whatever_moves(void **state)
{
        (void)state;
        static struct probe probes[TIMERS];
        struct timer_heap heap;
        struct rng_seeded rng;

        timer_heap_init(&heap);
        rng_seed(&rng, 7);
        for (int i = 0; i < TIMERS; i++)
                probes[i] = (struct probe){ .timer.fire = on_fire, .heap = &heap };
        for (int step = 0; step < 5000; step++) {
                struct probe *p = &probes[rng_below(&rng.rng, TIMERS)];
                if (rng_below(&rng.rng, 4) == 0)
                        timer_cancel(&heap, &p->timer);
                else
                        timer_arm(&heap, &p->timer, 1 + rng_below(&rng.rng, 1000));
        }
        for (uint64_t t = 0; t <= 1000; t += 10) {
                struct now now = { t, 0 };
                timer_run(&heap, &now);
                assert_true(timer_next(&heap) > t);
        }
        assert_int_equal(heap.count, 0);
        timer_heap_fini(&heap);
}

static void a_timer_in_the_past_cannot_hold_the_loop(void **state)
{
        (void)state;
        struct timer_heap heap;
        struct probe p = { .timer.fire = on_fire, .heap = &heap };
        struct now now = { 100, 0 };

        last_at = 0;
        timer_heap_init(&heap);
        p.rearm_us = 1;
        timer_arm(&heap, &p.timer, 5);
        timer_run(&heap, &now);
        assert_int_equal(timer_next(&heap), 101);
        timer_heap_fini(&heap);
        assert_false(timer_armed(&p.timer));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(fires_in_order_whatever_moves),
                cmocka_unit_test(a_timer_in_the_past_cannot_hold_the_loop),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
