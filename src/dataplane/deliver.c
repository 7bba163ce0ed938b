/* What is opened, judged and handed to the TUN, or answered. */
#include <errno.h>
#include <sys/uio.h>

#include "base/log.h"
#include "loops.h"
#include "proto/tsmp.h"
#include "receiver.h"

static const struct log log_tun = { "tun" };

/* ---- judging a packet ---------------------------------------------------- */

/* A peer may only send from the addresses that are routed to it. */
static bool source_belongs_to(struct receiver *r, const struct dataplane_peer *peer, const struct packet *p)
{
        if (r->checked_view == r->view && r->checked_peer == peer && ip_equal(&r->checked_addr, &p->src.ip))
                return true;
        if (ip_trie_lookup(r->view->view->routes, &p->src.ip) != peer)
                return false;
        r->checked_view = r->view;
        r->checked_peer = peer;
        r->checked_addr = p->src.ip;
        return true;
}

/* Has the control thread pass a packet to the sender, which owns the sessions. */
static void answer(
        struct receiver *r, const struct tsmp *m, const struct ip_addr *src, const struct ip_addr *dst)
{
        uint8_t packet[TSMP_PACKET_MAX];
        struct event_record e = { .kind = EVENT_SEND_PACKET };

        event_post(r->w, &e, slice_make(packet, tsmp_packet_write(m, src, dst, packet)));
}

static uint16_t peerapi_port(const struct dataplane_view *v, const struct ip_addr *own)
{
        return own->family == IP_V6 ? v->peerapi6 : v->peerapi4;
}

static const struct ip_addr *own_addr(const struct dataplane_view *v, const struct packet *p)
{
        return p->version == 6 ? &v->own6 : &v->own4;
}

/* TSMP never reaches the TUN: pings are answered, the rest is the node's matter. */
static void take_tsmp(struct receiver *r, struct dataplane_peer *peer, const struct packet *p)
{
        struct slice body = slice_after(p->bytes, p->l4_offset);
        struct tsmp m;

        if (tsmp_parse(body, &m) != OK)
                return;
        if (m.kind == TSMP_PING) {
                m.kind = TSMP_PONG;
                m.peerapi_port = peerapi_port(r->view->view, &p->dst.ip);
                answer(r, &m, &p->dst.ip, &p->src.ip);
                return;
        }
        struct event_record e = { .kind = DATAPLANE_TSMP, .peer = peer };
        event_post(r->w, &e, p->bytes);
}

static bool is_tcp_syn(const struct packet *p)
{
        return p->proto == IP_PROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* The PeerAPI decides for itself whom it serves. */
static bool is_for_peerapi(const struct receiver *r, const struct packet *p)
{
        const struct dataplane_view *v = r->view->view;

        return is_tcp_syn(p) && p->dst.port != 0 && p->dst.port == peerapi_port(v, &p->dst.ip) &&
               ip_equal(&p->dst.ip, own_addr(v, p));
}

/* Tells an IPv4 TCP client at once what it would learn from a timeout. */
static void reject(struct receiver *r, const struct packet *p)
{
        struct tsmp m = {
                .kind = TSMP_REJECT,
                .proto = p->proto,
                .reason = r->view->view->shields_up ? 'S' : 'A',
                .src_port = p->src.port,
                .dst_port = p->dst.port,
        };

        if (p->version == 4 && is_tcp_syn(p))
                answer(r, &m, &p->dst.ip, &p->src.ip);
}

static bool filter_lets_in(struct receiver *r, const struct dataplane_peer *peer, const struct packet *p)
{
        bool jailed = atomic_load_explicit(&peer->jailed, memory_order_relaxed);
        const struct filter *filter = jailed ? r->view->view->jailed_filter : r->view->view->filter;
        struct filter_flows *flows = jailed ? r->view->jailed_flows : r->view->flows;
        struct filter_cache *cache = jailed ? &r->jailed_cache : &r->cache;

        return filter && filter_accepts(filter_check_in(filter, flows, cache, p));
}

void deliver_packet(struct receiver *r, struct dataplane_peer *peer, struct slice inner)
{
        struct shared_counters *c = &r->dp->counters;
        struct packet p;

        if (packet_decode(inner, &p) != OK) {
                count_add(&c->in_malformed, 1);
                return;
        }
        if (!source_belongs_to(r, peer, &p)) {
                count_add(&c->in_bad_source, 1);
                return;
        }
        if (p.proto == IP_PROTO_TSMP) {
                take_tsmp(r, peer, &p);
                return;
        }
        if (is_own_disco(&p, &r->view->view->disco_key)) {
                count_add(&c->in_filtered, 1);
                return;
        }
        if (!filter_lets_in(r, peer, &p) && !is_for_peerapi(r, &p)) {
                count_add(&c->in_filtered, 1);
                reject(r, &p);
                return;
        }
        count_add(&c->in_packets, 1);
        count_add(&c->in_bytes, p.bytes.len);
        if (coalesce_full(&r->coalescer))
                deliver_flush(r);
        coalesce_add(&r->coalescer, &p);
}

/* ---- writing the TUN ----------------------------------------------------- */

static void note_write_error(struct receiver *r, int e)
{
        count_add(&r->dp->counters.tun_write_errors, 1);
        if (e == EBADFD || e == EBADF || e == ENODEV) {
                event_post_peer(r->w, DATAPLANE_TUN_GONE, NULL, e);
                r->is_tun_gone = true;
        }
}

static void write_singly(struct receiver *r, const struct coalesce_item *item)
{
        static const uint8_t no_offload[VNET_LEN];
        const struct coalesce_packet *p = &r->coalescer.packets[item->first];

        for (;; p = &r->coalescer.packets[p->next - 1]) {
                struct iovec iov[2] = { { (void *)no_offload, VNET_LEN },
                        { (void *)p->bytes.ptr, p->bytes.len } };
                count_add(&r->dp->counters.tun_writes, 1);
                if (writev(r->dp->tun_fd, iov, 2) < 0)
                        note_write_error(r, errno);
                if (p->next == 0)
                        return;
        }
}

/* Some kernels refuse merged packets that others take: never offer one again
 * (spec/dataplane.md 2.1), and write what was refused as it came. */
static void give_up_merging(struct receiver *r, const struct coalesce_item *item)
{
        log_info(&log_tun, "the kernel refuses merged packets, writing them singly", "kind=%s",
                item->kind == COALESCE_TCP ? "tcp" : "udp");
        if (item->kind == COALESCE_TCP)
                r->coalescer.no_tcp = true;
        else
                r->coalescer.no_udp = true;
        if (r->coalescer.no_tcp && r->coalescer.no_udp)
                atomic_store_explicit(&r->dp->tun_gro, false, memory_order_relaxed);
        write_singly(r, item);
}

static void write_item(struct receiver *r, unsigned i)
{
        const struct coalesce_item *item = &r->coalescer.items[i];
        uint8_t head[COALESCE_HEAD_MAX];
        struct iovec iov[COALESCE_IOV_MAX];

        unsigned n = coalesce_gather(&r->coalescer, i, head, iov);
        count_add(&r->dp->counters.tun_writes, 1);
        if (writev(r->dp->tun_fd, iov, (int)n) >= 0)
                return;
        if (errno == EINVAL && item->count > 1)
                give_up_merging(r, item);
        else
                note_write_error(r, errno);
}

void deliver_flush(struct receiver *r)
{
        for (unsigned i = 0; i < r->coalescer.item_count && !r->is_tun_gone; i++)
                write_item(r, i);
        coalesce_reset(&r->coalescer);
}
