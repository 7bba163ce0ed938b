/*
 * The reverse of segment.h: decrypted packets of one flow that follow each other
 * are handed to the kernel as one super-packet, which it passes up the stack (or
 * on to another interface) at the cost of one (spec/dataplane.md 2.3).
 *
 * Packets are borrowed and never moved or changed: a super-packet is written by
 * gathering a new header and the payloads where they lie. So a kernel that refuses
 * one can still be given its packets singly.
 */
#ifndef DATAPLANE_COALESCE_H
#define DATAPLANE_COALESCE_H

#include <sys/uio.h>

#include "ip/packet.h"
#include "vnet.h"

enum {
        COALESCE_PACKETS = 256, /* a batch */
        COALESCE_SEGMENTS = 64, /* in one super-packet */
        COALESCE_SLOTS = 64,
        COALESCE_HEAD_MAX = VNET_LEN + 40 + 60,
        COALESCE_IOV_MAX = 1 + COALESCE_SEGMENTS,
};

enum coalesce_kind { COALESCE_SINGLE, COALESCE_TCP, COALESCE_UDP };

struct coalesce_packet {
        struct slice bytes;
        uint16_t payload_len;
        uint16_t next; /* index + 1 of the packet after this one in its item; 0: last */
};

/* One write to the TUN: a packet as it came, or a run of one flow. */
struct coalesce_item {
        uint8_t kind;   /* enum coalesce_kind: what may join it */
        bool is_v6;
        bool has_psh;   /* nothing may follow */
        bool has_short_tail;
        uint16_t l4_offset, header_len;
        uint16_t gso_size;
        uint16_t count;
        uint16_t first, last; /* packets, by index */
        uint32_t payload_len; /* of all packets */
        uint32_t seq_start, seq_end;
};

struct coalescer {
        unsigned packet_count, item_count;
        struct coalesce_packet packets[COALESCE_PACKETS];
        struct coalesce_item items[COALESCE_PACKETS];
        uint16_t slots[COALESCE_SLOTS]; /* index + 1 of the last item of a flow */
        bool no_tcp, no_udp;            /* set by the caller: never merge these */
};

/* Empties c for the next batch. */
void coalesce_reset(struct coalescer *c);
static inline bool coalesce_full(const struct coalescer *c) { return c->packet_count == COALESCE_PACKETS; }
/* Takes a decoded packet; its bytes stay where they are until the reset. The
 * coalescer must not be full. Order within a flow is kept. */
void coalesce_add(struct coalescer *c, const struct packet *p);

/* Describes item i as one write: head gets the vnet header and, for a run, the
 * merged packet headers. Returns the number of iovecs. */
unsigned coalesce_gather(const struct coalescer *c, unsigned i, uint8_t head[static COALESCE_HEAD_MAX],
                         struct iovec iov[static COALESCE_IOV_MAX]);

#endif
