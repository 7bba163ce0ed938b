/*
 * What the tunnel's cryptography costs on this machine: nanoseconds a packet for
 * each implementation of the bulk AEAD, and handshakes a second. One thread; each
 * figure is the best of many rounds, so that neighbours on the machine count little.
 *
 *      build/bench-crypto [--json FILE]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/aead.h"
#include "crypto/bulk.h"
#include "tunnel/tunnel.h"

enum { BATCH = 48, TEXT_MAX = 9000, ROUNDS = 200 };

static const size_t sizes[] = { 0, 64, 512, 1280, 1312, 1424, 8900 };
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static uint8_t room[BATCH][TEXT_MAX + AEAD_TAG_LEN];

static double now_ns(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

struct aead_cost {
        const char *name;
        double seal_ns[SIZES], open_ns[SIZES];
};

static void least(double *best, double value)
{
        if (*best == 0 || value < *best)
                *best = value;
}

static bool measure_bulk(enum bulk_choice choice, struct aead_cost *out)
{
        const struct shared_key key = { { 1, 2, 3 } };
        struct bulk *bulk = bulk_new(choice);
        struct bulk_packet packets[BATCH];
        struct bulk_key seal_key, open_key;

        if (!bulk)
                return false;
        bulk_key_init(&seal_key, &key);
        bulk_key_init(&open_key, &key);
        *out = (struct aead_cost){ .name = bulk_name(bulk) };
        for (size_t s = 0; s < SIZES; s++) {
                for (int round = 0; round < ROUNDS; round++) {
                        double start;

                        for (size_t i = 0; i < BATCH; i++)
                                packets[i] = (struct bulk_packet){ room[i], sizes[s], i, false };
                        start = now_ns();
                        bulk_seal(bulk, &seal_key, packets, BATCH);
                        least(&out->seal_ns[s], (now_ns() - start) / BATCH);
                        start = now_ns();
                        bulk_open(bulk, &open_key, packets, BATCH);
                        least(&out->open_ns[s], (now_ns() - start) / BATCH);
                        for (size_t i = 0; i < BATCH; i++)
                                if (!packets[i].is_ok)
                                        abort();
                }
        }
        bulk_key_fini(&seal_key);
        bulk_key_fini(&open_key);
        bulk_free(bulk);
        return true;
}

static void measure_one_shot(struct aead_cost *out)
{
        const struct shared_key key = { { 1, 2, 3 } };
        const uint8_t nonce[AEAD_NONCE_LEN] = { 0 };

        *out = (struct aead_cost){ .name = "one-shot" };
        for (size_t s = 0; s < SIZES; s++) {
                for (int round = 0; round < ROUNDS; round++) {
                        double start = now_ns();

                        for (size_t i = 0; i < BATCH; i++)
                                aead_seal(&key, nonce, (struct slice){ 0 }, slice_make(room[i], sizes[s]), room[i]);
                        least(&out->seal_ns[s], (now_ns() - start) / BATCH);
                        start = now_ns();
                        for (size_t i = 0; i < BATCH; i++)
                                if (aead_open(&key, nonce, (struct slice){ 0 },
                                            slice_make(room[i], sizes[s] + AEAD_TAG_LEN), room[i]) != OK)
                                        abort();
                        least(&out->open_ns[s], (now_ns() - start) / BATCH);
                }
        }
}

/* Two engines that hand each other their messages. */
struct end {
        struct tunnel *tunnel;
        struct tunnel_peer *peer;
        uint8_t sent[256];
        size_t sent_len;
};

static void on_send(void *ctx, struct tunnel_peer *p, const struct tunnel_source *to, struct slice datagram)
{
        struct end *e = ctx;

        (void)p, (void)to;
        memcpy(e->sent, datagram.ptr, datagram.len);
        e->sent_len = datagram.len;
}

static void on_session(void *ctx, struct tunnel_peer *p, struct tunnel_session *s) { (void)ctx, (void)p, (void)s; }

static void on_session_use(void *ctx, struct tunnel_peer *p, struct tunnel_session *s, bool confirm)
{
        (void)ctx, (void)p, (void)s, (void)confirm;
}

static void on_peer(void *ctx, struct tunnel_peer *p) { (void)ctx, (void)p; }

static void on_authenticated(void *ctx, struct tunnel_peer *p, const struct tunnel_source *from)
{
        (void)ctx, (void)p, (void)from;
}

static const struct tunnel_ops ops = {
        on_send, on_session, on_session_use, on_session, on_peer, on_peer, on_authenticated, NULL, on_peer,
};

struct handshake_cost {
        double initiate_us, respond_us, finish_us;
};

