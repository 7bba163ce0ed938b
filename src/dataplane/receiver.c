#include "receiver.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/cursor.h"
#include "demux.h"

enum {
        DERP_SLAB_LEN = 65536,
        SOURCE_EVENT_US = 250 * 1000, /* how often a peer may change its source */
        ROUNDS_A_SECTION = 4,         /* batches before new views get their turn */
};

/* ---- opening ------------------------------------------------------------- */

static void note_source(struct receiver *r, struct dataplane_peer *peer)
{
        if (r->pending_is_derp || ip_port_equal(&peer->source, &r->pending_from) ||
                (peer->source_event_us != 0 && r->now_us - peer->source_event_us < SOURCE_EVENT_US))
                return;
        peer->source = r->pending_from;
        peer->source_event_us = r->now_us;
        struct event_record e = { .kind = DATAPLANE_SOURCE, .peer = peer, .from = r->pending_from };
        event_post(r->w, &e, (struct slice){ 0 });
}

static void count_received(struct receiver *r, struct dataplane_peer *peer, uint64_t packets, uint64_t bytes,
        uint64_t wire_bytes)
{
        struct peer_counters *c = &peer->counters;

        count_add(&c->rx_packets, packets);
        count_add(&c->rx_bytes, bytes);
        if (r->pending_is_derp)
                count_add(&c->rx_derp_bytes, wire_bytes);
        else
                count_add(r->pending_from.ip.family == IP_V6 ? &c->rx_udp6_bytes : &c->rx_udp4_bytes,
                        wire_bytes);
        atomic_store_explicit(&c->last_received_us, r->now_us, memory_order_relaxed);
}

static void count_refused(struct receiver *r, enum err e)
{
        struct shared_counters *c = &r->dp->counters;

        count_add(e == ERR_REPLAY ? &c->in_replayed : &c->in_bad_auth, 1);
}

static void open_with(struct receiver *r, struct session_entry *entry)
{
        uint64_t packets = 0, bytes = 0, wire_bytes = 0;
        bool is_authentic = false;

        unsigned events =
                tunnel_session_open(entry->session, r->bulk, r->pending, r->pending_count, r->now_us);
        if (events)
                event_post_tunnel(r->w, entry->peer, entry->index, events);
        for (unsigned i = 0; i < r->pending_count; i++) {
                const struct tunnel_packet *m = &r->pending[i];
                struct slice inner;
                if (m->status != OK) {
                        count_refused(r, m->status);
                        continue;
                }
                is_authentic = true;
                wire_bytes += TUNNEL_OVERHEAD + (uint64_t)m->plain_len;
                if (m->plain_len == 0)
                        continue; /* a keepalive */
                if (tunnel_inner_packet(slice_make(m->msg + TUNNEL_HEADER_LEN, m->plain_len), &inner) != OK) {
                        count_add(&r->dp->counters.in_malformed, 1);
                        continue;
                }
                packets++;
                bytes += inner.len;
                if (r->view)
                        deliver_packet(r, entry->peer, inner);
        }
        if (!is_authentic)
                return;
        count_received(r, entry->peer, packets, bytes, wire_bytes);
        note_source(r, entry->peer);
}

static void open_pending(struct receiver *r)
{
        if (r->pending_count == 0)
                return;
        struct session_entry *entry = session_find(&r->dp->sessions, r->pending_index);
        if (entry)
                open_with(r, entry);
        else
                count_add(&r->dp->counters.in_unknown_session, r->pending_count);
        r->pending_count = 0;
}

/* Messages of one session and source are opened together. */
static void add_pending(
        struct receiver *r, uint8_t *msg, size_t len, const struct ip_port *from, bool is_derp)
{
        uint32_t index = get_le32(msg + 4);
        bool fits = r->pending_count < OPEN_MAX && index == r->pending_index &&
                    is_derp == r->pending_is_derp && (is_derp || ip_port_equal(from, &r->pending_from));

        if (!fits)
                open_pending(r);
        if (r->pending_count == 0) {
                r->pending_index = index;
                r->pending_is_derp = is_derp;
                r->pending_from = is_derp ? (struct ip_port){ 0 } : *from;
        }
        r->pending[r->pending_count++] = (struct tunnel_packet){ msg, (uint32_t)(len - TUNNEL_OVERHEAD), OK };
}

/* ---- datagrams ----------------------------------------------------------- */

static void hand_up(
        struct receiver *r, enum dataplane_event_kind kind, struct slice bytes, const struct ip_port *from)
{
        struct event_record e = { .kind = (int)kind, .from = *from };

        event_post(r->w, &e, bytes);
}

static void take_datagram(struct receiver *r, uint8_t *bytes, size_t len, const struct ip_port *from)
{
        struct slice b = slice_make(bytes, len);

        switch (datagram_classify(b)) {
        case DATAGRAM_TRANSPORT:
                add_pending(r, bytes, len, from, false);
                break;
        case DATAGRAM_STUN:
                hand_up(r, DATAPLANE_STUN, b, from);
                break;
        case DATAGRAM_DISCO:
                hand_up(r, DATAPLANE_DISCO, b, from);
                break;
        case DATAGRAM_HANDSHAKE:
                hand_up(r, DATAPLANE_HANDSHAKE, b, from);
                break;
        case DATAGRAM_JUNK:
                count_add(&r->dp->counters.in_malformed, 1);
                break;
        }
}

