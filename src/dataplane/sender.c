#include "sender.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "loops.h"
#include "segment.h"

enum {
        READS_A_SEND = 128,  /* before what waits is served */
        SENDS_A_ROUND = 16,  /* then commands and new views get their turn */
        COMMANDS_A_ROUND = 256,
};

uint64_t boottime_us(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_BOOTTIME, &ts);
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- from the TUN -------------------------------------------------------- */

static struct dataplane_peer *route(const struct sender *s, const struct packet *p)
{
        return ip_trie_lookup(s->view->view->routes, &p->dst.ip);
}

/* The peer that a packet of the host goes to; NULL, counted: nowhere. */
static struct dataplane_peer *judge(struct sender *s, const struct packet *p)
{
        struct shared_counters *c = &s->dp->counters;

        if (p->proto == IP_PROTO_TSMP || is_own_disco(p, &s->view->view->disco_key)) {
                count_add(&c->out_filtered, 1); /* the node alone speaks TSMP */
                return NULL;
        }
        struct dataplane_peer *peer = route(s, p);
        if (!peer) {
                count_add(&c->out_no_peer, 1);
                return NULL;
        }
        bool jailed = atomic_load_explicit(&peer->jailed, memory_order_relaxed);
        const struct filter *filter = jailed ? s->view->view->jailed_filter : s->view->view->filter;
        struct filter_flows *flows = jailed ? s->view->jailed_flows : s->view->flows;
        if (!filter || !filter_accepts(filter_check_out(flows, p))) {
                count_add(&c->out_filtered, 1);
                return NULL;
        }
        return peer;
}

static void batch_segments(struct sender *s, struct dataplane_peer *peer, struct segmenter *seg)
{
        size_t max = segment_max_len(seg), left = segment_left(seg);

        struct tunnel_session *session = published(&peer->session);
        if (peer->stage_count > 0 && session && session != peer->refused)
                stage_flush(s, peer); /* older packets first */
        batch_make_room(s, left < GSO_SEGMENTS_MAX ? left : GSO_SEGMENTS_MAX, max);
        for (; left > 0; left--) {
                uint8_t *out = batch_reserve(s, max);
                if (!out)
                        return;
                batch_commit(s, peer, segment_next(seg, out));
        }
}

/* One decision for a super-packet: all its segments are of one flow. */
static void take_packet(struct sender *s, const struct fair_packet *p)
{
        struct segmenter seg;

        if (!s->view)
                return;
        if (segment_begin(&seg, &p->vnet, p->packet.bytes) != OK) {
                count_add(&s->dp->counters.out_malformed, 1);
                return;
        }
        struct dataplane_peer *peer = judge(s, &p->packet);
        if (peer)
                batch_segments(s, peer, &seg);
}

/* Takes what the TUN holds into the fair queue. False: the TUN is empty. */
static bool read_tun(struct sender *s)
{
        uint64_t reads = 0, dropped = 0;
        ssize_t n = 0;
        uint8_t *to;

        while (reads < READS_A_SEND && (to = fair_reserve(s->waiting)) &&
                (n = read(s->dp->tun_fd, to, FAIR_LARGE_LEN)) >= 0) {
                reads++;
                if (fair_add(s->waiting, (size_t)n, &dropped) != OK)
                        count_add(&s->dp->counters.out_malformed, 1);
        }
        count_add(&s->dp->counters.tun_reads, reads);
        count_add(&s->dp->counters.out_queue_dropped, dropped);
        if (n >= 0 || errno == EINTR)
                return true;
        if (errno == EBADFD || errno == EBADF || errno == ENODEV) {
                event_post_peer(s->w, DATAPLANE_TUN_GONE, NULL, errno);
                s->is_tun_gone = true;
        }
        return false;
}

/* Reads and sends by turns: what comes meanwhile is chosen from before each send.
 * True: there may be more. */
static bool serve_tun(struct sender *s)
{
        for (int i = 0; i < SENDS_A_ROUND; i++) {
                const struct fair_packet *p = NULL;
                bool has_more = !s->is_tun_gone && read_tun(s);
                while (s->cell_count < SEND_FLUSH_CELLS && (p = fair_take(s->waiting)))
                        take_packet(s, p);
                batch_flush(s);
                if (!p && !has_more)
                        return false;
        }
        return true;
}

