/*
 * Connecting to others: names to addresses (c-ares), the race of the addresses
 * (RFC 8305), HTTP proxies from the environment, and TLS on top, as one call.
 */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include "ip/addr.h"
#include "net/loop.h"
#include "net/stream.h"
#include "net/tls.h"

enum { NET_DIAL_ADDRS_MAX = 16 };

struct net_dial_options {
        const char *host;     /* a name or an IP literal ("[::1]" too) */
        uint16_t port;
        /* Addresses to use instead of resolving host; host is then only the name for
         * TLS and for a proxy. Borrowed during the call. */
        const struct ip_addr *addrs;
        size_t addr_count;
        unsigned timeout_ms;  /* for everything together; 0: 10 s */
        unsigned stagger_ms;  /* between addresses of the race; 0: 250 ms */
        bool prefer_v4;       /* begin with IPv4 instead of IPv6 */
        bool only_v4, only_v6;
        uint32_t mark;        /* SO_MARK of the socket and of the DNS sockets; 0: none */
        /* HTTPS_PROXY, HTTP_PROXY, NO_PROXY (upper or lower case) are obeyed: CONNECT.
         * Loopback never goes to a proxy. */
        bool use_proxy;
        /* TLS to host once connected. server_name NULL in it means host. NULL: none. */
        const struct tls_client_options *tls;
};

struct net_dial;
/* done() is called once, never inside this call: with an open stream that the callee
 * owns, or with an error and a sentence for people. *out (may be NULL) serves to cancel
 * until then. Options and strings are copied. */
enum err MUST_USE net_dial_start(struct net_loop *loop, const struct net_dial_options *options,
        void (*done)(void *ctx, enum err e, struct net_stream *s, const struct diag *d), void *ctx,
        struct net_dial **out);
void net_dial_cancel(struct net_dial *dial); /* done() will not be called; NULL is fine */

/* A Unix socket: connects at once. Where others crowd at its door, blocks for up to
 * patience_ms, which only a program with nothing else to do should allow; then ERR_LIMIT. */
enum err MUST_USE net_dial_unix(struct net_loop *loop, const char *path, unsigned patience_ms,
        struct net_stream **out, struct diag *d);

/* Names to addresses, A and AAAA together, at most NET_DIAL_ADDRS_MAX of them, in the
 * order of c-ares (RFC 6724). /etc/hosts counts. */
struct net_resolve;
struct net_resolve_options {
        const char *name;
        bool only_v4, only_v6;
        unsigned timeout_ms; /* 0: 5 s */
        uint32_t mark;
        /* Ask these servers instead of the system's; borrowed during the call. */
        const struct ip_port *servers;
        size_t server_count;
};
enum err MUST_USE net_resolve_start(struct net_loop *loop, const struct net_resolve_options *options,
        void (*done)(void *ctx, enum err e, const struct ip_addr *addrs, size_t count, const struct diag *d),
        void *ctx, struct net_resolve **out);
void net_resolve_cancel(struct net_resolve *resolve);

#endif
