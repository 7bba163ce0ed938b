/* Defaults, file and environment put together, and the rules that join several keys. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/text.h"
#include "config_internal.h"

enum { WARNINGS_MAX = 64 };

void config_warn(struct config *c, const char *fmt, ...)
{
        struct buf text = BUF_INIT(2048);
        va_list ap;

        va_start(ap, fmt);
        buf_vprintf(&text, fmt, ap);
        va_end(ap);
        if (!c->warnings.items)
                c->warnings.items = ARENA_ARRAY(&c->arena, WARNINGS_MAX, struct slice);
        if (c->warnings.items && c->warnings.n < WARNINGS_MAX)
                ((struct slice *)c->warnings.items)[c->warnings.n++] =
                        arena_copy(&c->arena, buf_slice(&text));
        buf_fini(&text);
}

/* ---- putting it together --------------------------------------------------------- */

static enum err set_defaults(struct config *c, struct diag *diag)
{
        enum err e = OK;

        for (size_t i = 0; i < n_config_keys && e == OK; i++) {
                if (config_keys[i].initial)
                        e = config_set_text(c, &config_keys[i], slice_str(config_keys[i].initial), diag);
        }
        return e;
}

/* HEADSCALE_DNS_BASE_DOMAIN for dns.base_domain. Empty values count as absent. */
static const char *find_env(char *const *env, const char *key)
{
        char name[128];
        int n = snprintf(name, sizeof(name), "HEADSCALE_%s=", key);

        for (int i = 0; i < n; i++) {
                if (name[i] == '.')
                        name[i] = '_';
                else if (name[i] >= 'a' && name[i] <= 'z')
                        name[i] = (char)(name[i] - 32);
        }
        for (; env && *env; env++) {
                if (strncmp(*env, name, (size_t)n) == 0 && (*env)[n] != '\0')
                        return *env + n;
        }
        return NULL;
}

static enum err read_env(struct config *c, char *const *env, struct diag *diag)
{
        enum err e = OK;

        for (size_t i = 0; i < n_config_keys && e == OK; i++) {
                const char *value = find_env(env, config_keys[i].name);
                if (!value)
                        continue;
                c->seen[i / 64] |= 1ULL << i % 64;
                e = config_set_text(c, &config_keys[i], slice_str(value), diag);
        }
        return e;
}

static void resolve_paths(struct config *c)
{
        struct slice folder = slice_str(c->path);

        while (folder.len && folder.ptr[folder.len - 1] != '/')
                folder.len--;
        for (size_t i = 0; i < n_config_keys; i++) {
                char **value = (char **)(void *)((char *)c + config_keys[i].offset);
                if (config_keys[i].is_path && **value && **value != '/' && folder.len) {
                        char *whole = arena_printf(&c->arena, "%.*s%s", SLICE_ARGS(folder), *value);
                        if (whole)
                                *value = whole;
                }
        }
}

/* One line that names everything set and not done. */
static void warn_later(struct config *c)
{
        struct buf list = BUF_INIT(2048);

        for (size_t i = 0; i < n_config_keys; i++) {
                if (config_keys[i].support == CONFIG_LATER && config_was_set(c, config_keys[i].name) &&
                        !(config_keys[i].type == CONFIG_TEXT &&
                                **(char **)(void *)((char *)c + config_keys[i].offset) == '\0') &&
                        !(config_keys[i].type == CONFIG_LIST &&
                                ((struct config_list *)(void *)((char *)c + config_keys[i].offset))->n == 0))
                        buf_printf(&list, "%s%s", list.len ? ", " : "", config_keys[i].name);
        }
        if (list.len)
                config_warn(c, "this release does not support these settings and goes on without them: %s",
                        buf_cstr(&list));
        buf_fini(&list);
}

enum err config_parse(
        struct config *c, struct slice text, const char *path, char *const *env, struct diag *diag)
{
        enum err e;

