/*
 * Finding and keeping the path to one peer.
 *
 *   send of the user    wakes a sleeping peer; without a trusted path: full ping
 *   heartbeat (3 s)     while the user sent within 45 s: pings the best path, and
 *                       starts a full ping when that path is missing, untrusted,
 *                       or slow and not challenged for 60 s
 *   trust (6.5 s after  the path is no longer used alone (the workers see that by
 *   the last pong)      themselves); if traffic flows, full ping at once
 *   ping timeout (5 s)  an unanswered ping of an untrusted best clears it
 *
 * A full ping is a ping to every candidate not pinged for 5 s, and a CallMeMaybe
 * through the relay, so that the peer does the same from its side and both NATs
 * open (spec/paths.md 2.4-2.7).
 */
#include "path_internal.h"

#include <stdlib.h>

bool path_udp_allowed(const struct path_manager *m)
{
        return !m->options.only_tcp_443 && !m->options.never_direct;
}

bool path_udp_reaches(const struct path_manager *m, const struct ip_port *to)
{
        return path_udp_allowed(m) && (to->ip.family == IP_V6 ? m->net.port_v6 : m->net.port_v4) != 0;
}

bool path_discovery_allowed(const struct path_manager *m) { return m->net.up && !key_is_zero(&m->node_key); }

/* ---- messages out ---- */

void path_disco_send(
        struct path_peer *p, const struct disco_message *msg, const struct ip_port *to, uint16_t region)
{
        struct path_manager *m = p->m;
        const struct shared_key *shared = p->disco ? path_disco_key_shared(m, p->disco) : NULL;
        struct slice plain, packet;

        if (!shared || !path_discovery_allowed(m))
                return;
        if (disco_write(msg, m->build, PACKET_MAX, &plain) != OK)
                return;
        if (disco_seal(&m->disco_public, shared, m->rng, plain, m->sealed, PACKET_MAX, &packet) != OK)
                return;
        if (region)
                m->ops->send_derp(m->ctx, region, 0, &p->node_key, packet);
        else if (path_udp_reaches(m, to))
                m->ops->send_udp(m->ctx, to, packet);
}

/* ---- pings and their answers ---- */

void path_ping_free(struct ping *ping)
{
        struct path_manager *m = ping->peer->m;

        timer_cancel(&m->timers, &ping->timeout);
        table_remove(&m->pings, slice_make(ping->txid.b, DISCO_TXID_LEN));
        list_remove(&ping->link);
        ping->peer->ping_count--;
        free(ping);
}

void path_pings_free(struct path_peer *p)
{
        list_each_safe(it, &p->pings)
                path_ping_free(container_of(it, struct ping, link));
}

static void ping_timed_out(struct timer *t, const struct now *now)
{
        struct ping *ping = container_of(t, struct ping, timeout);
        struct path_peer *p = ping->peer;
        bool was_best =
                ip_valid(&ping->to.ip) && quality_set(&p->best) && ip_port_equal(&ping->to, &p->best.addr);

        path_ping_free(ping);
        if (was_best && !peer_is_trusted(p, now)) {
                path_peer_clear_best(p);
                path_peer_announce(p);
        }
}

/* When a peer has too many pings on their way, its oldest is given up. */
static struct ping *ping_new(struct path_peer *p)
{
        struct path_manager *m = p->m;

        if (p->ping_count >= PINGS_PER_PEER_MAX)
                path_ping_free(container_of(p->pings.next, struct ping, link));
        struct ping *ping = calloc(1, sizeof(*ping));
        if (!ping)
                return NULL;
        rng_fill(m->rng, ping->txid.b, DISCO_TXID_LEN);
        ping->peer = p;
        ping->timeout.fire = ping_timed_out;
        struct slice id = slice_make(ping->txid.b, DISCO_TXID_LEN);
        if (table_get(&m->pings, id) || table_put(&m->pings, id, ping, NULL) != OK) {
                free(ping);
                return NULL;
        }
        list_push_back(&p->pings, &ping->link);
        p->ping_count++;
        return ping;
}

