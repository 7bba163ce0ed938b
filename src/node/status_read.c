/* Reading a status back: the command line's side of status.h. */
#include <stdlib.h>

#include "base/text.h"
#include "node/status.h"

/* Doubling growth in an arena; elements are zeroed. NULL fails the reader. */
static void *grow(struct json_reader *r, void *items, size_t count, size_t *cap, size_t size)
{
        if (count < *cap)
                return items;
        size_t more = *cap ? 2 * *cap : 8;
        void *grown = arena_array(r->arena, more, size);
        if (!grown) {
                json_fail(r, ERR_LIMIT, "status is too large");
                return NULL;
        }
        if (count)
                memcpy(grown, items, count * size);
        *cap = more;
        return grown;
}

static struct slice take_text(struct json_reader *r)
{
        return json_take_null(r) ? (struct slice){ 0 } : json_string(r);
}

static struct tailcfg_strings take_strings(struct json_reader *r)
{
        struct slice *items = NULL;
        size_t count = 0, cap = 0;

        if (json_take_null(r))
                return (struct tailcfg_strings){ 0 };
        json_array_begin(r);
        while (json_element(r)) {
                items = grow(r, items, count, &cap, sizeof *items);
                if (!items)
                        return (struct tailcfg_strings){ 0 };
                items[count++] = json_string(r);
        }
        return (struct tailcfg_strings){ items, count };
}

static struct tailcfg_addrs take_addrs(struct json_reader *r)
{
        struct tailcfg_strings texts = take_strings(r);
        struct ip_addr *items = texts.count ? ARENA_ARRAY(r->arena, texts.count, struct ip_addr) : NULL;

        for (size_t i = 0; items && i < texts.count; i++)
                if (ip_parse(texts.items[i], &items[i]) != OK)
                        json_fail(r, ERR_FORMAT, "not an IP address");
        return (struct tailcfg_addrs){ items, items ? texts.count : 0 };
}

static struct tailcfg_prefixes take_prefixes(struct json_reader *r)
{
        struct tailcfg_strings texts = take_strings(r);
        struct ip_prefix *items = texts.count ? ARENA_ARRAY(r->arena, texts.count, struct ip_prefix) : NULL;

        for (size_t i = 0; items && i < texts.count; i++)
                if (ip_prefix_parse(texts.items[i], &items[i]) != OK)
                        json_fail(r, ERR_FORMAT, "not an IP prefix");
        return (struct tailcfg_prefixes){ items, items ? texts.count : 0 };
}

static int64_t take_date(struct json_reader *r)
{
        struct slice text = take_text(r);
        int64_t ns = UNIX_ZERO_DATE;

        if (text.len && rfc3339_parse(text, &ns) != OK)
                json_fail(r, ERR_FORMAT, "not a date");
        return ns;
}

static struct public_key take_key(struct json_reader *r)
{
        struct public_key key = { { 0 } };

        if (key_parse("nodekey:", take_text(r), &key) != OK)
                json_fail(r, ERR_FORMAT, "not a node key");
        return key;
}

static void take_peer(struct json_reader *r, struct status_peer *p)
{
        struct slice name;

        status_peer_init(p);
        if (json_take_null(r))
                return;
        json_object_begin(r);
        while (json_member(r, &name)) {
                if (slice_is(name, "ID"))
                        p->stable_id = take_text(r);
                else if (slice_is(name, "NodeID"))
                        p->node_id = json_i64(r);
                else if (slice_is(name, "PublicKey"))
                        p->key = take_key(r);
                else if (slice_is(name, "HostName"))
                        p->host_name = take_text(r);
                else if (slice_is(name, "DNSName"))
                        p->dns_name = take_text(r);
                else if (slice_is(name, "OS"))
                        p->os = take_text(r);
                else if (slice_is(name, "UserID"))
                        p->user_id = json_i64(r);
                else if (slice_is(name, "AltSharerUserID"))
                        p->sharer_user_id = json_i64(r);
                else if (slice_is(name, "TailscaleIPs"))
                        p->ips = take_addrs(r);
                else if (slice_is(name, "AllowedIPs"))
                        p->allowed_ips = take_prefixes(r);
                else if (slice_is(name, "Tags"))
                        p->tags = take_strings(r);
                else if (slice_is(name, "PrimaryRoutes"))
                        p->primary_routes = take_prefixes(r);
                else if (slice_is(name, "Addrs"))
                        p->addrs = take_strings(r);
                else if (slice_is(name, "CurAddr"))
                        p->cur_addr = take_text(r);
                else if (slice_is(name, "Relay"))
                        p->relay = take_text(r);
                else if (slice_is(name, "RxBytes"))
                        p->rx_bytes = json_u64(r);
                else if (slice_is(name, "TxBytes"))
                        p->tx_bytes = json_u64(r);
                else if (slice_is(name, "Created"))
                        p->created_ns = take_date(r);
                else if (slice_is(name, "LastWrite"))
                        p->last_write_ns = take_date(r);
                else if (slice_is(name, "LastSeen"))
                        p->last_seen_ns = take_date(r);
                else if (slice_is(name, "LastHandshake"))
                        p->last_handshake_ns = take_date(r);
                else if (slice_is(name, "Online"))
                        p->online = json_bool(r);
                else if (slice_is(name, "ExitNode"))
                        p->exit_node = json_bool(r);
                else if (slice_is(name, "ExitNodeOption"))
                        p->exit_node_option = json_bool(r);
                else if (slice_is(name, "Active"))
                        p->active = json_bool(r);
                else if (slice_is(name, "InNetworkMap"))
                        p->in_network_map = json_bool(r);
                else if (slice_is(name, "InMagicSock"))
                        p->in_magic_sock = json_bool(r);
                else if (slice_is(name, "InEngine"))
                        p->in_engine = json_bool(r);
                else if (slice_is(name, "Expired"))
                        p->expired = json_bool(r);
                else if (slice_is(name, "KeyExpiry"))
                        p->key_expiry_ns = take_date(r);
                else
                        json_skip(r);
        }
}

