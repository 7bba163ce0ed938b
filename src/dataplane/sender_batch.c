/* A batch of packets: reserved, committed, sealed peer by peer, and sent. */
#include <errno.h>

#include "sender.h"

enum {
        SENT_EVENT_US = 250 * 1000,         /* how often the path layer hears that a peer is in use, */
        WANT_EVENT_US = 1000 * 1000,        /* the tunnel that packets wait, */
        UNREACHABLE_EVENT_US = 1000 * 1000, /* the path layer that an address is unreachable, */
        SOCKET_EVENT_US = 5000 * 1000,      /* and the node that a socket is broken */
};

/* ---- filling a batch ----------------------------------------------------- */

static size_t cell_len(const struct sender *s, size_t inner_len)
{
        size_t padded = tunnel_padded_len(inner_len, s->mtu);

        return TUNNEL_OVERHEAD + (padded > inner_len ? padded : inner_len);
}

static bool batch_has_room(const struct sender *s, size_t cells, size_t bytes)
{
        return s->cell_count + cells <= DATAPLANE_BATCH && s->slab_used + bytes <= SEND_SLAB_LEN;
}

uint8_t *batch_reserve(struct sender *s, size_t len)
{
        size_t need = cell_len(s, len);

        if (need > SEND_SLAB_LEN)
                return NULL;
        if (!batch_has_room(s, 1, need))
                batch_flush(s);
        return s->slab + s->slab_used + TUNNEL_HEADER_LEN;
}

void batch_make_room(struct sender *s, size_t n, size_t len)
{
        if (s->cell_count > 0 && !batch_has_room(s, n, n * cell_len(s, len)))
                batch_flush(s);
}

static struct send_group *group_of(struct sender *s, struct dataplane_peer *peer)
{
        if (peer->batch_group == 0) {
                s->groups[s->group_count++] = (struct send_group){ .peer = peer };
                peer->batch_group = s->group_count;
        }
        return &s->groups[peer->batch_group - 1];
}

void batch_commit(struct sender *s, struct dataplane_peer *peer, size_t inner_len)
{
        struct send_group *g = group_of(s, peer);
        struct send_cell *cell = &s->cells[s->cell_count++];
        size_t need = cell_len(s, inner_len), plain_len = need - TUNNEL_OVERHEAD;

        *cell = (struct send_cell){
                .msg = s->slab + s->slab_used,
                .plain_len = (uint32_t)plain_len,
                .inner_len = (uint16_t)inner_len,
        };
        memset(cell->msg + TUNNEL_HEADER_LEN + inner_len, 0, plain_len - inner_len);
        if (g->count++ == 0)
                g->first = (uint8_t)s->cell_count;
        else
                s->cells[g->last - 1].next = (uint8_t)s->cell_count;
        g->last = (uint8_t)s->cell_count;
        s->slab_used += need;
}

/* ---- sending a group ----------------------------------------------------- */

/* The sealed messages of one peer. */
struct sealed {
        struct iovec datagrams[DATAPLANE_BATCH];
        size_t count;
        uint64_t bytes, inner_bytes;
        unsigned inner_packets;
};

static void stage_group(struct sender *s, const struct send_group *g)
{
        struct dataplane_peer *peer = g->peer;

        for (unsigned i = g->first; i; i = s->cells[i - 1].next) {
                const struct send_cell *cell = &s->cells[i - 1];
                if (cell->inner_len > 0)
                        stage_add(s, peer, cell->msg + TUNNEL_HEADER_LEN, cell);
        }
        if (peer->want_event_us == 0 || s->now_us - peer->want_event_us >= WANT_EVENT_US) {
                peer->want_event_us = s->now_us;
                event_post_peer(s->w, DATAPLANE_WANT_SESSION, peer, 0);
        }
}

/* False if there is no session to seal with. */
static bool seal_group(struct sender *s, const struct send_group *g, struct sealed *out)
{
        struct tunnel_session *session = published(&g->peer->session);
        struct tunnel_packet packets[DATAPLANE_BATCH];
        uint64_t first_counter;
        size_t n = 0;

        if (!session || tunnel_session_reserve(session, g->count, s->now_us, &first_counter) != OK) {
                g->peer->refused = session;
                return false;
        }
        for (unsigned i = g->first; i; i = s->cells[i - 1].next)
                packets[n++] = (struct tunnel_packet){ s->cells[i - 1].msg, s->cells[i - 1].plain_len, OK };
        unsigned events = tunnel_session_seal(session, s->bulk, first_counter, packets, n, s->now_us);
        if (events)
                event_post_tunnel(s->w, g->peer, tunnel_session_index(session), events);

        *out = (struct sealed){ .count = 0 };
        n = 0;
        for (unsigned i = g->first; i; i = s->cells[i - 1].next) {
                const struct tunnel_packet *p = &packets[n++];
                if (p->status != OK)
                        continue;
                size_t len = TUNNEL_OVERHEAD + (size_t)p->plain_len;
                out->datagrams[out->count++] = (struct iovec){ p->msg, len };
                out->bytes += len;
                out->inner_bytes += s->cells[i - 1].inner_len;
                out->inner_packets += s->cells[i - 1].inner_len > 0;
        }
        return true;
}

