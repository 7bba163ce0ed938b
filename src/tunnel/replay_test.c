#include "replay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/random.h"
#include "limits.h"

static void follows_the_spec_sequence(void **state) /* spec/dataplane.md 1.8 */
{
        static const struct {
                uint64_t counter;
                bool accepted;
        } rows[] = {
                { 0, true }, { 1, true }, { 1, false }, { 9, true }, { 8, true }, { 7, true }, { 7, false },
                { 8128, true }, { 8127, true }, { 8127, false }, { 2, true }, { 8192, true }, { 63, false },
                { 64, true }, { 64, false }, { 16384, true }, { 8256, true }, { 8255, false }, { 24512, true },
        };
        struct replay_window w = { 0 };

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
                assert_int_equal(replay_accept(&w, rows[i].counter), rows[i].accepted);
}

static void refuses_counters_beyond_the_limit(void **state)
{
        struct replay_window w = { 0 };

        (void)state;
        assert_false(replay_accept(&w, UINT64_MAX));
        assert_false(replay_accept(&w, REJECT_AFTER_MESSAGES));
        assert_true(replay_accept(&w, 5)); /* and is not moved by them */
        assert_true(replay_accept(&w, REJECT_AFTER_MESSAGES - 1));
        assert_false(replay_accept(&w, REJECT_AFTER_MESSAGES - 1));
        assert_false(replay_accept(&w, 6));
}

/* The slow twin: remembers every counter, and the same rule for age. */
enum { TWIN_MAX = 200000 };
static bool twin_seen[TWIN_MAX];
static uint64_t twin_last;

static bool twin_accept(uint64_t counter)
{
        if (counter > twin_last)
                twin_last = counter;
        if (twin_last - counter > REPLAY_WINDOW || twin_seen[counter])
                return false;
        twin_seen[counter] = true;
        return true;
}

static void agrees_with_the_slow_twin(void **state)
{
        struct rng_seeded rng;

        (void)state;
        for (uint64_t seed = 0; seed < 20; seed++) {
                struct replay_window w = { 0 };
                uint64_t centre = 0;

                memset(twin_seen, 0, sizeof twin_seen);
                twin_last = 0;
                rng_seed(&rng, seed);
                for (int i = 0; i < 20000; i++) {
                        uint64_t spread = rng_below(&rng.rng, 8) ? 200 : 10000, back, counter;

                        centre += rng_below(&rng.rng, rng_below(&rng.rng, 500) ? 8 : 9000);
                        back = rng_below(&rng.rng, spread);
                        counter = centre > back ? centre - back : 0;
                        if (counter >= TWIN_MAX)
                                break;
                        assert_int_equal(replay_accept(&w, counter), twin_accept(counter));
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(follows_the_spec_sequence),
                cmocka_unit_test(refuses_counters_beyond_the_limit),
                cmocka_unit_test(agrees_with_the_slow_twin),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
