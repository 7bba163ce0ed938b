/* Settings whose value is more than a field: lists, routes, the exit node, the peer relay. */
#include "settings_values.h"

#include <stdlib.h>

#include "base/text.h"

/* ---- lists ---- */

static bool is_default_route(struct slice route)
{
        return slice_is(route, "0.0.0.0/0") || slice_is(route, "::/0");
}

enum { ROUTES_MAX = 1024 };

/* Routes from the comma list, and the two default routes of an exit node. */
static enum err set_routes(struct prefs *p, const char *list, bool exit_node, struct diag *diag)
{
        struct slice items[ROUTES_MAX + 2], rest = slice_str(list), item;
        size_t n = 0;

        while (*list && slice_split(&rest, ',', &item)) {
                struct ip_prefix prefix, masked;
                item = slice_trim(item);
                if (n == ROUTES_MAX)
                        return diag_set(diag, ERR_LIMIT, "more than %d routes", ROUTES_MAX);
                if (ip_prefix_parse(item, &prefix) != OK)
                        return diag_set(diag, ERR_FORMAT, "%.*s is no route: write it as 10.0.0.0/8", SLICE_ARGS(item));
                masked = ip_prefix_masked(prefix);
                if (!ip_prefix_equal(&prefix, &masked))
                        return diag_set(diag, ERR_FORMAT, "%.*s has address bits beyond its length", SLICE_ARGS(item));
                if (is_default_route(item))
                        return diag_set(diag, ERR_FORMAT, "use --advertise-exit-node instead of the route %.*s", SLICE_ARGS(item));
                items[n++] = item;
        }
        if (exit_node) {
                items[n++] = SLICE_LIT("0.0.0.0/0");
                items[n++] = SLICE_LIT("::/0");
        }
        return prefs_set_list(p, &p->advertise_routes, items, n);
}

void settings_put_routes(const struct prefs *p, struct buf *out)
{
        for (size_t i = 0; i < p->advertise_routes.count; i++) {
                if (is_default_route(p->advertise_routes.items[i]))
                        continue;
                if (out->len)
                        buf_append_byte(out, ',');
                buf_append_slice(out, p->advertise_routes.items[i]);
        }
}

enum err settings_set_routes(const struct settings *s, enum setting id, struct prefs *p, struct diag *diag)
{
        bool exit_node = id == SETTING_ADVERTISE_EXIT_NODE ? s->on[id] : prefs_advertises_exit_node(p);
        struct buf present = BUF_INIT(1 << 20);

        settings_put_routes(p, &present);
        enum err e = set_routes(p, id == SETTING_ADVERTISE_ROUTES ? s->text[id] : buf_cstr(&present), exit_node, diag);
        buf_fini(&present);
        return e;
}

enum err settings_set_tags(struct prefs *p, const char *list, struct diag *diag)
{
        struct slice items[64], rest = slice_str(list), item;
        size_t n = 0;

        while (*list && slice_split(&rest, ',', &item)) {
                item = slice_trim(item);
                if (n == 64 || item.len == 0)
                        return diag_set(diag, ERR_FORMAT, "%s is no list of tags: write tag:web,tag:db", list);
                if (!slice_has_prefix(item, SLICE_LIT("tag:"))) {
                        item = slice_str(arena_printf(&p->arena, "tag:%.*s", SLICE_ARGS(item)));
                        if (!item.ptr)
                                return ERR_NOMEM;
                }
                items[n++] = item;
        }
        return prefs_set_list(p, &p->advertise_tags, items, n);
}

/* ---- the peer relay ---- */

enum { RELAY_ENDPOINTS_MAX = 64 };

enum err settings_set_relay_port(struct prefs *p, const char *text, struct diag *diag)
{
        uint64_t port;

        if (*text && parse_u64(slice_str(text), UINT16_MAX, &port) != OK)
                return diag_set(diag, ERR_FORMAT, "%s is no UDP port: --relay-server-port takes 0 to 65535, or nothing", text);
        return prefs_set_text(p, &p->relay_server_port, slice_str(text));
}

