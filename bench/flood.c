/*
 * weft-flood: UDP as fast as the kernel takes it, and what of it arrives. The
 * common tools spend a system call on each packet at both ends, and so measure
 * themselves when packets are small. For bench/tunnel.
 *
 *   weft-flood send ADDRESS PORT FLOWS PAYLOAD-BYTES SECONDS
 *   weft-flood receive ADDRESS PORT SECONDS
 *
 * The receiver begins to count with the first packet and prints
 * "packets=N bytes=N seconds=S"; bytes are those of the payloads.
 */
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/text.h"
#include "ip/addr.h"

enum { BATCH = 64, FLOWS_MAX = 64, PAYLOAD_MAX = 9000, SLAB_LEN = 65536, WAIT_MS = 15000 };

static double now_s(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct sockaddr_in address(const char *ip, const char *port)
{
        struct sockaddr_in a = { .sin_family = AF_INET };
        struct ip_addr parsed;
        uint64_t n;

        if (ip_parse(slice_str(ip), &parsed) == OK && parsed.family == IP_V4 &&
                parse_u64(slice_str(port), 65535, &n) == OK) {
                memcpy(&a.sin_addr, parsed.b, 4);
                a.sin_port = htons((uint16_t)n);
        }
        return a;
}

static int run_sender(const struct sockaddr_in *to, unsigned flows, size_t payload, double seconds)
{
        static uint8_t bytes[PAYLOAD_MAX];
        struct iovec iov = { bytes, payload };
        static struct mmsghdr msgs[BATCH];
        int fds[FLOWS_MAX];
        unsigned long sent = 0;
        double end = now_s() + seconds;

        for (unsigned i = 0; i < flows; i++) {
                fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
                if (fds[i] < 0 || connect(fds[i], (const struct sockaddr *)to, sizeof(*to)) < 0) {
                        perror("connect");
                        return 1;
                }
        }
        for (size_t i = 0; i < BATCH; i++)
                msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1 };
        for (unsigned i = 0; now_s() < end; i++) {
                int n = sendmmsg(fds[i % flows], msgs, BATCH, 0);
                if (n > 0)
                        sent += (unsigned long)n;
        }
        printf("packets=%lu\n", sent);
        return 0;
}

/* What one message brought: several packets where the kernel joined them. */
static unsigned long packets_in(struct msghdr *h, size_t len)
{
        for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
                int size;
                memcpy(&size, CMSG_DATA(c), sizeof(size));
                if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO && size > 0)
                        return (len + (size_t)size - 1) / (size_t)size;
        }
        return 1;
}

static int run_receiver(const struct sockaddr_in *at, double seconds)
{
        static uint8_t slab[SLAB_LEN];
        int fd = socket(AF_INET, SOCK_DGRAM, 0), one = 1, room = 4 << 20;
        unsigned long packets = 0, bytes = 0;
        double begin = 0, now = 0;

        if (fd < 0 || bind(fd, (const struct sockaddr *)at, sizeof(*at)) < 0) {
                perror("bind");
                return 1;
        }
        (void)setsockopt(fd, SOL_UDP, UDP_GRO, &one, sizeof(one));
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
        puts("ready");
        fflush(stdout);
        while (begin == 0 || now < begin + seconds) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                if (poll(&p, 1, begin == 0 ? WAIT_MS : 200) <= 0 && begin == 0)
                        break;
                for (;;) {
                        _Alignas(8) uint8_t control[64];
                        struct iovec iov = { slab, sizeof(slab) };
                        struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
                        ssize_t n = recvmsg(fd, &h, MSG_DONTWAIT);
                        if (n < 0)
                                break;
                        packets += packets_in(&h, (size_t)n);
                        bytes += (size_t)n;
                        now = now_s();
                        if (begin == 0)
                                begin = now;
                        if (now >= begin + seconds)
                                break;
                }
                now = now_s();
        }
        printf("packets=%lu bytes=%lu seconds=%.3f\n", packets, bytes, seconds);
        return 0;
}

int main(int argc, char **argv)
{
        uint64_t flows, payload, seconds;

        if (argc == 7 && strcmp(argv[1], "send") == 0 && parse_u64(slice_str(argv[4]), FLOWS_MAX, &flows) == OK &&
                flows > 0 && parse_u64(slice_str(argv[5]), PAYLOAD_MAX, &payload) == OK &&
                parse_u64(slice_str(argv[6]), 3600, &seconds) == OK) {
                struct sockaddr_in to = address(argv[2], argv[3]);
                return run_sender(&to, (unsigned)flows, payload, (double)seconds);
        }
        if (argc == 5 && strcmp(argv[1], "receive") == 0 && parse_u64(slice_str(argv[4]), 3600, &seconds) == OK) {
                struct sockaddr_in at = address(argv[2], argv[3]);
                return run_receiver(&at, (double)seconds);
        }
        fprintf(stderr, "usage: %s send ADDRESS PORT FLOWS PAYLOAD-BYTES SECONDS | receive ADDRESS PORT SECONDS\n", argv[0]);
        return 2;
}
