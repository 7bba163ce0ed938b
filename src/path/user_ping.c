/* `weft ping`: which path answers, and how fast (spec/paths.md 2.16). */
#include "path_internal.h"

#include <stdlib.h>

static struct user_ping *user_ping_find(struct path_manager *m, uint64_t id)
{
        list_each(it, &m->user_pings) {
                struct user_ping *u = container_of(it, struct user_ping, link);
                if (u->id == id)
                        return u;
        }
        return NULL;
}

static void user_ping_free(struct user_ping *u)
{
        timer_cancel(&u->m->timers, &u->timeout);
        list_remove(&u->link);
        u->m->user_ping_count--;
        free(u);
}

static void finish(struct user_ping *u, struct path_ping_result *result)
{
        struct path_manager *m = u->m;

        result->token = u->token;
        user_ping_free(u);
        if (m->ops->ping_result)
                m->ops->ping_result(m->ctx, result);
}

static void timed_out(struct timer *t, const struct now *now)
{
        struct path_ping_result r = { .status = ERR_TIMEOUT };

        (void)now;
        finish(container_of(t, struct user_ping, timeout), &r);
}

void path_user_ping_answered(struct path_manager *m, const struct ping *ping, uint64_t latency_us)
{
        struct user_ping *u = ping->user_id ? user_ping_find(m, ping->user_id) : NULL;
        struct path_ping_result r = {
                .status = OK, .latency_us = latency_us, .udp = ping->to, .derp_region = ping->region
        };

        if (u)
                finish(u, &r);
}

void path_user_pings_drop(struct path_peer *p)
{
        struct path_ping_result r = { .status = ERR_NOTFOUND };

        list_each_safe(it, &p->m->user_pings) {
                struct user_ping *u = container_of(it, struct user_ping, link);
                if (u->peer == p)
                        finish(u, &r);
        }
}

void path_user_pings_free(struct path_manager *m)
{
        list_each_safe(it, &m->user_pings)
                user_ping_free(container_of(it, struct user_ping, link));
}

static size_t wire_size(const struct ip_port *to, size_t size)
{
        return size + 8 + (to->ip.family == IP_V6 ? 40 : 20);
}

/* Pings by every sensible way: a trusted direct path alone, else all candidates
 * and the relay. A sized ping leaves out a best path known to be too narrow. */
static bool ask(struct path_peer *p, size_t size, uint64_t id, const struct now *now)
{
        bool asked = false;
        bool fits = size == 0 || wire_size(&p->best.addr, size) <= p->best.wire_mtu;

        if (peer_is_trusted(p, now) && fits && path_udp_reaches(p->m, &p->best.addr)) {
                path_ping_send(p, &p->best.addr, 0, size, id, now);
                return true;
        }
        for (size_t i = 0; i < p->candidate_count; i++) {
                if (!path_udp_reaches(p->m, &p->candidates[i].addr))
                        continue;
                path_ping_send(p, &p->candidates[i].addr, 0, size, id, now);
                asked = true;
        }
        if (peer_relay(p)) {
                path_ping_send(p, NULL, peer_relay(p), size, id, now);
                asked = true;
        }
        return asked;
}

enum err path_ping(struct path_manager *m, const struct public_key *peer, size_t size, uint64_t token,
        const struct now *now)
{
        struct path_peer *p = path_peer_find(m, peer);

        if (!p)
                return ERR_NOTFOUND;
        if (p->expired)
                return ERR_DENIED;
        if (size > PATH_PING_SIZE_MAX)
                return ERR_RANGE;
        if (m->user_ping_count >= PATH_USER_PINGS_MAX)
                return ERR_LIMIT;
        if (!p->disco || !path_discovery_allowed(m))
                return ERR_STATE;

        struct user_ping *u = calloc(1, sizeof(*u));
        if (!u)
                return ERR_NOMEM;
        *u = (struct user_ping){ .m = m, .id = ++m->user_ping_last_id, .token = token, .peer = p };
        u->timeout.fire = timed_out;
        list_push_back(&m->user_pings, &u->link);
        m->user_ping_count++;
        timer_arm(&m->timers, &u->timeout, now->mono_us + PING_TIMEOUT_US);

        bool asked = ask(p, size, u->id, now);
        path_peer_sent(p, now); /* counts as traffic: looks for a better path meanwhile */
        if (asked)
                return OK;
        user_ping_free(u);
        return ERR_STATE;
}
