/*
 * A plain UDP socket on the loop: STUN servers, port mapping, netcheck. The data
 * plane's sockets are its own.
 */
#ifndef NET_UDP_H
#define NET_UDP_H

#include "ip/addr.h"
#include "net/loop.h"

struct net_udp;
struct net_udp_calls {
        /* data lives during the call. */
        void (*on_packet)(void *ctx, const struct ip_port *from, struct slice data);
};
struct net_udp_options {
        struct ip_port bind;  /* port 0: the kernel chooses; :: takes IPv6 only */
        uint32_t mark;        /* SO_MARK, 0: none */
        bool broadcast;
};
enum err MUST_USE net_udp_open(struct net_loop *loop, const struct net_udp_options *options,
        const struct net_udp_calls *calls, void *ctx, struct net_udp **out, struct diag *d);
/* Sent at once or not at all: ERR_LIMIT when the socket is full, ERR_SYS. */
enum err MUST_USE net_udp_send(struct net_udp *u, const struct ip_port *to, struct slice data);
struct ip_port net_udp_addr(const struct net_udp *u);
void net_udp_close(struct net_udp *u); /* NULL is fine */

#endif
