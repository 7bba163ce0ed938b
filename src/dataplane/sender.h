/*
 * The sending worker from the inside. sender.c takes packets from the TUN and
 * decides whose they are; sender_batch.c collects them, seals each peer's together
 * and sends them; stage.c keeps what has no session yet.
 */
#ifndef DATAPLANE_SENDER_H
#define DATAPLANE_SENDER_H

#include "fair.h"
#include "gso.h"
#include "shared.h"

enum {
        SEND_SLAB_LEN = 128 << 10,
        SEND_FLUSH_CELLS = 32, /* a batch this full is sent without asking the TUN for more */
};

/* One message of a batch, in place: header, padded plaintext, tag. */
struct send_cell {
        uint8_t *msg;
        uint32_t plain_len; /* padded */
        uint16_t inner_len; /* of the packet; 0: a keepalive */
        uint8_t next;       /* 1 + index of the peer's next cell; 0: last */
};

/* The cells of one peer, in their order. */
struct send_group {
        struct dataplane_peer *peer;
        uint8_t first, last, count;
};

struct sender {
        struct worker *w;
        struct dataplane *dp;
        struct bulk *bulk;
        struct fair_queue *waiting; /* what the TUN has handed out */

        /* For the present read section. */
        const struct view_holder *view;
        struct socket_holder *sockets;
        uint64_t now_us;
        unsigned mtu;

        uint8_t *slab;
        size_t slab_used;
        unsigned cell_count, group_count;
        struct send_cell cells[DATAPLANE_BATCH];
        struct send_group groups[DATAPLANE_BATCH];

        uint32_t staged_bytes; /* of all peers */
        uint64_t socket_error_us;
        bool is_tun_gone;
};

/* Room for a packet of len bytes at the batch's end, which may flush what is there.
 * NULL if len is beyond what a slab holds. */
uint8_t *batch_reserve(struct sender *s, size_t len);
/* The packet of inner_len bytes was written there: it goes to peer. */
void batch_commit(struct sender *s, struct dataplane_peer *peer, size_t inner_len);
/* Makes sure that n packets of len bytes fit without a flush in between, if an
 * empty batch can hold them: they leave as one message then. */
void batch_make_room(struct sender *s, size_t n, size_t len);
void batch_flush(struct sender *s);

/* Keeps a copy of a padded packet until the peer has a session. */
void stage_add(
        struct sender *s, struct dataplane_peer *peer, const uint8_t *plain, const struct send_cell *cell);
/* Puts what is staged into the batch. True if there was something. */
bool stage_flush(struct sender *s, struct dataplane_peer *peer);
void stage_drop(struct sender *s, struct dataplane_peer *peer);

#endif
