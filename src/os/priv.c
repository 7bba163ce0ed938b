/* The node's end of the channel; the privileged end is priv_server.c. */
#include "os/priv.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "priv_internal.h"

/* Answers come in the order of the requests, so a ring of callbacks is enough. */
enum { PENDING_MAX = 256 };

struct pending {
        enum priv_op op;
        bool is_last; /* of a request that was split over several messages */
        union {
                priv_tun_cb *tun;
                priv_done_cb *done;
        } cb;
        void *ctx;
};

struct priv {
        int fd;
        pid_t pid;
        struct pending pending[PENDING_MAX];
        size_t first, count;
        /* the first failure among the messages of a split request */
        enum err split_err;
        struct diag split_diag;
};

enum err priv_start(struct priv **out, struct diag *d)
{
        int pair[2], bytes = 1 << 20;
        struct priv *p = calloc(1, sizeof(*p));

        *out = NULL;
        if (!p)
                return diag_set(d, ERR_NOMEM, "out of memory");
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
                free(p);
                return diag_set(d, ERR_SYS, "cannot make the channel to the privileged process: %s", strerror(errno));
        }
        /* Room for the largest router change at once; a refusal only means waiting. */
        if (setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) != 0)
                (void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));

        p->pid = fork();
        if (p->pid == 0) {
                close(pair[0]);
                free(p);
                priv_serve(pair[1]);
                _exit(0);
        }
        close(pair[1]);
        if (p->pid < 0) {
                enum err e = diag_set(d, ERR_SYS, "cannot start the privileged process: %s", strerror(errno));
                close(pair[0]);
                free(p);
                return e;
        }
        p->fd = pair[0];
        *out = p;
        return OK;
}

static void complete(struct priv *p, enum err e, const struct tun_device *dev, const struct diag *d)
{
        struct pending it = p->pending[p->first];

        p->first = (p->first + 1) % PENDING_MAX;
        p->count--;
        if (it.op == PRIV_OP_TUN_OPEN) {
                it.cb.tun(it.ctx, e, dev, d);
                return;
        }
        if (e && !p->split_err) {
                p->split_err = e;
                p->split_diag = *d;
        }
        if (!it.is_last)
                return;
        struct diag first = p->split_diag;
        e = p->split_err;
        p->split_err = OK;
        p->split_diag.text[0] = '\0';
        it.cb.done(it.ctx, e, &first);
}

void priv_stop(struct priv *p)
{
        static const struct tun_device none = { .fd = -1 };
        static const struct diag closed = { "the privileged process was stopped" };

        if (!p)
                return;
        while (p->count)
                complete(p, ERR_CLOSED, &none, &closed);
        close(p->fd);
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        free(p);
}

int priv_fd(const struct priv *p)
{
        return p->fd;
}

static enum err push(struct priv *p, struct slice message, const struct pending *it)
{
        if (p->count == PENDING_MAX)
                return ERR_LIMIT;
        while (send(p->fd, message.ptr, message.len, MSG_NOSIGNAL) < 0)
                if (errno != EINTR)
                        return err_from_errno(errno);
        p->pending[(p->first + p->count++) % PENDING_MAX] = *it;
        return OK;
}

enum err priv_tun_open(struct priv *p, const struct tun_options *o, priv_tun_cb *cb, void *ctx)
{
        uint8_t buf[64];
        struct slice message;
        struct writer w = writer_of(buf, sizeof(buf));

        wr_u8(&w, PRIV_OP_TUN_OPEN);
        wr_bytes(&w, o->name, sizeof(o->name));
        wr_le32(&w, o->mtu);
        wr_le32(&w, o->gso_max_bytes);
        wr_le32(&w, o->gso_max_segs);
        enum err e = wr_finish(&w, &message);
        return e ? e : push(p, message, &(struct pending){ PRIV_OP_TUN_OPEN, true, { .tun = cb }, ctx });
}

enum err priv_link_set(struct priv *p, uint32_t ifindex, uint32_t mtu, uint32_t gso_max_bytes, uint32_t gso_max_segs,
        priv_done_cb *cb, void *ctx)
{
        uint8_t buf[32];
        struct slice message;
        struct writer w = writer_of(buf, sizeof(buf));

        wr_u8(&w, PRIV_OP_LINK_SET);
        wr_le32(&w, ifindex);
        wr_le32(&w, mtu);
        wr_le32(&w, gso_max_bytes);
        wr_le32(&w, gso_max_segs);
        enum err e = wr_finish(&w, &message);
        return e ? e : push(p, message, &(struct pending){ PRIV_OP_LINK_SET, true, { .done = cb }, ctx });
}