static void send_derp(struct sender *s, struct dataplane_peer *peer, const struct sealed *sealed)
{
        struct event_record r = { .kind = DATAPLANE_DERP_SEND, .peer = peer };

        for (size_t i = 0; i < sealed->count; i++)
                event_post(s->w, &r, slice_make(sealed->datagrams[i].iov_base, sealed->datagrams[i].iov_len));
        count_add(&peer->counters.tx_derp_bytes, sealed->bytes);
}

static void report_send_error(
        struct sender *s, struct dataplane_peer *peer, const struct peer_path *path, int e)
{
        count_add(&s->dp->counters.send_errors, 1);
        switch (e) {
        case EHOSTUNREACH:
        case ENETUNREACH:
                if (s->now_us - peer->unreachable_event_us < UNREACHABLE_EVENT_US)
                        return;
                peer->unreachable_event_us = s->now_us;
                struct event_record r = {
                        .kind = DATAPLANE_UNREACHABLE, .peer = peer, .from = path->config.udp, .errnum = e
                };
                event_post(s->w, &r, (struct slice){ 0 });
                return;
        case EPERM:
        case EPIPE:
        case ENOTCONN:
        case EBADF:
                if (s->now_us - s->socket_error_us < SOCKET_EVENT_US)
                        return;
                s->socket_error_us = s->now_us;
                event_post_peer(s->w, DATAPLANE_SOCKET_ERROR, NULL, e);
                return;
        default: /* a full queue, say: as good as lost in the network */
                return;
        }
}

static void send_udp(struct sender *s, struct dataplane_peer *peer, const struct peer_path *path,
        const struct sealed *sealed)
{
        struct udp_socket *sock = s->sockets ? udp_socket_for(&s->sockets->pair, &path->config.udp) : NULL;
        uint64_t calls = 0;

        if (!sock || sock->fd < 0)
                return;
        int e = udp_send(sock, &path->to, sealed->datagrams, sealed->count, &calls);
        count_add(&s->dp->counters.udp_sends, calls);
        count_add(sock->is_v6 ? &peer->counters.tx_udp6_bytes : &peer->counters.tx_udp4_bytes, sealed->bytes);
        if (e)
                report_send_error(s, peer, path, e);
}

/* UDP alone while the path is trusted; UDP and DERP both when it is not any more:
 * the receiver's replay window drops the copy (spec/paths.md 2.4). */
static void send_sealed(struct sender *s, struct dataplane_peer *peer, const struct sealed *sealed)
{
        const struct peer_path *path = published(&peer->path);
        bool has_udp = path && ip_valid(&path->config.udp.ip);
        bool is_trusted = has_udp && s->now_us <= path->config.trusted_until_us;

        if (!path)
                count_add(&s->dp->counters.out_no_path, sealed->count);
        if (has_udp)
                send_udp(s, peer, path, sealed);
        if (!has_udp || (!is_trusted && path->config.derp))
                send_derp(s, peer, sealed);

        if (peer->sent_event_us == 0 || s->now_us - peer->sent_event_us >= SENT_EVENT_US) {
                peer->sent_event_us = s->now_us;
                event_post_peer(s->w, DATAPLANE_SENT, peer, 0);
        }
        count_add(&peer->counters.tx_packets, sealed->inner_packets);
        count_add(&peer->counters.tx_bytes, sealed->inner_bytes);
        atomic_store_explicit(&peer->counters.last_sent_us, s->now_us, memory_order_relaxed);
        count_add(&s->dp->counters.out_packets, sealed->inner_packets);
        count_add(&s->dp->counters.out_bytes, sealed->inner_bytes);
}

void batch_flush(struct sender *s)
{
        for (unsigned i = 0; i < s->group_count; i++) {
                struct send_group *g = &s->groups[i];
                struct sealed sealed;
                g->peer->batch_group = 0;
                if (!seal_group(s, g, &sealed))
                        stage_group(s, g);
                else if (sealed.count > 0)
                        send_sealed(s, g->peer, &sealed);
        }
        s->cell_count = s->group_count = 0;
        s->slab_used = 0;
}
