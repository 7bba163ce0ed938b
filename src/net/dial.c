/*
 * One connection, from a name to an open stream:
 *
 *     resolve -> race of the addresses -> CONNECT at a proxy -> TLS -> done
 *
 * each step only where it is needed. Whatever happens, finish() is the one way out.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop_internal.h"
#include "net/dial.h"
#include "proxy.h"
#include "stream_internal.h"

enum { DEFAULT_TIMEOUT_MS = 10000, DEFAULT_STAGGER_MS = 250, PROXY_HEAD_MAX = 8192 };

/* A connect under way. It outlives the dial if libuv has yet to call back. */
struct attempt {
        uv_connect_t req;
        struct net_dial *dial; /* NULL: nobody waits for it any more */
        struct sock_stream *sock;
        struct list link;
};

struct net_dial {
        struct net_loop *loop;
        char *host, *server_name, *verify_name;
        uint16_t port;
        uint32_t mark;
        unsigned stagger_ms;
        bool prefer_v4, only_v4, only_v6, has_tls, has_pin;
        uint8_t pin[32];
        struct tls_client_options tls;
        struct buf ca_pem;
        struct proxy proxy;
        struct buf proxy_head;

        struct net_resolve *resolve;
        struct ip_addr addrs[NET_DIAL_ADDRS_MAX];
        size_t addr_count, next_addr;
        struct list attempts;
        struct timer stagger, deadline;
        struct net_task begin;
        struct net_stream *stream; /* the winner, with what was put on top of it */
        struct diag last;          /* why the newest attempt failed */
        enum err last_err;
        void (*done)(void *ctx, enum err e, struct net_stream *s, const struct diag *d);
        void *ctx;
};

static void dial_free(struct net_dial *d)
{
        net_resolve_cancel(d->resolve);
        for (struct list *it; (it = list_pop_front(&d->attempts));) {
                struct attempt *a = container_of(it, struct attempt, link);
                a->dial = NULL;
                sock_stream_discard(a->sock); /* on_connected() comes with UV_ECANCELED */
        }
        net_timer_stop(d->loop, &d->stagger);
        net_timer_stop(d->loop, &d->deadline);
        net_task_cancel(&d->begin);
        net_stream_close(d->stream);
        buf_fini(&d->proxy_head);
        buf_fini(&d->ca_pem);
        free(d->host);
        free(d->server_name);
        free(d->verify_name);
        free(d);
}

static void finish(struct net_dial *d, enum err e, const char *why)
{
        static const struct diag nothing;
        struct net_stream *s = e ? NULL : d->stream;
        void (*done)(void *, enum err, struct net_stream *, const struct diag *) = d->done;
        void *ctx = d->ctx;
        struct diag diag = nothing;

        if (e)
                (void)diag_set(&diag, e, "cannot connect to %s:%u: %s", d->host, d->port, why);
        if (s) {
                d->stream = NULL;
                net_stream_set_handler(s, NULL, NULL);
        }
        dial_free(d);
        done(ctx, e, s, &diag);
}

/* ---- TLS ---- */

static void tls_open(struct net_stream *s, void *ctx)
{
        (void)s;
        finish(ctx, OK, NULL);
}

static void on_stream_end(struct net_stream *s, void *ctx, enum err why)
{
        char text[256];

        snprintf(text, sizeof(text), "%s", net_stream_why(s));
        finish(ctx, why, text);
}

static void start_tls(struct net_dial *d)
{
        static const struct net_stream_handler handler = { .on_open = tls_open, .on_end = on_stream_end };
        struct net_stream *lower = d->stream;
        struct diag why = { "" };

        if (!d->has_tls) {
                finish(d, OK, NULL);
                return;
        }
        d->stream = NULL;
        enum err e = tls_connect(&d->tls, lower, &d->stream, &why);
        if (e)
                finish(d, e, why.text[0] ? why.text : err_str(e));
        else
                net_stream_set_handler(d->stream, &handler, d);
}

/* ---- the proxy ---- */

static void proxy_data(struct net_stream *s, void *ctx, struct slice data)
{
        struct net_dial *d = ctx;

        buf_append_slice(&d->proxy_head, data);
        if (buf_status(&d->proxy_head) != OK) {
                finish(d, ERR_LIMIT, "the proxy answers too much");
                return;
        }
        const char *head = buf_cstr(&d->proxy_head), *end = strstr(head, "\r\n\r\n");
        if (!end)
                return;
        if (strncmp(head, "HTTP/1.", 7) != 0 ||
                !slice_is(slice_first(slice_after(slice_str(head), 8), 4), " 200")) {
                char text[128];
                snprintf(text, sizeof(text), "the proxy refuses: %.*s",
                        (int)strcspn(head, "\r\n") > 80 ? 80 : (int)strcspn(head, "\r\n"), head);
                finish(d, ERR_DENIED, text);
                return;
        }
        net_stream_set_handler(s, NULL, NULL);
        net_stream_unread(s, slice_after(buf_slice(&d->proxy_head), (size_t)(end - head) + 4));
        start_tls(d);
}

