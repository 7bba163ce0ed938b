/*
 * Taking a super-packet apart: what the kernel hands out for a TUN with TSO or USO
 * (up to 64 KiB under one header) becomes packets of the device's MTU, byte for
 * byte as the kernel would have made them (spec/dataplane.md 2.2).
 */
#ifndef DATAPLANE_SEGMENT_H
#define DATAPLANE_SEGMENT_H

#include "base/err.h"
#include "vnet.h"

struct segmenter {
        struct slice packet;   /* borrowed: the super-packet from its IP header on */
        struct vnet_header vnet;
        bool is_v6;
        uint8_t proto;         /* TCP or UDP when splitting */
        uint16_t l4_offset;
        uint16_t header_len;   /* IP and transport headers, measured, not believed */
        uint32_t index;        /* of the next segment */
        size_t taken;          /* payload bytes already given out */
        bool done;
};

/*
 * Checks the header against the packet. ERR_FORMAT, ERR_UNSUPPORTED (a kind of
 * offload we did not ask for). The bytes are untrusted: a forwarded or injected
 * packet may carry any offsets.
 */
enum err MUST_USE segment_begin(struct segmenter *s, const struct vnet_header *vnet, struct slice packet);
/* The longest segment that will come, in bytes; and how many are still to come. */
size_t segment_max_len(const struct segmenter *s);
size_t segment_left(const struct segmenter *s);
/* Writes the next segment with complete checksums to out, which has room for
 * segment_max_len() bytes. Returns its length, 0 when there is none. */
size_t segment_next(struct segmenter *s, uint8_t *out);

#endif
