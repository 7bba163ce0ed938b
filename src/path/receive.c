/* Disco coming in: who may say what, by which way (spec/paths.md 1.3, 1.4). */
#include "path_internal.h"

#include "base/log.h"

static const struct log log_disco = { "disco" };

static void drop(struct path_manager *m, const char *why)
{
        m->stats.disco_dropped++;
        log_debug(&log_disco, "drop", "why=%s", why);
}

/* ---- ping ---- */

static void pong(struct path_peer *p, const struct origin *from, const struct disco_ping *ping)
{
        struct disco_message msg = { .type = DISCO_PONG, .pong = { .txid = ping->txid, .src = from->udp } };

        if (from->region)
                /* How all clients write "by the relay of that region". */
                msg.pong.src = (struct ip_port){ ip_v4(127, 3, 3, 40), from->region };
        path_disco_send(p, &msg, &from->udp, from->region);
}

/*
 * Learns where the ping came from. True if the same ping was seen from there
 * already: it came twice and is answered once.
 */
static bool learn_source(
        struct path_peer *p, const struct origin *from, const struct disco_ping *ping, const struct now *now)
{
        struct candidate *c = path_candidate_add(p, &from->udp, now);

        if (!c)
                return false;
        bool again = c->has_txid && memcmp(&c->heard_txid, &ping->txid, sizeof(ping->txid)) == 0;
        c->heard_us = now->mono_us;
        c->heard_txid = ping->txid;
        c->has_txid = true;
        return again;
}

/*
 * Their ping has just opened the way for one of ours: with traffic waiting for a
 * path, do not wait for the next round. Once a second at most, so that two peers
 * whose pongs are lost do not ping each other without end.
 */
static void ping_back(struct path_peer *p, const struct origin *from, const struct now *now)
{
        struct candidate *c = path_candidate_find(p, &from->udp);

        if (!c || !p->awake || peer_is_trusted(p, now) ||
                since_us(now, c->ping_back_us) < PING_BACK_INTERVAL_US)
                return;
        c->ping_back_us = c->pinged_us = now->mono_us;
        path_ping_send(p, &c->addr, 0, 0, 0, now);
}

static void ping_by_relay(struct path_manager *m, struct disco_key *dk, const struct origin *from,
        const struct disco_ping *ping)
{
        struct path_peer *p = path_peer_find(m, from->relay_key);

        if (p && p->disco == dk)
                pong(p, from, ping);
        else
                drop(m, "ping by relay from another than the key's owner");
}

static void ping_by_udp(struct path_manager *m, struct disco_key *dk, const struct origin *from,
        const struct disco_ping *ping, const struct now *now)
{
        struct path_peer *answer = container_of(dk->peers.next, struct path_peer, by_disco);
        bool seen = false;

        if (!path_udp_allowed(m) || !path_candidate_addr_usable(&from->udp))
                return;
        list_each(it, &dk->peers) {
                struct path_peer *p = container_of(it, struct path_peer, by_disco);
                if (!key_is_zero(&ping->node_key) && !key_equal(&ping->node_key, &p->node_key))
                        continue; /* the disco key has several owners, and this one did not ping */
                if (learn_source(p, from, ping, now))
                        seen = true;
                answer = p;
        }
        if (seen)
                return;
        pong(answer, from, ping);
        ping_back(answer, from, now);
}

/* ---- pong ---- */

static void pong_received(struct path_manager *m, struct disco_key *dk, const struct origin *from,
        const struct disco_pong *msg, const struct now *now)
{
        struct ping *ping = table_get(&m->pings, slice_make(msg->txid.b, DISCO_TXID_LEN));

        /* A pong by another way than its ping says nothing about the ping's way. */
        if (!ping || ping->peer->disco != dk || (ping->region != 0) != (from->region != 0)) {
                m->stats.pongs_unknown++;
                return;
        }
        struct path_peer *p = ping->peer;
        uint64_t latency_us = since_us(now, ping->sent_us);
        m->stats.pongs_received++;
        if (!from->region)
                path_proved(p, ping, latency_us, now);
        path_user_ping_answered(m, ping, latency_us);
        path_ping_free(ping);
}

/* ---- CallMeMaybe ---- */

static bool call_allowed(struct path_peer *p, const struct now *now)
{
        uint64_t seconds = since_us(now, p->calls_refilled_us) / TIME_S(1);

        if (seconds > 0) {
                p->calls_left = seconds >= CALLS_BURST - p->calls_left ? CALLS_BURST
                                                                       : p->calls_left + (unsigned)seconds;
                p->calls_refilled_us = now->mono_us;
        }
        if (p->calls_left == 0)
                return false;
        p->calls_left--;
        return true;
}

/*
 * The peer asks to be pinged at these addresses. Only the relay vouches for who
 * asks: a call whose sender there does not own the disco key would let one node
 * turn our pings to where another pleases.
 */
static void call_received(struct path_manager *m, struct disco_key *dk, const struct origin *from,
        const struct disco_endpoints *list, const struct now *now)
{
        struct path_peer *p = from->relay_key ? path_peer_find(m, from->relay_key) : NULL;

        if (!p || p->disco != dk) {
                drop(m, "CallMeMaybe not from the key's owner by relay");
                return;
        }
        if (!call_allowed(p, now)) {
                drop(m, "too many CallMeMaybe");
                return;
        }
        m->stats.calls_received++;
        path_candidates_from_call(p, list, now);
        for (size_t i = 0; i < p->candidate_count; i++)
                p->candidates[i].pinged_us = 0;
        path_peer_full_ping(p, false, now); /* a call in answer would never end */
}

/* ---- the packet ---- */

static void message_received(struct path_manager *m, struct disco_key *dk, const struct origin *from,
        const struct disco_message *msg, const struct now *now)
{
        switch (msg->type) {
        case DISCO_PING:
                if (from->region)
                        ping_by_relay(m, dk, from, &msg->ping);
                else
                        ping_by_udp(m, dk, from, &msg->ping, now);
                return;
        case DISCO_PONG:
                pong_received(m, dk, from, &msg->pong, now);
                return;
        case DISCO_CALL_ME_MAYBE:
                call_received(m, dk, from, &msg->call_me_maybe, now);
                return;
        case DISCO_BIND:
        case DISCO_BIND_CHALLENGE:
        case DISCO_BIND_ANSWER:
        case DISCO_CALL_ME_MAYBE_VIA:
        case DISCO_ALLOCATE_REQUEST:
        case DISCO_ALLOCATE_RESPONSE:
                drop(m, "of a peer relay, which we do not claim to know");
                return;
        }
}

void path_disco_received(
        struct path_manager *m, const struct origin *from, struct slice packet, const struct now *now)
{
        struct public_key sender;
        struct disco_message msg;
        struct slice plain;

        if (!path_discovery_allowed(m))
                return;
        disco_sender(packet, &sender);
        struct disco_key *dk = path_disco_key_find(m, &sender);
        if (!dk) {
                drop(m, "unknown disco key");
                return;
        }
        const struct shared_key *shared = path_disco_key_shared(m, dk);
        if (!shared || disco_open(shared, packet, m->plain, PACKET_MAX, &plain) != OK) {
                drop(m, "box does not open");
                return;
        }
        if (disco_parse(plain, &msg) != OK) {
                drop(m, "malformed or of an unknown type");
                return;
        }
        message_received(m, dk, from, &msg, now);
}
