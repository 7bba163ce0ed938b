/* The relays a check measures, from the DERP map. */
#include "netcheck_internal.h"

#include <stdlib.h>

#include "proto/tailcfg.h"

/* A text that is no address ("none") disables the family; none at all means DNS. */
static void convert_address(struct slice text, uint8_t family, struct ip_addr *out, bool *resolve)
{
        *resolve = text.len == 0;
        if (*resolve || ip_parse(text, out) != OK || out->family != family)
                *out = (struct ip_addr){ 0 };
}

static void convert_node(const struct tailcfg_derp_node *in, struct netcheck_node *out)
{
        *out = (struct netcheck_node){ 0 };
        convert_address(in->ipv4, IP_V4, &out->v4, &out->resolve_v4);
        convert_address(in->ipv6, IP_V6, &out->v6, &out->resolve_v6);
        if (in->stun_port == 0)
                out->stun_port = STUN_PORT;
        else if (in->stun_port > 0 && in->stun_port <= UINT16_MAX)
                out->stun_port = (uint16_t)in->stun_port;

        struct ip_addr test;
        if (in->stun_test_ip.len == 0 || ip_parse(in->stun_test_ip, &test) != OK)
                return;
        if (test.family == IP_V4)
                out->v4 = test;
        else
                out->v6 = test;
}

static double score_of(const struct tailcfg_derp_map *map, int64_t region)
{
        if (!map->home_params)
                return 0;
        const struct tailcfg_region_scores *scores = &map->home_params->region_score;
        for (size_t i = 0; i < scores->count; i++) {
                if (scores->items[i].region_id == region)
                        return scores->items[i].score > 0 ? scores->items[i].score : 0;
        }
        return 0;
}

static void convert_region(
        const struct tailcfg_derp_map *map, const struct tailcfg_derp_region *in, struct netcheck_region *out)
{
        *out = (struct netcheck_region){
                .id = (uint16_t)in->region_id,
                .avoid = in->avoid,
                .no_measure = in->no_measure_no_home,
                .score = score_of(map, in->region_id),
                .node_count = in->nodes.count < NETCHECK_NODES_MAX ? in->nodes.count : NETCHECK_NODES_MAX,
        };
        for (size_t i = 0; i < out->node_count; i++)
                convert_node(&in->nodes.items[i], &out->nodes[i]);
}

static int by_id(const void *a, const void *b)
{
        const struct netcheck_region *x = a, *y = b;

        return (x->id > y->id) - (x->id < y->id);
}

enum err netcheck_map_convert(const struct tailcfg_derp_map *map, struct netcheck_map *out)
{
        size_t cap = map->regions.count < NETCHECK_REGIONS_MAX ? map->regions.count : NETCHECK_REGIONS_MAX;

        *out = (struct netcheck_map){ 0 };
        if (cap == 0)
                return OK;
        out->regions = calloc(cap, sizeof(*out->regions));
        if (!out->regions)
                return ERR_NOMEM;
        for (size_t i = 0; i < map->regions.count && out->count < cap; i++) {
                const struct tailcfg_derp_region *r = &map->regions.items[i];
                /* Region numbers travel as port numbers (spec 3.10). */
                if (r->region_id > 0 && r->region_id <= UINT16_MAX)
                        convert_region(map, r, &out->regions[out->count++]);
        }
        qsort(out->regions, out->count, sizeof(*out->regions), by_id);
        return OK;
}

void netcheck_map_fini(struct netcheck_map *map)
{
        free(map->regions);
        *map = (struct netcheck_map){ 0 };
}

static const struct netcheck_region *find(const struct netcheck_map *map, uint16_t id)
{
        struct netcheck_region key = { .id = id };

        if (map->count == 0)
                return NULL;
        return bsearch(&key, map->regions, map->count, sizeof(key), by_id);
}

/* A new map often differs in one region: what DNS said of the others still holds. */
static void keep_addresses(struct netcheck_map *next, const struct netcheck_map *old)
{
        for (size_t i = 0; i < next->count; i++) {
                struct netcheck_region *r = &next->regions[i];
                const struct netcheck_region *before = find(old, r->id);
                if (!before || before->node_count != r->node_count)
                        continue;
                for (size_t j = 0; j < r->node_count; j++) {
                        struct netcheck_node *n = &r->nodes[j];
                        const struct netcheck_node *b = &before->nodes[j];
                        if (n->resolve_v4 && b->resolve_v4 && !ip_valid(&n->v4))
                                n->v4 = b->v4;
                        if (n->resolve_v6 && b->resolve_v6 && !ip_valid(&n->v6))
                                n->v6 = b->v6;
                }
        }
}

enum err netcheck_set_map(struct netcheck *nc, const struct netcheck_map *map)
{
        struct netcheck_map copy = { 0 };
        struct region_state *states = NULL;

        if (map->count) {
                copy.regions = calloc(map->count, sizeof(*copy.regions));
                states = calloc(map->count, sizeof(*states));
                if (!copy.regions || !states) {
                        free(copy.regions);
                        free(states);
                        return ERR_NOMEM;
                }
                memcpy(copy.regions, map->regions, map->count * sizeof(*copy.regions));
                copy.count = map->count;
        }
        netcheck_stop(nc);
        keep_addresses(&copy, &nc->map);
        netcheck_map_fini(&nc->map);
        free(nc->regions);
        nc->map = copy;
        nc->regions = states;
        netcheck_forget(nc);
        return OK;
}

bool netcheck_set_address(struct netcheck *nc, uint16_t region, size_t node_index, const struct ip_addr *addr)
{
        for (size_t i = 0; i < nc->map.count; i++) {
                struct netcheck_region *r = &nc->map.regions[i];
                if (r->id != region || node_index >= r->node_count)
                        continue;
                struct netcheck_node *n = &r->nodes[node_index];
                bool wanted = addr->family == IP_V4 ? n->resolve_v4 : n->resolve_v6;
                struct ip_addr *slot = addr->family == IP_V4 ? &n->v4 : &n->v6;
                if (!wanted || !ip_valid(addr) || ip_equal(slot, addr))
                        return false;
                *slot = *addr;
                return true;
        }
        return false;
}