        *c = (struct config){ .arena = ARENA_INIT(8 << 20) };
        c->path = arena_cstr(&c->arena, slice_str(path));
        e = c->path ? set_defaults(c, diag) : ERR_NOMEM;
        if (e == OK && slice_trim(text).len)
                e = config_read_yaml(c, text, diag);
        if (e == OK)
                e = read_env(c, env, diag);
        if (e == OK && config_was_set(c, "node.ephemeral.inactivity_timeout") &&
                config_was_set(c, "ephemeral_node_inactivity_timeout"))
                config_warn(c, "ephemeral_node_inactivity_timeout is the older name of "
                               "node.ephemeral.inactivity_timeout; keep one");
        if (e == OK && config_mode_parse(slice_str(c->unix_socket_permission), &c->unix_socket_mode) != OK)
                e = diag_set(diag, ERR_FORMAT, "unix_socket_permission: \"%s\" is no mode such as \"0770\"",
                        c->unix_socket_permission);
        if (e == OK) {
                resolve_paths(c);
                warn_later(c);
                if (arena_failed(&c->arena))
                        e = diag_set(diag, ERR_NOMEM, "out of memory while reading the configuration");
        }
        if (e != OK)
                config_fini(c);
        return e;
}

void config_fini(struct config *c) { arena_fini(&c->arena); }

/* ---- small forms -------------------------------------------------------------------- */

enum err config_mode_parse(struct slice text, unsigned *mode)
{
        unsigned value = 0;

        text = slice_trim(text);
        if (slice_has_prefix(text, SLICE_LIT("0o")) || slice_has_prefix(text, SLICE_LIT("0O")))
                text = slice_after(text, 2);
        if (text.len == 0 || text.len > 5)
                return ERR_FORMAT;
        for (size_t i = 0; i < text.len; i++) {
                if (text.ptr[i] < '0' || text.ptr[i] > '7')
                        return ERR_FORMAT;
                value = value * 8 + (unsigned)(text.ptr[i] - '0');
        }
        *mode = value;
        return value <= 07777 ? OK : ERR_FORMAT;
}

/* The host of a URL, without port and brackets. */
static struct slice url_host(const char *url)
{
        struct slice s = slice_str(strstr(url, "://") ? strstr(url, "://") + 3 : url);

        s = slice_first(s, slice_find(s, '/'));
        if (s.len && s.ptr[0] == '[')
                return slice_first(slice_after(s, 1), slice_find(slice_after(s, 1), ']'));
        return slice_first(s, slice_find(s, ':'));
}

/* ---- rules ------------------------------------------------------------------------------ */

static enum err check_url(const struct config *c, struct diag *diag)
{
        struct slice host = url_host(c->server_url), base = slice_str(c->base_domain);

        if (strncmp(c->server_url, "http://", 7) != 0 && strncmp(c->server_url, "https://", 8) != 0)
                return diag_set(diag, ERR_FORMAT,
                        "server_url must begin with http:// or https://; it is what nodes connect to");
        if (base.len && slice_has_suffix(host, base) &&
                (host.len == base.len || host.ptr[host.len - base.len - 1] == '.'))
                return diag_set(diag, ERR_FORMAT,
                        "server_url (%s) lies in dns.base_domain (%s), which would cut nodes off from this "
                        "server; "
                        "choose another base domain",
                        c->server_url, c->base_domain);
        return OK;
}

static enum err check_tls(const struct config *c, struct diag *diag)
{
        if (*c->acme_hostname)
                return diag_set(diag, ERR_UNSUPPORTED,
                        "tls_letsencrypt_hostname: this release cannot obtain certificates by ACME; get one "
                        "with another "
                        "program and give tls_cert_path and tls_key_path");
        if ((*c->tls_cert_path == '\0') != (*c->tls_key_path == '\0'))
                return diag_set(diag, ERR_FORMAT,
                        "tls_cert_path and tls_key_path go together; one of them is missing");
        return OK;
}

