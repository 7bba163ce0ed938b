/*
 * The pair of UDP sockets that carries everything between nodes: opening them as
 * spec/paths.md 2.11 says, sending and receiving in batches (spec/dataplane.md 2.4).
 */
#ifndef DATAPLANE_UDP_H
#define DATAPLANE_UDP_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "dataplane/dataplane.h"

struct udp_socket {
        int fd; /* -1: there is none of this family */
        bool is_v6;
        uint16_t port;
        _Atomic bool gso; /* UDP_SEGMENT works; cleared for good when it fails */
        bool gro;
};

struct udp_pair {
        struct udp_socket v4, v6;
};

/* IPv6 is a bonus, IPv4 a must: ERR_SYS with the reason in diag. */
enum err MUST_USE udp_pair_open(const struct dataplane_udp_options *options, struct udp_pair *out,
        struct diag *diag);
void udp_pair_close(struct udp_pair *p);

/* An address as the kernel takes it. */
struct udp_address {
        union {
                struct sockaddr any;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
        };
        socklen_t len;
};
struct udp_address udp_address_of(const struct ip_port *a);
struct ip_port udp_address_read(const struct udp_address *a);
struct udp_socket *udp_socket_for(struct udp_pair *p, const struct ip_port *to);

/*
 * Sends n datagrams (at most DATAPLANE_BATCH) to one address in as few messages as
 * possible. When the socket's buffer is full it waits a few milliseconds for room.
 * Returns 0 or the errno of the first message that could not be sent; the others
 * are sent all the same. *calls counts system calls.
 */
int udp_send(struct udp_socket *s, const struct udp_address *to, const struct iovec *datagrams, size_t n,
        uint64_t *calls);

/* Where recvmmsg puts what came: each slab holds one datagram, or several of equal
 * length (the last may be shorter) when the kernel joined them. */
enum { UDP_SLAB_LEN = 65536, UDP_SLABS = 8 };

struct udp_received {
        uint8_t *bytes;
        size_t len;
        size_t stride; /* length of each datagram */
        struct ip_port from;
};

struct udp_receiver {
        uint8_t *slabs;
        struct mmsghdr msgs[UDP_SLABS];
        struct iovec iov[UDP_SLABS];
        struct udp_address from[UDP_SLABS];
        _Alignas(8) uint8_t control[UDP_SLABS][64];
        uint32_t overflow; /* the kernel's cumulative count of drops */
};

enum err MUST_USE udp_receiver_init(struct udp_receiver *r);
void udp_receiver_fini(struct udp_receiver *r);
/* The number of slabs filled: 0 when nothing waits; -1 on errors (errno). */
int udp_receive(struct udp_receiver *r, const struct udp_socket *s);
struct udp_received udp_received_at(struct udp_receiver *r, int i);

#endif