static void take_peers(struct json_reader *r, struct status *s)
{
        struct status_peer *items = NULL;
        struct slice name;
        size_t cap = 0;

        s->peer_count = 0; /* a member that comes again takes the first one's place */
        if (json_take_null(r))
                return;
        json_object_begin(r);
        while (json_member(r, &name)) {
                items = grow(r, items, s->peer_count, &cap, sizeof *items);
                if (!items) {
                        s->peer_count = 0;
                        return;
                }
                take_peer(r, &items[s->peer_count++]);
        }
        s->peers = items;
}

static void take_user(struct json_reader *r, struct status_user *u)
{
        struct slice name;

        json_object_begin(r);
        while (json_member(r, &name)) {
                if (slice_is(name, "ID"))
                        u->id = json_i64(r);
                else if (slice_is(name, "LoginName"))
                        u->login_name = take_text(r);
                else if (slice_is(name, "DisplayName"))
                        u->display_name = take_text(r);
                else if (slice_is(name, "ProfilePicURL"))
                        u->profile_pic_url = take_text(r);
                else
                        json_skip(r);
        }
}

static void take_users(struct json_reader *r, struct status *s)
{
        struct status_user *items = NULL;
        struct slice name;
        size_t cap = 0;

        s->user_count = 0; /* a member that comes again takes the first one's place */
        if (json_take_null(r))
                return;
        json_object_begin(r);
        while (json_member(r, &name)) {
                items = grow(r, items, s->user_count, &cap, sizeof *items);
                if (!items) {
                        s->user_count = 0;
                        return;
                }
                take_user(r, &items[s->user_count++]);
        }
        s->users = items;
}

static void take_exit_node(struct json_reader *r, struct status *s)
{
        struct slice name;

        if (json_take_null(r))
                return;
        s->has_exit_node = true;
        json_object_begin(r);
        while (json_member(r, &name)) {
                if (slice_is(name, "ID"))
                        s->exit_node_id = take_text(r);
                else if (slice_is(name, "Online"))
                        s->exit_node_online = json_bool(r);
                else if (slice_is(name, "TailscaleIPs"))
                        s->exit_node_ips = take_prefixes(r);
                else
                        json_skip(r);
        }
}

static void take_tailnet(struct json_reader *r, struct status *s)
{
        struct slice name;

        if (json_take_null(r))
                return;
        s->has_tailnet = true;
        json_object_begin(r);
        while (json_member(r, &name)) {
                if (slice_is(name, "Name"))
                        s->tailnet_name = take_text(r);
                else if (slice_is(name, "MagicDNSEnabled"))
                        s->magic_dns_enabled = json_bool(r);
                else
                        json_skip(r);
        }
}

enum err status_decode(struct slice json, struct arena *arena, struct status *s)
{
        struct json_reader r;
        struct slice name;

        *s = (struct status){ 0 };
        status_peer_init(&s->self);
        json_reader_init(&r, json, arena);
        json_object_begin(&r);
        while (json_member(&r, &name)) {
                if (slice_is(name, "Version"))
                        s->version = take_text(&r);
                else if (slice_is(name, "TUN"))
                        s->tun = json_bool(&r);
                else if (slice_is(name, "BackendState"))
                        s->backend_state = take_text(&r);
                else if (slice_is(name, "HaveNodeKey"))
                        s->have_node_key = json_bool(&r);
                else if (slice_is(name, "AuthURL"))
                        s->auth_url = take_text(&r);
                else if (slice_is(name, "TailscaleIPs"))
                        s->ips = take_addrs(&r);
                else if (slice_is(name, "Self"))
                        take_peer(&r, &s->self);
                else if (slice_is(name, "ExitNodeStatus"))
                        take_exit_node(&r, s);
                else if (slice_is(name, "Health"))
                        s->health = take_strings(&r);
                else if (slice_is(name, "MagicDNSSuffix"))
                        s->magic_dns_suffix = take_text(&r);
                else if (slice_is(name, "CurrentTailnet"))
                        take_tailnet(&r, s);
                else if (slice_is(name, "CertDomains"))
                        s->cert_domains = take_strings(&r);
                else if (slice_is(name, "Peer"))
                        take_peers(&r, s);
                else if (slice_is(name, "User"))
                        take_users(&r, s);
                else
                        json_skip(&r);
        }
        return json_finish(&r);
}
