/* Disco, plain and outer: what is parsed and written again parses to the same bytes. */
#include <stdlib.h>

#include "proto/disco.h"

#include "fuzz.h"

static void check_endpoints(const struct disco_endpoints *list)
{
        for (size_t i = 0; i < disco_endpoint_count(list); i++) {
                struct ip_port addr = disco_endpoint(list, i);
                if (addr.ip.family != IP_V4 && addr.ip.family != IP_V6)
                        abort();
        }
}

static void check_plain(struct slice plain)
{
        static uint8_t first[1 << 16], second[1 << 16];
        struct disco_message msg, again;
        struct slice once, twice;

        if (disco_parse(plain, &msg) != OK)
                return;
        if (msg.type == DISCO_CALL_ME_MAYBE)
                check_endpoints(&msg.call_me_maybe);
        if (msg.type == DISCO_CALL_ME_MAYBE_VIA)
                check_endpoints(&msg.via.addrs);
        if (msg.type == DISCO_PING && key_is_zero(&msg.ping.node_key))
                msg.ping.padding = 0; /* zeroes after no key may read as a zero key */
        if (disco_write(&msg, first, sizeof(first), &once) != OK)
                return; /* longer than we would ever write */
        if (disco_parse(once, &again) != OK)
                /* A message of another version parses to one without addresses,
                 * which nobody may write. */
                return;
        if (disco_write(&again, second, sizeof(second), &twice) != OK || !slice_equal(once, twice))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static const struct shared_key key = { { 1 } };
        static uint8_t plain_buf[1 << 16];
        struct slice in = slice_make(data, len), plain;
        struct geneve_header geneve;

        check_plain(in);
        (void)!disco_open(&key, in, plain_buf, sizeof(plain_buf), &plain);
        (void)!geneve_parse(in, &geneve);
        return 0;
}
