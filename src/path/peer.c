/* Peers: their disco keys, and the path announced for each. */
#include "path_internal.h"

#include <stdlib.h>

#include "base/log.h"

static const struct log log_path = { "path" };

struct path_peer *path_peer_find(const struct path_manager *m, const struct public_key *node_key)
{
        return table_get(&m->peers, key_slice(node_key));
}

/* ---- the announced path ---- */

static struct path_best best_of(const struct path_peer *p)
{
        struct path_best b = { .asleep = !p->awake };

        if (p->expired || key_is_zero(&p->m->node_key) || !p->m->net.up)
                return b;
        b.udp = p->best.addr;
        b.trusted_until_us = quality_set(&p->best) ? p->trusted_until_us : 0;
        b.latency_us = p->best.latency_us;
        b.derp_home = p->home_region;
        b.derp_heard = p->heard_region;
        return b;
}

static bool best_equal(const struct path_best *a, const struct path_best *b)
{
        return ip_port_equal(&a->udp, &b->udp) && a->trusted_until_us == b->trusted_until_us &&
               a->latency_us == b->latency_us && a->derp_home == b->derp_home &&
               a->derp_heard == b->derp_heard && a->asleep == b->asleep;
}

static void log_move(const struct path_peer *p, const struct path_best *to)
{
        char key[8], addr[IP_TEXT_MAX] = "none";

        if (log_level() < LOG_DEBUG || ip_port_equal(&to->udp, &p->announced.udp))
                return;
        key_format_short(&p->node_key, key);
        if (ip_valid(&to->udp.ip))
                ip_port_format(&to->udp, addr);
        log_debug(&log_path, "peer moves", "peer=%s udp=%s relay=%u", key, addr, to->derp_home);
}

void path_peer_announce(struct path_peer *p)
{
        struct path_best b = best_of(p);

        if (best_equal(&b, &p->announced))
                return;
        log_move(p, &b);
        p->announced = b;
        p->m->ops->path_changed(p->m->ctx, &p->node_key, p->ctx, &b);
}

void path_peer_clear_best(struct path_peer *p)
{
        p->best = (struct quality){ 0 };
        p->trusted_until_us = 0;
}

/* ---- disco keys ---- */

struct disco_key *path_disco_key_find(const struct path_manager *m, const struct public_key *key)
{
        return table_get(&m->disco_keys, key_slice(key));
}

const struct shared_key *path_disco_key_shared(struct path_manager *m, struct disco_key *dk)
{
        if (!dk->ready && box_precompute(&dk->key, &m->disco_secret, &dk->shared) == OK)
                dk->ready = true;
        return dk->ready ? &dk->shared : NULL;
}

static struct disco_key *disco_key_get(struct path_manager *m, const struct public_key *key)
{
        struct disco_key *dk = path_disco_key_find(m, key);

        if (dk)
                return dk;
        dk = calloc(1, sizeof(*dk));
        if (!dk)
                return NULL;
        dk->key = *key;
        list_init(&dk->peers);
        if (table_put(&m->disco_keys, key_slice(&dk->key), dk, NULL) == OK)
                return dk;
        free(dk);
        return NULL;
}

static void disco_key_release(struct path_manager *m, struct disco_key *dk)
{
        if (!list_empty(&dk->peers))
                return;
        table_remove(&m->disco_keys, key_slice(&dk->key));
        key_wipe(&dk->shared, sizeof(dk->shared));
        free(dk);
}

/* Candidates and best path stay: only the process behind them was restarted. */
static enum err peer_take_disco_key(struct path_peer *p, const struct public_key *key)
{
        struct disco_key *old = p->disco, *dk = NULL;

        if (old && key_equal(&old->key, key))
                return OK;
        if (!key_is_zero(key)) {
                dk = disco_key_get(p->m, key);
                if (!dk)
                        return ERR_NOMEM;
        }
        list_remove(&p->by_disco);
        p->disco = dk;
        if (dk)
                list_push_back(&dk->peers, &p->by_disco);
        if (old)
                disco_key_release(p->m, old);
        path_pings_free(p); /* nobody can answer them any more */
        return OK;
}

/* A netmap that repeats an old key does not undo what the peer told us since. */
static enum err take_netmap_key(struct path_peer *p, const struct path_peer_config *config)
{
        struct public_key key = config->disco_key;

        if (config->wireguard_only)
                key = (struct public_key){ 0 };
        else if (p->disco && key_equal(&key, &p->netmap_disco))
                return OK;
        p->netmap_disco = key;
        return peer_take_disco_key(p, &key);
}

/* ---- the table ---- */

void path_peer_free(struct path_peer *p)
{
        struct path_manager *m = p->m;

        path_user_pings_drop(p);
        path_pings_free(p);
        timer_cancel(&m->timers, &p->heartbeat);
        timer_cancel(&m->timers, &p->trust);
        list_remove(&p->by_disco);
        if (p->disco)
                disco_key_release(m, p->disco);
        list_remove(&p->link);
        table_remove(&m->peers, key_slice(&p->node_key));
        free(p->candidates);
        free(p);
}

