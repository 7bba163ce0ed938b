/* The privileged process. It trusts the node no further than the table of ops. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netlink.h"
#include "priv_internal.h"

struct server {
        int sock;
        bool has_routing, has_firewall, has_dns; /* something to undo at the end */
};

static void send_answer(const struct server *s, enum err e, const struct tun_device *dev, const struct diag *d)
{
        uint8_t buf[PRIV_ANSWER_MAX];
        struct slice message;
        struct writer w = writer_of(buf, sizeof(buf));
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = { 0 };

        wr_u8(&w, (uint8_t)e);
        wr_bytes(&w, dev->name, sizeof(dev->name));
        wr_le32(&w, dev->ifindex);
        wr_u8(&w, dev->has_vnet_hdr);
        wr_u8(&w, dev->has_uso);
        wr_slice(&w, slice_str(d->text));
        if (wr_finish(&w, &message) != OK)
                return;

        struct iovec iov = { (void *)message.ptr, message.len };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
        if (dev->fd >= 0) {
                m.msg_control = &control;
                m.msg_controllen = sizeof(control);
                control.align = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
                memcpy(CMSG_DATA(&control.align), &dev->fd, sizeof(dev->fd));
        }
        while (sendmsg(s->sock, &m, MSG_NOSIGNAL) < 0 && errno == EINTR)
                ;
}

static void serve_tun_open(struct server *s, struct reader *r)
{
        struct tun_options o;
        struct tun_device dev = { .fd = -1 };
        struct diag d = { "" };

        rd_copy(r, o.name, sizeof(o.name));
        o.name[sizeof(o.name) - 1] = '\0';
        o.mtu = rd_le32(r);
        o.gso_max_bytes = rd_le32(r);
        o.gso_max_segs = rd_le32(r);
        enum err e = rd_finish(r);
        if (!e)
                e = tun_open(&o, &dev, &d);
        send_answer(s, e, &dev, &d);
        if (dev.fd >= 0)
                close(dev.fd); /* the node holds it now, and with it the device */
}

static void serve_router(struct server *s, struct reader *r)
{
        static const struct tun_device none = { .fd = -1 };
        struct diag first = { "" }, d = { "" };
        enum err result = OK;

        while (rd_left(r)) {
                struct router_change c;
                router_change_read(r, &c);
                enum err e = r->failed ? ERR_FORMAT : router_apply(&c, &d);
                s->has_routing = true;
                if (e && !result) {
                        result = e;
                        first = d;
                }
        }
        send_answer(s, result, &none, &first);
}

static void serve_link_set(struct server *s, struct reader *r)
{
        static const struct tun_device none = { .fd = -1 };
        struct diag d = { "" };
        uint32_t ifindex = rd_le32(r), mtu = rd_le32(r), bytes = rd_le32(r), segs = rd_le32(r);
        enum err e = rd_finish(r);

        if (!e) {
                int errnum = netlink_link_set(ifindex, mtu, bytes, segs, 0);
                if (errnum)
                        e = diag_set(&d, err_from_errno(errnum), "cannot set the MTU to %u: %s", mtu, strerror(errnum));
        }
        send_answer(s, e, &none, &d);
}

static void serve_firewall(struct server *s, struct reader *r)
{
        static const struct tun_device none = { .fd = -1 };
        struct firewall_config c;
        struct diag d = { "" };

        firewall_config_read(r, &c);
        enum err e = rd_finish(r);
        if (!e)
                e = firewall_apply(&c, &d);
        s->has_firewall = true;
        send_answer(s, e, &none, &d);
}

static void serve_dns(struct server *s, struct reader *r)
{
        static const struct tun_device none = { .fd = -1 };
        struct os_dns_config c;
        struct diag d = { "" };

        os_dns_config_read(r, &c);
        enum err e = rd_finish(r);
        if (!e)
                e = os_dns_apply(&c, &d);
        s->has_dns = true;
        send_answer(s, e, &none, &d);
}

static void serve(struct server *s, struct slice message)
{
        static const struct tun_device none = { .fd = -1 };
        struct reader r = reader_of(message);

        switch ((enum priv_op)rd_u8(&r)) {
        case PRIV_OP_TUN_OPEN:
                serve_tun_open(s, &r);
                return;
        case PRIV_OP_ROUTER:
                serve_router(s, &r);
                return;
        case PRIV_OP_LINK_SET:
                serve_link_set(s, &r);
                return;
        case PRIV_OP_FIREWALL:
                serve_firewall(s, &r);
                return;
        case PRIV_OP_DNS:
                serve_dns(s, &r);
                return;
        }
        send_answer(s, ERR_UNSUPPORTED, &none, &(struct diag){ "unknown operation" });
}

void priv_serve(int sock)
{
        struct server s = { .sock = sock };
        uint8_t *buf = malloc(PRIV_MESSAGE_MAX);

        /* Ctrl-C reaches the whole process group; the node decides when we end. */
        signal(SIGINT, SIG_IGN);
        signal(SIGTERM, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        prctl(PR_SET_NAME, "weftd: priv");
        while (buf) {
                ssize_t n = recv(sock, buf, PRIV_MESSAGE_MAX, 0);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                serve(&s, slice_make(buf, (size_t)n));
        }
        free(buf);
        if (s.has_routing)
                router_cleanup();
        if (s.has_dns)
                os_dns_cleanup();
        if (s.has_firewall)
                firewall_cleanup();
}
