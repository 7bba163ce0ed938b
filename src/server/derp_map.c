/*
 * The relay map from its sources (spec/server.md 6.5): YAML files with Go's lower-cased
 * field names, JSON from URLs, the embedded region. Later sources override regions of
 * the same id; a region that is null is removed.
 */
#include <stdlib.h>

#include "base/text.h"
#include "proto/tailcfg.h"
#include "serve.h"
#include "yaml.h"
#include "json/writer.h"

enum { REGIONS_MAX = 1024, NODES_MAX = 256 };

static int compare_regions(const void *a, const void *b)
{
        int64_t x = ((const struct tailcfg_derp_region *)a)->region_id,
                y = ((const struct tailcfg_derp_region *)b)->region_id;

        return (x > y) - (x < y);
}

static void remove_region(struct derp_sources *src, int64_t id)
{
        for (size_t i = 0; i < src->n; i++) {
                if (src->regions[i].region_id == id) {
                        src->regions[i] = src->regions[--src->n];
                        return;
                }
        }
}

enum err derp_map_add(struct derp_sources *src, const struct tailcfg_derp_region *region)
{
        if (!src->regions) {
                src->regions = ARENA_ARRAY(src->arena, REGIONS_MAX, struct tailcfg_derp_region);
                src->cap = src->regions ? REGIONS_MAX : 0;
        }
        remove_region(src, region->region_id);
        if (src->n == src->cap)
                return ERR_LIMIT;
        return tailcfg_derp_region_copy(src->arena, &src->regions[src->n++], region);
}

enum err derp_map_add_json(struct derp_sources *src, const char *name, struct slice text, struct diag *diag)
{
        struct tailcfg_derp_map map;
        enum err e = tailcfg_derp_map_decode(text, src->arena, &map);

        for (size_t i = 0; i < map.regions.count && e == OK; i++)
                e = derp_map_add(src, &map.regions.items[i]);
        return e == OK ? OK : diag_set(diag, e, "%s is no DERP map: %s", name, err_str(e));
}

void derp_map_write(const struct derp_sources *src, struct buf *json)
{
        struct tailcfg_derp_map map = {
                .regions = { src->n ? src->regions : TAILCFG_EMPTY, src->n },
                .omit_default_regions = true,
        };
        struct json_writer w;

        if (src->n)
                qsort(src->regions, src->n, sizeof(src->regions[0]), compare_regions);
        json_writer_init(&w, json, NULL);
        tailcfg_derp_map_write(&w, &map);
}

/* ---- YAML -------------------------------------------------------------------------- */

struct yaml {
        struct arena *arena;
        const char *name; /* of the file, for messages */
        struct diag *diag;
};

static struct fy_node *find(struct fy_node *map, const char *name)
{
        struct fy_node_pair *pair;
        void *iter = NULL;

        while ((pair = fy_node_mapping_iterate(map, &iter)) != NULL) {
                if (slice_equal_nocase(yaml_text(fy_node_pair_key(pair)), slice_str(name)))
                        return fy_node_pair_value(pair);
        }
        return NULL;
}

static struct slice get_text(struct yaml *y, struct fy_node *map, const char *name)
{
        return arena_copy(y->arena, yaml_text(find(map, name)));
}

static bool get_bool(struct fy_node *map, const char *name)
{
        return slice_equal_nocase(yaml_text(find(map, name)), SLICE_LIT("true"));
}

static enum err get_int(struct yaml *y, struct fy_node *map, const char *name, int64_t *out)
{
        struct slice text = yaml_text(find(map, name));

        *out = 0;
        if (text.len && parse_i64(text, out) != OK)
                return diag_set(y->diag, ERR_FORMAT, "%s: %s \"%.*s\" is not a number", y->name, name,
                        SLICE_ARGS(text));
        return OK;
}

static enum err read_node(
        struct yaml *y, struct fy_node *map, int64_t region_id, struct tailcfg_derp_node *out)
{
        enum err e;

