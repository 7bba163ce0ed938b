/* Which connections there are. */
#include <stdlib.h>

#include "derp_conn.h"

enum {
        CONNECTIONS_MAX = 64,
        MAP_MAX = 4 << 20,
        IDLE_S = 60, /* of a connection that is not home */
        CHECK_S = 15,
};

static struct derp_conn *find(const struct derp_pool *p, uint16_t region)
{
        list_each (it, (struct list *)&p->conns) {
                struct derp_conn *c = container_of(it, struct derp_conn, link);
                if (c->region == region)
                        return c;
        }
        return NULL;
}

static struct derp_conn *open_conn(struct derp_pool *p, uint16_t region)
{
        struct derp_conn *c = find(p, region);

        if (c || !p->has_key || p->count >= CONNECTIONS_MAX || !tailcfg_derp_region_find(&p->map, region))
                return c;
        return derp_conn_new(p, region);
}

static void check_idle(struct timer *t, const struct now *now)
{
        struct derp_pool *p = container_of(t, struct derp_pool, idle_timer);

        list_each_safe (it, &p->conns) {
                struct derp_conn *c = container_of(it, struct derp_conn, link);
                if (!derp_conn_is_home(c) && now->mono_us - c->used_us > TIME_S(IDLE_S))
                        derp_conn_free(c);
        }
        net_timer_start(p->loop, t, CHECK_S * 1000);
}

struct derp_pool *derp_pool_new(struct net_loop *loop, uint32_t mark, const struct derp_pool_events *events, void *ctx)
{
        struct derp_pool *p = calloc(1, sizeof *p);

        if (!p)
                return NULL;
        p->loop = loop;
        p->mark = mark;
        p->events = events;
        p->ctx = ctx;
        p->is_up = true;
        p->arena = ARENA_INIT(MAP_MAX);
        list_init(&p->conns);
        p->idle_timer.fire = check_idle;
        net_timer_start(loop, &p->idle_timer, CHECK_S * 1000);
        return p;
}

static void close_all(struct derp_pool *p)
{
        list_each_safe (it, &p->conns)
                derp_conn_free(container_of(it, struct derp_conn, link));
}

void derp_pool_free(struct derp_pool *p)
{
        if (!p)
                return;
        close_all(p);
        net_timer_stop(p->loop, &p->idle_timer);
        arena_fini(&p->arena);
        key_wipe(&p->key, sizeof p->key);
        free(p);
}

void derp_pool_set_key(struct derp_pool *p, const struct secret_key *key)
{
        if (key ? p->has_key && secret_equal(&p->key, key, sizeof *key) : !p->has_key)
                return;
        close_all(p);
        p->has_key = key != NULL;
        if (key)
                p->key = *key;
        else
                key_wipe(&p->key, sizeof p->key);
        if (p->home)
                open_conn(p, p->home);
}

void derp_pool_set_map(struct derp_pool *p, const struct tailcfg_derp_map *map)
{
        struct arena arena = ARENA_INIT(MAP_MAX);
        struct tailcfg_derp_map fresh = { 0 };

        if (map && tailcfg_derp_map_copy(&arena, &fresh, map) != OK) {
                log_warn(&derp_log, "the relay map is too large and not used", NULL);
                arena_fini(&arena);
                return;
        }
        list_each_safe (it, &p->conns) {
                struct derp_conn *c = container_of(it, struct derp_conn, link);
                const struct tailcfg_derp_region *old = tailcfg_derp_region_find(&p->map, c->region);
                const struct tailcfg_derp_region *new = tailcfg_derp_region_find(&fresh, c->region);
                if (!old || !new || !tailcfg_derp_region_equal(old, new))
                        derp_conn_free(c);
        }
        arena_fini(&p->arena);
        p->arena = arena;
        p->map = fresh;
        if (p->home)
                open_conn(p, p->home);
}

void derp_pool_set_home(struct derp_pool *p, uint16_t region)
{
        if (region == p->home)
                return;
        p->home = region;
        p->trouble[0] = 0;
        list_each (it, &p->conns) {
                struct derp_conn *c = container_of(it, struct derp_conn, link);
                derp_client_note_preferred(&c->engine, c->region == region);
        }
        if (region)
                open_conn(p, region);
}

void derp_pool_send(struct derp_pool *p, uint16_t home, uint16_t heard, const struct public_key *dst,
        struct slice packet)
{
        struct derp_conn *c = home ? find(p, home) : NULL;

        if (packet.len > DERP_PACKET_MAX || !p->is_up)
                return;
        if ((!c || !derp_client_can_send(&c->engine)) && heard) {
                struct derp_conn *other = find(p, heard);
                if (other && derp_client_can_send(&other->engine))
                        c = other;
        }
        if (!c)
                c = open_conn(p, home ? home : heard);
        if (c)
                derp_conn_send(c, dst, packet);
}

void derp_pool_reset(struct derp_pool *p)
{
        close_all(p);
        if (p->home)
                open_conn(p, p->home);
}

void derp_pool_set_network_up(struct derp_pool *p, bool up)
{
        if (up == p->is_up)
                return;
        p->is_up = up;
        derp_pool_reset(p);
}

unsigned derp_pool_ready(const struct derp_pool *p)
{
        unsigned n = 0;

        list_each (it, (struct list *)&p->conns)
                n += container_of(it, struct derp_conn, link)->is_ready;
        return n;
}

const char *derp_pool_trouble(const struct derp_pool *p)
{
        return p->trouble;
}
