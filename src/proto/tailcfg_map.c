/* Tables of the map poll (spec/control.md 6.4, 6.10, 7) and ping answers (5.2). */
#include "proto/tailcfg_map.h"

#include "tailcfg_tables.h"

static const struct shape_field map_request_fields[] = {
        FIELD(map_request, "Version", version, I64, ALWAYS),
        FIELD(map_request, "Compress", compress, STRING, OPTIONAL),
        FIELD(map_request, "KeepAlive", keep_alive, BOOL, OPTIONAL),
        FIELD_KEY(map_request, "NodeKey", node_key, "nodekey:", ALWAYS),
        FIELD_KEY(map_request, "DiscoKey", disco_key, "discokey:", ALWAYS),
        FIELD(map_request, "Stream", stream, BOOL, OPTIONAL),
        FIELD_SHAPED(map_request, "Hostinfo", hostinfo, POINTER, hostinfo, ALWAYS),
        FIELD(map_request, "MapSessionHandle", map_session_handle, STRING, OPTIONAL),
        FIELD(map_request, "MapSessionSeq", map_session_seq, I64, OPTIONAL),
        FIELD_LIST(map_request, "Endpoints", endpoints, ADDR_PORT, OPTIONAL),
        FIELD_LIST(map_request, "EndpointTypes", endpoint_types, I64, OPTIONAL),
        FIELD(map_request, "TKAHead", tka_head, STRING, OPTIONAL),
        FIELD(map_request, "ReadOnly", read_only, BOOL, OPTIONAL),
        FIELD(map_request, "OmitPeers", omit_peers, BOOL, OPTIONAL),
        FIELD_LIST(map_request, "DebugFlags", debug_flags, STRING, OPTIONAL),
};
static SHAPE(map_request);

static const struct shape_field ping_request_fields[] = {
        FIELD(ping_request, "URL", url, STRING, ALWAYS),
        FIELD(ping_request, "URLIsNoise", url_is_noise, BOOL, OPTIONAL),
        FIELD(ping_request, "Log", log, BOOL, OPTIONAL),
        FIELD(ping_request, "Types", types, STRING, OPTIONAL),
        FIELD(ping_request, "IP", ip, ADDR, OPTIONAL),
        FIELD(ping_request, "Payload", payload, BYTES, OPTIONAL),
};
static SHAPE(ping_request);

static const struct shape_field ping_response_fields[] = {
        FIELD(ping_response, "Type", type, STRING, ALWAYS),
        FIELD(ping_response, "IP", ip, STRING, OPTIONAL),
        FIELD(ping_response, "NodeIP", node_ip, STRING, OPTIONAL),
        FIELD(ping_response, "NodeName", node_name, STRING, OPTIONAL),
        FIELD(ping_response, "Err", err, STRING, OPTIONAL),
        FIELD(ping_response, "LatencySeconds", latency_seconds, DOUBLE, OPTIONAL),
        FIELD(ping_response, "Endpoint", endpoint, STRING, OPTIONAL),
        FIELD(ping_response, "PeerRelay", peer_relay, STRING, OPTIONAL),
        FIELD(ping_response, "DERPRegionID", derp_region_id, I64, OPTIONAL),
        FIELD(ping_response, "DERPRegionCode", derp_region_code, STRING, OPTIONAL),
        FIELD(ping_response, "PeerAPIPort", peerapi_port, U16, OPTIONAL),
        FIELD(ping_response, "IsLocalIP", is_local_ip, BOOL, OPTIONAL),
};
static SHAPE(ping_response);

static const struct shape_field node_bool_fields[] = {
        FIELD(node_bool, "", node_id, I64, ALWAYS),
        FIELD(node_bool, "", value, BOOL, ALWAYS),
};
static SHAPE(node_bool);

static const struct shape_field named_filter_fields[] = {
        FIELD(named_filter, "", name, STRING, ALWAYS),
        FIELD_OBJECTS(named_filter, "", rules, filter_rule, ALWAYS),
};
static SHAPE(named_filter);

static const struct shape_field display_action_fields[] = {
        FIELD(display_action, "URL", url, STRING, ALWAYS),
        FIELD(display_action, "Label", label, STRING, ALWAYS),
};
static SHAPE(display_action);

static const struct shape_field display_message_fields[] = {
        FIELD(display_message, "Title", title, STRING, ALWAYS),
        FIELD(display_message, "Text", text, STRING, ALWAYS),
        FIELD(display_message, "Severity", severity, STRING, ALWAYS),
        FIELD(display_message, "ImpactsConnectivity", impacts_connectivity, BOOL, OPTIONAL),
        FIELD_SHAPED(display_message, "PrimaryAction", primary_action, POINTER, display_action, OPTIONAL),
};
static SHAPE(display_message);

static const struct shape_field named_display_message_fields[] = {
        FIELD(named_display_message, "", id, STRING, ALWAYS),
        FIELD_SHAPED(named_display_message, "", message, POINTER, display_message, ALWAYS),
};
static SHAPE(named_display_message);

static const struct shape_field tka_info_fields[] = {
        FIELD(tka_info, "Head", head, STRING, OPTIONAL),
        FIELD(tka_info, "Disabled", disabled, BOOL, OPTIONAL),
};
static SHAPE(tka_info);