static void ends_init(struct end ends[static 2], struct rng *rng)
{
        for (int i = 0; i < 2; i++) {
                struct tunnel_config config = { .secret = { { 8, (uint8_t)i, [31] = 64 } } };

                ends[i].tunnel = tunnel_new(&config, &ops, &ends[i], rng);
        }
        for (int i = 0; i < 2; i++) {
                struct tunnel_peer_config config = { .key = *tunnel_public_key(ends[1 - i].tunnel) };

                if (tunnel_peer_add(ends[i].tunnel, &config, &ends[i].peer) != OK)
                        abort();
        }
}

static void measure_handshake(struct handshake_cost *out)
{
        const struct tunnel_source from = { .via = TUNNEL_VIA_UDP, .addr = { ip_v4(192, 0, 2, 1), 1 } };
        struct now now = { TIME_S(1), 1700000000000000 };
        struct rng_seeded rng;
        struct end ends[2];

        rng_seed(&rng, 1);
        ends_init(ends, &rng.rng);
        *out = (struct handshake_cost){ 0 };
        for (int round = 0; round < 2000; round++) {
                double start;

                now.mono_us += TIME_S(6);
                now.unix_us += (int64_t)TIME_S(6);
                tunnel_peer_reset(ends[0].tunnel, ends[0].peer);
                start = now_ns();
                tunnel_want_session(ends[0].tunnel, ends[0].peer, &now);
                least(&out->initiate_us, (now_ns() - start) / 1000);
                start = now_ns();
                tunnel_receive(ends[1].tunnel, slice_make(ends[0].sent, ends[0].sent_len), &from, &now);
                least(&out->respond_us, (now_ns() - start) / 1000);
                start = now_ns();
                tunnel_receive(ends[0].tunnel, slice_make(ends[1].sent, ends[1].sent_len), &from, &now);
                least(&out->finish_us, (now_ns() - start) / 1000);
        }
        if (tunnel_stats(ends[0].tunnel)->sessions != 2000)
                abort();
        tunnel_free(ends[0].tunnel);
        tunnel_free(ends[1].tunnel);
}

static void print_table(const struct aead_cost *aead, size_t n, const struct handshake_cost *h)
{
        printf("AEAD, ns a packet   ");
        for (size_t s = 0; s < SIZES; s++)
                printf("%7zu B", sizes[s]);
        putchar('\n');
        for (size_t i = 0; i < n; i++) {
                printf("%-10s seal     ", aead[i].name);
                for (size_t s = 0; s < SIZES; s++)
                        printf("%9.0f", aead[i].seal_ns[s]);
                printf("\n%-10s open     ", "");
                for (size_t s = 0; s < SIZES; s++)
                        printf("%9.0f", aead[i].open_ns[s]);
                putchar('\n');
        }
        printf("handshake: initiate %.1f us, respond %.1f us (%.0f a second), finish %.1f us\n", h->initiate_us,
                h->respond_us, 1e6 / h->respond_us, h->finish_us);
}

static void print_json(FILE *f, const struct aead_cost *aead, size_t n, const struct handshake_cost *h)
{
        fprintf(f, "{\"aead\":[");
        for (size_t i = 0; i < n; i++)
                for (size_t s = 0; s < SIZES; s++)
                        fprintf(f, "%s{\"name\":\"%s\",\"bytes\":%zu,\"seal_ns\":%.0f,\"open_ns\":%.0f}",
                                i + s ? "," : "", aead[i].name, sizes[s], aead[i].seal_ns[s], aead[i].open_ns[s]);
        fprintf(f, "],\"handshake\":{\"initiate_us\":%.1f,\"respond_us\":%.1f,\"finish_us\":%.1f}}\n",
                h->initiate_us, h->respond_us, h->finish_us);
}

int main(int argc, char **argv)
{
        struct aead_cost aead[4];
        struct handshake_cost handshake;
        size_t n = 0;
        FILE *json = NULL;

        if (argc == 3 && strcmp(argv[1], "--json") == 0) {
                json = fopen(argv[2], "w");
                if (!json) {
                        perror(argv[2]);
                        return 1;
                }
        } else if (argc != 1) {
                fprintf(stderr, "usage: bench-crypto [--json FILE]\n");
                return 2;
        }
        if (crypto_init() != OK) {
                fprintf(stderr, "bench-crypto: the kernel gives no randomness\n");
                return 1;
        }
        measure_one_shot(&aead[n++]);
        n += measure_bulk(BULK_OPENSSL, &aead[n]);
        n += measure_bulk(BULK_IPSEC_MB, &aead[n]);
        n += measure_bulk(BULK_WIDE, &aead[n]);
        measure_handshake(&handshake);
        print_table(aead, n, &handshake);
        if (json) {
                print_json(json, aead, n, &handshake);
                return fclose(json) == 0 ? 0 : 1;
        }
        return 0;
}
