#include "udp.h"

#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "gso.h"

static const struct log log_udp = { "udp" };

enum {
        BUFFER_BYTES = 7 << 20,
        SEND_WAIT_MS = 5, /* for room in the socket's buffer, */
        SEND_WAITS = 4,   /* so many times, then the rest is dropped */
};

/* ---- opening ------------------------------------------------------------- */

static void set_buffer(int fd, int force_option, int option)
{
        int bytes = BUFFER_BYTES;

        if (setsockopt(fd, SOL_SOCKET, force_option, &bytes, sizeof(bytes)) < 0)
                (void)setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof(bytes));
}

/* Small links may fragment us: the TUN's MTU leaves room on all usual ones, and no
 * path MTU is sought (spec/paths.md 2.11). */
static void allow_fragments(const struct udp_socket *s)
{
        int v4 = IP_PMTUDISC_DONT, v6 = IPV6_PMTUDISC_DONT;

        if (s->is_v6)
                (void)setsockopt(s->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6, sizeof(v6));
        else
                (void)setsockopt(s->fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof(v4));
}

/* All of it is welcome and none of it necessary. */
static void set_options(struct udp_socket *s, const struct dataplane_udp_options *o)
{
        int one = 1, segment = 0;
        socklen_t len = sizeof(segment);

        if (o->mark && setsockopt(s->fd, SOL_SOCKET, SO_MARK, &o->mark, sizeof(o->mark)) < 0)
                log_debug(&log_udp, "SO_MARK was refused", NULL);
        allow_fragments(s);
        set_buffer(s->fd, SO_RCVBUFFORCE, SO_RCVBUF);
        set_buffer(s->fd, SO_SNDBUFFORCE, SO_SNDBUF);
        (void)setsockopt(s->fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one));
        bool gso = !o->no_gso && getsockopt(s->fd, SOL_UDP, UDP_SEGMENT, &segment, &len) == 0;
        atomic_init(&s->gso, gso);
        s->gro = !o->no_gro && setsockopt(s->fd, SOL_UDP, UDP_GRO, &one, sizeof(one)) == 0;
}

static int bind_to(int fd, bool is_v6, uint16_t port)
{
        struct ip_port any = { .ip.family = is_v6 ? IP_V6 : IP_V4, .port = port };
        struct udp_address a = udp_address_of(&any);

        return bind(fd, &a.any, a.len);
}

static uint16_t bound_port(int fd)
{
        struct udp_address a = { .len = sizeof(a.v6) };

        if (getsockname(fd, &a.any, &a.len) < 0)
                return 0;
        return udp_address_read(&a).port;
}

