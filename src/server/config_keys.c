/* The table of keys (spec/server.md 1.2 and 1.3). */
#include <assert.h>
#include <stddef.h>

#include "config_internal.h"

#define AT(member) offsetof(struct config, member)

const struct config_key config_keys[] = {
        { "server_url", CONFIG_TEXT, CONFIG_DONE, AT(server_url), "", false },
        { "listen_addr", CONFIG_TEXT, CONFIG_DONE, AT(listen_addr), "", false },
        { "metrics_listen_addr", CONFIG_TEXT, CONFIG_DONE, AT(metrics_listen_addr), "", false },
        { "trusted_proxies", CONFIG_LIST, CONFIG_LATER, AT(trusted_proxies), NULL, false },
        { "noise.private_key_path", CONFIG_TEXT, CONFIG_DONE, AT(noise_key_path), "", true },
        { "prefixes.v4", CONFIG_TEXT, CONFIG_DONE, AT(prefix_v4), "", false },
        { "prefixes.v6", CONFIG_TEXT, CONFIG_DONE, AT(prefix_v6), "", false },
        { "prefixes.allocation", CONFIG_TEXT, CONFIG_DONE, AT(allocation), "sequential", false },

        { "derp.server.enabled", CONFIG_BOOL, CONFIG_DONE, AT(derp_enabled), "false", false },
        { "derp.server.region_id", CONFIG_INT, CONFIG_DONE, AT(derp_region_id), "0", false },
        { "derp.server.region_code", CONFIG_TEXT, CONFIG_DONE, AT(derp_region_code), "", false },
        { "derp.server.region_name", CONFIG_TEXT, CONFIG_DONE, AT(derp_region_name), "", false },
        { "derp.server.verify_clients", CONFIG_BOOL, CONFIG_DONE, AT(derp_verify_clients), "true", false },
        { "derp.server.stun_listen_addr", CONFIG_TEXT, CONFIG_DONE, AT(derp_stun_addr), "", false },
        { "derp.server.private_key_path", CONFIG_TEXT, CONFIG_DONE, AT(derp_key_path), "", true },
        { "derp.server.automatically_add_embedded_derp_region", CONFIG_BOOL, CONFIG_DONE,
                AT(derp_auto_region), "true", false },
        { "derp.server.ipv4", CONFIG_TEXT, CONFIG_DONE, AT(derp_ipv4), "", false },
        { "derp.server.ipv6", CONFIG_TEXT, CONFIG_DONE, AT(derp_ipv6), "", false },
        { "derp.urls", CONFIG_LIST, CONFIG_DONE, AT(derp_urls), NULL, false },
        { "derp.paths", CONFIG_LIST, CONFIG_DONE, AT(derp_paths), NULL, false },
        { "derp.auto_update_enabled", CONFIG_BOOL, CONFIG_DONE, AT(derp_auto_update), "false", false },
        { "derp.update_frequency", CONFIG_DURATION, CONFIG_DONE, AT(derp_update_ns), "3h", false },

        { "disable_check_updates", CONFIG_ANY, CONFIG_MOOT, 0, NULL, false },
        { "node.expiry", CONFIG_PROM, CONFIG_DONE, AT(node_expiry_ns), "0", false },
        { "node.ephemeral.inactivity_timeout", CONFIG_DURATION, CONFIG_DONE, AT(ephemeral_timeout_ns), "120s",
                false },
        { "ephemeral_node_inactivity_timeout", CONFIG_DURATION, CONFIG_DONE, AT(ephemeral_timeout_ns), NULL,
                false },
        { "node.routes.ha.probe_interval", CONFIG_DURATION, CONFIG_LATER, AT(ha_interval_ns), "10s", false },
        { "node.routes.ha.probe_timeout", CONFIG_DURATION, CONFIG_LATER, AT(ha_timeout_ns), "5s", false },
        { "preauth_keys.revoked_retention", CONFIG_DURATION, CONFIG_LATER, AT(revoked_retention_ns), "168h",
                false },

        { "database.type", CONFIG_TEXT, CONFIG_DONE, AT(database_type), "", false },
        { "database.debug", CONFIG_ANY, CONFIG_MOOT, 0, NULL, false },
        { "database.gorm.prepare_stmt", CONFIG_ANY, CONFIG_MOOT, 0, NULL, false },
        { "database.gorm.parameterized_queries", CONFIG_ANY, CONFIG_MOOT, 0, NULL, false },
        { "database.gorm.skip_err_record_not_found", CONFIG_ANY, CONFIG_MOOT, 0, NULL, false },
        { "database.gorm.slow_threshold", CONFIG_ANY, CONFIG_MOOT, 0, NULL, false },
        { "database.sqlite.path", CONFIG_TEXT, CONFIG_DONE, AT(sqlite_path), "", true },
        { "database.sqlite.write_ahead_log", CONFIG_ANY, CONFIG_MOOT, 0, NULL, false },
        { "database.sqlite.wal_autocheckpoint", CONFIG_INT, CONFIG_DONE, AT(wal_autocheckpoint), "1000",
                false },
        { "database.postgres.host", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "database.postgres.name", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "database.postgres.user", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "database.postgres.pass", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "database.postgres.port", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "database.postgres.ssl", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "database.postgres.max_open_conns", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "database.postgres.max_idle_conns", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "database.postgres.conn_max_idle_time_secs", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },

        { "acme_url", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "acme_email", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "tls_letsencrypt_hostname", CONFIG_TEXT, CONFIG_DONE, AT(acme_hostname), "", false },
        { "tls_letsencrypt_cache_dir", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "tls_letsencrypt_challenge_type", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "tls_letsencrypt_listen", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "tls_cert_path", CONFIG_TEXT, CONFIG_DONE, AT(tls_cert_path), "", true },
        { "tls_key_path", CONFIG_TEXT, CONFIG_DONE, AT(tls_key_path), "", true },

        { "log.level", CONFIG_TEXT, CONFIG_DONE, AT(log_level), "info", false },
        { "log.format", CONFIG_TEXT, CONFIG_DONE, AT(log_format), "text", false },
        { "policy.mode", CONFIG_TEXT, CONFIG_DONE, AT(policy_mode), "file", false },
        { "policy.path", CONFIG_TEXT, CONFIG_DONE, AT(policy_path), "", true },

        /* Ours: what a policy may ask of users. */
        { "tailnet.login_domain", CONFIG_TEXT, CONFIG_DONE, AT(login_domain), "", false },
        { "tailnet.roles.owner", CONFIG_LIST, CONFIG_DONE, AT(roles[0]), NULL, false },
        { "tailnet.roles.admin", CONFIG_LIST, CONFIG_DONE, AT(roles[1]), NULL, false },
        { "tailnet.roles.it_admin", CONFIG_LIST, CONFIG_DONE, AT(roles[2]), NULL, false },
        { "tailnet.roles.network_admin", CONFIG_LIST, CONFIG_DONE, AT(roles[3]), NULL, false },
        { "tailnet.roles.billing_admin", CONFIG_LIST, CONFIG_DONE, AT(roles[4]), NULL, false },
        { "tailnet.roles.auditor", CONFIG_LIST, CONFIG_DONE, AT(roles[5]), NULL, false },

        { "dns.magic_dns", CONFIG_BOOL, CONFIG_DONE, AT(magic_dns), "true", false },
        { "dns.base_domain", CONFIG_TEXT, CONFIG_DONE, AT(base_domain), "", false },
        { "dns.override_local_dns", CONFIG_BOOL, CONFIG_DONE, AT(override_local_dns), "true", false },
        { "dns.nameservers.global", CONFIG_LIST, CONFIG_DONE, AT(nameservers), NULL, false },
        { "dns.nameservers.split", CONFIG_SPLIT, CONFIG_DONE, AT(split), NULL, false },
        { "dns.search_domains", CONFIG_LIST, CONFIG_DONE, AT(search_domains), NULL, false },
        { "dns.extra_records", CONFIG_RECORDS, CONFIG_DONE, AT(extra_records), NULL, false },
        { "dns.extra_records_path", CONFIG_TEXT, CONFIG_DONE, AT(extra_records_path), "", false },

        { "unix_socket", CONFIG_TEXT, CONFIG_DONE, AT(unix_socket), "/var/run/headscale/headscale.sock",
                false },
        { "unix_socket_permission", CONFIG_TEXT, CONFIG_DONE, AT(unix_socket_permission), "0o770", false },

        { "oidc.issuer", CONFIG_TEXT, CONFIG_LATER, AT(oidc_issuer), "", false },
        { "oidc.client_id", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "oidc.client_secret", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "oidc.client_secret_path", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "oidc.only_start_if_oidc_is_available", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "oidc.scope", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "oidc.extra_params", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "oidc.allowed_domains", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "oidc.allowed_users", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "oidc.allowed_groups", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "oidc.email_verified_required", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "oidc.use_expiry_from_token", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "oidc.pkce.enabled", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },
        { "oidc.pkce.method", CONFIG_ANY, CONFIG_LATER, 0, NULL, false },

        { "logtail.enabled", CONFIG_BOOL, CONFIG_DONE, AT(logtail), "false", false },
        { "taildrop.enabled", CONFIG_BOOL, CONFIG_DONE, AT(taildrop), "true", false },
        { "auto_update.enabled", CONFIG_BOOL, CONFIG_DONE, AT(auto_update), "false", false },

        { "cli.address", CONFIG_TEXT, CONFIG_DONE, AT(cli_address), "", false },
        { "cli.api_key", CONFIG_TEXT, CONFIG_DONE, AT(cli_api_key), "", false },
        { "cli.timeout", CONFIG_DURATION, CONFIG_DONE, AT(cli_timeout_ns), "5s", false },
        { "cli.insecure", CONFIG_BOOL, CONFIG_DONE, AT(cli_insecure), "false", false },

        { "tuning.notifier_send_timeout", CONFIG_ANY, CONFIG_MOOT, 0, NULL, false },
        { "tuning.batch_change_delay", CONFIG_DURATION, CONFIG_DONE, AT(batch_delay_ns), "50ms", false },
        { "tuning.node_mapsession_buffered_chan_size", CONFIG_ANY, CONFIG_MOOT, 0, NULL, false },
        { "tuning.batcher_workers", CONFIG_ANY, CONFIG_MOOT, 0, NULL, false },
        { "tuning.register_cache_expiration", CONFIG_DURATION, CONFIG_DONE, AT(register_ttl_ns), "0", false },
        { "tuning.register_cache_max_entries", CONFIG_INT, CONFIG_DONE, AT(register_max), "0", false },
        { "tuning.node_store_batch_size", CONFIG_ANY, CONFIG_MOOT, 0, NULL, false },
        { "tuning.node_store_batch_timeout", CONFIG_ANY, CONFIG_MOOT, 0, NULL, false },
        /* headscale before 0.30; harmless in an old file. */
        { "grpc_listen_addr", CONFIG_ANY, CONFIG_MOOT, 0, NULL, false },
        { "grpc_allow_insecure", CONFIG_ANY, CONFIG_MOOT, 0, NULL, false },
};
const size_t n_config_keys = sizeof(config_keys) / sizeof(config_keys[0]);
static_assert(sizeof(config_keys) / sizeof(config_keys[0]) <= 4 * 64, "config.seen has a bit for each");

