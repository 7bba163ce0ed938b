/* Any bytes: what the packet decoder says lies inside the packet. */
#include <stdlib.h>

#include "ip/packet.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct packet p;

        if (packet_decode(slice_make(data, len), &p) != OK)
                return 0;
        if (p.bytes.len > len || p.l4_offset > p.bytes.len || p.data_offset > p.bytes.len || p.l4_offset > p.data_offset)
                abort();
        packet_is_icmp_reply(&p);
        packet_is_echo_request(&p);
        return 0;
}
