#include "node/status.h"

#include <stdio.h>

#include "base/text.h"

void status_peer_init(struct status_peer *p)
{
        *p = (struct status_peer){
                .created_ns = UNIX_ZERO_DATE,
                .last_write_ns = UNIX_ZERO_DATE,
                .last_seen_ns = UNIX_ZERO_DATE,
                .last_handshake_ns = UNIX_ZERO_DATE,
                .key_expiry_ns = UNIX_ZERO_DATE,
        };
}

/* ---- writing ------------------------------------------------------------- */

static void put_date(struct json_writer *w, const char *name, int64_t ns)
{
        char text[40];

        rfc3339_format(ns, text);
        json_field_str(w, name, text);
}

static void put_addrs(struct json_writer *w, const char *name, const struct tailcfg_addrs *l)
{
        char text[IP_TEXT_MAX];

        json_name(w, name);
        if (!l->items) {
                json_put_null(w);
                return;
        }
        json_array_open(w);
        for (size_t i = 0; i < l->count; i++) {
                ip_format(&l->items[i], text);
                json_put_str(w, text);
        }
        json_array_close(w);
}

static void put_prefixes(struct json_writer *w, const char *name, const struct tailcfg_prefixes *l)
{
        char text[IP_TEXT_MAX];

        if (!l->count)
                return;
        json_name(w, name);
        json_array_open(w);
        for (size_t i = 0; i < l->count; i++) {
                ip_prefix_format(&l->items[i], text);
                json_put_str(w, text);
        }
        json_array_close(w);
}

static void put_strings(struct json_writer *w, const char *name, const struct tailcfg_strings *l)
{
        json_name(w, name);
        if (!l->items) {
                json_put_null(w);
                return;
        }
        json_array_open(w);
        for (size_t i = 0; i < l->count; i++)
                json_put_string(w, l->items[i]);
        json_array_close(w);
}

/* Capabilities as the old list of names and as the map to values. */
static void put_caps(struct json_writer *w, const struct tailcfg_cap_map *map)
{
        if (!map->count)
                return;
        json_name(w, "Capabilities");
        json_array_open(w);
        for (size_t i = 0; i < map->count; i++)
                json_put_string(w, map->items[i].name);
        json_array_close(w);
        json_name(w, "CapMap");
        json_object_open(w);
        for (size_t i = 0; i < map->count; i++) {
                const struct tailcfg_raws *values = &map->items[i].values;
                json_name_slice(w, map->items[i].name);
                if (!values->items) {
                        json_put_null(w);
                        continue;
                }
                json_array_open(w);
                for (size_t k = 0; k < values->count; k++)
                        json_put_raw(w, values->items[k]);
                json_array_close(w);
        }
        json_object_close(w);
}

/* TaildropTarget, spec 2.4: files cannot be sent yet. */
enum { TAILDROP_UNSUPPORTED = 7 };

static void put_peer(struct json_writer *w, const struct status_peer *p)
{
        char key[KEY_TEXT_MAX];

        key_format("nodekey:", &p->key, key);
        json_object_open(w);
        json_field_slice(w, "ID", p->stable_id);
        json_field_i64(w, "NodeID", p->node_id);
        json_field_str(w, "PublicKey", key);
        json_field_slice(w, "HostName", p->host_name);
        json_field_slice(w, "DNSName", p->dns_name);
        json_field_slice(w, "OS", p->os);
        json_field_i64(w, "UserID", p->user_id);
        if (p->sharer_user_id)
                json_field_i64(w, "AltSharerUserID", p->sharer_user_id);
        put_addrs(w, "TailscaleIPs", &p->ips);
        put_prefixes(w, "AllowedIPs", &p->allowed_ips);
        if (p->tags.count)
                put_strings(w, "Tags", &p->tags);
        put_prefixes(w, "PrimaryRoutes", &p->primary_routes);
        put_strings(w, "Addrs", &p->addrs);
        json_field_slice(w, "CurAddr", p->cur_addr);
        json_field_slice(w, "Relay", p->relay);
        json_field_str(w, "PeerRelay", "");
        json_field_i64(w, "RxBytes", (int64_t)p->rx_bytes);
        json_field_i64(w, "TxBytes", (int64_t)p->tx_bytes);
        put_date(w, "Created", p->created_ns);
        put_date(w, "LastWrite", p->last_write_ns);
        put_date(w, "LastSeen", p->last_seen_ns);
        put_date(w, "LastHandshake", p->last_handshake_ns);
        json_field_bool(w, "Online", p->online);
        json_field_bool(w, "ExitNode", p->exit_node);
        json_field_bool(w, "ExitNodeOption", p->exit_node_option);
        json_field_bool(w, "Active", p->active);
        json_name(w, "PeerAPIURL");
        json_put_null(w);
        json_field_i64(w, "TaildropTarget", TAILDROP_UNSUPPORTED);
        json_field_str(w, "NoFileSharingReason", "");
        put_caps(w, &p->cap_map);
        json_field_bool(w, "InNetworkMap", p->in_network_map);
        json_field_bool(w, "InMagicSock", p->in_magic_sock);
        json_field_bool(w, "InEngine", p->in_engine);
        if (p->expired)
                json_field_bool(w, "Expired", true);
        if (p->key_expiry_ns != UNIX_ZERO_DATE)
                put_date(w, "KeyExpiry", p->key_expiry_ns);
        json_object_close(w);
}

