/* A packet that carries our own disco key to or from the tunnel is one of our own
 * going in circles: both workers drop it (spec/dataplane.md 4.2). */
#ifndef DATAPLANE_LOOPS_H
#define DATAPLANE_LOOPS_H

#include "crypto/key.h"
#include "ip/packet.h"

static inline bool is_own_disco(const struct packet *p, const struct public_key *own)
{
        static const uint8_t magic[6] = { 0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac };
        struct slice payload = slice_after(p->bytes, p->data_offset);

        return p->proto == IP_PROTO_UDP && payload.len >= sizeof(magic) + KEY_LEN &&
                memcmp(payload.ptr, magic, sizeof(magic)) == 0 &&
                memcmp(payload.ptr + sizeof(magic), own->b, KEY_LEN) == 0;
}

#endif
