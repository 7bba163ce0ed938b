/* Tables of the relay map (spec/control.md 6.7). */
#include "proto/tailcfg_derp.h"

#include "tailcfg_tables.h"

static const struct shape_field derp_node_fields[] = {
        FIELD(derp_node, "Name", name, STRING, ALWAYS),
        FIELD(derp_node, "RegionID", region_id, I64, ALWAYS),
        FIELD(derp_node, "HostName", host_name, STRING, ALWAYS),
        FIELD(derp_node, "CertName", cert_name, STRING, OPTIONAL),
        FIELD(derp_node, "IPv4", ipv4, STRING, OPTIONAL),
        FIELD(derp_node, "IPv6", ipv6, STRING, OPTIONAL),
        FIELD(derp_node, "STUNPort", stun_port, I64, OPTIONAL),
        FIELD(derp_node, "STUNOnly", stun_only, BOOL, OPTIONAL),
        FIELD(derp_node, "DERPPort", derp_port, I64, OPTIONAL),
        FIELD(derp_node, "InsecureForTests", insecure_for_tests, BOOL, OPTIONAL),
        FIELD(derp_node, "STUNTestIP", stun_test_ip, STRING, OPTIONAL),
        FIELD(derp_node, "CanPort80", can_port80, BOOL, OPTIONAL),
};
static SHAPE(derp_node);

static const struct shape_field derp_region_fields[] = {
        FIELD(derp_region, "RegionID", region_id, I64, ALWAYS),
        FIELD(derp_region, "RegionCode", region_code, STRING, ALWAYS),
        FIELD(derp_region, "RegionName", region_name, STRING, ALWAYS),
        FIELD(derp_region, "Latitude", latitude, DOUBLE, OPTIONAL),
        FIELD(derp_region, "Longitude", longitude, DOUBLE, OPTIONAL),
        FIELD(derp_region, "Avoid", avoid, BOOL, OPTIONAL),
        FIELD(derp_region, "NoMeasureNoHome", no_measure_no_home, BOOL, OPTIONAL),
        FIELD_OBJECTS(derp_region, "Nodes", nodes, derp_node, ALWAYS),
};
static SHAPE(derp_region);

static const struct shape_field region_score_fields[] = {
        FIELD(region_score, "", region_id, I64, ALWAYS),
        FIELD(region_score, "", score, DOUBLE, ALWAYS),
};
static SHAPE(region_score);

static const struct shape_field home_params_fields[] = {
        FIELD_SHAPED(home_params, "RegionScore", region_score, MAP, region_score, OPTIONAL),
};
static SHAPE(home_params);

static const struct shape_field derp_map_fields[] = {
        FIELD_SHAPED(derp_map, "HomeParams", home_params, POINTER, home_params, OPTIONAL),
        FIELD_SHAPED(derp_map, "Regions", regions, KEYED, derp_region, ALWAYS),
        FIELD(derp_map, "omitDefaultRegions", omit_default_regions, BOOL, OPTIONAL),
};
SHAPE(derp_map);

SHAPE_MESSAGE(derp_node)
SHAPE_MESSAGE(derp_region)
SHAPE_MESSAGE(derp_map)

const struct tailcfg_derp_region *tailcfg_derp_region_find(const struct tailcfg_derp_map *map, int64_t region_id)
{
        for (size_t i = 0; i < map->regions.count; i++) {
                if (map->regions.items[i].region_id == region_id)
                        return &map->regions.items[i];
        }
        return NULL;
}
