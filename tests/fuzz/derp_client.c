/*
 * Any bytes from a DERP server. The first byte chooses how far the greeting got
 * before they come, the second the size of the pieces.
 */
#include <stdlib.h>

#include "proto/derp_client.h"

#include "fuzz.h"

struct world {
        struct derp_client client;
        unsigned closed;
        size_t written;
};

static void on_write(void *ctx, struct slice head, struct slice tail)
{
        ((struct world *)ctx)->written += head.len + tail.len;
}

static void on_packet(void *ctx, const struct public_key *src, struct slice packet)
{
        struct world *w = ctx;
        struct now now = { 1, 1 };

        if (packet.len > DERP_PACKET_MAX || w->closed)
                abort();
        if (derp_client_send(&w->client, &now, src, packet) == ERR_RANGE) /* answers from within */
                abort();
}

static void on_closed(void *ctx, enum err e, const char *why)
{
        struct world *w = ctx;

        if (e == OK || !why || w->closed++)
                abort();
}

static const struct derp_client_events events = { .write = on_write, .packet = on_packet, .closed = on_closed };

static void to_ready(struct world *w, const struct now *now)
{
        static const struct secret_key server = { { 3 } };
        static const uint8_t nonce[BOX_NONCE_LEN];
        struct derp_server_info info = { .version = 2, .bytes_per_second = 5000, .bytes_burst = 9000 };
        struct buf out = BUF_INIT(4096);
        uint8_t frame[DERP_SERVER_KEY_FRAME_LEN];
        struct public_key pub;

        key_public(&server, &pub);
        derp_server_key_write(&pub, frame);
        derp_client_input(&w->client, now, SLICE_ARRAY(frame));
        if (derp_server_info_write(&info, &server, &w->client.public_key, nonce, &out) != OK)
                abort();
        derp_client_input(&w->client, now, buf_slice(&out));
        buf_fini(&out);
        if (w->client.state != DERP_CLIENT_READY)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct rng_seeded rng;
        struct world w = { 0 };
        struct derp_client_config config = { .key = { { 1 } }, .rng = &rng.rng, .events = &events, .ctx = &w };
        struct now now = { TIME_S(1), 0 };

        if (len < 2)
                return 0;
        rng_seed(&rng, 1);
        derp_client_init(&w.client, &config);
        struct derp_connect to = { .host = "h", .is_upgraded = data[0] % 3 != 0 };
        if (derp_client_start(&w.client, &now, &to) != OK)
                abort();
        if (data[0] % 3 == 2)
                to_ready(&w, &now);

        struct slice rest = slice_make(data + 2, len - 2);
        size_t piece = data[1] + 1u;
        for (; rest.len; rest = slice_after(rest, piece)) {
                now.mono_us += 1000;
                derp_client_input(&w.client, &now, slice_first(rest, piece));
        }
        now.mono_us += TIME_S(1000);
        derp_client_tick(&w.client, &now);
        if (w.client.state != DERP_CLIENT_CLOSED || w.closed != 1)
                abort();
        derp_client_fini(&w.client);
        return 0;
}