static struct path_peer *peer_new(struct path_manager *m, const struct public_key *node_key)
{
        struct path_peer *p = calloc(1, sizeof(*p));

        if (!p)
                return NULL;
        p->m = m;
        p->node_key = *node_key;
        p->calls_left = CALLS_BURST;
        p->announced.asleep = true;
        list_init(&p->pings);
        path_peer_start(p);
        if (table_put(&m->peers, key_slice(&p->node_key), p, NULL) != OK) {
                free(p);
                return NULL;
        }
        list_push_back(&m->peer_list, &p->link);
        return p;
}

/* No disco and no relay: the address last heard from, else the first we know. */
static void wireguard_only_choose(struct path_peer *p)
{
        const struct candidate *found = NULL;

        for (size_t i = 0; i < p->candidate_count; i++) {
                if (!found || p->candidates[i].heard_us > found->heard_us)
                        found = &p->candidates[i];
        }
        path_peer_clear_best(p);
        if (!found)
                return;
        p->best.addr = found->addr;
        p->trusted_until_us = TIME_NEVER;
        p->awake = true; /* nothing to do on its sends */
}

enum err path_peer_set(struct path_manager *m, const struct path_peer_config *config, const struct now *now)
{
        struct path_peer *p = path_peer_find(m, &config->node_key);
        bool first = list_empty(&m->peer_list);

        if (key_is_zero(&config->disco_key) && !config->wireguard_only) {
                if (p)
                        path_peer_free(p);
                return ERR_RANGE;
        }
        if (!p && m->peers.count >= PATH_PEERS_MAX)
                return ERR_LIMIT;
        if (!p)
                p = peer_new(m, &config->node_key);
        if (!p)
                return ERR_NOMEM;

        if (take_netmap_key(p, config) != OK) {
                path_peer_free(p);
                return ERR_NOMEM;
        }
        if (p->wireguard_only != config->wireguard_only) {
                path_peer_clear_best(p);
                p->awake = false;
        }
        p->ctx = config->ctx;
        p->home_region = config->home_region;
        p->wireguard_only = config->wireguard_only;
        p->expired = config->expired;
        p->seen = true;
        path_candidates_from_netmap(p, config->endpoints, config->endpoint_count, now);
        if (p->wireguard_only)
                wireguard_only_choose(p);
        path_peer_announce(p);
        if (first)
                path_restun(m, "first peer", now);
        return OK;
}

void path_peer_remove(struct path_manager *m, const struct public_key *node_key, const struct now *now)
{
        struct path_peer *p = path_peer_find(m, node_key);

        (void)now;
        if (p)
                path_peer_free(p);
}

void path_peers_begin(struct path_manager *m)
{
        list_each(it, &m->peer_list)
                container_of(it, struct path_peer, link)->seen = false;
}

void path_peers_end(struct path_manager *m, const struct now *now)
{
        (void)now;
        list_each_safe(it, &m->peer_list) {
                struct path_peer *p = container_of(it, struct path_peer, link);
                if (!p->seen)
                        path_peer_free(p);
        }
}

void path_peer_disco_changed(struct path_manager *m, const struct public_key *node_key,
        const struct public_key *disco_key, const struct now *now)
{
        struct path_peer *p = path_peer_find(m, node_key);

        (void)now;
        if (p && !p->wireguard_only && !key_is_zero(disco_key) && peer_take_disco_key(p, disco_key) != OK)
                log_warn(&log_path, "no memory for a peer's new disco key", NULL);
}

void path_wireguard_from(struct path_manager *m, const struct public_key *peer, const struct ip_port *src,
        const struct now *now)
{
        struct path_peer *p = path_peer_find(m, peer);
        struct candidate *c = p && path_udp_allowed(m) ? path_candidate_add(p, src, now) : NULL;

        if (!c)
                return;
        c->heard_us = now->mono_us;
        if (!p->wireguard_only)
                return;
        wireguard_only_choose(p);
        path_peer_announce(p);
}

void path_udp_failed(struct path_manager *m, const struct ip_port *dst, const struct now *now)
{
        (void)now;
        list_each(it, &m->peer_list) {
                struct path_peer *p = container_of(it, struct path_peer, link);
                if (p->wireguard_only || !quality_set(&p->best) || !ip_port_equal(&p->best.addr, dst))
                        continue;
                struct candidate *c = path_candidate_find(p, dst);
                if (c)
                        c->ponged_us = 0;
                path_peer_clear_best(p);
                path_peer_announce(p);
        }
}

/* ---- asking ---- */

enum err path_peer_best(const struct path_manager *m, const struct public_key *peer, struct path_best *out)
{
        const struct path_peer *p = path_peer_find(m, peer);

        if (!p)
                return ERR_NOTFOUND;
        *out = best_of(p);
        return OK;
}

size_t path_peer_candidates(
        const struct path_manager *m, const struct public_key *peer, struct ip_port *out, size_t cap)
{
        const struct path_peer *p = path_peer_find(m, peer);

        if (!p)
                return 0;
        for (size_t i = 0; i < p->candidate_count && i < cap; i++)
                out[i] = p->candidates[i].addr;
        return p->candidate_count;
}
