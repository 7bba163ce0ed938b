/* Names to addresses: a c-ares channel for each question, its sockets on the loop. */
#include <ares.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "net/dial.h"
#include "stream_internal.h"

enum { SOCKETS_MAX = 16, DEFAULT_MS = 5000, TICK_MS = 100 };

struct watch {
        struct net_resolve *owner;
        ares_socket_t fd;
        struct net_poll *poll;
};

struct net_resolve {
        struct net_loop *loop;
        ares_channel channel;
        bool has_channel;
        uint32_t mark;
        struct watch watches[SOCKETS_MAX];
        struct timer tick;
        uint64_t deadline_us;
        struct net_task finish;
        char *name;
        struct ip_addr addrs[NET_DIAL_ADDRS_MAX];
        size_t count;
        enum err result;
        struct diag d;
        bool is_answered;
        void (*done)(void *ctx, enum err e, const struct ip_addr *addrs, size_t count, const struct diag *d);
        void *ctx;
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_init(void)
{
        (void)ares_library_init(ARES_LIB_INIT_ALL);
}

static void resolve_free(struct net_resolve *r)
{
        net_timer_stop(r->loop, &r->tick);
        net_task_cancel(&r->finish);
        if (r->has_channel)
                ares_destroy(r->channel); /* stops the watches through on_socket_state() */
        for (size_t i = 0; i < SOCKETS_MAX; i++)
                net_poll_stop(r->watches[i].poll);
        free(r->name);
        free(r);
}

static void on_finish(struct net_task *task)
{
        struct net_resolve *r = container_of(task, struct net_resolve, finish);
        struct ip_addr addrs[NET_DIAL_ADDRS_MAX];
        size_t count = r->count;
        enum err result = r->result;
        struct diag d = r->d;
        void *ctx = r->ctx;
        void (*done)(void *, enum err, const struct ip_addr *, size_t, const struct diag *) = r->done;

        memcpy(addrs, r->addrs, sizeof(addrs));
        resolve_free(r);
        done(ctx, result, addrs, count, &d);
}

static void answer(struct net_resolve *r, enum err e, const char *why)
{
        if (r->is_answered)
                return;
        r->is_answered = true;
        r->result = e;
        if (e)
                (void)diag_set(&r->d, e, "cannot find the address of %s: %s", r->name, why);
        net_loop_defer(r->loop, &r->finish);
}

static void on_answer(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
        struct net_resolve *r = ctx;

        (void)timeouts;
        for (struct ares_addrinfo_node *n = info ? info->nodes : NULL; n && r->count < NET_DIAL_ADDRS_MAX;
                n = n->ai_next) {
                struct sockaddr_storage ss = { 0 };
                struct ip_port a;
                memcpy(&ss, n->ai_addr, n->ai_addrlen < sizeof(ss) ? n->ai_addrlen : sizeof(ss));
                if (sockaddr_to_ip(&ss, &a))
                        r->addrs[r->count++] = a.ip;
        }
        if (info)
                ares_freeaddrinfo(info);
        if (r->count)
                answer(r, OK, NULL);
        else if (status == ARES_ENOTFOUND || status == ARES_ENODATA || status == ARES_SUCCESS)
                answer(r, ERR_NOTFOUND, "no such name");
        else
                answer(r, status == ARES_ETIMEOUT ? ERR_TIMEOUT : ERR_SYS, ares_strerror(status));
}

static void on_ready(void *ctx, int events)
{
        struct watch *w = ctx;
        ares_socket_t fd = w->fd;

        ares_process_fd(w->owner->channel, events & NET_POLL_READ ? fd : ARES_SOCKET_BAD,
                events & NET_POLL_WRITE ? fd : ARES_SOCKET_BAD);
}

static void on_socket_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
        struct net_resolve *r = ctx;
        struct watch *found = NULL;
        int events = (readable ? NET_POLL_READ : 0) | (writable ? NET_POLL_WRITE : 0);