static void start_proxy(struct net_dial *d)
{
        static const struct net_stream_handler handler = { .on_data = proxy_data, .on_end = on_stream_end };
        struct buf request = BUF_INIT(4096);
        bool is_v6 = strchr(d->host, ':') != NULL;

        buf_printf(&request, "CONNECT %s%s%s:%u HTTP/1.1\r\n", is_v6 ? "[" : "", d->host, is_v6 ? "]" : "",
                d->port);
        buf_printf(&request, "Host: %s%s%s:%u\r\n", is_v6 ? "[" : "", d->host, is_v6 ? "]" : "", d->port);
        if (d->proxy.auth[0])
                buf_printf(&request, "Proxy-Authorization: Basic %s\r\n", d->proxy.auth);
        buf_append_str(&request, "\r\n");
        enum err e = buf_status(&request);
        if (!e)
                e = net_stream_write(d->stream, buf_slice(&request));
        buf_wipe(&request);
        if (e)
                finish(d, e, "the request to the proxy does not fit");
        else
                net_stream_set_handler(d->stream, &handler, d);
}

/* ---- the race ---- */

static void next_attempt(struct net_dial *d);

static void on_connected(uv_connect_t *req, int status)
{
        struct attempt *a = container_of(req, struct attempt, req);
        struct net_dial *d = a->dial;

        if (!d) {
                free(a);
                return;
        }
        list_remove(&a->link);
        struct sock_stream *sock = a->sock;
        free(a);
        if (status != 0) {
                sock_stream_discard(sock);
                d->last_err = net_err_from_uv(status);
                (void)diag_set(&d->last, d->last_err, "%s", uv_strerror(status));
                next_attempt(d);
                return;
        }
        d->stream = sock_stream_opened(sock, NULL);
        for (struct list *it; (it = list_pop_front(&d->attempts));) {
                struct attempt *loser = container_of(it, struct attempt, link);
                loser->dial = NULL;
                sock_stream_discard(loser->sock);
        }
        net_timer_stop(d->loop, &d->stagger);
        if (d->proxy.host[0])
                start_proxy(d);
        else
                start_tls(d);
}

/* A socket of our own, because the mark must be on it before it connects. */
static int open_marked(const struct net_dial *d, const struct ip_addr *ip)
{
        int fd = socket(
                ip->family == IP_V4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd >= 0 && d->mark && !ip_is_loopback(ip))
                (void)setsockopt(fd, SOL_SOCKET, SO_MARK, &d->mark, sizeof(d->mark));
        return fd;
}

static int connect_to(struct net_dial *d, const struct ip_addr *ip)
{
        struct sockaddr_storage ss;
        struct ip_port to = { *ip, d->proxy.host[0] ? d->proxy.port : d->port };
        struct attempt *a = calloc(1, sizeof(*a));
        int fd = open_marked(d, ip);

        if (fd < 0) {
                free(a);
                return -errno;
        }
        if (!a || !(a->sock = sock_stream_new(d->loop, false))) {
                close(fd);
                free(a);
                return UV_ENOMEM;
        }
        sockaddr_from_ip(&to, &ss);
        uv_tcp_t *tcp = (uv_tcp_t *)sock_stream_handle(a->sock);
        int status = uv_tcp_open(tcp, fd);
        if (status != 0)
                close(fd);
        else
                status = uv_tcp_connect(&a->req, tcp, (const struct sockaddr *)&ss, on_connected);
        if (status != 0) {
                sock_stream_discard(a->sock);
                free(a);
                return status;
        }
        a->dial = d;
        list_push_back(&d->attempts, &a->link);
        return 0;
}

static void next_attempt(struct net_dial *d)
{
        while (d->next_addr < d->addr_count) {
                int status = connect_to(d, &d->addrs[d->next_addr++]);
                if (status == 0) {
                        net_timer_start(d->loop, &d->stagger, d->stagger_ms);
                        return;
                }
                d->last_err = net_err_from_uv(status);
                (void)diag_set(&d->last, d->last_err, "%s", uv_strerror(status));
        }
        if (list_empty(&d->attempts)) {
                struct diag why = d->last;
                finish(d, d->last_err ? d->last_err : ERR_NOTFOUND,
                        why.text[0] ? why.text : "no address of the wanted kind");
        }
}

static void on_stagger(struct timer *t, const struct now *now)
{
        struct net_dial *d = container_of(t, struct net_dial, stagger);

        (void)now;
        if (d->next_addr < d->addr_count)
                next_attempt(d);
}

static void on_deadline(struct timer *t, const struct now *now)
{
        struct net_dial *d = container_of(t, struct net_dial, deadline);
        struct diag why = d->last;

        (void)now;
        finish(d, ERR_TIMEOUT, why.text[0] ? why.text : "no answer in time");
}

