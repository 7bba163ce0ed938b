/* Super-packets for tests, as the kernel hands them out of a TUN with offloads. */
#ifndef DATAPLANE_TEST_SUPER_H
#define DATAPLANE_TEST_SUPER_H

#include "base/cursor.h"
#include "base/random.h"
#include "ip/checksum.h"
#include "ip/packet.h"
#include "vnet.h"

enum { PACKET_MAX = 65535, IP4 = 20, IP6 = 40 };

struct shape {
        bool is_v6, is_tcp, has_ecn;
        size_t options; /* bytes of TCP options */
        uint16_t mss;
        size_t payload;
        uint32_t seq;
        uint8_t tcp_flags;
};

/* A super-packet as the kernel hands it out: lengths of the whole, a seed in the
 * checksum field. */
static inline size_t make_super(const struct shape *sh, struct rng *rng, struct vnet_header *vnet, uint8_t *p)
{
        size_t ip = sh->is_v6 ? IP6 : IP4, l4 = sh->is_tcp ? 20 + sh->options : 8;
        size_t len = ip + l4 + sh->payload;
        uint8_t proto = sh->is_tcp ? IP_PROTO_TCP : IP_PROTO_UDP;
        uint8_t tcp_type = sh->is_v6 ? VNET_GSO_TCP6 : VNET_GSO_TCP4;

        rng_fill(rng, p, len);
        if (sh->is_v6) {
                p[0] = 0x60;
                put_be16(p + 4, (uint16_t)(len - IP6));
                p[6] = proto;
        } else {
                p[0] = 0x45;
                put_be16(p + 2, (uint16_t)len);
                put_be16(p + 6, 0x4000);
                p[9] = proto;
                put_be16(p + 10, 0);
                put_be16(p + 10, checksum_finish(checksum_add(0, slice_make(p, IP4))));
        }
        if (sh->is_tcp) {
                put_be32(p + ip + 4, sh->seq);
                p[ip + 12] = (uint8_t)(l4 / 4 << 4);
                p[ip + 13] = sh->tcp_flags;
        } else {
                put_be16(p + ip + 4, (uint16_t)(len - ip));
        }
        *vnet = (struct vnet_header){
                .flags = VNET_NEEDS_CSUM,
                .gso_type = sh->is_tcp ? tcp_type : VNET_GSO_UDP,
                .hdr_len = (uint16_t)(ip + l4),
                .gso_size = sh->mss,
                .csum_start = (uint16_t)ip,
                .csum_offset = sh->is_tcp ? 16 : 6,
        };
        if (sh->has_ecn)
                vnet->gso_type |= VNET_GSO_ECN;
        size_t addr_at = sh->is_v6 ? 8 : 12, addr_len = sh->is_v6 ? 16 : 4;
        put_be16(p + ip + vnet->csum_offset,
                checksum_fold(checksum_pseudo(slice_make(p + addr_at, addr_len),
                        slice_make(p + addr_at + addr_len, addr_len), proto, (uint32_t)(len - ip))));
        return len;
}

#endif
