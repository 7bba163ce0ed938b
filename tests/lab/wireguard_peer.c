/*
 * The tunnel engine against other implementations of WireGuard: one peer over one
 * UDP socket, without a TUN. It answers every echo request that comes out of the
 * tunnel, may send one a tenth of a second, and prints what it counted at the end.
 *
 *      wireguard-peer SECRET PEER PSK PORT PEER-PORT SECONDS ping|listen
 *
 * Keys are hexadecimal; both ends are on the loopback, ours with the inner address
 * 10.9.0.1 and the other's with 10.9.0.2.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include "base/cursor.h"
#include "base/text.h"
#include "ip/checksum.h"
#include "tunnel/direct.h"

enum { ECHO_REPLY = 0, ECHO_REQUEST = 8, ICMP_AT = 20, PING_LEN = 84, PING_EVERY_MS = 100 };

struct peer {
        int fd;
        struct tunnel_direct *tunnel;
        struct tunnel_link *link;
        unsigned sent, replies, requests;
        uint8_t answer[1500]; /* to the request just delivered */
        size_t answer_len;
};

static void kernel_fill(struct rng *rng, void *out, size_t n)
{
        (void)rng;
        if (getrandom(out, n, 0) != (ssize_t)n)
                abort();
}

static struct now present(void)
{
        struct timespec mono, wall;

        clock_gettime(CLOCK_BOOTTIME, &mono);
        clock_gettime(CLOCK_REALTIME, &wall);
        return (struct now){ (uint64_t)mono.tv_sec * 1000000 + (uint64_t)mono.tv_nsec / 1000,
                (int64_t)wall.tv_sec * 1000000 + wall.tv_nsec / 1000 };
}

static void on_send(void *ctx, struct tunnel_link *link, const struct tunnel_source *reply_to, struct slice datagram)
{
        struct peer *p = ctx;

        (void)link, (void)reply_to; /* the socket is connected */
        if (send(p->fd, datagram.ptr, datagram.len, 0) < 0 && errno != ECONNREFUSED)
                perror("send");
}

static void set_checksum(uint8_t *packet, size_t len)
{
        put_be16(packet + ICMP_AT + 2, 0);
        put_be16(packet + ICMP_AT + 2,
                checksum_finish(checksum_add(0, slice_make(packet + ICMP_AT, len - ICMP_AT))));
}

static void on_deliver(void *ctx, struct tunnel_link *link, struct slice packet)
{
        struct peer *p = ctx;

        (void)link;
        if (packet.len < ICMP_AT + 8 || packet.len > sizeof p->answer || packet.ptr[9] != IPPROTO_ICMP)
                return;
        if (packet.ptr[ICMP_AT] == ECHO_REPLY)
                p->replies++;
        if (packet.ptr[ICMP_AT] != ECHO_REQUEST)
                return;
        p->requests++;
        memcpy(p->answer, packet.ptr, packet.len);
        memcpy(p->answer + 12, packet.ptr + 16, 4);
        memcpy(p->answer + 16, packet.ptr + 12, 4);
        p->answer[ICMP_AT] = ECHO_REPLY;
        set_checksum(p->answer, packet.len);
        p->answer_len = packet.len;
}

static void say(struct peer *p, struct slice packet, const struct now *now)
{
        if (tunnel_send_packet(p->tunnel, packet, now) != OK)
                fprintf(stderr, "a packet was refused\n");
}

static void ping(struct peer *p, const struct now *now)
{
        uint8_t packet[PING_LEN] = { 0x45, 0, 0, PING_LEN, 0, 1, 0, 0, 64, IPPROTO_ICMP, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2,
                ECHO_REQUEST, 0, 0, 0, 0x57, 0x66 };

        put_be16(packet + ICMP_AT + 6, (uint16_t)p->sent++);
        put_be16(packet + 10, checksum_finish(checksum_add(0, slice_make(packet, ICMP_AT))));
        set_checksum(packet, sizeof packet);
        say(p, SLICE_ARRAY(packet), now);
}

static void receive(struct peer *p)
{
        const struct tunnel_source from = { .via = TUNNEL_VIA_UDP, .addr = { ip_v4(127, 0, 0, 1), 1 } };
        uint8_t datagram[2048];
        ssize_t n = recv(p->fd, datagram, sizeof datagram, 0);
        const struct now now = present();

        if (n < 0)
                return;
        tunnel_direct_receive(p->tunnel, datagram, (size_t)n, &from, &now);
        if (p->answer_len > 0)
                say(p, slice_make(p->answer, p->answer_len), &now);
        p->answer_len = 0;
}

static void run(struct peer *p, uint64_t end_us, bool pings)
{
        uint64_t next_ping_us = 0;

        for (struct now now = present(); now.mono_us < end_us; now = present()) {
                struct pollfd fd = { p->fd, POLLIN, 0 };

                tunnel_direct_run(p->tunnel, &now);
                if (pings && now.mono_us >= next_ping_us) {
                        next_ping_us = now.mono_us + TIME_MS(PING_EVERY_MS);
                        ping(p, &now);
                }
                if (poll(&fd, 1, 10) > 0)
                        receive(p);
        }
}

static int open_socket(int port, int peer_port)
{
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0)
                return -1;
        a.sin_port = htons((uint16_t)peer_port);
        return connect(fd, (struct sockaddr *)&a, sizeof a) < 0 ? -1 : fd;
}

int main(int argc, char **argv)
{
        static const struct tunnel_direct_ops ops = { .send = on_send, .deliver = on_deliver };
        const struct ip_prefix allowed = { ip_v4(10, 9, 0, 2), 32 };
        struct tunnel_peer_config other = { 0 };
        struct tunnel_config self = { 0 };
        struct rng rng = { kernel_fill };
        struct peer p = { 0 };
        uint64_t port, peer_port, seconds;

        if (argc != 8 || hex_decode(slice_str(argv[1]), self.secret.b, KEY_LEN) != OK ||
                hex_decode(slice_str(argv[2]), other.key.b, KEY_LEN) != OK ||
                hex_decode(slice_str(argv[3]), other.psk.b, KEY_LEN) != OK ||
                parse_u64(slice_str(argv[4]), UINT16_MAX, &port) != OK ||
                parse_u64(slice_str(argv[5]), UINT16_MAX, &peer_port) != OK ||
                parse_u64(slice_str(argv[6]), 3600, &seconds) != OK) {
                fprintf(stderr, "usage: wireguard-peer SECRET PEER PSK PORT PEER-PORT SECONDS ping|listen\n");
                return 2;
        }
        p.fd = open_socket((int)port, (int)peer_port);
        if (p.fd < 0) {
                perror("socket");
                return 1;
        }
        p.tunnel = tunnel_direct_new(&self, 1420, &ops, &p, &rng);
        if (!p.tunnel || tunnel_link_add(p.tunnel, &other, &p.link) != OK ||
                tunnel_link_allow(p.tunnel, p.link, &allowed) != OK)
                return 1;
        run(&p, present().mono_us + TIME_S(seconds), strcmp(argv[7], "ping") == 0);

        const struct tunnel_stats *s = tunnel_stats(tunnel_direct_engine(p.tunnel));
        printf("{\"sent\":%u,\"replies\":%u,\"requests\":%u,\"initiations\":%llu,\"responses\":%llu}\n", p.sent,
                p.replies, p.requests, (unsigned long long)s->initiations_sent, (unsigned long long)s->responses_sent);
        tunnel_direct_free(p.tunnel);
        return 0;
}
