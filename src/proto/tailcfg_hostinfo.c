/* Tables of Hostinfo and its parts (spec/control.md 6.5). */
#include "proto/tailcfg_hostinfo.h"

#include "tailcfg_tables.h"

static const struct shape_field service_fields[] = {
        FIELD(service, "Proto", proto, STRING, ALWAYS),
        FIELD(service, "Port", port, U16, ALWAYS),
        FIELD(service, "Description", description, STRING, OPTIONAL),
};
static SHAPE(service);

static const struct shape_field location_fields[] = {
        FIELD(location, "Country", country, STRING, OPTIONAL),
        FIELD(location, "CountryCode", country_code, STRING, OPTIONAL),
        FIELD(location, "City", city, STRING, OPTIONAL),
        FIELD(location, "CityCode", city_code, STRING, OPTIONAL),
        FIELD(location, "Latitude", latitude, DOUBLE, OPTIONAL),
        FIELD(location, "Longitude", longitude, DOUBLE, OPTIONAL),
        FIELD(location, "Priority", priority, I64, OPTIONAL),
};
static SHAPE(location);

static const struct shape_field tpm_fields[] = {
        FIELD(tpm, "Manufacturer", manufacturer, STRING, OPTIONAL),
        FIELD(tpm, "Vendor", vendor, STRING, OPTIONAL),
        FIELD(tpm, "Model", model, I64, OPTIONAL),
        FIELD(tpm, "FirmwareVersion", firmware_version, U64, OPTIONAL),
        FIELD(tpm, "SpecRevision", spec_revision, I64, OPTIONAL),
        FIELD(tpm, "FamilyIndicator", family_indicator, STRING, OPTIONAL),
};
static SHAPE(tpm);

static const struct shape_field derp_latency_fields[] = {
        FIELD(derp_latency, "", region, STRING, ALWAYS),
        FIELD(derp_latency, "", seconds, DOUBLE, ALWAYS),
};
static SHAPE(derp_latency);

static const struct shape_field netinfo_fields[] = {
        FIELD(netinfo, "MappingVariesByDestIP", mapping_varies_by_dest_ip, OPT_BOOL, OPTIONAL),
        FIELD(netinfo, "WorkingIPv6", working_ipv6, OPT_BOOL, OPTIONAL),
        FIELD(netinfo, "OSHasIPv6", os_has_ipv6, OPT_BOOL, OPTIONAL),
        FIELD(netinfo, "WorkingUDP", working_udp, OPT_BOOL, OPTIONAL),
        FIELD(netinfo, "WorkingICMPv4", working_icmpv4, OPT_BOOL, OPTIONAL),
        FIELD(netinfo, "HavePortMap", have_port_map, BOOL, OPTIONAL),
        FIELD(netinfo, "UPnP", upnp, OPT_BOOL, OPTIONAL),
        FIELD(netinfo, "PMP", pmp, OPT_BOOL, OPTIONAL),
        FIELD(netinfo, "PCP", pcp, OPT_BOOL, OPTIONAL),
        FIELD(netinfo, "PreferredDERP", preferred_derp, I64, OPTIONAL),
        FIELD(netinfo, "LinkType", link_type, STRING, OPTIONAL),
        FIELD_SHAPED(netinfo, "DERPLatency", derp_latency, MAP, derp_latency, OPTIONAL),
        FIELD(netinfo, "FirewallMode", firewall_mode, STRING, OPTIONAL),
};
SHAPE(netinfo);

