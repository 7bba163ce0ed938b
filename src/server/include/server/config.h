/*
 * config.yaml as headscale has it (spec/server.md, section 1): the same keys, the same
 * overrides from the environment (HEADSCALE_DNS_BASE_DOMAIN for dns.base_domain), the
 * same refusals. What this release does not do is named, never silently ignored:
 * where going on would be unsafe it is an error, elsewhere a warning.
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include "base/arena.h"
#include "server/settings.h"

struct config_list {
        const struct slice *items;
        size_t n;
};

struct config {
        struct arena arena; /* holds all text below */
        char *path;         /* of the file; "" if there was none */

        /* The keys, by section. Text is never NULL. */
        char *server_url, *listen_addr, *metrics_listen_addr;
        struct config_list trusted_proxies;
        char *noise_key_path;
        char *prefix_v4, *prefix_v6, *allocation;

        bool derp_enabled, derp_verify_clients, derp_auto_region, derp_auto_update;
        int64_t derp_region_id;
        char *derp_region_code, *derp_region_name, *derp_stun_addr, *derp_key_path, *derp_ipv4, *derp_ipv6;
        struct config_list derp_urls, derp_paths;
        int64_t derp_update_ns;

        int64_t node_expiry_ns, ephemeral_timeout_ns, ha_interval_ns, ha_timeout_ns, revoked_retention_ns;

        char *database_type, *sqlite_path;
        int64_t wal_autocheckpoint;

        char *tls_cert_path, *tls_key_path, *acme_hostname;
        char *log_level, *log_format;
        char *policy_mode, *policy_path;
        char *login_domain;
        struct config_list roles[SERVER_ROLES]; /* user names */

        bool magic_dns, override_local_dns;
        char *base_domain, *extra_records_path;
        struct config_list nameservers, search_domains;
        struct server_split_dns *split;
        struct server_dns_record *extra_records;
        size_t n_split, n_extra_records;

        char *unix_socket, *unix_socket_permission;
        unsigned unix_socket_mode;
        char *oidc_issuer;
        bool logtail, taildrop, auto_update;

        char *cli_address, *cli_api_key;
        int64_t cli_timeout_ns;
        bool cli_insecure;

        int64_t batch_delay_ns, register_ttl_ns, register_max;

        struct config_list warnings; /* sentences, ready to be logged */
        uint64_t seen[4];            /* bit per key of the table: it was set */
};

/* Reads the text of a config file (empty: none was found) and the environment, a
 * NULL-terminated array as main() gets it. folder is where the file stands; relative
 * paths of spec section 1.1 start there. Does no I/O. */
enum err MUST_USE config_parse(
        struct config *c, struct slice text, const char *path, char *const *env, struct diag *diag);
/* What only a server needs to be true; the command line does without. */
enum err MUST_USE config_check_serve(struct config *c, struct diag *diag);
/* The engine's part of it. Text is borrowed from c. */
enum err MUST_USE config_settings(const struct config *c, struct server_settings *out, struct diag *diag);
void config_fini(struct config *c);

/* config_file.c: finds and reads the file: explicit path, HEADSCALE_CONFIG, then
 * /etc/headscale, $HOME/.headscale and the current folder. Then config_parse(). */
enum err MUST_USE config_load(struct config *c, const char *path, char *const *env, struct diag *diag);

/* "unix:/path" socket modes such as 0770, 0o770, "0770"; ERR_FORMAT. */
enum err MUST_USE config_mode_parse(struct slice text, unsigned *mode);

#endif
