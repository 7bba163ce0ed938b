#include "dataplane/dataplane.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "gso.h"
#include "shared.h"
#include "vnet.h"

#if defined(__SANITIZE_THREAD__)
char rcu_tsan_anchor;
#endif

enum { QUEUE_BYTES = 256 << 10 }; /* each of the four between the threads */

unsigned dataplane_gso_max_bytes(unsigned mtu)
{
        enum { HEADERS_MAX = 40 + 20 + 12 }; /* IPv6, TCP, timestamps: the least payload a segment has */
        unsigned segments = GSO_BYTES_MAX_V4 / (mtu + TUNNEL_OVERHEAD);

        if (segments > GSO_SEGMENTS_MAX)
                segments = GSO_SEGMENTS_MAX;
        if (segments == 0 || mtu <= HEADERS_MAX)
                return UINT16_MAX;
        return segments * (mtu - HEADERS_MAX) + HEADERS_MAX;
}

/* ---- views --------------------------------------------------------------- */

struct dataplane_view *dataplane_view_new(void) { return calloc(1, sizeof(struct dataplane_view)); }

void dataplane_view_free(struct dataplane_view *v)
{
        if (!v)
                return;
        ip_trie_free(v->routes);
        filter_free(v->filter);
        filter_free(v->jailed_filter);
        free(v);
}

static void release_view(struct retired *r)
{
        struct view_holder *h = container_of(r, struct view_holder, retired);

        dataplane_view_free(h->view);
        filter_flows_free(h->old_flows);
        free(h);
}

enum err dataplane_publish(struct dataplane *dp, struct dataplane_view *v)
{
        struct view_holder *h = calloc(1, sizeof(*h)), *old = published(&dp->view);

        if (!h)
                return ERR_NOMEM;
        /* Shields that go up cut what is running; any other change must not. */
        if (v->shields_up && !dp->had_shields_up && old) {
                struct filter_flows *fresh = filter_flows_new();
                if (fresh) {
                        old->old_flows = dp->flows;
                        dp->flows = fresh;
                }
        }
        dp->had_shields_up = v->shields_up;
        *h = (struct view_holder){ .view = v, .flows = dp->flows, .jailed_flows = dp->jailed_flows };
        publish(&dp->view, h);
        if (old)
                retire(dp, &old->retired, release_view);
        return OK;
}

/* ---- sockets ------------------------------------------------------------- */

static enum err open_sockets(
        struct dataplane *dp, const struct dataplane_udp_options *options, struct diag *diag)
{
        struct socket_holder *h = calloc(1, sizeof(*h));

        if (!h)
                return diag_set(diag, ERR_NOMEM, "out of memory");
        enum err e = udp_pair_open(options, &h->pair, diag);
        if (e) {
                free(h);
                return e;
        }
        publish(&dp->sockets, h);
        atomic_fetch_add(&dp->socket_generation, 1);
        inbox_wake(&dp->receiver.in);
        return OK;
}

/* Takes the sockets away from the workers, then closes them. */
static void close_sockets(struct dataplane *dp)
{
        struct socket_holder *h = published(&dp->sockets);

        if (!h)
                return;
        publish(&dp->sockets, NULL);
        unsigned generation = atomic_fetch_add(&dp->socket_generation, 1) + 1;
        while (dp->receiver.is_running && atomic_load(&dp->seen_generation) != generation) {
                inbox_wake(&dp->receiver.in);
                usleep(50);
        }
        wait_for_readers();
        udp_pair_close(&h->pair);
        free(h);
}

enum err dataplane_rebind(
        struct dataplane *dp, const struct dataplane_udp_options *options, struct diag *diag)
{
        close_sockets(dp);
        return open_sockets(dp, options, diag);
}

void dataplane_ports(const struct dataplane *dp, uint16_t *v4, uint16_t *v6)
{
        const struct socket_holder *h = published(&dp->sockets);

        *v4 = h ? h->pair.v4.port : 0;
        *v6 = h ? h->pair.v6.port : 0;
}

