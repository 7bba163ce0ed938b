/* The status as a table of its members, in the official order. */
#include "node/status.h"

#include "proto/shape.h"

static const struct shape_field peer_fields[] = {
        SHAPE_FIELD(status_peer, "ID", stable_id, STRING, ALWAYS),
        SHAPE_FIELD(status_peer, "NodeID", node_id, I64, ALWAYS),
        SHAPE_FIELD_KEY(status_peer, "PublicKey", key, "nodekey:", ALWAYS),
        SHAPE_FIELD(status_peer, "HostName", host_name, STRING, ALWAYS),
        SHAPE_FIELD(status_peer, "DNSName", dns_name, STRING, ALWAYS),
        SHAPE_FIELD(status_peer, "OS", os, STRING, ALWAYS),
        SHAPE_FIELD(status_peer, "UserID", user_id, I64, ALWAYS),
        SHAPE_FIELD(status_peer, "AltSharerUserID", sharer_user_id, I64, OPTIONAL),
        SHAPE_FIELD_LIST(status_peer, "TailscaleIPs", ips, ADDR, ALWAYS),
        SHAPE_FIELD_LIST(status_peer, "AllowedIPs", allowed_ips, PREFIX, OPTIONAL),
        SHAPE_FIELD_LIST(status_peer, "Tags", tags, STRING, OPTIONAL),
        SHAPE_FIELD_LIST(status_peer, "PrimaryRoutes", primary_routes, PREFIX, OPTIONAL),
        SHAPE_FIELD_LIST(status_peer, "Addrs", addrs, STRING, ALWAYS),
        SHAPE_FIELD(status_peer, "CurAddr", cur_addr, STRING, ALWAYS),
        SHAPE_FIELD(status_peer, "Relay", relay, STRING, ALWAYS),
        SHAPE_FIELD(status_peer, "PeerRelay", peer_relay, STRING, ALWAYS),
        SHAPE_FIELD(status_peer, "RxBytes", rx_bytes, U64, ALWAYS),
        SHAPE_FIELD(status_peer, "TxBytes", tx_bytes, U64, ALWAYS),
        SHAPE_FIELD(status_peer, "Created", created, TIME, ALWAYS),
        SHAPE_FIELD(status_peer, "LastWrite", last_write, TIME, ALWAYS),
        SHAPE_FIELD(status_peer, "LastSeen", last_seen, TIME, ALWAYS),
        SHAPE_FIELD(status_peer, "LastHandshake", last_handshake, TIME, ALWAYS),
        SHAPE_FIELD(status_peer, "Online", online, BOOL, ALWAYS),
        SHAPE_FIELD(status_peer, "ExitNode", exit_node, BOOL, ALWAYS),
        SHAPE_FIELD(status_peer, "ExitNodeOption", exit_node_option, BOOL, ALWAYS),
        SHAPE_FIELD(status_peer, "Active", active, BOOL, ALWAYS),
        SHAPE_FIELD_LIST(status_peer, "PeerAPIURL", peerapi_urls, STRING, ALWAYS),
        SHAPE_FIELD(status_peer, "TaildropTarget", taildrop_target, I64, ALWAYS),
        SHAPE_FIELD(status_peer, "NoFileSharingReason", no_file_sharing_reason, STRING, ALWAYS),
        SHAPE_FIELD_LIST(status_peer, "Capabilities", capabilities, STRING, OPTIONAL),
        SHAPE_FIELD_SHAPED(status_peer, "CapMap", cap_map, MAP, cap, OPTIONAL),
        SHAPE_FIELD(status_peer, "ShareeNode", is_sharee, BOOL, OPTIONAL),
        SHAPE_FIELD(status_peer, "InNetworkMap", in_network_map, BOOL, ALWAYS),
        SHAPE_FIELD(status_peer, "InMagicSock", in_magic_sock, BOOL, ALWAYS),
        SHAPE_FIELD(status_peer, "InEngine", in_engine, BOOL, ALWAYS),
        SHAPE_FIELD(status_peer, "Expired", expired, BOOL, OPTIONAL),
        SHAPE_FIELD(status_peer, "KeyExpiry", key_expiry, TIME, OPTIONAL),
};

/* The map of peers has their node keys as its keys. */
enum { PEER_KEY = 2 };
static const struct shape shape_peer = {
        .size = sizeof(struct status_peer),
        .fields = peer_fields,
        .count = sizeof peer_fields / sizeof *peer_fields,
        .key = PEER_KEY,
};

static const struct shape_field exit_node_fields[] = {
        SHAPE_FIELD(status_exit_node, "ID", id, STRING, ALWAYS),
        SHAPE_FIELD(status_exit_node, "Online", online, BOOL, ALWAYS),
        SHAPE_FIELD_LIST(status_exit_node, "TailscaleIPs", ips, PREFIX, ALWAYS),
};
static const struct shape shape_exit_node = SHAPE_INIT(status_exit_node, exit_node_fields);

static const struct shape_field tailnet_fields[] = {
        SHAPE_FIELD(status_tailnet, "Name", name, STRING, ALWAYS),
        SHAPE_FIELD(status_tailnet, "MagicDNSSuffix", magic_dns_suffix, STRING, ALWAYS),
        SHAPE_FIELD(status_tailnet, "MagicDNSEnabled", magic_dns_enabled, BOOL, ALWAYS),
};
static const struct shape shape_tailnet = SHAPE_INIT(status_tailnet, tailnet_fields);

static const struct shape_field status_fields[] = {
        SHAPE_FIELD(status, "Version", version, STRING, ALWAYS),
        SHAPE_FIELD(status, "TUN", tun, BOOL, ALWAYS),
        SHAPE_FIELD(status, "BackendState", backend_state, STRING, ALWAYS),
        SHAPE_FIELD(status, "HaveNodeKey", have_node_key, BOOL, OPTIONAL),
        SHAPE_FIELD(status, "AuthURL", auth_url, STRING, ALWAYS),
        SHAPE_FIELD_LIST(status, "TailscaleIPs", ips, ADDR, ALWAYS),
        SHAPE_FIELD_SHAPED(status, "Self", self, OBJECT, peer, ALWAYS),
        SHAPE_FIELD_SHAPED(status, "ExitNodeStatus", exit_node, POINTER, exit_node, OPTIONAL),
        SHAPE_FIELD_LIST(status, "Health", health, STRING, ALWAYS),
        SHAPE_FIELD(status, "MagicDNSSuffix", magic_dns_suffix, STRING, ALWAYS),
        SHAPE_FIELD_SHAPED(status, "CurrentTailnet", tailnet, POINTER, tailnet, ALWAYS),
        SHAPE_FIELD_LIST(status, "CertDomains", cert_domains, STRING, ALWAYS),
        SHAPE_FIELD(status, "ExtraRecords", extra_records, RAW, ALWAYS),
        SHAPE_FIELD_SHAPED(status, "Peer", peers, KEYED, peer, ALWAYS),
        SHAPE_FIELD_SHAPED(status, "User", users, KEYED, user_profile, ALWAYS),
        SHAPE_FIELD(status, "ClientVersion", client_version, RAW, ALWAYS),
};
static const struct shape shape_status = SHAPE_INIT(status, status_fields);

void status_write(struct json_writer *w, const struct status *s)
{
        shape_write(w, &shape_status, s);
}

enum err status_decode(struct slice json, struct arena *arena, struct status *out)
{
        return shape_decode(json, arena, &shape_status, out);
}