static void put_peers(struct json_writer *w, const struct status *s)
{
        char key[KEY_TEXT_MAX];

        json_name(w, "Peer");
        if (!s->peers) {
                json_put_null(w);
                return;
        }
        json_object_open(w);
        for (size_t i = 0; i < s->peer_count; i++) {
                key_format("nodekey:", &s->peers[i].key, key);
                json_name(w, key);
                put_peer(w, &s->peers[i]);
        }
        json_object_close(w);
}

static void put_users(struct json_writer *w, const struct status *s)
{
        char id[24];

        json_name(w, "User");
        if (!s->users) {
                json_put_null(w);
                return;
        }
        json_object_open(w);
        for (size_t i = 0; i < s->user_count; i++) {
                const struct status_user *u = &s->users[i];
                snprintf(id, sizeof id, "%lld", (long long)u->id);
                json_name(w, id);
                json_object_open(w);
                json_field_i64(w, "ID", u->id);
                json_field_slice(w, "LoginName", u->login_name);
                json_field_slice(w, "DisplayName", u->display_name);
                if (u->profile_pic_url.len)
                        json_field_slice(w, "ProfilePicURL", u->profile_pic_url);
                json_object_close(w);
        }
        json_object_close(w);
}

static void put_exit_node(struct json_writer *w, const struct status *s)
{
        if (!s->has_exit_node)
                return;
        json_name(w, "ExitNodeStatus");
        json_object_open(w);
        json_field_slice(w, "ID", s->exit_node_id);
        json_field_bool(w, "Online", s->exit_node_online);
        if (s->exit_node_ips.count) {
                put_prefixes(w, "TailscaleIPs", &s->exit_node_ips);
        } else {
                json_name(w, "TailscaleIPs");
                json_put_null(w);
        }
        json_object_close(w);
}

static void put_tailnet(struct json_writer *w, const struct status *s)
{
        json_name(w, "CurrentTailnet");
        if (!s->has_tailnet) {
                json_put_null(w);
                return;
        }
        json_object_open(w);
        json_field_slice(w, "Name", s->tailnet_name);
        json_field_slice(w, "MagicDNSSuffix", s->magic_dns_suffix);
        json_field_bool(w, "MagicDNSEnabled", s->magic_dns_enabled);
        json_object_close(w);
}

void status_write(struct json_writer *w, const struct status *s)
{
        json_object_open(w);
        json_field_slice(w, "Version", s->version);
        json_field_bool(w, "TUN", s->tun);
        json_field_slice(w, "BackendState", s->backend_state);
        if (s->have_node_key)
                json_field_bool(w, "HaveNodeKey", true);
        json_field_slice(w, "AuthURL", s->auth_url);
        put_addrs(w, "TailscaleIPs", &s->ips);
        json_name(w, "Self");
        put_peer(w, &s->self);
        put_exit_node(w, s);
        put_strings(w, "Health", &s->health);
        json_field_slice(w, "MagicDNSSuffix", s->magic_dns_suffix);
        put_tailnet(w, s);
        put_strings(w, "CertDomains", &s->cert_domains);
        json_name(w, "ExtraRecords");
        json_put_null(w);
        put_peers(w, s);
        put_users(w, s);
        json_name(w, "ClientVersion");
        json_put_null(w);
        json_object_close(w);
}