static enum err check_database(const struct config *c, struct diag *diag)
{
        if (strcmp(c->database_type, "postgres") == 0)
                return diag_set(diag, ERR_UNSUPPORTED,
                        "database.type: this release stores its state in SQLite only; set database.type: "
                        "sqlite");
        if (strcmp(c->database_type, "sqlite") != 0 && strcmp(c->database_type, "sqlite3") != 0)
                return diag_set(diag, ERR_FORMAT, "database.type must be sqlite (or sqlite3)");
        if (!*c->sqlite_path)
                return diag_set(diag, ERR_FORMAT,
                        "database.sqlite.path is missing: the file that keeps users and nodes");
        return OK;
}

/* With a mode of another name no policy would be in force, unnoticed. */
static enum err check_policy(const struct config *c, struct diag *diag)
{
        if (strcmp(c->policy_mode, "file") == 0 || strcmp(c->policy_mode, "database") == 0)
                return OK;
        return diag_set(diag, ERR_FORMAT, "policy.mode must be file or database");
}

static enum err check_dns(const struct config *c, struct diag *diag)
{
        if (c->magic_dns && !*c->base_domain)
                return diag_set(diag, ERR_FORMAT,
                        "dns.base_domain is missing; dns.magic_dns needs it (or set magic_dns: false)");
        if (c->override_local_dns && c->nameservers.n == 0)
                return diag_set(diag, ERR_FORMAT,
                        "dns.override_local_dns needs dns.nameservers.global; name a resolver or set it to "
                        "false");
        if (c->n_extra_records && *c->extra_records_path)
                return diag_set(
                        diag, ERR_FORMAT, "dns.extra_records and dns.extra_records_path exclude each other");
        return OK;
}

static enum err check_derp(const struct config *c, struct diag *diag)
{
        if (!c->derp_enabled)
                return OK;
        if (!*c->derp_stun_addr)
                return diag_set(
                        diag, ERR_FORMAT, "derp.server.stun_listen_addr is missing, e.g. 0.0.0.0:3478");
        if (!*c->derp_key_path)
                return diag_set(diag, ERR_FORMAT,
                        "derp.server.private_key_path is missing: where the relay keeps its key");
        if (strcmp(c->derp_key_path, c->noise_key_path) == 0)
                return diag_set(diag, ERR_FORMAT,
                        "derp.server.private_key_path and noise.private_key_path must differ");
        if (!c->derp_auto_region && c->derp_paths.n == 0)
                return diag_set(diag, ERR_FORMAT,
                        "derp.server.automatically_add_embedded_derp_region is false, so derp.paths must "
                        "describe the region");
        if (c->derp_region_id <= 0)
                return diag_set(
                        diag, ERR_FORMAT, "derp.server.region_id must be a positive number, e.g. 999");
        return OK;
}

static enum err check_lists(const struct config *c, struct diag *diag)
{
        struct ip_prefix p;

        for (size_t i = 0; i < c->trusted_proxies.n; i++) {
                if (ip_prefix_parse(c->trusted_proxies.items[i], &p) != OK || p.bits == 0)
                        return diag_set(diag, ERR_FORMAT,
                                "trusted_proxies: \"%.*s\" is no network such as 10.0.0.0/8",
                                SLICE_ARGS(c->trusted_proxies.items[i]));
        }
        return OK;
}

enum err config_check_serve(struct config *c, struct diag *diag)
{
        static enum err (*const rules[])(const struct config *, struct diag *) = {
                check_tls,
                check_url,
                check_database,
                check_policy,
                check_dns,
                check_derp,
                check_lists,
        };
        struct server_settings settings;
        struct ip_port addr;

