/*
 * weft-ceiling: what a tunnel could reach here if everything but moving packets
 * were free. Between TUN and UDP like the node, with the same offloads, one thread
 * a direction, one read and one send for a super-packet, but without cryptography,
 * peers, filter or anything shared. For bench/tunnel; it protects nothing.
 *
 *   weft-ceiling TUN MTU PORT PEER-ENDPOINT
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "coalesce.h"
#include "gso.h"
#include "os/tun.h"
#include "segment.h"
#include "udp.h"

enum { HEAD = 16, TAG = 16, READ_LEN = VNET_LEN + 65535, SLAB_LEN = 128 << 10 };

static int tun;
static struct udp_pair sockets;
static struct udp_address peer;

static void wait_for(int fd)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };

        (void)poll(&p, 1, -1);
}

/* ---- TUN to UDP ---------------------------------------------------------- */

struct batch {
        uint8_t slab[SLAB_LEN];
        struct iovec datagrams[DATAPLANE_BATCH];
        size_t count, used;
};

static void batch_flush(struct batch *b)
{
        uint64_t calls = 0;

        if (b->count > 0)
                (void)udp_send(&sockets.v4, &peer, b->datagrams, b->count, &calls);
        b->count = b->used = 0;
}

static void batch_add(struct batch *b, const uint8_t *bytes, size_t len)
{
        struct slice packet = slice_make(bytes + VNET_LEN, len - VNET_LEN);
        struct vnet_header vnet = vnet_read(bytes);
        struct segmenter seg;

        if (segment_begin(&seg, &vnet, packet) != OK)
                return;
        size_t max = HEAD + segment_max_len(&seg) + TAG, left = segment_left(&seg);
        if (b->count + left > DATAPLANE_BATCH || b->used + left * max > SLAB_LEN)
                batch_flush(b);
        for (; left > 0; left--) {
                if (b->count == DATAPLANE_BATCH || b->used + max > SLAB_LEN)
                        batch_flush(b);
                uint8_t *at = b->slab + b->used;
                size_t n = HEAD + segment_next(&seg, at + HEAD) + TAG;
                b->datagrams[b->count++] = (struct iovec){ at, n };
                b->used += n;
        }
}

static void *run_sender(void *arg)
{
        static struct batch batch;
        static uint8_t buf[READ_LEN];

        (void)arg;
        for (;;) {
                ssize_t n = read(tun, buf, READ_LEN);
                if (n > VNET_LEN) {
                        batch_add(&batch, buf, (size_t)n);
                        if (batch.count >= DATAPLANE_BATCH / 2)
                                batch_flush(&batch);
                        continue;
                }
                batch_flush(&batch);
                if (n < 0 && errno != EAGAIN && errno != EINTR)
                        return NULL;
                wait_for(tun);
        }
}

/* ---- UDP to TUN ---------------------------------------------------------- */

static void write_all(struct coalescer *c)
{
        for (unsigned i = 0; i < c->item_count; i++) {
                uint8_t head[COALESCE_HEAD_MAX];
                struct iovec iov[COALESCE_IOV_MAX];
                (void)!writev(tun, iov, (int)coalesce_gather(c, i, head, iov));
        }
        coalesce_reset(c);
}

static void take_datagram(struct coalescer *c, const uint8_t *bytes, size_t len)
{
        struct packet p;

        if (len <= HEAD + TAG || packet_decode(slice_make(bytes + HEAD, len - HEAD - TAG), &p) != OK)
                return;
        if (coalesce_full(c))
                write_all(c);
        coalesce_add(c, &p);
}

static void run_receiver(void)
{
        static struct coalescer coalescer;
        static struct udp_receiver udp;

        if (udp_receiver_init(&udp) != OK)
                return;
        for (;;) {
                int n = udp_receive(&udp, &sockets.v4);
                for (int i = 0; i < n; i++) {
                        struct udp_received d = udp_received_at(&udp, i);
                        for (size_t at = 0; at < d.len; at += d.stride)
                                take_datagram(&coalescer, d.bytes + at, d.len - at < d.stride ? d.len - at : d.stride);
                }
                write_all(&coalescer);
                if (n <= 0)
                        wait_for(sockets.v4.fd);
        }
}

/* ---- start --------------------------------------------------------------- */

int main(int argc, char **argv)
{
        struct dataplane_udp_options udp = { .port_count = 1 };
        struct tun_options o = { .gso_max_segs = DATAPLANE_BATCH };
        struct tun_device device;
        struct ip_port endpoint;
        struct diag d = { { 0 } };
        uint64_t mtu, port;
        pthread_t sender;

        if (argc != 5 || parse_u64(slice_str(argv[2]), 9000, &mtu) != OK ||
                parse_u64(slice_str(argv[3]), 65535, &port) != OK ||
                ip_port_parse(slice_str(argv[4]), &endpoint) != OK) {
                fprintf(stderr, "usage: %s TUN MTU PORT PEER-ENDPOINT\n", argv[0]);
                return 2;
        }
        snprintf(o.name, sizeof(o.name), "%s", argv[1]);
        o.mtu = (uint32_t)mtu;
        o.gso_max_bytes = dataplane_gso_max_bytes(o.mtu);
        udp.ports[0] = (uint16_t)port;
        if (tun_open(&o, &device, &d) != OK || udp_pair_open(&udp, &sockets, &d) != OK) {
                fprintf(stderr, "%s: %s\n", argv[0], d.text);
                return 1;
        }
        tun = device.fd;
        peer = udp_address_of(&endpoint);
        if (pthread_create(&sender, NULL, run_sender, NULL) != 0)
                return 1;
        puts("ready");
        fflush(stdout);
        run_receiver();
        return 1;
}