const struct config_removed config_removed[] = {
        { "acl_policy_path", "policy.path", "use policy.path" },
        { "dns_config.extra_records", "dns.extra_records", "use dns.extra_records" },
        { "dns_config.magic_dns", NULL, "use dns.magic_dns" },
        { "dns_config.base_domain", NULL, "use dns.base_domain" },
        { "dns_config.override_local_dns", NULL, "use dns.override_local_dns" },
        { "dns_config.nameservers", NULL, "use dns.nameservers.global" },
        { "dns_config.restricted_nameservers", NULL, "use dns.nameservers.split" },
        { "dns_config.domains", NULL, "use dns.search_domains" },
        { "dns_config.use_username_in_magic_dns", NULL, "remove it: names no longer contain the user" },
        { "dns.use_username_in_magic_dns", NULL, "remove it: names no longer contain the user" },
        { "oidc.strip_email_domain", NULL, "remove it: users are known by issuer and subject" },
        { "oidc.map_legacy_users", NULL, "remove it: users are known by issuer and subject" },
        { "oidc.expiry", NULL, "use node.expiry" },
        { "randomize_client_port", NULL, "use randomizeClientPort of the policy" },
};
const size_t n_config_removed = sizeof(config_removed) / sizeof(config_removed[0]);

const struct config_key *config_key_find(struct slice name)
{
        for (size_t i = 0; i < n_config_keys; i++) {
                if (slice_equal_nocase(slice_str(config_keys[i].name), name))
                        return &config_keys[i];
        }
        return NULL;
}

static bool begins_section(const char *key, struct slice name)
{
        struct slice text = slice_str(key);

        return text.len > name.len && text.ptr[name.len] == '.' &&
               slice_equal_nocase(slice_first(text, name.len), name);
}

bool config_is_section(struct slice name)
{
        for (size_t i = 0; i < n_config_keys; i++) {
                if (begins_section(config_keys[i].name, name))
                        return true;
        }
        for (size_t i = 0; i < n_config_removed; i++) {
                if (begins_section(config_removed[i].name, name))
                        return true;
        }
        return false;
}

bool config_was_set(const struct config *c, const char *name)
{
        const struct config_key *key = config_key_find(slice_str(name));
        size_t i = key ? (size_t)(key - config_keys) : 0;

        return key && c->seen[i / 64] >> i % 64 & 1;
}