static const struct shape_field hostinfo_fields[] = {
        FIELD(hostinfo, "IPNVersion", ipn_version, STRING, OPTIONAL),
        FIELD(hostinfo, "FrontendLogID", frontend_log_id, STRING, OPTIONAL),
        FIELD(hostinfo, "BackendLogID", backend_log_id, STRING, OPTIONAL),
        FIELD(hostinfo, "OS", os, STRING, OPTIONAL),
        FIELD(hostinfo, "OSVersion", os_version, STRING, OPTIONAL),
        FIELD(hostinfo, "Container", container, OPT_BOOL, OPTIONAL),
        FIELD(hostinfo, "Env", env, STRING, OPTIONAL),
        FIELD(hostinfo, "Distro", distro, STRING, OPTIONAL),
        FIELD(hostinfo, "DistroVersion", distro_version, STRING, OPTIONAL),
        FIELD(hostinfo, "DistroCodeName", distro_code_name, STRING, OPTIONAL),
        FIELD(hostinfo, "App", app, STRING, OPTIONAL),
        FIELD(hostinfo, "Desktop", desktop, OPT_BOOL, OPTIONAL),
        FIELD(hostinfo, "Package", package, STRING, OPTIONAL),
        FIELD(hostinfo, "DeviceModel", device_model, STRING, OPTIONAL),
        FIELD(hostinfo, "PushDeviceToken", push_device_token, STRING, OPTIONAL),
        FIELD(hostinfo, "Hostname", hostname, STRING, OPTIONAL),
        FIELD(hostinfo, "ShieldsUp", shields_up, BOOL, OPTIONAL),
        FIELD(hostinfo, "ShareeNode", sharee_node, BOOL, OPTIONAL),
        FIELD(hostinfo, "NoLogsNoSupport", no_logs_no_support, BOOL, OPTIONAL),
        FIELD(hostinfo, "RemoteConfig", remote_config, BOOL, OPTIONAL),
        FIELD(hostinfo, "WireIngress", wire_ingress, BOOL, OPTIONAL),
        FIELD(hostinfo, "IngressEnabled", ingress_enabled, BOOL, OPTIONAL),
        FIELD(hostinfo, "AllowsUpdate", allows_update, BOOL, OPTIONAL),
        FIELD(hostinfo, "Machine", machine, STRING, OPTIONAL),
        FIELD(hostinfo, "GoArch", go_arch, STRING, OPTIONAL),
        FIELD(hostinfo, "GoArchVar", go_arch_var, STRING, OPTIONAL),
        FIELD(hostinfo, "GoVersion", go_version, STRING, OPTIONAL),
        FIELD_LIST(hostinfo, "RoutableIPs", routable_ips, PREFIX, OPTIONAL),
        FIELD_LIST(hostinfo, "RequestTags", request_tags, STRING, OPTIONAL),
        FIELD_LIST(hostinfo, "WoLMACs", wol_macs, STRING, OPTIONAL),
        FIELD_OBJECTS(hostinfo, "Services", services, service, OPTIONAL),
        FIELD_SHAPED(hostinfo, "NetInfo", net_info, POINTER, netinfo, OPTIONAL),
        FIELD_LIST(hostinfo, "sshHostKeys", ssh_host_keys, STRING, OPTIONAL),
        FIELD(hostinfo, "Cloud", cloud, STRING, OPTIONAL),
        FIELD(hostinfo, "Userspace", userspace, OPT_BOOL, OPTIONAL),
        FIELD(hostinfo, "UserspaceRouter", userspace_router, OPT_BOOL, OPTIONAL),
        FIELD(hostinfo, "AppConnector", app_connector, OPT_BOOL, OPTIONAL),
        FIELD(hostinfo, "ServicesHash", services_hash, STRING, OPTIONAL),
        FIELD(hostinfo, "PeerRelay", peer_relay, BOOL, OPTIONAL),
        FIELD(hostinfo, "ExitNodeID", exit_node_id, STRING, OPTIONAL),
        FIELD_SHAPED(hostinfo, "Location", location, POINTER, location, OPTIONAL),
        FIELD_SHAPED(hostinfo, "TPM", tpm, POINTER, tpm, OPTIONAL),
        FIELD(hostinfo, "StateEncrypted", state_encrypted, OPT_BOOL, OPTIONAL),
};
SHAPE(hostinfo);

SHAPE_MESSAGE(netinfo)
SHAPE_MESSAGE(hostinfo)
