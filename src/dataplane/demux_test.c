#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "demux.h"

static enum datagram_kind kind_of(size_t len, const char *start, size_t n)
{
        static uint8_t b[256];

        memset(b, 0, sizeof(b));
        memcpy(b, start, n);
        return datagram_classify(slice_make(b, len));
}

static void tells_them_apart(void **state)
{
        (void)state;
        static const struct {
                enum datagram_kind kind;
                size_t len, n;
                const char *start;
        } rows[] = {
                { DATAGRAM_STUN, 20, 8, "\x01\x01\x00\x00\x21\x12\xa4\x42" },
                { DATAGRAM_JUNK, 19, 8, "\x01\x01\x00\x00\x21\x12\xa4\x42" },
                { DATAGRAM_JUNK, 20, 8, "\x00\x01\x00\x00\x21\x12\xa4\x43" },
                { DATAGRAM_DISCO, 38, 6, "TS\xf0\x9f\x92\xac" },
                { DATAGRAM_JUNK, 37, 6, "TS\xf0\x9f\x92\xac" },
                { DATAGRAM_HANDSHAKE, 148, 4, "\x01\0\0\0" },
                { DATAGRAM_JUNK, 149, 4, "\x01\0\0\0" },
                { DATAGRAM_HANDSHAKE, 92, 4, "\x02\0\0\0" },
                { DATAGRAM_HANDSHAKE, 64, 4, "\x03\0\0\0" },
                { DATAGRAM_TRANSPORT, 32, 4, "\x04\0\0\0" },
                { DATAGRAM_TRANSPORT, 200, 4, "\x04\0\0\0" },
                { DATAGRAM_JUNK, 31, 4, "\x04\0\0\0" },
                { DATAGRAM_JUNK, 40, 4, "\x04\0\0\1" },
                { DATAGRAM_JUNK, 40, 4, "\x05\0\0\0" },
                { DATAGRAM_JUNK, 1, 1, "\x07" },
                { DATAGRAM_JUNK, 0, 0, "" },
        };
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                if (kind_of(rows[i].len, rows[i].start, rows[i].n) != rows[i].kind)
                        fail_msg("row %zu", i);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(tells_them_apart) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
