/*
 * The receiving worker from the inside. receiver.c takes datagrams from the sockets
 * and the control thread, tells them apart and opens them; deliver.c judges the
 * packets that were in them and writes the TUN.
 */
#ifndef DATAPLANE_RECEIVER_H
#define DATAPLANE_RECEIVER_H

#include "coalesce.h"
#include "shared.h"

enum { OPEN_MAX = 128 }; /* messages of one session opened in one go */

struct receiver {
        struct worker *w;
        struct dataplane *dp;
        struct bulk *bulk;
        struct udp_receiver udp;
        uint8_t *derp_slab; /* messages from the control thread, for opening in place */

        /* For the present read section. */
        const struct view_holder *view;
        struct socket_holder *sockets;
        uint64_t now_us;

        /* Transport messages of one session and source, not opened yet. */
        struct tunnel_packet pending[OPEN_MAX];
        unsigned pending_count;
        uint32_t pending_index;
        bool pending_is_derp;
        struct ip_port pending_from;

        struct coalescer coalescer;
        struct filter_cache cache, jailed_cache;
        /* The last address that was found to belong to a peer. */
        const struct view_holder *checked_view;
        const struct dataplane_peer *checked_peer;
        struct ip_addr checked_addr;

        bool is_tun_gone;
};

/* Takes one inner packet, authentic and of this peer. Its bytes must stay in place
 * until deliver_flush(). */
void deliver_packet(struct receiver *r, struct dataplane_peer *peer, struct slice inner);
/* Writes everything to the TUN. */
void deliver_flush(struct receiver *r);

#endif