static const struct shape_field debug_fields[] = {
        FIELD(debug, "SleepSeconds", sleep_seconds, DOUBLE, OPTIONAL),
        FIELD(debug, "DisableLogTail", disable_log_tail, BOOL, OPTIONAL),
        FIELD(debug, "Exit", exit, I64, OPTIONAL),
};
static SHAPE(debug);

static const struct shape_field dial_candidate_fields[] = {
        FIELD(dial_candidate, "IP", ip, ADDR, OPTIONAL),
        FIELD(dial_candidate, "ACEHost", ace_host, STRING, OPTIONAL),
        FIELD(dial_candidate, "DialStartDelaySec", dial_start_delay_sec, DOUBLE, OPTIONAL),
        FIELD(dial_candidate, "DialTimeoutSec", dial_timeout_sec, DOUBLE, OPTIONAL),
        FIELD(dial_candidate, "Priority", priority, I64, OPTIONAL),
};
static SHAPE(dial_candidate);

static const struct shape_field dial_plan_fields[] = {
        FIELD_OBJECTS(dial_plan, "Candidates", candidates, dial_candidate, ALWAYS),
};
static SHAPE(dial_plan);

static const struct shape_field client_version_fields[] = {
        FIELD(client_version, "RunningLatest", running_latest, BOOL, OPTIONAL),
        FIELD(client_version, "LatestVersion", latest_version, STRING, OPTIONAL),
        FIELD(client_version, "UrgentSecurityUpdate", urgent_security_update, BOOL, OPTIONAL),
        FIELD(client_version, "Notify", notify, BOOL, OPTIONAL),
        FIELD(client_version, "NotifyURL", notify_url, STRING, OPTIONAL),
        FIELD(client_version, "NotifyText", notify_text, STRING, OPTIONAL),
};
static SHAPE(client_version);

static const struct shape_field map_response_fields[] = {
        FIELD(map_response, "MapSessionHandle", map_session_handle, STRING, OPTIONAL),
        FIELD(map_response, "Seq", seq, I64, OPTIONAL),
        FIELD(map_response, "KeepAlive", keep_alive, BOOL, OPTIONAL),
        FIELD_SHAPED(map_response, "PingRequest", ping_request, POINTER, ping_request, OPTIONAL),
        FIELD(map_response, "PopBrowserURL", pop_browser_url, STRING, OPTIONAL),
        FIELD_SHAPED(map_response, "Node", node, POINTER, node, OPTIONAL),
        FIELD_SHAPED(map_response, "DERPMap", derp_map, POINTER, derp_map, OPTIONAL),
        FIELD_OBJECTS(map_response, "Peers", peers, node, OPTIONAL),
        FIELD_OBJECTS(map_response, "PeersChanged", peers_changed, node, OPTIONAL),
        FIELD_LIST(map_response, "PeersRemoved", peers_removed, I64, OPTIONAL),
        FIELD_OBJECTS(map_response, "PeersChangedPatch", peers_changed_patch, peer_change, OPTIONAL),
        FIELD_SHAPED(map_response, "PeerSeenChange", peer_seen_change, MAP, node_bool, OPTIONAL),
        FIELD_SHAPED(map_response, "OnlineChange", online_change, MAP, node_bool, OPTIONAL),
        FIELD_SHAPED(map_response, "DNSConfig", dns_config, POINTER, dns_config, OPTIONAL),
        FIELD(map_response, "Domain", domain, STRING, OPTIONAL),
        FIELD(map_response, "CollectServices", collect_services, OPT_BOOL, OPTIONAL),
        FIELD_OBJECTS(map_response, "PacketFilter", packet_filter, filter_rule, OPTIONAL),
        FIELD_SHAPED(map_response, "PacketFilters", packet_filters, MAP, named_filter, OPTIONAL),
        FIELD_OBJECTS(map_response, "UserProfiles", user_profiles, user_profile, OPTIONAL),
        FIELD_LIST(map_response, "Health", health, STRING, OPTIONAL),
        FIELD_SHAPED(map_response, "DisplayMessages", display_messages, MAP, named_display_message, OPTIONAL),
        FIELD(map_response, "SSHPolicy", ssh_policy, RAW, OPTIONAL),
        FIELD(map_response, "ControlTime", control_time, TIME, OPTIONAL),
        FIELD_SHAPED(map_response, "TKAInfo", tka_info, POINTER, tka_info, OPTIONAL),
        FIELD(map_response, "DomainDataPlaneAuditLogID", domain_audit_log_id, STRING, OPTIONAL),
        FIELD_SHAPED(map_response, "Debug", debug, POINTER, debug, OPTIONAL),
        FIELD_SHAPED(map_response, "ControlDialPlan", control_dial_plan, POINTER, dial_plan, OPTIONAL),
        FIELD_SHAPED(map_response, "ClientVersion", client_version, POINTER, client_version, OPTIONAL),
        FIELD(map_response, "DefaultAutoUpdate", default_auto_update, OPT_BOOL, OPTIONAL),
};
static SHAPE(map_response);

SHAPE_MESSAGE(map_request)
SHAPE_MESSAGE(map_response)
SHAPE_MESSAGE(ping_request)
SHAPE_MESSAGE(ping_response)
SHAPE_MESSAGE(dial_plan)
SHAPE_MESSAGE(display_message)

void tailcfg_map_response_write_members(struct json_writer *w, const struct tailcfg_map_response *in)
{
        shape_write_members(w, &shape_map_response, in);
}
