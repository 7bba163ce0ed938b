/* Tables of the DNS settings (spec/control.md 6.8). */
#include "proto/tailcfg_dns.h"

#include "tailcfg_tables.h"

static const struct shape_field resolver_fields[] = {
        FIELD(resolver, "Addr", addr, STRING, OPTIONAL),
        FIELD_LIST(resolver, "BootstrapResolution", bootstrap_resolution, ADDR, OPTIONAL),
        FIELD(resolver, "UseWithExitNode", use_with_exit_node, BOOL, OPTIONAL),
};
SHAPE(resolver);

static const struct shape_field dns_route_fields[] = {
        FIELD(dns_route, "", suffix, STRING, ALWAYS),
        FIELD_OBJECTS(dns_route, "", resolvers, resolver, ALWAYS),
};
static SHAPE(dns_route);

static const struct shape_field dns_record_fields[] = {
        FIELD(dns_record, "Name", name, STRING, ALWAYS),
        FIELD(dns_record, "Type", type, STRING, OPTIONAL),
        FIELD(dns_record, "Value", value, STRING, ALWAYS),
};
static SHAPE(dns_record);

static const struct shape_field dns_config_fields[] = {
        FIELD_OBJECTS(dns_config, "Resolvers", resolvers, resolver, OPTIONAL),
        FIELD_SHAPED(dns_config, "Routes", routes, MAP, dns_route, OPTIONAL),
        FIELD_OBJECTS(dns_config, "FallbackResolvers", fallback_resolvers, resolver, OPTIONAL),
        FIELD_LIST(dns_config, "Domains", domains, STRING, OPTIONAL),
        FIELD(dns_config, "Proxied", proxied, BOOL, OPTIONAL),
        FIELD_LIST(dns_config, "Nameservers", nameservers, ADDR, OPTIONAL),
        FIELD_LIST(dns_config, "CertDomains", cert_domains, STRING, OPTIONAL),
        FIELD_OBJECTS(dns_config, "ExtraRecords", extra_records, dns_record, OPTIONAL),
        FIELD_LIST(dns_config, "ExitNodeFilteredSet", exit_node_filtered_set, STRING, OPTIONAL),
};
SHAPE(dns_config);

SHAPE_MESSAGE(resolver)
SHAPE_MESSAGE(dns_config)