enum err dataplane_send_datagram(struct dataplane *dp, const struct ip_port *to, struct slice bytes)
{
        struct socket_holder *h = published(&dp->sockets);
        struct udp_socket *s = h ? udp_socket_for(&h->pair, to) : NULL;
        struct udp_address addr = udp_address_of(to);

        if (!s || s->fd < 0)
                return ERR_NOTFOUND;
        if (sendto(s->fd, bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL, &addr.any, addr.len) >= 0)
                return OK;
        if (errno == EPERM)
                return ERR_DENIED;
        return errno == EMSGSIZE ? ERR_LIMIT : ERR_SYS;
}

/* ---- packets from the control thread ------------------------------------- */

enum err dataplane_receive_derp(struct dataplane *dp, struct slice message)
{
        return inbox_push(&dp->receiver.in, COMMAND_DERP, NULL, message);
}

enum err dataplane_send_packet(struct dataplane *dp, struct slice packet)
{
        return inbox_push(&dp->sender.in, COMMAND_SEND_PACKET, NULL, packet);
}

enum err dataplane_deliver_packet(struct dataplane *dp, struct slice packet)
{
        static const uint8_t no_offload[VNET_LEN];
        struct iovec iov[2] = { { (void *)no_offload, VNET_LEN }, { (void *)packet.ptr, packet.len } };

        if (writev(dp->tun_fd, iov, 2) >= 0)
                return OK;
        return errno == EAGAIN ? ERR_LIMIT : ERR_SYS;
}

/* ---- start and stop ------------------------------------------------------ */

static enum err worker_init(struct dataplane *dp, struct worker *w)
{
        w->dp = dp;
        w->in.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (w->in.wake_fd < 0)
                return ERR_SYS;
        if (ring_init(&w->in.ring, QUEUE_BYTES) != OK || ring_init(&w->out.ring, QUEUE_BYTES) != OK)
                return ERR_NOMEM;
        return OK;
}

static void release_queued_peers(struct worker *w)
{
        struct slice bytes;

        while (w->in.ring.bytes && inbox_peek(&w->in, &bytes))
                inbox_pop(&w->in);
        while (w->out.ring.bytes && !ring_empty(&w->out.ring)) {
                const struct event_record *r = (const void *)ring_peek(&w->out.ring).ptr;
                peer_unref(r->peer);
                ring_release(&w->out.ring);
        }
}

static void worker_fini(struct worker *w)
{
        release_queued_peers(w);
        ring_fini(&w->in.ring);
        ring_fini(&w->out.ring);
        if (w->in.wake_fd >= 0)
                close(w->in.wake_fd);
}

static enum err worker_start(struct worker *w, void *(*run)(void *), void *state)
{
        int e = pthread_create(&w->thread, NULL, run, state);

        w->is_running = e == 0;
        return e ? err_from_errno(e) : OK;
}

static void stop_workers(struct dataplane *dp)
{
        struct worker *const workers[] = { &dp->sender, &dp->receiver };

        atomic_store(&dp->stop, true);
        for (int i = 0; i < 2; i++) {
                if (!workers[i]->is_running)
                        continue;
                inbox_wake(&workers[i]->in);
                pthread_join(workers[i]->thread, NULL);
                workers[i]->is_running = false;
        }
}

static struct dataplane *dataplane_alloc(const struct dataplane_options *o)
{
        struct dataplane *dp = calloc(1, sizeof(*dp));

        if (!dp)
                return NULL;
        dp->tun_fd = -1; /* the caller's until the start succeeds */
        dp->no_tun_gro = o->no_tun_gro;
        atomic_init(&dp->tun_gro, !o->no_tun_gro);
        atomic_init(&dp->mtu, o->tun_mtu);
        list_init(&dp->peers);
        dp->event_fd = dp->sender.in.wake_fd = dp->receiver.in.wake_fd = -1;
        return dp;
}

static enum err open_all(struct dataplane *dp, const struct dataplane_options *o, struct diag *diag)
{
        enum err e;

