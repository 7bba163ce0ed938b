/*
 * A session as the workers use it: one thread seals, one opens, and the control
 * thread reads the stamps and answers events meanwhile. Run it under the thread
 * sanitizer; here it checks that nothing is lost and the control thread is woken.
 */
#include "session_internal.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { BATCH = 16, BATCHES = 4000, RING = 4, TEXT_LEN = 48 };

/* Batches on their way from the sender to the receiver. */
static uint8_t ring[RING][BATCH][TEXT_LEN + TUNNEL_OVERHEAD];
static atomic_size_t produced, consumed;
static atomic_uint sender_events, receiver_events;
static struct tunnel_session *sending, *receiving;
static size_t opened; /* the receiver's until it is joined */

static void fill(struct tunnel_packet *packets, size_t slot, uint32_t len)
{
        for (size_t i = 0; i < BATCH; i++)
                packets[i] = (struct tunnel_packet){ .msg = ring[slot][i], .plain_len = len };
}

static void *sender(void *arg)
{
        struct bulk *bulk = bulk_new(BULK_AUTO);
        struct tunnel_packet packets[BATCH];
        uint64_t counter;

        for (size_t b = 0; b < BATCHES; b++) {
                while (b - atomic_load(&consumed) == RING)
                        sched_yield();
                fill(packets, b % RING, TEXT_LEN);
                for (size_t i = 0; i < BATCH; i++)
                        memset(packets[i].msg + TUNNEL_HEADER_LEN, (int)(b % 251), TEXT_LEN);
                if (tunnel_session_reserve(sending, BATCH, b + 1, &counter) != OK)
                        break;
                atomic_fetch_or(&sender_events, tunnel_session_seal(sending, bulk, counter, packets, BATCH, b + 1));
                atomic_store(&produced, b + 1);
        }
        bulk_free(bulk);
        return arg;
}

static void *receiver(void *arg)
{
        struct bulk *bulk = bulk_new(BULK_AUTO);
        struct tunnel_packet packets[BATCH];

        for (size_t b = 0; b < BATCHES; b++) {
                while (atomic_load(&produced) == b)
                        sched_yield();
                fill(packets, b % RING, TEXT_LEN);
                atomic_fetch_or(&receiver_events, tunnel_session_open(receiving, bulk, packets, BATCH, b + 1));
                for (size_t i = 0; i < BATCH; i++)
                        opened += packets[i].status == OK && packets[i].msg[TUNNEL_HEADER_LEN] == b % 251;
                atomic_store(&consumed, b + 1);
        }
        bulk_free(bulk);
        return arg;
}

static void workers_and_control_thread_together(void **state)
{
        const struct tunnel_session_keys keys = { { { 1 } }, { { 2 } } }, mirrored = { { { 2 } }, { { 1 } } };
        struct activity *near = activity_new(), *far = activity_new();
        pthread_t threads[2];
        uint64_t last_us = 0;

        (void)state;
        sending = session_new(&keys, true, 1, 2, near, 0);
        receiving = session_new(&mirrored, false, 2, 1, far, 0);
        assert_non_null(sending);
        assert_non_null(receiving);
        assert_int_equal(pthread_create(&threads[0], NULL, sender, NULL), 0);
        assert_int_equal(pthread_create(&threads[1], NULL, receiver, NULL), 0);
        while (atomic_load(&consumed) < BATCHES) {
                uint64_t sent_us = stamp_get(&near->sent_us);

                assert_true(sent_us >= last_us && session_can_send(sending, sent_us));
                last_us = sent_us;
                if (activity_keepalive_since(far) != 0) {
                        activity_serve(&far->keepalive, stamp_get(&far->heard_us));
                        activity_watch(&far->keepalive, 0);
                }
                sched_yield();
        }
        pthread_join(threads[0], NULL);
        pthread_join(threads[1], NULL);
        assert_int_equal(opened, BATCH * BATCHES);
        assert_int_equal(atomic_load(&sender_events), TUNNEL_ACTIVITY);
        assert_int_equal(atomic_load(&receiver_events), TUNNEL_ACTIVITY | TUNNEL_FIRST_RECEIVE);
        tunnel_session_unref(sending);
        tunnel_session_unref(receiving);
        activity_unref(near);
        activity_unref(far);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(workers_and_control_thread_together),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
