#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cursor.h"
#include "base/random.h"
#include "ip/checksum.h"

static uint16_t slow_sum(struct slice s)
{
        uint32_t sum = 0;

        for (size_t i = 0; i < s.len; i++)
                sum += i % 2 ? s.ptr[i] : (uint32_t)s.ptr[i] << 8;
        while (sum >> 16)
                sum = (sum & 0xffff) + (sum >> 16);
        return (uint16_t)sum;
}

static void agrees_with_the_definition(void **state)
{
        (void)state;
        uint8_t bytes[1600];
        struct rng_seeded rng;

        rng_seed(&rng, 3);
        for (size_t len = 0; len < sizeof(bytes); len++) {
                rng_fill(&rng.rng, bytes, len);
                struct slice s = slice_make(bytes, len);
                assert_int_equal(checksum_fold(checksum_add(0, s)), slow_sum(s));
                size_t cut = rng_below(&rng.rng, len / 2 + 1) * 2;
                uint64_t sum = checksum_add(checksum_add(0, slice_first(s, cut)), slice_after(s, cut));
                assert_int_equal(checksum_fold(sum), slow_sum(s));
        }
}

static void a_known_header(void **state)
{
        (void)state;
        /* IPv4 header of the transport vectors, spec/dataplane.md section 5 */
        const uint8_t h[] = { 0x45, 0, 0, 0x1c, 0, 1, 0, 0, 0x40, 1, 0, 0, 0x64, 0x40, 0, 1, 0x64, 0x40, 0, 2 };
        assert_int_equal(checksum_finish(checksum_add(0, SLICE_ARRAY(h))), 0xb25d);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(agrees_with_the_definition), cmocka_unit_test(a_known_header) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