/* One round on one socket. True: there may be more. */
static bool read_socket(struct receiver *r, const struct udp_socket *s)
{
        if (s->fd < 0)
                return false;
        uint32_t overflow = r->udp.overflow;
        int n = udp_receive(&r->udp, s);

        count_add(&r->dp->counters.udp_receives, 1);
        for (int i = 0; i < n; i++) {
                struct udp_received d = udp_received_at(&r->udp, i);
                /* Each piece is looked at: disco may hide among the rest. */
                for (size_t at = 0; at < d.len; at += d.stride)
                        take_datagram(
                                r, d.bytes + at, d.len - at < d.stride ? d.len - at : d.stride, &d.from);
        }
        count_add(&r->dp->counters.in_socket_overflow, (uint32_t)(r->udp.overflow - overflow));
        open_pending(r);
        deliver_flush(r);
        return n == UDP_SLABS;
}

/* Messages that came over DERP, a slab full at a time. True: there may be more. */
static bool read_inbox(struct receiver *r)
{
        const struct command *c;
        struct slice bytes;
        size_t used = 0;

        while ((c = inbox_peek(&r->w->in, &bytes)) && used + bytes.len <= DERP_SLAB_LEN) {
                memcpy(r->derp_slab + used, bytes.ptr, bytes.len);
                if (datagram_classify(bytes) == DATAGRAM_TRANSPORT)
                        add_pending(r, r->derp_slab + used, bytes.len, NULL, true);
                used += bytes.len;
                inbox_pop(&r->w->in);
        }
        open_pending(r);
        deliver_flush(r);
        return c;
}

/* ---- the thread ---------------------------------------------------------- */

static bool run_round(struct receiver *r)
{
        bool has_more = true;

        read_section_begin();
        r->view = published(&r->dp->view);
        r->sockets = published(&r->dp->sockets);
        for (int i = 0; i < ROUNDS_A_SECTION && has_more; i++) {
                r->now_us = boottime_us();
                has_more = read_inbox(r);
                if (r->sockets) {
                        has_more |= read_socket(r, &r->sockets->pair.v4);
                        has_more |= read_socket(r, &r->sockets->pair.v6);
                }
        }
        read_section_end();
        return has_more;
}

/*
 * Sleeps until something comes. The sockets are looked up anew and polled outside
 * a read section, so that the control thread never waits for a sleeper; it closes
 * them only after seen_generation says that they are not used any more.
 */
static void wait_for_work(struct receiver *r)
{
        struct pollfd fds[3] = { { .fd = r->w->in.wake_fd, .events = POLLIN }, { .fd = -1 }, { .fd = -1 } };
        unsigned generation = atomic_load(&r->dp->socket_generation);
        eventfd_t value;

        read_section_begin();
        struct socket_holder *sockets = published(&r->dp->sockets);
        if (sockets) {
                fds[1] = (struct pollfd){ .fd = sockets->pair.v4.fd, .events = POLLIN };
                fds[2] = (struct pollfd){ .fd = sockets->pair.v6.fd, .events = POLLIN };
        }
        read_section_end();
        atomic_store(&r->dp->seen_generation, generation);

        atomic_store(&r->w->in.is_sleeping, true);
        if (ring_empty(&r->w->in.ring) && !atomic_load(&r->dp->stop) &&
                atomic_load(&r->dp->socket_generation) == generation)
                (void)poll(fds, 3, -1);
        atomic_store(&r->w->in.is_sleeping, false);
        if (fds[0].revents)
                (void)!eventfd_read(r->w->in.wake_fd, &value);
}

struct receiver *receiver_new(struct worker *w)
{
        struct receiver *r = calloc(1, sizeof(*r));

        if (!r)
                return NULL;
        r->w = w;
        r->dp = w->dp;
        r->coalescer.no_tcp = r->coalescer.no_udp = w->dp->no_tun_gro;
        r->derp_slab = malloc(DERP_SLAB_LEN);
        r->bulk = bulk_new(BULK_AUTO);
        if (udp_receiver_init(&r->udp) == OK && r->derp_slab && r->bulk)
                return r;
        receiver_free(r);
        return NULL;
}

void receiver_free(struct receiver *r)
{
        if (!r)
                return;
        bulk_free(r->bulk);
        udp_receiver_fini(&r->udp);
        free(r->derp_slab);
        free(r);
}

void *receiver_run(void *arg)
{
        struct receiver *r = arg;

        rcu_register_thread();
        while (!atomic_load(&r->dp->stop)) {
                if (!run_round(r))
                        wait_for_work(r);
        }
        rcu_unregister_thread();
        return NULL;
}