static int by_endpoint(const void *a, const void *b)
{
        return ip_port_compare(a, b);
}

enum err settings_set_relay_endpoints(struct prefs *p, const char *list, struct diag *diag)
{
        struct ip_port ports[RELAY_ENDPOINTS_MAX];
        char texts[RELAY_ENDPOINTS_MAX][IP_TEXT_MAX];
        struct slice items[RELAY_ENDPOINTS_MAX], rest = slice_str(list), item;
        size_t n = 0, kept = 0;

        while (*list && slice_split(&rest, ',', &item)) {
                if (n == RELAY_ENDPOINTS_MAX)
                        return diag_set(diag, ERR_LIMIT, "more than %d endpoints", RELAY_ENDPOINTS_MAX);
                if (ip_port_parse(item, &ports[n++]) != OK)
                        return diag_set(diag, ERR_FORMAT, "%.*s is no endpoint: write it as 192.0.2.1:40000", SLICE_ARGS(item));
        }
        qsort(ports, n, sizeof *ports, by_endpoint);
        for (size_t i = 0; i < n; i++) {
                if (i && ip_port_equal(&ports[i], &ports[i - 1]))
                        continue;
                items[kept] = slice_make(texts[kept], ip_port_format(&ports[i], texts[kept]));
                kept++;
        }
        return prefs_set_list(p, &p->relay_endpoints, items, kept);
}

/* ---- exit nodes ---- */

static const struct status_peer *find_exit_node(const struct status *st, struct slice name)
{
        for (size_t i = 0; i < st->peers.count; i++) {
                const struct status_peer *peer = &st->peers.items[i];
                struct slice first = slice_first(peer->dns_name, slice_find(peer->dns_name, '.'));
                struct slice whole = slice_first(peer->dns_name, peer->dns_name.len ? peer->dns_name.len - 1 : 0);
                if (slice_equal_nocase(first, name) || slice_equal_nocase(whole, name) || slice_equal_nocase(peer->host_name, name))
                        return peer;
        }
        return NULL;
}

enum err settings_set_exit_node(struct prefs *p, const char *word, const struct status *st, struct diag *diag)
{
        struct slice ip = { 0 }, id = { 0 }, automatic = { 0 }, name = slice_str(word);
        struct ip_addr addr;

        if (slice_has_prefix(name, SLICE_LIT("auto:")))
                automatic = slice_after(name, 5);
        else if (ip_parse(name, &addr) == OK)
                ip = name;
        else if (name.len) {
                const struct status_peer *peer = find_exit_node(st, name);
                if (!peer)
                        return diag_set(diag, ERR_NOTFOUND, "there is no node named %s", word);
                if (!peer->exit_node_option)
                        return diag_set(diag, ERR_STATE, "%s does not offer to be an exit node", word);
                id = peer->stable_id;
        }
        enum err e = prefs_set_text(p, &p->exit_node_ip, ip);
        if (!e)
                e = prefs_set_text(p, &p->exit_node_id, id);
        return e ? e : prefs_set_text(p, &p->auto_exit_node, automatic);
}

void settings_put_exit_node(const struct prefs *p, const struct status *st, struct buf *out)
{
        char text[IP_TEXT_MAX];

        if (p->auto_exit_node.len) {
                buf_printf(out, "auto:%.*s", SLICE_ARGS(p->auto_exit_node));
                return;
        }
        buf_append_slice(out, p->exit_node_ip);
        for (size_t i = 0; i < st->peers.count && !out->len && p->exit_node_id.len; i++)
                if (slice_equal(st->peers.items[i].stable_id, p->exit_node_id) && st->peers.items[i].ips.count) {
                        ip_format(&st->peers.items[i].ips.items[0], text);
                        buf_append_str(out, text);
                }
        if (!out->len)
                buf_append_slice(out, p->exit_node_id);
}