void path_ping_send(struct path_peer *p, const struct ip_port *to, uint16_t region, size_t size,
        uint64_t user_id, const struct now *now)
{
        struct path_manager *m = p->m;

        if (!p->disco || !path_discovery_allowed(m) || (!region && !path_udp_reaches(m, to)))
                return;
        struct ping *ping = ping_new(p);
        if (!ping)
                return;
        if (!region)
                ping->to = *to;
        ping->region = region;
        ping->sent_us = now->mono_us;
        ping->size = size;
        ping->user_id = user_id;
        timer_arm(&m->timers, &ping->timeout, now->mono_us + PING_TIMEOUT_US);

        struct disco_message msg = { .type = DISCO_PING,
                .ping = { .txid = ping->txid,
                        .node_key = m->node_key,
                        .padding = size > DISCO_PING_LEN ? size - DISCO_PING_LEN : 0 } };
        m->stats.pings_sent++;
        path_disco_send(p, &msg, to, region);
}

/* What a ping of this packet size proves about the path (spec 1.2). */
static unsigned wire_mtu(const struct ping *ping)
{
        if (ping->size == 0)
                return SAFE_WIRE_MTU;
        return (unsigned)ping->size + 8 + (ping->to.ip.family == IP_V6 ? 40 : 20);
}

void path_proved(struct path_peer *p, const struct ping *ping, uint64_t latency_us, const struct now *now)
{
        struct candidate *c = path_candidate_find(p, &ping->to);

        if (!c)
                return; /* no address of the peer's any more */
        c->ponged_us = now->mono_us;

        /* The address we pinged, not the one that answered: it is known to work. */
        struct quality proved = { ping->to, latency_us, wire_mtu(ping) };
        if (path_quality_better(&proved, &p->best) || !peer_is_trusted(p, now))
                p->best = proved;
        if (ip_port_equal(&p->best.addr, &ping->to)) {
                p->best.latency_us = latency_us;
                p->trusted_until_us = now->mono_us + TRUST_US;
                if (p->awake)
                        timer_arm(&p->m->timers, &p->trust, p->trusted_until_us + 1);
        }
        path_peer_announce(p);
}

/* ---- CallMeMaybe ---- */

static void call_now(struct path_peer *p)
{
        struct path_manager *m = p->m;
        uint8_t wire[PATH_ENDPOINTS_MAX * DISCO_ENDPOINT_LEN];
        struct writer w = writer_of(wire, sizeof(wire));
        struct disco_message msg = { .type = DISCO_CALL_ME_MAYBE };

        for (size_t i = 0; i < m->own.count; i++)
                wr_ip_port18(&w, &m->own.list[i].addr);
        if (wr_finish(&w, &msg.call_me_maybe.wire) != OK)
                return;
        m->stats.calls_sent++;
        path_disco_send(p, &msg, NULL, peer_relay(p));
}

void path_peer_call(struct path_peer *p, const struct now *now)
{
        if (!peer_relay(p))
                return;
        if (path_endpoints_fresh(p->m, now)) {
                call_now(p);
                return;
        }
        p->call_waiting = true; /* an old NAT mapping would send the peer astray */
        if (!netcheck_running(p->m->netcheck))
                path_restun(p->m, "CallMeMaybe", now);
}

void path_calls_send_waiting(struct path_manager *m, const struct now *now)
{
        (void)now;
        list_each(it, &m->peer_list) {
                struct path_peer *p = container_of(it, struct path_peer, link);
                if (!p->call_waiting)
                        continue;
                p->call_waiting = false;
                if (peer_relay(p))
                        call_now(p);
        }
}

/* ---- rounds over all candidates ---- */

void path_peer_full_ping(struct path_peer *p, bool call, const struct now *now)
{
        struct path_manager *m = p->m;
        bool sent_any = false;

        if (!p->disco || !path_udp_allowed(m) || !path_discovery_allowed(m))
                return;
        path_candidates_prune(p, now);
        for (size_t i = 0; i < p->candidate_count; i++) {
                struct candidate *c = &p->candidates[i];
                if (!path_udp_reaches(m, &c->addr) || since_us(now, c->pinged_us) < PING_INTERVAL_US)
                        continue;
                c->pinged_us = now->mono_us;
                path_ping_send(p, &c->addr, 0, 0, 0, now);
                sent_any = true;
        }
        p->full_ping_us = now->mono_us;
        if (sent_any && call)
                path_peer_call(p, now);
        path_peer_announce(p); /* pruning may have cost the best */
}

/* ---- activity ---- */

static uint64_t last_sent(struct path_peer *p)
{
        const struct path_manager *m = p->m;
        uint64_t at = m->ops->last_sent_us ? m->ops->last_sent_us(m->ctx, &p->node_key, p->ctx) : 0;

        if (at > p->sent_us)
                p->sent_us = at;
        return p->sent_us;
}

