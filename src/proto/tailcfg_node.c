/* Tables of nodes, patches and users (spec/control.md 6.6, 6.10). */
#include "proto/tailcfg_node.h"

#include "tailcfg_tables.h"

static const struct shape_field node_fields[] = {
        FIELD(node, "ID", id, I64, ALWAYS),
        FIELD(node, "StableID", stable_id, STRING, ALWAYS),
        FIELD(node, "Name", name, STRING, ALWAYS),
        FIELD(node, "User", user, I64, ALWAYS),
        FIELD(node, "Sharer", sharer, I64, OPTIONAL),
        FIELD_KEY(node, "Key", key, "nodekey:", ALWAYS),
        FIELD(node, "KeyExpiry", key_expiry, TIME, OPTIONAL),
        FIELD(node, "KeySignature", key_signature, BYTES, OPTIONAL),
        FIELD_KEY(node, "Machine", machine, "mkey:", OPTIONAL),
        FIELD_KEY(node, "DiscoKey", disco_key, "discokey:", OPTIONAL),
        FIELD_LIST(node, "Addresses", addresses, PREFIX, ALWAYS),
        FIELD_LIST(node, "AllowedIPs", allowed_ips, PREFIX, OPTIONAL),
        FIELD_LIST(node, "Endpoints", endpoints, ADDR_PORT, OPTIONAL),
        FIELD(node, "DERP", legacy_derp, STRING, OPTIONAL),
        FIELD(node, "HomeDERP", home_derp, I64, OPTIONAL),
        FIELD_SHAPED(node, "Hostinfo", hostinfo, POINTER, hostinfo, OPTIONAL),
        FIELD(node, "Created", created, TIME, OPTIONAL),
        FIELD(node, "Cap", cap, I64, OPTIONAL),
        FIELD_LIST(node, "Tags", tags, STRING, OPTIONAL),
        FIELD_LIST(node, "PrimaryRoutes", primary_routes, PREFIX, OPTIONAL),
        FIELD(node, "LastSeen", last_seen, TIME, OPTIONAL),
        FIELD(node, "Online", online, OPT_BOOL, OPTIONAL),
        FIELD(node, "MachineAuthorized", machine_authorized, BOOL, OPTIONAL),
        FIELD_LIST(node, "Capabilities", capabilities, STRING, OPTIONAL),
        FIELD_SHAPED(node, "CapMap", cap_map, MAP, cap, OPTIONAL),
        FIELD(node, "UnsignedPeerAPIOnly", unsigned_peerapi_only, BOOL, OPTIONAL),
        FIELD(node, "DataPlaneAuditLogID", data_plane_audit_log_id, STRING, OPTIONAL),
        FIELD(node, "Expired", expired, BOOL, OPTIONAL),
        FIELD(node, "SelfNodeV4MasqAddrForThisPeer", self_v4_masq_for_this_peer, ADDR, OPTIONAL),
        FIELD(node, "SelfNodeV6MasqAddrForThisPeer", self_v6_masq_for_this_peer, ADDR, OPTIONAL),
        FIELD(node, "IsWireGuardOnly", is_wireguard_only, BOOL, OPTIONAL),
        FIELD(node, "IsJailed", is_jailed, BOOL, OPTIONAL),
        FIELD_OBJECTS(node, "ExitNodeDNSResolvers", exit_node_dns_resolvers, resolver, OPTIONAL),
};
SHAPE(node);

static const struct shape_field peer_change_fields[] = {
        FIELD(peer_change, "NodeID", node_id, I64, ALWAYS),
        FIELD(peer_change, "DERPRegion", derp_region, I64, OPTIONAL),
        FIELD(peer_change, "Cap", cap, I64, OPTIONAL),
        FIELD_SHAPED(peer_change, "CapMap", cap_map, MAP, cap, OPTIONAL),
        FIELD_LIST(peer_change, "Endpoints", endpoints, ADDR_PORT, OPTIONAL),
        FIELD_KEY(peer_change, "Key", key, "nodekey:", OPTIONAL),
        FIELD(peer_change, "KeySignature", key_signature, BYTES, OPTIONAL),
        FIELD_KEY(peer_change, "DiscoKey", disco_key, "discokey:", OPTIONAL),
        FIELD(peer_change, "Online", online, OPT_BOOL, OPTIONAL),
        FIELD(peer_change, "LastSeen", last_seen, TIME, OPTIONAL),
        FIELD(peer_change, "KeyExpiry", key_expiry, TIME_KEPT, OPTIONAL),
};
SHAPE(peer_change);

static const struct shape_field user_profile_fields[] = {
        FIELD(user_profile, "ID", id, I64, ALWAYS),
        FIELD(user_profile, "LoginName", login_name, STRING, ALWAYS),
        FIELD(user_profile, "DisplayName", display_name, STRING, ALWAYS),
        FIELD(user_profile, "ProfilePicURL", profile_pic_url, STRING, OPTIONAL),
        FIELD_LIST(user_profile, "Groups", groups, STRING, OPTIONAL),
};
SHAPE(user_profile);

SHAPE_MESSAGE(node)
SHAPE_MESSAGE(peer_change)
SHAPE_MESSAGE(user_profile)

int64_t tailcfg_node_home_derp(const struct tailcfg_node *n)
{
        struct slice magic = SLICE_LIT("127.3.3.40:");
        uint64_t region;

        if (n->home_derp)
                return n->home_derp;
        if (!slice_has_prefix(n->legacy_derp, magic))
                return 0;
        if (parse_u64(slice_after(n->legacy_derp, magic.len), UINT16_MAX, &region))
                return 0;
        return (int64_t)region;
}

struct tailcfg_prefixes tailcfg_node_allowed_ips(const struct tailcfg_node *n)
{
        return n->allowed_ips.items ? n->allowed_ips : n->addresses;
}

const struct tailcfg_cap *tailcfg_cap_find(const struct tailcfg_cap_map *map, struct slice name)
{
        for (size_t i = 0; i < map->count; i++) {
                if (slice_equal(map->items[i].name, name))
                        return &map->items[i];
        }
        return NULL;
}

bool tailcfg_node_has_cap(const struct tailcfg_node *n, struct slice name)
{
        for (size_t i = 0; i < n->capabilities.count; i++) {
                if (slice_equal(n->capabilities.items[i], name))
                        return true;
        }
        return tailcfg_cap_find(&n->cap_map, name) != NULL;
}