        dp->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (dp->event_fd < 0)
                return diag_set(diag, ERR_SYS, "cannot make an eventfd: %s", strerror(errno));
        if ((e = worker_init(dp, &dp->sender)) || (e = worker_init(dp, &dp->receiver)))
                return diag_set(diag, e, "cannot prepare the packet path: %s", err_str(e));
        dp->flows = filter_flows_new();
        dp->jailed_flows = filter_flows_new();
        dp->send_state = sender_new(&dp->sender);
        dp->receive_state = receiver_new(&dp->receiver);
        if (!dp->flows || !dp->jailed_flows || !dp->send_state || !dp->receive_state)
                return diag_set(diag, ERR_NOMEM, "out of memory");
        return open_sockets(dp, &o->udp, diag);
}

enum err dataplane_start(const struct dataplane_options *o, struct dataplane **out, struct diag *diag)
{
        struct dataplane *dp = dataplane_alloc(o);

        if (!dp)
                return diag_set(diag, ERR_NOMEM, "out of memory");
        enum err e = open_all(dp, o, diag);
        if (!e) {
                dp->tun_fd = o->tun_fd;
                e = worker_start(&dp->sender, sender_run, dp->send_state);
                if (!e)
                        e = worker_start(&dp->receiver, receiver_run, dp->receive_state);
                if (!e) {
                        *out = dp;
                        return OK;
                }
                diag_set(diag, e, "cannot start the threads of the packet path: %s", err_str(e));
        }
        stop_workers(dp);
        dp->tun_fd = -1;
        dataplane_stop(dp);
        return e;
}

void dataplane_stop(struct dataplane *dp)
{
        stop_workers(dp);
        list_each_safe(it, &dp->peers)
                dataplane_peer_remove(dp, container_of(it, struct dataplane_peer, in_all));
        worker_fini(&dp->sender);
        worker_fini(&dp->receiver);
        close_sockets(dp);
        struct view_holder *view = published(&dp->view);
        if (view)
                retire(dp, &view->retired, release_view);
        reclaim(dp);
        sender_free(dp->send_state);
        receiver_free(dp->receive_state);
        filter_flows_free(dp->flows);
        filter_flows_free(dp->jailed_flows);
        if (dp->tun_fd >= 0)
                close(dp->tun_fd);
        if (dp->event_fd >= 0)
                close(dp->event_fd);
        free(dp);
}

void dataplane_set_mtu(struct dataplane *dp, unsigned mtu)
{
        atomic_store_explicit(&dp->mtu, mtu, memory_order_relaxed);
}

void dataplane_stats(const struct dataplane *dp, struct dataplane_stats *out)
{
        const struct shared_counters *c = &dp->counters;
        const struct socket_holder *sockets = published(&dp->sockets);

        *out = (struct dataplane_stats){
                .tun_reads = count_read(&c->tun_reads),
                .tun_writes = count_read(&c->tun_writes),
                .udp_sends = count_read(&c->udp_sends),
                .udp_receives = count_read(&c->udp_receives),
                .out_packets = count_read(&c->out_packets),
                .out_bytes = count_read(&c->out_bytes),
                .in_packets = count_read(&c->in_packets),
                .in_bytes = count_read(&c->in_bytes),
                .out_no_peer = count_read(&c->out_no_peer),
                .out_filtered = count_read(&c->out_filtered),
                .out_malformed = count_read(&c->out_malformed),
                .out_no_path = count_read(&c->out_no_path),
                .out_stage_dropped = count_read(&c->out_stage_dropped),
                .out_queue_dropped = count_read(&c->out_queue_dropped),
                .in_unknown_session = count_read(&c->in_unknown_session),
                .in_malformed = count_read(&c->in_malformed),
                .in_bad_auth = count_read(&c->in_bad_auth),
                .in_replayed = count_read(&c->in_replayed),
                .in_bad_source = count_read(&c->in_bad_source),
                .in_filtered = count_read(&c->in_filtered),
                .in_socket_overflow = count_read(&c->in_socket_overflow),
                .events_dropped = count_read(&dp->sender.out.dropped) + count_read(&dp->receiver.out.dropped),
                .tun_write_errors = count_read(&c->tun_write_errors),
                .send_errors = count_read(&c->send_errors),
                .udp_gso = sockets && count_read(&sockets->pair.v4.gso),
                .udp_gro = sockets && sockets->pair.v4.gro,
                .tun_gro = count_read(&dp->tun_gro),
        };
}