enum err priv_firewall_set(struct priv *p, const struct firewall_config *c, priv_done_cb *cb, void *ctx)
{
        uint8_t buf[256];
        struct slice message;
        struct writer w = writer_of(buf, sizeof(buf));

        wr_u8(&w, PRIV_OP_FIREWALL);
        firewall_config_write(&w, c);
        enum err e = wr_finish(&w, &message);
        return e ? e : push(p, message, &(struct pending){ PRIV_OP_FIREWALL, true, { .done = cb }, ctx });
}

enum err priv_dns_set(struct priv *p, const struct os_dns_config *c, priv_done_cb *cb, void *ctx)
{
        uint8_t buf[OS_DNS_TEXT_MAX + 64];
        struct slice message;
        struct writer w = writer_of(buf, sizeof(buf));

        wr_u8(&w, PRIV_OP_DNS);
        os_dns_config_write(&w, c);
        enum err e = wr_finish(&w, &message);
        return e ? e : push(p, message, &(struct pending){ PRIV_OP_DNS, true, { .done = cb }, ctx });
}

/* Changes are gathered into messages of PRIV_CHANGES_MAX; the last one carries the
 * callback, so there is always a last one, empty if nothing changed. */
struct gather {
        struct priv *p;
        struct pending pending;
        uint8_t buf[PRIV_MESSAGE_MAX];
        struct writer w;
        size_t count;
        enum err status;
};

static void gather_begin(struct gather *g)
{
        g->w = writer_of(g->buf, sizeof(g->buf));
        g->count = 0;
        wr_u8(&g->w, PRIV_OP_ROUTER);
}

static void gather_flush(struct gather *g, bool is_last)
{
        struct slice message;

        g->pending.is_last = is_last;
        if (!g->status)
                g->status = wr_finish(&g->w, &message);
        if (!g->status)
                g->status = push(g->p, message, &g->pending);
        gather_begin(g);
}

static void gather_change(void *ctx, const struct router_change *c)
{
        struct gather *g = ctx;

        if (g->count == PRIV_CHANGES_MAX)
                gather_flush(g, false);
        router_change_write(&g->w, c);
        g->count++;
}

enum err priv_router_set(struct priv *p, const struct router_config *from, const struct router_config *to, priv_done_cb *cb,
        void *ctx)
{
        struct gather *g = calloc(1, sizeof(*g));

        if (!g)
                return ERR_NOMEM;
        g->p = p;
        g->pending = (struct pending){ PRIV_OP_ROUTER, false, { .done = cb }, ctx };
        gather_begin(g);
        enum err e = router_diff(from, to, gather_change, g);
        if (!e) {
                gather_flush(g, true);
                e = g->status;
        }
        free(g);
        return e;
}

/* One answer with at most one descriptor: bytes received, 0 at the end, -1. */
static ssize_t receive(int sock, uint8_t *buf, size_t cap, int *fd)
{
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec iov = { buf, cap };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };

        *fd = -1;
        ssize_t n = recvmsg(sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
        if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
                memcpy(fd, CMSG_DATA(c), sizeof(*fd));
        return n;
}

static enum err answer(struct priv *p, struct slice message, int fd)
{
        struct reader r = reader_of(message);
        struct tun_device dev = { .fd = fd };
        struct diag d = { "" };
        enum err e = (enum err)rd_u8(&r);

        rd_copy(&r, dev.name, sizeof(dev.name));
        dev.ifindex = rd_le32(&r);
        dev.has_vnet_hdr = rd_u8(&r);
        dev.has_uso = rd_u8(&r);
        struct slice text = rd_rest(&r);
        if (rd_finish(&r) != OK || p->count == 0 || text.len >= sizeof(d.text))
                return ERR_FORMAT;
        memcpy(d.text, text.ptr, text.len);
        if (!e && fd < 0 && p->pending[p->first].op == PRIV_OP_TUN_OPEN)
                e = diag_set(&d, ERR_LIMIT, "too many files are open to take the TUN device: raise ulimit -n");
        complete(p, e, &dev, &d);
        return OK;
}

enum err priv_ready(struct priv *p)
{
        uint8_t buf[PRIV_ANSWER_MAX];
        int fd;

        for (;;) {
                ssize_t n = receive(p->fd, buf, sizeof(buf), &fd);
                if (n > 0) {
                        enum err e = answer(p, slice_make(buf, (size_t)n), fd);
                        if (e)
                                return e;
                        continue;
                }
                if (n < 0 && errno == EINTR)
                        continue;
                return n < 0 && errno == EAGAIN ? OK : ERR_CLOSED;
        }
}
