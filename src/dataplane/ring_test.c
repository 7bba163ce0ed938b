#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "ring.h"

static void refuses_when_full(void **state)
{
        (void)state;
        struct ring r;

        assert_int_equal(ring_init(&r, 64), OK);
        assert_true(ring_empty(&r));
        assert_null(ring_reserve(&r, 33));
        for (int i = 0; i < 4; i++) { /* 4 x (8 + 8) bytes */
                uint8_t *p = ring_reserve(&r, 5);
                assert_non_null(p);
                memset(p, i, 5);
                ring_commit(&r, 5);
        }
        assert_null(ring_reserve(&r, 1));
        for (int i = 0; i < 4; i++) {
                struct slice s = ring_peek(&r);
                assert_int_equal(s.len, 5);
                assert_int_equal(s.ptr[4], i);
                ring_release(&r);
        }
        assert_true(ring_empty(&r));
        assert_null(ring_peek(&r).ptr);
        ring_fini(&r);
}

enum { RECORDS = 20000 };

/* The length and bytes of record i, known to both threads. */
static uint32_t record_len(uint32_t i) { return i * 2654435761u % 200; }

static void *produce(void *arg)
{
        struct ring *r = arg;

        for (uint32_t i = 0; i < RECORDS; i++) {
                uint8_t *p;
                while (!(p = ring_reserve(r, record_len(i))))
                        sched_yield();
                memset(p, (int)i, record_len(i));
                ring_commit(r, record_len(i));
        }
        return NULL;
}

static void carries_records_between_threads(void **state)
{
        (void)state;
        struct ring r;
        pthread_t thread;

        assert_int_equal(ring_init(&r, 512), OK);
        assert_int_equal(pthread_create(&thread, NULL, produce, &r), 0);
        for (uint32_t i = 0; i < RECORDS; i++) {
                struct slice s;
                while (!(s = ring_peek(&r)).ptr)
                        sched_yield();
                assert_int_equal(s.len, record_len(i));
                for (size_t k = 0; k < s.len; k++)
                        assert_int_equal(s.ptr[k], (uint8_t)i);
                ring_release(&r);
        }
        pthread_join(thread, NULL);
        assert_true(ring_empty(&r));
        ring_fini(&r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(refuses_when_full),
                cmocka_unit_test(carries_records_between_threads),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