/* Without heartbeats, packets from the best path are what proves it alive (2.15). */
static void extend_trust_by_data(struct path_peer *p)
{
        const struct path_manager *m = p->m;

        if (!m->options.silent_disco || !m->ops->last_received_us || !quality_set(&p->best))
                return;
        uint64_t at = m->ops->last_received_us(m->ctx, &p->node_key, p->ctx, &p->best.addr);
        if (at && at + TRUST_US > p->trusted_until_us)
                p->trusted_until_us = at + TRUST_US;
}

static void sleep_now(struct path_peer *p)
{
        p->awake = false;
        timer_cancel(&p->m->timers, &p->heartbeat);
        timer_cancel(&p->m->timers, &p->trust);
}

static bool wants_full_ping(const struct path_peer *p, const struct now *now)
{
        if (!quality_set(&p->best) || p->full_ping_us == 0 || !peer_is_trusted(p, now))
                return true;
        return p->best.latency_us > GOOD_ENOUGH_US && since_us(now, p->full_ping_us) >= UPGRADE_INTERVAL_US;
}

static void heartbeat(struct timer *t, const struct now *now)
{
        struct path_peer *p = container_of(t, struct path_peer, heartbeat);
        struct path_manager *m = p->m;

        uint64_t sent = last_sent(p);
        if (sent > m->active_us)
                m->active_us = sent;
        if (since_us(now, sent) > SESSION_ACTIVE_US) {
                sleep_now(p);
                path_peer_announce(p);
                return;
        }
        extend_trust_by_data(p);
        if (quality_set(&p->best) && !m->options.silent_disco)
                path_ping_send(p, &p->best.addr, 0, 0, 0, now);
        if (wants_full_ping(p, now))
                path_peer_full_ping(p, true, now);
        timer_arm(&m->timers, &p->heartbeat, now->mono_us + HEARTBEAT_US);
        path_peer_announce(p);
}

/* The next heartbeat may be 3 seconds away; with traffic waiting, look now. */
static void trust_ended(struct timer *t, const struct now *now)
{
        struct path_peer *p = container_of(t, struct path_peer, trust);

        extend_trust_by_data(p);
        if (peer_is_trusted(p, now))
                timer_arm(&p->m->timers, &p->trust, p->trusted_until_us + 1);
        else if (since_us(now, last_sent(p)) <= HEARTBEAT_US)
                path_peer_full_ping(p, true, now);
        path_peer_announce(p);
}

void path_peer_start(struct path_peer *p)
{
        p->heartbeat.fire = heartbeat;
        p->trust.fire = trust_ended;
}

void path_peer_sent(struct path_peer *p, const struct now *now)
{
        struct path_manager *m = p->m;

        if (p->expired || p->wireguard_only)
                return;
        p->sent_us = m->active_us = now->mono_us;
        if (!p->awake && path_discovery_allowed(m)) {
                p->awake = true;
                timer_arm(&m->timers, &p->heartbeat, now->mono_us + HEARTBEAT_US);
                if (peer_is_trusted(p, now))
                        timer_arm(&m->timers, &p->trust, p->trusted_until_us + 1);
        }
        if (!peer_is_trusted(p, now))
                path_peer_full_ping(p, true, now);
        path_peer_announce(p);
}

void path_data_sent(struct path_manager *m, const struct public_key *peer, const struct now *now)
{
        struct path_peer *p = path_peer_find(m, peer);

        if (p)
                path_peer_sent(p, now);
}

enum err path_send(
        struct path_manager *m, const struct public_key *peer, struct slice message, const struct now *now)
{
        struct path_peer *p = path_peer_find(m, peer);
        struct path_best b;

        if (!p || path_peer_best(m, peer, &b) != OK)
                return ERR_NOTFOUND;
        if (p->expired)
                return ERR_DENIED;
        unsigned use = path_best_use(&b, now->mono_us);
        if (use & PATH_USE_UDP)
                m->ops->send_udp(m->ctx, &b.udp, message);
        if (use & PATH_USE_DERP)
                m->ops->send_derp(m->ctx, b.derp_home, b.derp_heard, peer, message);
        path_peer_sent(p, now);
        return use ? OK : ERR_NOTFOUND;
}

void path_peer_reset(struct path_peer *p)
{
        if (p->wireguard_only)
                return;
        for (size_t i = 0; i < p->candidate_count; i++) {
                struct candidate *c = &p->candidates[i];
                c->pinged_us = c->ponged_us = 0;
        }
        p->full_ping_us = 0;
        path_peer_clear_best(p);
        path_peer_announce(p);
}