/* ---- from the control thread --------------------------------------------- */

static void send_packet(struct sender *s, struct slice bytes)
{
        struct packet p;

        if (!s->view || packet_decode(bytes, &p) != OK)
                return;
        struct dataplane_peer *peer = route(s, &p);
        uint8_t *out = peer ? batch_reserve(s, p.bytes.len) : NULL;
        if (!out)
                return;
        memcpy(out, p.bytes.ptr, p.bytes.len);
        batch_commit(s, peer, p.bytes.len);
}

static void send_keepalive(struct sender *s, struct dataplane_peer *peer)
{
        if (published(&peer->session) && batch_reserve(s, 0))
                batch_commit(s, peer, 0);
}

static void run_command(struct sender *s, const struct command *c, struct slice bytes)
{
        switch (c->kind) {
        case COMMAND_SEND_PACKET:
                send_packet(s, bytes);
                break;
        case COMMAND_KEEPALIVE:
                send_keepalive(s, c->peer);
                break;
        case COMMAND_FLUSH:
                c->peer->want_event_us = 0;
                stage_flush(s, c->peer);
                break;
        case COMMAND_CONFIRM:
                c->peer->want_event_us = 0;
                if (!stage_flush(s, c->peer))
                        send_keepalive(s, c->peer);
                break;
        case COMMAND_DROP_STAGED:
                c->peer->want_event_us = 0;
                stage_drop(s, c->peer);
                break;
        case COMMAND_DERP:
                break; /* the receiver's */
        }
}

static void run_commands(struct sender *s)
{
        const struct command *c;
        struct slice bytes;

        for (int i = 0; i < COMMANDS_A_ROUND && (c = inbox_peek(&s->w->in, &bytes)); i++) {
                run_command(s, c, bytes);
                /* The batch borrows the peer, the record holds it: flush first. */
                batch_flush(s);
                inbox_pop(&s->w->in);
        }
}

/* ---- the thread ---------------------------------------------------------- */

static void wait_for_work(struct sender *s)
{
        struct pollfd fds[2] = {
                { .fd = s->w->in.wake_fd, .events = POLLIN },
                { .fd = s->is_tun_gone ? -1 : s->dp->tun_fd, .events = POLLIN },
        };
        eventfd_t value;

        atomic_store(&s->w->in.is_sleeping, true);
        if (ring_empty(&s->w->in.ring) && !atomic_load(&s->dp->stop))
                (void)poll(fds, 2, -1);
        atomic_store(&s->w->in.is_sleeping, false);
        if (fds[0].revents)
                (void)!eventfd_read(s->w->in.wake_fd, &value);
}

static bool run_round(struct sender *s)
{
        read_section_begin();
        s->view = published(&s->dp->view);
        s->sockets = published(&s->dp->sockets);
        s->mtu = atomic_load_explicit(&s->dp->mtu, memory_order_relaxed);
        s->now_us = boottime_us();
        run_commands(s);
        bool has_more = serve_tun(s);
        read_section_end();
        return has_more;
}

struct sender *sender_new(struct worker *w)
{
        struct sender *s = calloc(1, sizeof(*s));

        if (!s)
                return NULL;
        s->w = w;
        s->dp = w->dp;
        s->waiting = fair_new();
        s->slab = malloc(SEND_SLAB_LEN);
        s->bulk = bulk_new(BULK_AUTO);
        if (s->waiting && s->slab && s->bulk)
                return s;
        sender_free(s);
        return NULL;
}

void sender_free(struct sender *s)
{
        if (!s)
                return;
        bulk_free(s->bulk);
        free(s->slab);
        fair_free(s->waiting);
        free(s);
}

void *sender_run(void *arg)
{
        struct sender *s = arg;

        rcu_register_thread();
        while (!atomic_load(&s->dp->stop)) {
                if (!run_round(s))
                        wait_for_work(s);
        }
        rcu_unregister_thread();
        return NULL;
}
