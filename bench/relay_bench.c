/*
 * Loads a relay with clients from one process and prints what came of it.
 *
 *     weft-relay-bench 127.0.0.1 3340 PID --clients=2000 --pairs=1 --size=1400 --seconds=5
 *
 * First all clients connect, and the relay's resident memory (of PID) is compared
 * with before. Then each sends one packet to the next, and all must arrive. Then
 * the first of them send in pairs for the given time, WINDOW packets on their way
 * at once, since senders and receivers share this one process. One line of JSON
 * at the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/text.h"
#include "cli/flags.h"
#include "net/dial.h"
#include "proto/derp_client.h"

enum {
        CLIENTS_MAX = 20000,
        CONNECT_AT_ONCE = 100,
        WINDOW = 128,
        STALL_MS = 100, /* a window that has not moved for so long was lost: open it again */
        PATIENCE_S = 60,
};

struct client {
        struct derp_client engine;
        struct net_dial *dial;
        struct net_stream *stream;
        bool is_ready;
        uint64_t received;
        uint64_t on_the_way, seen, moved_us; /* of a sender: its window, what its receiver had */
};

static struct net_loop *loop;
static struct client *clients;
static int64_t count = 2000, pairs = 1, size = 1400, seconds = 5;
static int64_t connected, started, failed, received_total;
static struct timer start_more;
static bool uses_tls;
static const char *host;
static uint16_t port;

static struct flag flags[] = {
        { "clients", FLAG_NUMBER, &count, "how many connect", 0 },
        { "pairs", FLAG_NUMBER, &pairs, "how many of them, two by two, flood", 0 },
        { "size", FLAG_NUMBER, &size, "bytes of a packet", 0 },
        { "tls", FLAG_BOOL, &uses_tls, "the relay speaks TLS; its certificate is not verified", 0 },
        { "seconds", FLAG_NUMBER, &seconds, "how long they flood", 0 },
};

/* ---- Clients ------------------------------------------------------------ */

static void on_write(void *ctx, struct slice head, struct slice tail)
{
        struct slice pieces[] = { head, tail };

        if (net_stream_writev(((struct client *)ctx)->stream, pieces, 2) != OK)
                failed++;
}

static void on_ready(void *ctx, const struct public_key *server)
{
        (void)server;
        ((struct client *)ctx)->is_ready = true;
        connected++;
}

static void on_packet(void *ctx, const struct public_key *src, struct slice packet)
{
        (void)src;
        (void)packet;
        ((struct client *)ctx)->received++;
        received_total++;
}

static void on_closed(void *ctx, enum err e, const char *why)
{
        (void)ctx;
        fprintf(stderr, "a client was closed: %s (%s)\n", why, err_str(e));
        failed++;
}

static const struct derp_client_events events = {
        .write = on_write, .ready = on_ready, .packet = on_packet, .closed = on_closed,
};

static void on_data(struct net_stream *s, void *ctx, struct slice data)
{
        struct now now = net_loop_now(loop);

        (void)s;
        derp_client_input(&((struct client *)ctx)->engine, &now, data);
}

static void on_end(struct net_stream *s, void *ctx, enum err why)
{
        (void)ctx;
        fprintf(stderr, "a connection ended: %s %s\n", err_str(why), net_stream_why(s));
        failed++;
}

static const struct net_stream_handler handler = { .on_data = on_data, .on_end = on_end };

static void on_dialed(void *ctx, enum err e, struct net_stream *s, const struct diag *d)
{
        struct client *c = ctx;
        struct derp_connect to = { .host = host, .port = port };
        struct now now = net_loop_now(loop);

        c->dial = NULL;
        if (e != OK) {
                fprintf(stderr, "%s\n", d->text);
                failed++;
                return;
        }
        c->stream = s;
        net_stream_set_handler(s, &handler, c);
        if (derp_client_start(&c->engine, &now, &to) != OK)
                failed++;
}

static void start_some(struct timer *t, const struct now *now)
{
        struct derp_client_config config = { .can_ack_pings = true, .rng = net_rng(), .events = &events };
        struct tls_client_options tls = { .insecure = true };
        struct net_dial_options dial = {
                .host = host, .port = port, .timeout_ms = PATIENCE_S * 1000, .tls = uses_tls ? &tls : NULL,
        };

        (void)now;
        while (started < count && started - connected < CONNECT_AT_ONCE) {
                struct client *c = &clients[started++];
                config.ctx = c;
                key_generate(net_rng(), &config.key);
                derp_client_init(&c->engine, &config);
                if (net_dial_start(loop, &dial, on_dialed, c, &c->dial) != OK)
                        failed++;
        }
        if (started < count)
                net_timer_start(loop, t, 1);
}

/* ---- Phases ------------------------------------------------------------- */

static bool run_until(const int64_t *counter, int64_t goal)
{
        uint64_t end_us = net_clock().mono_us + TIME_S(PATIENCE_S);

        while (*counter < goal && !failed && net_clock().mono_us < end_us)
                net_loop_run_once(loop, 50);
        return *counter >= goal && !failed;
}

static void send_packet(struct client *from, const struct client *to, struct slice packet)
{
        struct now now = net_loop_now(loop);

        if (derp_client_send(&from->engine, &now, &to->engine.public_key, packet) != OK)
                failed++;
}