static int open_socket(struct udp_socket *s, bool is_v6, const struct dataplane_udp_options *o)
{
        int one = 1, saved = EADDRINUSE;

        *s = (struct udp_socket){ .fd = -1, .is_v6 = is_v6 };
        int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return errno;
        if (is_v6)
                (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
        for (unsigned i = 0; i < o->port_count; i++) {
                if (bind_to(fd, is_v6, o->ports[i]) == 0) {
                        s->fd = fd;
                        s->port = bound_port(fd);
                        set_options(s, o);
                        return 0;
                }
                saved = errno;
        }
        close(fd);
        return saved;
}

enum err udp_pair_open(const struct dataplane_udp_options *o, struct udp_pair *out, struct diag *diag)
{
        int e6 = open_socket(&out->v6, true, o); /* first, as the official client does */
        int e4 = open_socket(&out->v4, false, o);

        if (e6)
                log_debug(&log_udp, "no IPv6 socket", "error=%s", strerror(e6));
        if (e4 == 0)
                return OK;
        udp_pair_close(out);
        return diag_set(
                diag, ERR_SYS, "cannot open a UDP socket: %s; is another node using the port?", strerror(e4));
}

static void close_socket(struct udp_socket *s)
{
        if (s->fd >= 0)
                close(s->fd);
        s->fd = -1;
}

void udp_pair_close(struct udp_pair *p)
{
        close_socket(&p->v4);
        close_socket(&p->v6);
}

/* ---- addresses ----------------------------------------------------------- */

struct udp_address udp_address_of(const struct ip_port *a)
{
        struct udp_address out = { 0 };

        if (a->ip.family == IP_V6) {
                out.v6.sin6_family = AF_INET6;
                out.v6.sin6_port = htons(a->port);
                out.v6.sin6_scope_id = a->ip.scope_id;
                memcpy(&out.v6.sin6_addr, a->ip.b, 16);
                out.len = sizeof(out.v6);
        } else {
                out.v4.sin_family = AF_INET;
                out.v4.sin_port = htons(a->port);
                memcpy(&out.v4.sin_addr, a->ip.b, 4);
                out.len = sizeof(out.v4);
        }
        return out;
}

struct ip_port udp_address_read(const struct udp_address *a)
{
        struct ip_port out = { 0 };

        if (a->any.sa_family == AF_INET6) {
                out.ip = ip_v6(a->v6.sin6_addr.s6_addr);
                if (ip_is_link_local(&out.ip))
                        out.ip.scope_id = a->v6.sin6_scope_id;
                out.port = ntohs(a->v6.sin6_port);
        } else if (a->any.sa_family == AF_INET) {
                out.ip = ip_v4_u32(ntohl(a->v4.sin_addr.s_addr));
                out.port = ntohs(a->v4.sin_port);
        }
        return out;
}

struct udp_socket *udp_socket_for(struct udp_pair *p, const struct ip_port *to)
{
        return to->ip.family == IP_V6 ? &p->v6 : &p->v4;
}

/* ---- sending ------------------------------------------------------------- */

/* The messages of one batch, ready for sendmmsg. */
struct outgoing {
        struct mmsghdr msgs[DATAPLANE_BATCH];
        struct iovec iov[DATAPLANE_BATCH];
        size_t first[DATAPLANE_BATCH], count[DATAPLANE_BATCH]; /* datagrams of each message */
        _Alignas(8) uint8_t control[DATAPLANE_BATCH][CMSG_SPACE(sizeof(uint16_t))];
};

static void set_segment_len(struct msghdr *h, uint8_t *control, uint16_t len)
{
        h->msg_control = control;
        h->msg_controllen = CMSG_SPACE(sizeof(len));
        struct cmsghdr *c = CMSG_FIRSTHDR(h);
        c->cmsg_level = SOL_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof(len));
        memcpy(CMSG_DATA(c), &len, sizeof(len));
}

/* Datagrams that lie next to each other become one iovec. */
static size_t gather(struct iovec *out, const struct iovec *datagrams, size_t n)
{
        size_t parts = 0;

        for (size_t i = 0; i < n; i++) {
                struct iovec *last = parts ? &out[parts - 1] : NULL;
                if (last && (uint8_t *)last->iov_base + last->iov_len == datagrams[i].iov_base)
                        last->iov_len += datagrams[i].iov_len;
                else
                        out[parts++] = datagrams[i];
        }
        return parts;
}

static unsigned build_messages(struct outgoing *o, bool gso, size_t bytes_max, const struct udp_address *to,
        const struct iovec *datagrams, size_t n)
{
        uint32_t lens[DATAPLANE_BATCH];
        unsigned m = 0;

        for (size_t i = 0; i < n; i++)
                lens[i] = (uint32_t)datagrams[i].iov_len;
        for (size_t i = 0; i < n; m++) {
                size_t run = gso ? gso_run(lens + i, n - i, bytes_max) : 1;
                struct msghdr *h = &o->msgs[m].msg_hdr;
                *h = (struct msghdr){
                        .msg_name = (void *)&to->any, .msg_namelen = to->len, .msg_iov = &o->iov[i]
                };
                h->msg_iovlen = gather(&o->iov[i], datagrams + i, run);
                if (run > 1)
                        set_segment_len(h, o->control[m], (uint16_t)lens[i]);
                o->first[m] = i;
                o->count[m] = run;
                i += run;
        }
        return m;
}