/* RFC 8305, section 4: the families take turns, the preferred one first. */
static void interleave(struct net_dial *d, const struct ip_addr *addrs, size_t count)
{
        enum ip_family want = d->prefer_v4 ? IP_V4 : IP_V6;
        bool used[NET_DIAL_ADDRS_MAX] = { false };

        for (size_t taken = 0; taken < count; taken++) {
                size_t pick = count;
                for (size_t i = 0; i < count; i++)
                        if (!used[i] &&
                                (pick == count || (addrs[i].family == want && addrs[pick].family != want)))
                                pick = i;
                used[pick] = true;
                bool wanted = addrs[pick].family == IP_V4 ? !d->only_v6 : !d->only_v4;
                if (wanted)
                        d->addrs[d->addr_count++] = addrs[pick];
                want = addrs[pick].family == IP_V4 ? IP_V6 : IP_V4;
        }
}

static void on_resolved(
        void *ctx, enum err e, const struct ip_addr *addrs, size_t count, const struct diag *why)
{
        struct net_dial *d = ctx;

        d->resolve = NULL;
        if (e) {
                finish(d, e, why->text);
                return;
        }
        interleave(d, addrs, count);
        next_attempt(d);
}

/* ---- the beginning ---- */

static void on_begin(struct net_task *task)
{
        struct net_dial *d = container_of(task, struct net_dial, begin);
        const char *name = d->proxy.host[0] ? d->proxy.host : d->host;
        struct ip_addr literal;

        if (d->addr_count == 0 && ip_parse(slice_str(name), &literal) == OK)
                interleave(d, &literal, 1);
        if (d->addr_count) {
                next_attempt(d);
                return;
        }
        struct net_resolve_options o = {
                .name = name, .only_v4 = d->only_v4, .only_v6 = d->only_v6, .mark = d->mark
        };
        enum err e = net_resolve_start(d->loop, &o, on_resolved, d, &d->resolve);
        if (e)
                finish(d, e, "cannot ask for its address");
}

static char *copy_host(const char *host)
{
        size_t n = strlen(host);
        bool bracketed = n >= 2 && host[0] == '[' && host[n - 1] == ']';
        return bracketed ? strndup(host + 1, n - 2) : strdup(host);
}

static enum err copy_tls(struct net_dial *d, const struct tls_client_options *tls)
{
        if (!tls)
                return OK;
        d->has_tls = true;
        d->tls = *tls;
        d->server_name = tls->server_name ? strdup(tls->server_name) : strdup(d->host);
        d->tls.server_name = d->server_name;
        if (tls->verify_name)
                d->tls.verify_name = d->verify_name = strdup(tls->verify_name);
        if (tls->pin_sha256) {
                memcpy(d->pin, tls->pin_sha256, sizeof(d->pin));
                d->tls.pin_sha256 = d->pin;
        }
        buf_append_slice(&d->ca_pem, tls->ca_pem);
        d->tls.ca_pem = buf_slice(&d->ca_pem);
        bool is_whole =
                d->server_name && (!tls->verify_name || d->verify_name) && buf_status(&d->ca_pem) == OK;
        return is_whole ? OK : ERR_NOMEM;
}

enum err net_dial_start(struct net_loop *loop, const struct net_dial_options *o,
        void (*done)(void *ctx, enum err e, struct net_stream *s, const struct diag *d), void *ctx,
        struct net_dial **out)
{
        struct net_dial *d = calloc(1, sizeof(*d));
        struct diag proxy_diag = { "" };

        if (out)
                *out = NULL;
        if (!d)
                return ERR_NOMEM;
        d->loop = loop;
        list_init(&d->attempts);
        buf_init(&d->ca_pem, 1 << 20);
        buf_init(&d->proxy_head, PROXY_HEAD_MAX);
        d->host = copy_host(o->host);
        d->port = o->port;
        d->mark = o->mark;
        d->stagger_ms = o->stagger_ms ? o->stagger_ms : DEFAULT_STAGGER_MS;
        d->prefer_v4 = o->prefer_v4;
        d->only_v4 = o->only_v4;
        d->only_v6 = o->only_v6;
        d->begin.run = on_begin;
        d->stagger.fire = on_stagger;
        d->deadline.fire = on_deadline;
        d->done = done;
        d->ctx = ctx;
        enum err e = d->host ? copy_tls(d, o->tls) : ERR_NOMEM;
        if (!e && o->use_proxy)
                e = proxy_from_environment(d->host, d->has_tls, &d->proxy, &proxy_diag);
        if (e) {
                dial_free(d);
                return e;
        }
        if (!d->proxy.host[0])
                interleave(
                        d, o->addrs, o->addr_count < NET_DIAL_ADDRS_MAX ? o->addr_count : NET_DIAL_ADDRS_MAX);
        net_timer_start(loop, &d->deadline, o->timeout_ms ? o->timeout_ms : DEFAULT_TIMEOUT_MS);
        net_loop_defer(loop, &d->begin);
        if (out)
                *out = d;
        return OK;
}

void net_dial_cancel(struct net_dial *d)
{
        if (d)
                dial_free(d);
}