/* Keeps the window of a pair full. */
static uint64_t fill_window(struct client *from, struct slice packet, uint64_t now_us)
{
        const struct client *to = from + 1;
        uint64_t sent = 0;

        if (to->received != from->seen) {
                from->on_the_way -= to->received - from->seen < from->on_the_way ? to->received - from->seen : from->on_the_way;
                from->seen = to->received;
                from->moved_us = now_us;
        } else if (now_us > from->moved_us + TIME_MS(STALL_MS)) {
                from->on_the_way = 0;
                from->moved_us = now_us;
        }
        for (; from->on_the_way < WINDOW; from->on_the_way++, sent++)
                send_packet(from, to, packet);
        return sent;
}

/* Returns packets sent. */
static uint64_t flood(struct slice packet)
{
        uint64_t now_us = net_clock().mono_us, end_us = now_us + TIME_S(seconds), sent = 0;

        for (int64_t i = 0; i < pairs; i++)
                clients[2 * i].seen = clients[2 * i + 1].received;
        for (; now_us < end_us && !failed; now_us = net_clock().mono_us) {
                for (int64_t i = 0; i < pairs; i++)
                        sent += fill_window(&clients[2 * i], packet, now_us);
                net_loop_run_once(loop, 10);
        }
        return sent;
}

/* What has been sent may still be on its way: waits until nothing comes for 200 ms. */
static void settle(void)
{
        int64_t before;

        do {
                before = received_total;
                uint64_t end_us = net_clock().mono_us + TIME_MS(200);
                while (net_clock().mono_us < end_us)
                        net_loop_run_once(loop, 20);
        } while (received_total != before);
}

static long memory_kib(const char *pid)
{
        char path[64], line[256];
        long kib = 0;

        snprintf(path, sizeof(path), "/proc/%s/status", pid);
        FILE *f = fopen(path, "r");
        while (f && fgets(line, sizeof(line), f))
                if (sscanf(line, "VmRSS: %ld", &kib) == 1)
                        break;
        if (f)
                fclose(f);
        return kib;
}

static double seconds_since(uint64_t us)
{
        return (double)(net_clock().mono_us - us) / 1e6;
}

static int load(const char *pid)
{
        static uint8_t bytes[DERP_PACKET_MAX];
        struct slice packet = slice_make(bytes, (size_t)size);
        long before_kib = memory_kib(pid);
        uint64_t begin_us = net_clock().mono_us;

        start_more.fire = start_some;
        net_timer_start(loop, &start_more, 0);
        if (!run_until(&connected, count)) {
                fprintf(stderr, "only %lld of %lld clients are connected\n", (long long)connected, (long long)count);
                return 1;
        }
        double connect_s = seconds_since(begin_us);
        long idle_kib = memory_kib(pid) - before_kib;

        begin_us = net_clock().mono_us;
        for (int64_t i = 0; i < count; i++)
                send_packet(&clients[i], &clients[(i + 1) % count], packet);
        if (!run_until(&received_total, count)) {
                fprintf(stderr, "only %lld of %lld packets arrived\n", (long long)received_total, (long long)count);
                return 1;
        }
        double round_s = seconds_since(begin_us);

        int64_t received_before = received_total;
        begin_us = net_clock().mono_us;
        uint64_t sent = pairs && seconds ? flood(packet) : 0;
        double flood_s = seconds_since(begin_us);
        settle();
        double arrived = (double)(received_total - received_before);
        printf("{\"clients\":%lld,\"connect_s\":%.3f,\"idle_bytes_per_client\":%.0f,\"round_s\":%.3f,"
               "\"pairs\":%lld,\"size\":%lld,\"packets_per_s\":%.0f,\"mb_per_s\":%.1f,\"lost_percent\":%.2f}\n",
               (long long)count, connect_s, (double)idle_kib * 1024 / (double)count, round_s, (long long)pairs,
               (long long)size, sent ? arrived / flood_s : 0, sent ? arrived * (double)size / flood_s / 1e6 : 0,
               sent ? 100 * (1 - arrived / (double)sent) : 0);
        return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
        struct rlimit limit;
        struct diag d;
        uint64_t number = 0;
        int rest = 0;

        if (argc < 4 || parse_u64(slice_str(argv[2]), UINT16_MAX, &number) != OK) {
                fprintf(stderr, "usage: %s HOST PORT PID-OF-RELAY [--clients=N] [--pairs=N] [--size=N] [--seconds=N] [--tls]\n", argv[0]);
                return 2;
        }
        enum err e = flags_parse(flags, sizeof(flags) / sizeof(flags[0]), argc - 4, argv + 4, &rest, &d);
        if (e != OK || count < 2 || count > CLIENTS_MAX || 2 * pairs > count || size < 0 || size > DERP_PACKET_MAX) {
                fprintf(stderr, "%s\n", e != OK ? d.text : "numbers out of range");
                return 2;
        }
        host = argv[1];
        port = (uint16_t)number;
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                setrlimit(RLIMIT_NOFILE, &limit);
        }
        clients = calloc((size_t)count, sizeof(*clients));
        if (!clients || net_loop_new(&loop) != OK)
                return 1;
        int status = load(argv[3]);
        net_timer_stop(loop, &start_more);
        for (int64_t i = 0; i < started; i++) {
                net_dial_cancel(clients[i].dial);
                net_stream_close(clients[i].stream);
                derp_client_fini(&clients[i].engine);
        }
        net_loop_free(loop);
        free(clients);
        return status;
}