static void wait_for_room(int fd)
{
        struct pollfd p = { .fd = fd, .events = POLLOUT };

        (void)poll(&p, 1, SEND_WAIT_MS);
}

static int send_messages(struct udp_socket *s, bool gso, const struct udp_address *to,
        const struct iovec *datagrams, size_t n, uint64_t *calls)
{
        struct outgoing o;
        size_t bytes_max = s->is_v6 ? GSO_BYTES_MAX_V6 : GSO_BYTES_MAX_V4;
        unsigned count = build_messages(&o, gso, bytes_max, to, datagrams, n), done = 0, waits = 0;
        int first_error = 0;

        while (done < count) {
                int sent = sendmmsg(s->fd, o.msgs + done, count - done, MSG_DONTWAIT | MSG_NOSIGNAL);
                int e = sent < 0 ? errno : 0;
                ++*calls;
                if (sent > 0) {
                        done += (unsigned)sent;
                        continue;
                }
                if (e == EINTR)
                        continue;
                if (e == EAGAIN && waits++ < SEND_WAITS) {
                        wait_for_room(s->fd);
                        continue;
                }
                bool is_gso = o.count[done] > 1;
                if (is_gso && (e == EIO || e == EINVAL)) {
                        /* The device, or this kernel, cannot: never try again here. */
                        atomic_store_explicit(&s->gso, false, memory_order_relaxed);
                        log_info(&log_udp, "UDP segmentation offload is off", "error=%s", strerror(e));
                }
                if (is_gso && (e == EIO || e == EINVAL || e == EMSGSIZE)) {
                        /* One over-long datagram fails the whole message: singly, then. */
                        e = send_messages(s, false, to, datagrams + o.first[done], o.count[done], calls);
                }
                if (first_error == 0)
                        first_error = e;
                done++;
        }
        return first_error;
}

int udp_send(struct udp_socket *s, const struct udp_address *to, const struct iovec *datagrams, size_t n,
        uint64_t *calls)
{
        return send_messages(s, atomic_load_explicit(&s->gso, memory_order_relaxed), to, datagrams, n, calls);
}

/* ---- receiving ----------------------------------------------------------- */

enum err udp_receiver_init(struct udp_receiver *r)
{
        *r = (struct udp_receiver){ 0 };
        r->slabs = aligned_alloc(4096, (size_t)UDP_SLABS * UDP_SLAB_LEN);
        return r->slabs ? OK : ERR_NOMEM;
}

void udp_receiver_fini(struct udp_receiver *r) { free(r->slabs); }

int udp_receive(struct udp_receiver *r, const struct udp_socket *s)
{
        for (int i = 0; i < UDP_SLABS; i++) {
                r->iov[i] = (struct iovec){ r->slabs + (size_t)i * UDP_SLAB_LEN, UDP_SLAB_LEN };
                r->msgs[i].msg_hdr = (struct msghdr){
                        .msg_name = &r->from[i].any,
                        .msg_namelen = sizeof(r->from[i].v6),
                        .msg_iov = &r->iov[i],
                        .msg_iovlen = 1,
                        .msg_control = r->control[i],
                        .msg_controllen = sizeof(r->control[i]),
                };
        }
        int n = recvmmsg(s->fd, r->msgs, UDP_SLABS, MSG_DONTWAIT, NULL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        return n;
}

struct udp_received udp_received_at(struct udp_receiver *r, int i)
{
        struct msghdr *h = &r->msgs[i].msg_hdr;
        struct udp_received out = { .bytes = r->iov[i].iov_base, .len = r->msgs[i].msg_len };

        out.stride = out.len;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
                int value;
                if (c->cmsg_len < CMSG_LEN(sizeof(value)))
                        continue;
                memcpy(&value, CMSG_DATA(c), sizeof(value));
                if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO && value > 0)
                        out.stride = (size_t)value;
                else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL)
                        r->overflow = (uint32_t)value;
        }
        r->from[i].len = h->msg_namelen;
        out.from = udp_address_read(&r->from[i]);
        return out;
}