        if (!map || !fy_node_is_mapping(map))
                return diag_set(y->diag, ERR_FORMAT, "%s: the nodes of a region must be mappings", y->name);
        out->name = get_text(y, map, "name");
        out->host_name = get_text(y, map, "hostname");
        out->cert_name = get_text(y, map, "certname");
        out->ipv4 = get_text(y, map, "ipv4");
        out->ipv6 = get_text(y, map, "ipv6");
        out->stun_test_ip = get_text(y, map, "stuntestip");
        out->stun_only = get_bool(map, "stunonly");
        out->insecure_for_tests = get_bool(map, "insecurefortests");
        out->can_port80 = get_bool(map, "canport80");
        out->region_id = region_id;
        e = get_int(y, map, "stunport", &out->stun_port);
        if (e == OK)
                e = get_int(y, map, "derpport", &out->derp_port);
        if (e == OK && (!out->name.len || !out->host_name.len))
                e = diag_set(y->diag, ERR_FORMAT, "%s: a node of region %lld lacks its name or hostname",
                        y->name, (long long)region_id);
        return e;
}

static enum err read_nodes(struct yaml *y, struct fy_node *list, struct tailcfg_derp_region *region)
{
        int n = list && fy_node_is_sequence(list) ? fy_node_sequence_item_count(list) : 0;
        struct tailcfg_derp_node *nodes;

        if (n <= 0 || n > NODES_MAX)
                return diag_set(y->diag, ERR_FORMAT, "%s: region %lld needs a list of nodes", y->name,
                        (long long)region->region_id);
        nodes = ARENA_ARRAY(y->arena, (size_t)n, struct tailcfg_derp_node);
        if (!nodes)
                return ERR_NOMEM;
        for (int i = 0; i < n; i++) {
                enum err e =
                        read_node(y, fy_node_sequence_get_by_index(list, i), region->region_id, &nodes[i]);
                if (e != OK)
                        return e;
        }
        region->nodes = (struct tailcfg_derp_nodes){ nodes, (size_t)n };
        return OK;
}

static enum err read_region(struct yaml *y, struct derp_sources *src, struct slice key, struct fy_node *map)
{
        struct tailcfg_derp_region region = { 0 };
        enum err e;

        if (parse_i64(key, &region.region_id) != OK || region.region_id <= 0)
                return diag_set(
                        y->diag, ERR_FORMAT, "%s: \"%.*s\" is no region id", y->name, SLICE_ARGS(key));
        if (yaml_is_null(map)) {
                remove_region(src, region.region_id);
                return OK;
        }
        if (!fy_node_is_mapping(map))
                return diag_set(y->diag, ERR_FORMAT, "%s: region %lld must be a mapping", y->name,
                        (long long)region.region_id);
        region.region_code = get_text(y, map, "regioncode");
        region.region_name = get_text(y, map, "regionname");
        region.avoid = get_bool(map, "avoid");
        region.no_measure_no_home = get_bool(map, "nomeasurenohome");
        e = read_nodes(y, find(map, "nodes"), &region);
        return e == OK ? derp_map_add(src, &region) : e;
}

enum err derp_map_add_yaml(struct derp_sources *src, const char *name, struct slice text, struct diag *diag)
{
        struct yaml y = { src->arena, name, diag };
        struct fy_document *doc = yaml_open(name, text, diag);
        struct fy_node_pair *pair;
        void *iter = NULL;
        enum err e = OK;

        if (!doc)
                return ERR_FORMAT;
        struct fy_node *root = fy_document_root(doc);
        struct fy_node *regions = root && fy_node_is_mapping(root) ? find(root, "regions") : NULL;
        if (!regions || !fy_node_is_mapping(regions))
                e = diag_set(diag, ERR_FORMAT,
                        "%s is no DERP map: it needs \"regions:\" with a mapping of region ids", name);
        while (e == OK && (pair = fy_node_mapping_iterate(regions, &iter)) != NULL)
                e = read_region(&y, src, yaml_text(fy_node_pair_key(pair)), fy_node_pair_value(pair));
        fy_document_destroy(doc);
        return e;
}