        for (size_t i = 0; i < SOCKETS_MAX; i++) {
                struct watch *w = &r->watches[i];
                if (w->poll && w->fd == fd) {
                        found = w;
                        break;
                }
                if (!w->poll && !found)
                        found = w;
        }
        if (!found)
                return; /* more sockets than we watch: those wait for the deadline */
        net_poll_stop(found->poll);
        *found = (struct watch){ .owner = r, .fd = fd };
        if (events && net_poll_start(r->loop, fd, events, on_ready, found, &found->poll) != OK)
                found->poll = NULL;
}

static int on_socket_made(ares_socket_t fd, int type, void *ctx)
{
        struct net_resolve *r = ctx;

        (void)type;
        if (r->mark) /* refused without CAP_NET_ADMIN, where no tunnel catches us either */
                (void)setsockopt(fd, SOL_SOCKET, SO_MARK, &r->mark, sizeof(r->mark));
        return 0;
}

/* c-ares counts its own retries when asked now and then. */
static void on_tick(struct timer *t, const struct now *now)
{
        struct net_resolve *r = container_of(t, struct net_resolve, tick);

        if (now->mono_us >= r->deadline_us) {
                answer(r, ERR_TIMEOUT, "the name servers do not answer");
                return;
        }
        ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        if (!r->is_answered)
                net_timer_start(r->loop, &r->tick, TICK_MS);
}

static enum err set_servers(struct net_resolve *r, const struct net_resolve_options *o)
{
        char text[IP_TEXT_MAX], list[NET_DIAL_ADDRS_MAX * (IP_TEXT_MAX + 1)] = "";
        size_t n = 0;

        for (size_t i = 0; i < o->server_count && i < NET_DIAL_ADDRS_MAX; i++) {
                ip_port_format(&o->servers[i], text);
                n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i ? "," : "", text);
        }
        return o->server_count == 0 || ares_set_servers_ports_csv(r->channel, list) == ARES_SUCCESS
                       ? OK
                       : ERR_FORMAT;
}

static enum err open_channel(struct net_resolve *r, const struct net_resolve_options *o)
{
        struct ares_options options = {
                .sock_state_cb = on_socket_state, .sock_state_cb_data = r, .timeout = 1000, .tries = 3
        };

        pthread_once(&library_once, library_init);
        if (ares_init_options(&r->channel, &options,
                    ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES) != ARES_SUCCESS)
                return ERR_SYS;
        r->has_channel = true;
        ares_set_socket_callback(r->channel, on_socket_made, r);
        return set_servers(r, o);
}

enum err net_resolve_start(struct net_loop *loop, const struct net_resolve_options *o,
        void (*done)(void *ctx, enum err e, const struct ip_addr *addrs, size_t count, const struct diag *d),
        void *ctx, struct net_resolve **out)
{
        struct net_resolve *r = calloc(1, sizeof(*r));
        struct ares_addrinfo_hints hints = { .ai_family = o->only_v4   ? AF_INET
                                                          : o->only_v6 ? AF_INET6
                                                                       : AF_UNSPEC,
                .ai_socktype = SOCK_STREAM };

        if (out)
                *out = NULL;
        if (!r)
                return ERR_NOMEM;
        r->loop = loop;
        r->mark = o->mark;
        r->done = done;
        r->ctx = ctx;
        r->finish.run = on_finish;
        r->tick.fire = on_tick;
        r->name = strdup(o->name);
        enum err e = r->name ? open_channel(r, o) : ERR_NOMEM;
        if (e) {
                resolve_free(r);
                return e;
        }
        unsigned ms = o->timeout_ms ? o->timeout_ms : DEFAULT_MS;
        r->deadline_us = net_loop_now(loop).mono_us + TIME_MS(ms);
        net_timer_start(loop, &r->tick, ms < TICK_MS ? ms : TICK_MS);
        ares_getaddrinfo(r->channel, r->name, NULL, &hints, on_answer, r);
        if (out)
                *out = r;
        return OK;
}

void net_resolve_cancel(struct net_resolve *r)
{
        if (!r)
                return;
        r->is_answered = true; /* what ares_destroy() still says is not for anyone */
        resolve_free(r);
}
