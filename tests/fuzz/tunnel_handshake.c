/*
 * Any datagrams to an engine that has a handshake of its own under way. The input
 * is a series of [flags][length][bytes]; flags ask for a right mac1 in place of the
 * last 32 bytes, for load, or for time to pass. The engine must stay within its
 * bounds and never take garbage for a session.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "crypto/hash.h"
#include "tunnel/tunnel.h"

#include "fuzz.h"

enum { FLAG_MAC1 = 1, FLAG_LOAD = 2, FLAG_WAIT = 4 };

static void on_send(void *ctx, struct tunnel_peer *p, const struct tunnel_source *to, struct slice datagram)
{
        (void)ctx, (void)p, (void)to;
        if (tunnel_message_type(datagram) == 0)
                abort();
}

static void on_session(void *ctx, struct tunnel_peer *p, struct tunnel_session *s)
{
        (void)ctx, (void)p, (void)s;
        abort(); /* nobody has the keys to make one */
}

static void on_session_use(void *ctx, struct tunnel_peer *p, struct tunnel_session *s, bool confirm)
{
        (void)confirm;
        on_session(ctx, p, s);
}

static void on_peer(void *ctx, struct tunnel_peer *p) { (void)ctx, (void)p; }

static void on_authenticated(void *ctx, struct tunnel_peer *p, const struct tunnel_source *from)
{
        (void)ctx, (void)p, (void)from;
        abort();
}

static struct tunnel_peer *on_stranger(void *ctx, const struct public_key *key)
{
        (void)ctx, (void)key;
        abort();
}

static const struct tunnel_ops ops = {
        on_send, on_session, on_session_use, on_session, on_peer, on_peer, on_authenticated, on_stranger, on_peer,
};

static void fix_mac1(const struct public_key *self, uint8_t *msg, size_t len)
{
        uint8_t key[BLAKE2S_LEN];

        if (len < 2 * MAC_LEN)
                return;
        blake2s_256(SLICE_LIT("mac1----"), key_slice(self), key);
        blake2s_mac(SLICE_ARRAY(key), slice_make(msg, len - 2 * MAC_LEN), msg + len - 2 * MAC_LEN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct tunnel_config config = { .secret = { { 8, 1, 2, [31] = 64 } } };
        struct tunnel_peer_config peer_config = { .key = { { 9 } } };
        struct tunnel_source from = { .via = TUNNEL_VIA_UDP, .addr = { { IP_V4, { 192, 0, 2, 1 }, 0 }, 1 } };
        struct now now = { TIME_S(1), 1700000000000000 };
        struct reader r = reader_of(slice_make(data, len));
        struct rng_seeded rng;
        struct tunnel_peer *peer;
        struct tunnel *t;

        rng_seed(&rng, 1);
        t = tunnel_new(&config, &ops, NULL, &rng.rng);
        if (!t || tunnel_peer_add(t, &peer_config, &peer) != OK)
                abort();
        tunnel_want_session(t, peer, &now);
        while (rd_left(&r) > 0) {
                uint8_t flags = rd_u8(&r), msg[256];
                struct slice bytes = rd_take(&r, rd_u8(&r));
                int repeat = flags & FLAG_LOAD ? 150 : 1;

                if (bytes.len > 0)
                        memcpy(msg, bytes.ptr, bytes.len);
                if (flags & FLAG_MAC1)
                        fix_mac1(tunnel_public_key(t), msg, bytes.len);
                for (int i = 0; i < repeat; i++)
                        tunnel_receive(t, slice_make(msg, bytes.len), &from, &now);
                if (flags & FLAG_WAIT) {
                        now.mono_us += TIME_S(6);
                        tunnel_run(t, &now);
                }
        }
        tunnel_free(t);
        return 0;
}
