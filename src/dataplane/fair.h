/*
 * What waits between the TUN and the cipher. The device's own ring is first come,
 * first served: behind one busy flow everything else waits for megabytes. So the
 * sender empties the ring whenever it can and chooses here, in the manner of
 * FQ-CoDel (RFC 8290, 4.1): each flow has a queue, those that began to speak just
 * now go first, the others take turns by bytes. When a bulk flow fills the store,
 * its own oldest packet makes room.
 *
 * Super-packets lie where the kernel wrote them, small packets are copied out of
 * the way. Memory is touched only as far as it is used.
 */
#ifndef DATAPLANE_FAIR_H
#define DATAPLANE_FAIR_H

#include "ip/packet.h"
#include "vnet.h"

enum {
        FAIR_LARGE = 128, /* slots for a read of any length, */
        FAIR_SMALL = 512, /* and for one of at most FAIR_SMALL_LEN */
        FAIR_BYTES_MAX = 1536 << 10, /* what may wait in all of them */
        FAIR_LARGE_LEN = VNET_LEN + 65535,
        FAIR_SMALL_LEN = 2048,
        FAIR_QUANTUM = 65536, /* bytes of a flow's turn: no less than a super-packet */
};

struct fair_packet {
        struct vnet_header vnet;
        struct packet packet; /* its bytes lie in the queue's memory */
};

struct fair_queue;

/* NULL: out of memory. */
struct fair_queue *fair_new(void);
void fair_free(struct fair_queue *q);
/* Where the next read goes: FAIR_LARGE_LEN bytes. NULL while the slots for small
 * packets are all taken: leave the rest where it is for now. */
uint8_t *fair_reserve(struct fair_queue *q);
/* len bytes were read there, a vnet header and a packet. ERR_FORMAT, ERR_SHORT: no
 * IP packet, forgotten again. *dropped counts the packets that had to make room. */
enum err MUST_USE fair_add(struct fair_queue *q, size_t len, uint64_t *dropped);
/* The packet whose turn it is, until the next call of fair_take(); NULL: none waits. */
const struct fair_packet *fair_take(struct fair_queue *q);
bool fair_empty(const struct fair_queue *q);

#endif