        if (*c->server_url && check_url(c, diag) != OK)
                return ERR_FORMAT;
        if (!*c->noise_key_path)
                return diag_set(diag, ERR_FORMAT,
                        "noise.private_key_path is missing: where the server keeps its key");
        for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
                enum err e = rules[i](c, diag);
                if (e != OK)
                        return e;
        }
        if (*c->listen_addr && ip_listen_parse(slice_str(c->listen_addr), &addr) != OK)
                return diag_set(diag, ERR_FORMAT, "listen_addr: \"%s\" is no address such as 0.0.0.0:8080",
                        c->listen_addr);
        if (*c->metrics_listen_addr && ip_listen_parse(slice_str(c->metrics_listen_addr), &addr) != OK)
                return diag_set(diag, ERR_FORMAT, "metrics_listen_addr: \"%s\" is no address such as 127.0.0.1:9090",
                        c->metrics_listen_addr);
        if (c->ephemeral_timeout_ns <= (int64_t)65 * 1000000000)
                return diag_set(diag, ERR_RANGE, "node.ephemeral.inactivity_timeout must be more than 65s");
        return config_settings(c, &settings, diag);
}

/* ---- the engine's part -------------------------------------------------------------------- */

static enum err parse_prefix(
        const char *name, const char *text, enum ip_family family, struct ip_prefix *out, struct diag *diag)
{
        *out = (struct ip_prefix){ 0 };
        if (!*text)
                return OK;
        if (ip_prefix_parse(slice_str(text), out) != OK || out->ip.family != family)
                return diag_set(diag, ERR_FORMAT, "%s: \"%s\" is no IPv%d network in CIDR form", name, text,
                        (int)family);
        *out = ip_prefix_masked(*out);
        return OK;
}

enum err config_settings(const struct config *c, struct server_settings *out, struct diag *diag)
{
        enum err e;

        *out = SERVER_SETTINGS_DEFAULT;
        out->server_url = slice_str(c->server_url);
        while (out->server_url.len && out->server_url.ptr[out->server_url.len - 1] == '/')
                out->server_url.len--;
        out->base_domain = slice_str(c->base_domain);
        e = parse_prefix("prefixes.v4", c->prefix_v4, IP_V4, &out->prefix_v4, diag);
        if (e == OK)
                e = parse_prefix("prefixes.v6", c->prefix_v6, IP_V6, &out->prefix_v6, diag);
        if (e != OK)
                return e;
        if (!ip_valid(&out->prefix_v4.ip) && !ip_valid(&out->prefix_v6.ip))
                return diag_set(
                        diag, ERR_FORMAT, "prefixes.v4 or prefixes.v6 is missing, e.g. 100.64.0.0/10");
        if (strcmp(c->allocation, "sequential") != 0 && strcmp(c->allocation, "random") != 0)
                return diag_set(diag, ERR_FORMAT, "prefixes.allocation must be sequential or random");
        out->random_addresses = strcmp(c->allocation, "random") == 0;

        out->magic_dns = c->magic_dns;
        out->override_local_dns = c->override_local_dns;
        out->nameservers = c->nameservers.items;
        out->n_nameservers = c->nameservers.n;
        out->search_domains = c->search_domains.items;
        out->n_search_domains = c->search_domains.n;
        out->split = c->split;
        out->n_split = c->n_split;
        out->extra_records = c->extra_records;
        out->n_extra_records = c->n_extra_records;

        out->login_domain = slice_str(c->login_domain);
        for (size_t i = 0; i < SERVER_ROLES; i++)
                out->roles[i] = (struct server_role){ c->roles[i].items, c->roles[i].n };
        out->policy_in_store = strcmp(c->policy_mode, "database") == 0;
        out->taildrop = c->taildrop;
        out->auto_update = c->auto_update;
        out->disable_logtail = !c->logtail;
        out->node_expiry_us = c->node_expiry_ns / 1000;
        out->ephemeral_timeout_us = (uint64_t)c->ephemeral_timeout_ns / 1000;
        if (c->batch_delay_ns >= 0)
                out->batch_delay_us = (uint64_t)c->batch_delay_ns / 1000;
        if (c->register_ttl_ns > 0)
                out->register_ttl_us = (uint64_t)c->register_ttl_ns / 1000;
        if (c->register_max > 0)
                out->max_registrations = (size_t)c->register_max;
        return OK;
}
