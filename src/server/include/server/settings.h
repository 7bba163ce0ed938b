/*
 * What the engine must know of the configuration, already checked (config.c does
 * that for people's config.yaml, the simulator fills it in by hand). All text is
 * borrowed and must outlive the server.
 */
#ifndef SERVER_SETTINGS_H
#define SERVER_SETTINGS_H

#include "base/slice.h"
#include "ip/addr.h"

struct server_split_dns {
        struct slice domain;
        const struct slice *nameservers;
        size_t n_nameservers;
};

struct server_dns_record {
        struct slice name, type, value;
};

/* In the order of enum policy_role: owner, admin, IT, network, billing admin, auditor. */
enum { SERVER_ROLES = 6 };
struct server_role {
        const struct slice *users; /* names or e-mail addresses */
        size_t n_users;
};

struct server_settings {
        struct slice server_url;               /* without a slash at the end */
        struct slice base_domain;              /* MagicDNS suffix without dots at the ends; may be empty */
        struct ip_prefix prefix_v4, prefix_v6; /* family IP_NONE: none of that family */
        bool random_addresses;

        bool magic_dns, override_local_dns;
        const struct slice *nameservers; /* IP text or URL */
        const struct slice *search_domains;
        const struct server_split_dns *split;
        const struct server_dns_record *extra_records;
        size_t n_nameservers, n_search_domains, n_split, n_extra_records;

        bool taildrop, auto_update, disable_logtail;

        bool policy_in_store; /* policies are set through the API and kept in the store */
        struct slice login_domain; /* of user:*@domain; empty: every domain of a known user */
        struct server_role roles[SERVER_ROLES];

        int64_t node_expiry_us;        /* 0: keys do not expire by themselves */
        uint64_t ephemeral_timeout_us; /* how long an ephemeral node may be away */
        uint64_t batch_delay_us;       /* how long changes are gathered before they are sent */
        uint64_t register_ttl_us;      /* how long a login page stays valid */
        size_t max_registrations;      /* logins that may wait at once */
};

/* Values that headscale's configuration has when nothing is set. */
extern const struct server_settings SERVER_SETTINGS_DEFAULT;

#endif
