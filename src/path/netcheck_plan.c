/* Which STUN probes a report sends, and when (spec/paths.md 5). */
#include "netcheck_internal.h"

#include <stdlib.h>

struct plan {
        struct netcheck *nc;
        const struct now *now;
        size_t count, cap;
};

static bool node_speaks(const struct netcheck_node *n, bool v6)
{
        return n->stun_port && ip_valid(v6 ? &n->v6 : &n->v4);
}

/* Try i goes to the i-th node, counting only those that can be asked. */
static bool pick_node(const struct netcheck_region *r, bool v6, unsigned attempt, uint8_t *out)
{
        size_t usable = 0;

        for (size_t i = 0; i < r->node_count; i++)
                usable += node_speaks(&r->nodes[i], v6);
        if (usable == 0)
                return false;
        size_t want = attempt % usable;
        for (size_t i = 0; i < r->node_count; i++) {
                if (node_speaks(&r->nodes[i], v6) && want-- == 0) {
                        *out = (uint8_t)i;
                        return true;
                }
        }
        return false;
}

static void add(struct plan *p, size_t region, bool v6, unsigned attempt, uint64_t delay_us)
{
        uint8_t node;

        if (!(v6 ? p->nc->how.have_v6 : p->nc->how.have_v4))
                return;
        if (p->count == p->cap || !pick_node(&p->nc->map.regions[region], v6, attempt, &node))
                return;
        p->nc->probes[p->count++] = (struct probe){
                .due_us = p->now->mono_us + delay_us,
                .region = (uint16_t)region,
                .node = node,
                .v6 = v6,
        };
}

static void plan_full(struct plan *p)
{
        const struct netcheck_map *map = &p->nc->map;

        for (size_t i = 0; i < map->count; i++) {
                if (map->regions[i].no_measure)
                        continue;
                for (unsigned attempt = 0; attempt < FULL_TRIES; attempt++) {
                        add(p, i, false, attempt, attempt * FULL_RETRY_US);
                        add(p, i, true, attempt, attempt * FULL_RETRY_US);
                }
        }
}

/* ---- incremental: the fastest and the home only ---- */

struct ranked {
        size_t region; /* index in the map */
        uint64_t last_us;
        bool is_home;
};

static int by_latency(const void *a, const void *b)
{
        const struct ranked *x = a, *y = b;
        uint64_t lx = x->last_us ? x->last_us : TIME_NEVER, ly = y->last_us ? y->last_us : TIME_NEVER;

        if (lx != ly)
                return lx < ly ? -1 : 1;
        return (x->region > y->region) - (x->region < y->region);
}

static uint64_t retry_delay(unsigned attempt, uint64_t last_us)
{
        uint64_t step = last_us ? last_us + last_us / 5 : UNKNOWN_LATENCY_US;

        return attempt * step + (attempt > 1 ? attempt * LATER_RETRY_US : 0);
}

static void plan_region(struct plan *p, const struct ranked *r, size_t rank)
{
        const struct netcheck *nc = p->nc;
        const struct region_state *state = &nc->regions[r->region];
        unsigned tries = r->is_home ? HOME_TRIES : rank < 2 ? 2 : 1;
        bool v4 = true, v6 = true;

        if (rank >= 2 && !r->is_home && nc->how.have_v4 && nc->how.have_v6) {
                v4 = rank % 2 == 0;
                v6 = !v4;
        }
        if (rank >= 2 && !nc->last_had_v6)
                v6 = false;
        for (unsigned attempt = 0; attempt < tries; attempt++) {
                uint64_t delay = retry_delay(attempt, state->last_us);
                if (v4)
                        add(p, r->region, false, attempt, delay);
                if (v6 && (attempt == 0 || nc->last_had_v6))
                        add(p, r->region, true, attempt, delay);
        }
}

static enum err plan_incremental(struct plan *p)
{
        const struct netcheck *nc = p->nc;
        struct ranked *order = calloc(nc->map.count, sizeof(*order));
        size_t n = 0;

        if (!order)
                return ERR_NOMEM;
        for (size_t i = 0; i < nc->map.count; i++) {
                const struct netcheck_region *r = &nc->map.regions[i];
                bool is_home = nc->how.home && r->id == nc->how.home;
                if (r->no_measure || (r->avoid && !is_home))
                        continue;
                order[n++] = (struct ranked){ i, nc->regions[i].last_us, is_home };
        }
        qsort(order, n, sizeof(*order), by_latency);
        for (size_t rank = 0; rank < n; rank++) {
                if (rank < ENOUGH_REGIONS || order[rank].is_home)
                        plan_region(p, &order[rank], rank);
        }
        free(order);
        return OK;
}

static int by_due(const void *a, const void *b)
{
        const struct probe *x = a, *y = b;

        return (x->due_us > y->due_us) - (x->due_us < y->due_us);
}

enum err netcheck_plan(struct netcheck *nc, const struct now *now)
{
        struct plan p = { nc, now, 0, nc->map.count * TRIES_MAX * 2 };
        enum err e = OK;

        nc->probes = calloc(p.cap, sizeof(*nc->probes));
        if (!nc->probes)
                return ERR_NOMEM;
        if (nc->report.full)
                plan_full(&p);
        else
                e = plan_incremental(&p);
        nc->probe_count = p.count;
        if (p.count)
                qsort(nc->probes, p.count, sizeof(*nc->probes), by_due);
        return e;
}
