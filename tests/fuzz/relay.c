/*
 * The relay's engine with a handful of connections, fed by a script: each step is
 * one byte for what and who, one for how much, and that many bytes of the input
 * as bytes of a connection. Nodes 0 to 3 are greeted properly, 3 with the mesh
 * key; 4 and 5 are strangers.
 */
#include <stdlib.h>

#include "relay/relay.h"

#include "fuzz.h"

enum { CONNS = 6, MESH = 3, STRANGER = 4, ROOM = 600 };

struct conn {
        struct relay_conn *conn;
        size_t queued;
        bool is_paused;
};

static bool on_write(void *io, struct slice head, struct slice tail)
{
        struct conn *c = io;

        c->queued += head.len + tail.len;
        return c->queued < ROOM;
}

static size_t on_queued(void *io)
{
        return ((struct conn *)io)->queued;
}

static void on_set_reading(void *io, bool on)
{
        ((struct conn *)io)->is_paused = !on;
}

static void on_close(void *io, enum relay_end why)
{
        struct conn *c = io;

        if (!c->conn)
                abort(); /* closed twice */
        relay_end_name(why);
        c->conn = NULL;
}

static void on_forward(struct relay_forwarder *f, const struct public_key *src, const struct public_key *dst,
                       struct slice packet)
{
        (void)f;
        (void)src;
        (void)dst;
        if (packet.len > DERP_PACKET_MAX)
                abort();
}

static const struct relay_calls calls = { on_write, on_queued, on_set_reading, on_close, NULL };
static const struct derp_mesh_key mesh_key = { { 5 } };

/* Keys begin with the node's number alone, so that the input can name them. */
static struct slice client_info(unsigned i, const struct public_key *relay)
{
        static struct buf infos[CONNS];
        static const uint8_t nonce[BOX_NONCE_LEN];
        struct derp_client_info info = { .version = 2, .has_mesh_key = i == MESH, .mesh_key = mesh_key };
        struct secret_key key = { { (uint8_t)(i + 1) } };

        if (infos[i].len == 0) { /* once: sealing is slow */
                infos[i] = BUF_INIT(4096);
                if (derp_client_info_write(&info, &key, relay, nonce, &infos[i]) != OK)
                        abort();
        }
        return buf_slice(&infos[i]);
}

static void step(struct relay *r, struct now *now, struct conn *c, uint8_t what, struct slice bytes)
{
        switch (what) {
        case 0:
                c->queued = 0;
                relay_conn_writable(c->conn, now);
                return;
        case 1:
                now->mono_us += TIME_MS(700) * (bytes.len + 1);
                relay_tick(r, now);
                return;
        case 2:
                relay_conn_end(c->conn, now);
                c->conn = NULL;
                return;
        default:
                relay_conn_input(c->conn, now, bytes);
                return;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct reader in = reader_of(slice_make(data, len));
        struct rng_seeded rng;
        struct relay_config config = { .key = { { 9 } }, .mesh_key = &mesh_key, .rng = &rng.rng, .calls = &calls };
        struct relay_forwarder forwarder = { .forward = on_forward };
        struct conn conns[CONNS] = { 0 };
        struct now now = { TIME_S(1), 0 };
        struct public_key far = { { 0xfa } };
        struct relay *r;

        rng_seed(&rng, 1);
        config.rate.bytes_per_second = rd_u8(&in) & 1 ? 3000 : 0;
        if (relay_new(&config, &r) != OK || relay_route_add(r, &now, &forwarder, &far) != OK)
                abort();
        for (unsigned i = 0; i < CONNS; i++) {
                if (relay_accept(r, &now, &(struct ip_port){ 0 }, false, &conns[i], &conns[i].conn) != OK)
                        abort();
                if (i < STRANGER)
                        relay_conn_input(conns[i].conn, &now, client_info(i, relay_public_key(r)));
        }
        while (rd_left(&in)) {
                uint8_t op = rd_u8(&in);
                size_t n = rd_u8(&in);
                struct conn *c = &conns[op % CONNS];
                n = n < rd_left(&in) ? n : rd_left(&in);
                struct slice bytes = rd_take(&in, n);
                if (c->conn)
                        step(r, &now, c, op / CONNS, bytes);
        }
        relay_routes_clear(r, &now, &forwarder);
        relay_free(r);
        for (unsigned i = 0; i < CONNS; i++)
                if (conns[i].conn)
                        abort();
        return 0;
}
