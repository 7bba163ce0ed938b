/*
 * The header in front of every packet read from or written to a TUN opened with
 * IFF_VNET_HDR (struct virtio_net_hdr, spec/dataplane.md 2.1): checksum and
 * segmentation work that one side left to the other. Host byte order.
 */
#ifndef DATAPLANE_VNET_H
#define DATAPLANE_VNET_H

#include <assert.h>
#include <stdint.h>

#include "base/slice.h"

enum { VNET_LEN = 10 };

enum {
        VNET_NEEDS_CSUM = 1, /* flags: the checksum field holds only the pseudo-header's sum */

        VNET_GSO_NONE = 0,
        VNET_GSO_TCP4 = 1,
        VNET_GSO_TCP6 = 4,
        VNET_GSO_UDP = 5,
        VNET_GSO_ECN = 0x80, /* or-ed to a TCP type: CWR is set */
};

struct vnet_header {
        uint8_t flags;
        uint8_t gso_type;
        uint16_t hdr_len;     /* not to be relied on when reading */
        uint16_t gso_size;    /* payload of each segment but the last */
        uint16_t csum_start;  /* where the checksummed bytes begin */
        uint16_t csum_offset; /* of the checksum field from there */
};

static inline struct vnet_header vnet_read(const uint8_t b[static VNET_LEN])
{
        struct vnet_header h = { .flags = b[0], .gso_type = b[1] };

        memcpy(&h.hdr_len, b + 2, 8); /* the four 16-bit fields, without padding */
        return h;
}

static inline void vnet_write(const struct vnet_header *h, uint8_t b[static VNET_LEN])
{
        b[0] = h->flags;
        b[1] = h->gso_type;
        memcpy(b + 2, &h->hdr_len, 8);
}

static_assert(sizeof(struct vnet_header) == VNET_LEN, "the four fields must be adjacent");

#endif
