/* Any message; what parses is written and read back the same. */
#include <assert.h>

#include "ip/packet.h"
#include "proto/tsmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct tsmp m, back;
        uint8_t out[TSMP_PACKET_MAX];
        struct ip_addr a = ip_v4(100, 64, 0, 1);
        struct packet p;

        if (tsmp_parse(slice_make(data, len), &m) != OK)
                return 0;
        size_t n = tsmp_packet_write(&m, &a, &a, out);
        enum err e = packet_decode(slice_make(out, n), &p);
        assert(e == OK && p.proto == IP_PROTO_TSMP);
        e = tsmp_parse(slice_after(p.bytes, p.l4_offset), &back);
        assert(e == OK && memcmp(&m, &back, sizeof(m)) == 0);
        return 0;
}
