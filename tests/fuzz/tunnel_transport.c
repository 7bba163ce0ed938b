/*
 * Hostile transport messages to a tunnel with a session: as they are (even inputs),
 * or as the text an authentic but malicious peer seals (odd ones). Delivered packets
 * must be whole IP packets from the address the peer may use.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "tunnel/direct.h"

#include "fuzz.h"

enum { TEXT_MAX = 4096 };

static const struct now now = { TIME_S(1), 1700000000000000 };
static const struct tunnel_source source = { .via = TUNNEL_VIA_UDP, .addr = { { IP_V4, { 192, 0, 2, 1 }, 0 }, 1 } };

/* The victim is a whole tunnel; the attacker an engine whose session we use here. */
static struct tunnel_direct *victim;
static struct tunnel *attacker;
static struct tunnel_session *session;
static struct bulk *bulk;

static void to_victim(void *ctx, struct tunnel_peer *p, const struct tunnel_source *to, struct slice datagram)
{
        uint8_t copy[256];

        (void)ctx, (void)p, (void)to;
        memcpy(copy, datagram.ptr, datagram.len);
        tunnel_direct_receive(victim, copy, datagram.len, &source, &now);
}

static void to_attacker(void *ctx, struct tunnel_link *link, const struct tunnel_source *to, struct slice datagram)
{
        (void)ctx, (void)link, (void)to;
        tunnel_receive(attacker, datagram, &source, &now);
}

static void on_deliver(void *ctx, struct tunnel_link *link, struct slice packet)
{
        (void)ctx, (void)link;
        if (packet.len < 20 || packet.ptr[0] >> 4 != 4 || get_be16(packet.ptr + 2) != packet.len ||
                memcmp(packet.ptr + 12, "\x64\x40\x00\x01", 4) != 0)
                abort();
}

static void on_session(void *ctx, struct tunnel_peer *p, struct tunnel_session *s) { (void)ctx, (void)p, (void)s; }

static void on_session_use(void *ctx, struct tunnel_peer *p, struct tunnel_session *s, bool confirm)
{
        (void)ctx, (void)p, (void)confirm;
        session = s;
}

static void on_peer(void *ctx, struct tunnel_peer *p) { (void)ctx, (void)p; }

static void on_authenticated(void *ctx, struct tunnel_peer *p, const struct tunnel_source *from)
{
        (void)ctx, (void)p, (void)from;
}

static void set_up(void)
{
        static const struct tunnel_ops attacker_ops = {
                to_victim, on_session, on_session_use, on_session, on_peer, on_peer, on_authenticated, NULL, on_peer,
        };
        static const struct tunnel_direct_ops victim_ops = { .send = to_attacker, .deliver = on_deliver };
        static struct rng_seeded rng;
        struct tunnel_config config = { .secret = { { 8, [31] = 64 } } };
        struct tunnel_peer_config peer = { 0 };
        struct ip_prefix address = { { IP_V4, { 100, 64, 0, 1 }, 0 }, 32 };
        struct tunnel_link *link;
        struct tunnel_peer *p;

        rng_seed(&rng, 1);
        bulk = bulk_new(BULK_OPENSSL);
        victim = tunnel_direct_new(&config, 1280, &victim_ops, NULL, &rng.rng);
        config.secret.b[1] = 1;
        attacker = tunnel_new(&config, &attacker_ops, NULL, &rng.rng);
        peer.key = *tunnel_public_key(attacker);
        if (tunnel_link_add(victim, &peer, &link) != OK || tunnel_link_allow(victim, link, &address) != OK)
                abort();
        peer.key = *tunnel_public_key(tunnel_direct_engine(victim));
        if (tunnel_peer_add(attacker, &peer, &p) != OK)
                abort();
        tunnel_want_session(attacker, p, &now);
        if (!session || !bulk)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static uint8_t msg[TEXT_MAX + TUNNEL_OVERHEAD];
        struct tunnel_packet p = { .msg = msg };
        uint64_t counter;

        if (!victim)
                set_up();
        if (len == 0 || len - 1 > TEXT_MAX)
                return 0;
        if (data[0] % 2 == 0) {
                memcpy(msg, data + 1, len - 1);
                tunnel_direct_receive(victim, msg, len - 1, &source, &now);
                return 0;
        }
        p.plain_len = (uint32_t)(len - 1);
        memcpy(msg + TUNNEL_HEADER_LEN, data + 1, p.plain_len);
        if (tunnel_session_reserve(session, 1, now.mono_us, &counter) != OK)
                abort();
        tunnel_session_seal(session, bulk, counter, &p, 1, now.mono_us);
        tunnel_direct_receive(victim, msg, TUNNEL_OVERHEAD + p.plain_len, &source, &now);
        return 0;
}
