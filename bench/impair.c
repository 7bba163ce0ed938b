/*
 * weft-impair: a bad network between two namespaces. Each gets a TUN device "impair";
 * what is routed into one comes out of the other late, in another order, or not at
 * all. Every packet is judged by itself: the devices take no super-packets, so that
 * bursts are not spared as they are by netem (spec/dataplane.md 3.4, 3.9).
 *
 *   weft-impair NETNS-A NETNS-B LOSS-PER-MILLION DELAY-US JITTER-US SEED
 *
 * A packet waits DELAY plus or minus up to JITTER, evenly distributed, never less
 * than nothing. Prints "ready"; runs until it is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"
#include "base/text.h"

enum { PACKET_MAX = 2048, HELD_MAX = 16384, READS = 64 };

struct held {
        uint64_t due_us, number; /* the number keeps equals in their order */
        uint16_t len, slot;
        uint8_t to; /* index of the device */
};

static int devices[2];
static struct held heap[HELD_MAX];
static size_t held;
static uint8_t bytes[HELD_MAX][PACKET_MAX];
static uint16_t free_slots[HELD_MAX];
static size_t free_count;

static uint64_t now_us(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* The device lives in the namespace that the thread is in when it is made. */
static int open_in(const char *netns)
{
        char path[128];
        struct ifreq ifr = { .ifr_name = "impair" };

        snprintf(path, sizeof(path), "/run/netns/%s", netns);
        int ns = open(path, O_RDONLY | O_CLOEXEC);
        if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
                return -1;
        close(ns);
        int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
        ifr.ifr_flags = IFF_TUN | IFF_NO_PI;
        if (fd >= 0 && ioctl(fd, TUNSETIFF, &ifr) < 0)
                return -1;
        return fd;
}

/* ---- what is held, by the time it is due --------------------------------- */

static bool before(const struct held *a, const struct held *b)
{
        return a->due_us != b->due_us ? a->due_us < b->due_us : a->number < b->number;
}

static void heap_push(struct held h)
{
        size_t i = held++;

        for (; i > 0 && before(&h, &heap[(i - 1) / 2]); i = (i - 1) / 2)
                heap[i] = heap[(i - 1) / 2];
        heap[i] = h;
}

static struct held heap_pop(void)
{
        struct held top = heap[0], last = heap[--held];
        size_t i = 0, child;

        for (; (child = 2 * i + 1) < held; i = child) {
                child += child + 1 < held && before(&heap[child + 1], &heap[child]);
                if (!before(&heap[child], &last))
                        break;
                heap[i] = heap[child];
        }
        heap[i] = last;
        return top;
}

/* ---- the network --------------------------------------------------------- */

struct network {
        uint64_t loss_ppm, delay_us, jitter_us;
        struct rng_seeded rng;
        uint64_t number;
};

static void take(struct network *n, int from)
{
        for (int i = 0; i < READS && free_count > 0; i++) {
                uint16_t slot = free_slots[free_count - 1];
                ssize_t len = read(devices[from], bytes[slot], PACKET_MAX);
                if (len <= 0)
                        return;
                if (rng_below(&n->rng.rng, 1000000) < n->loss_ppm)
                        continue;
                uint64_t wait = n->delay_us + rng_below(&n->rng.rng, 2 * n->jitter_us + 1);
                wait = wait > n->jitter_us ? wait - n->jitter_us : 0;
                free_count--;
                heap_push((struct held){ now_us() + wait, n->number++, (uint16_t)len, slot, (uint8_t)!from });
        }
}

static void give(void)
{
        while (held > 0 && heap[0].due_us <= now_us()) {
                struct held h = heap_pop();
                (void)!write(devices[h.to], bytes[h.slot], h.len);
                free_slots[free_count++] = h.slot;
        }
}

static void run(struct network *n)
{
        for (;;) {
                struct pollfd fds[2] = { { .fd = devices[0], .events = POLLIN }, { .fd = devices[1], .events = POLLIN } };
                struct timespec wait = { 1, 0 };
                if (held > 0) {
                        uint64_t now = now_us(), left = heap[0].due_us > now ? heap[0].due_us - now : 0;
                        wait = (struct timespec){ (time_t)(left / 1000000), (long)(left % 1000000) * 1000 };
                }
                if (free_count > 0)
                        (void)ppoll(fds, 2, &wait, NULL);
                else
                        (void)nanosleep(&wait, NULL);
                take(n, 0);
                take(n, 1);
                give();
        }
}

int main(int argc, char **argv)
{
        struct network n = { 0 };
        uint64_t seed;

        if (argc != 7 || parse_u64(slice_str(argv[3]), 1000000, &n.loss_ppm) != OK ||
                parse_u64(slice_str(argv[4]), 10000000, &n.delay_us) != OK ||
                parse_u64(slice_str(argv[5]), 10000000, &n.jitter_us) != OK ||
                parse_u64(slice_str(argv[6]), UINT64_MAX, &seed) != OK) {
                fprintf(stderr, "usage: %s NETNS-A NETNS-B LOSS-PER-MILLION DELAY-US JITTER-US SEED\n", argv[0]);
                return 2;
        }
        rng_seed(&n.rng, seed);
        for (int i = 0; i < 2; i++) {
                devices[i] = open_in(argv[1 + i]);
                if (devices[i] < 0) {
                        fprintf(stderr, "%s: no device in %s: %s\n", argv[0], argv[1 + i], strerror(errno));
                        return 1;
                }
        }
        while (free_count < HELD_MAX) {
                free_slots[free_count] = (uint16_t)free_count;
                free_count++;
        }
        puts("ready");
        fflush(stdout);
        run(&n);
}
