#include "settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum {
        SET = SETTINGS_SET,
        UP_LOGIN = SETTINGS_UP | SETTINGS_LOGIN,
        LOGIN_SET = SETTINGS_LOGIN | SETTINGS_SET,
        ALL = SETTINGS_UP | SETTINGS_LOGIN | SETTINGS_SET,
};

static const struct info {
        const char *flag;
        bool is_bool, is_on; /* is_on: the default of a boolean */
        unsigned verbs;
        const char *field;   /* of the mask; NULL: settings_apply() knows more */
        const char *help;    /* NULL: not shown, since weftd does not do it */
} infos[SETTING_COUNT] = {
        [SETTING_ACCEPT_DNS] = { "accept-dns", true, true, ALL, "CorpDNS", "use the tailnet's DNS settings" },
        [SETTING_ACCEPT_ROUTES] = { "accept-routes", true, false, ALL, "RouteAll", "use subnet routes that other nodes advertise" },
        [SETTING_ADVERTISE_CONNECTOR] = { "advertise-connector", true, false, ALL, "AppConnector.Advertise", NULL },
        [SETTING_ADVERTISE_EXIT_NODE] = { "advertise-exit-node", true, false, ALL, "AdvertiseRoutes", "offer to be an exit node" },
        [SETTING_ADVERTISE_ROUTES] = { "advertise-routes", false, false, ALL, "AdvertiseRoutes", "subnets to offer, e.g. 10.0.0.0/8,192.168.0.0/24" },
        [SETTING_ADVERTISE_TAGS] = { "advertise-tags", false, false, UP_LOGIN, "AdvertiseTags", "tags to ask for, e.g. tag:web,tag:db" },
        [SETTING_AUTO_UPDATE] = { "auto-update", true, false, SET, "AutoUpdate.Apply", NULL },
        [SETTING_EXIT_NODE] = { "exit-node", false, false, ALL, NULL, "exit node to use: its IP or its name" },
        [SETTING_EXIT_NODE_LAN] = { "exit-node-allow-lan-access", true, false, ALL, "ExitNodeAllowLANAccess", "reach the local network while an exit node is used" },
        [SETTING_HOSTNAME] = { "hostname", false, false, ALL, "Hostname", "name of this node instead of the system's" },
        [SETTING_LOGIN_SERVER] = { "login-server", false, false, UP_LOGIN, "ControlURL", "URL of the control server" },
        [SETTING_NETFILTER_MODE] = { "netfilter-mode", false, false, ALL, "NetfilterMode", "firewall rules: on, nodivert, off" },
        [SETTING_NICKNAME] = { "nickname", false, false, LOGIN_SET, "ProfileName", "short name of this account" },
        [SETTING_OPERATOR] = { "operator", false, false, ALL, "OperatorUser", "user who may operate the daemon without sudo" },
        [SETTING_RELAY_ENDPOINTS] = { "relay-server-static-endpoints", false, false, SET, "RelayServerStaticEndpoints", NULL },
        [SETTING_RELAY_PORT] = { "relay-server-port", false, false, SET, "RelayServerPort", NULL },
        [SETTING_REMOTE_CONFIG] = { "remote-config", true, false, SET, "RemoteConfig", NULL },
        [SETTING_REPORT_POSTURE] = { "report-posture", true, false, ALL, "PostureChecking", NULL },
        [SETTING_SHIELDS_UP] = { "shields-up", true, false, ALL, "ShieldsUp", "refuse incoming connections" },
        [SETTING_SNAT] = { "snat-subnet-routes", true, true, ALL, "NoSNAT", "hide sources behind this node on advertised routes" },
        [SETTING_SSH] = { "ssh", true, false, ALL, "RunSSH", NULL },
        [SETTING_STATEFUL] = { "stateful-filtering", true, false, ALL, "NoStatefulFiltering", "filter forwarded packets by state" },
        [SETTING_SYNC] = { "sync", true, false, SET, "Sync", "take changes from the control server; false: go on with what is known" },
        [SETTING_UPDATE_CHECK] = { "update-check", true, true, SET, "AutoUpdate.Check", NULL },
        [SETTING_WEB_CLIENT] = { "webclient", true, false, SET, "RunWebClient", NULL },
};

static const char *const netfilter_names[] = { "off", "nodivert", "on" };

bool setting_is_bool(enum setting id) { return infos[id].is_bool; }
const char *setting_flag(enum setting id) { return infos[id].flag; }

void settings_init(struct settings *s)
{
        for (int i = 0; i < SETTING_COUNT; i++) {
                s->on[i] = infos[i].is_on;
                s->text[i] = i == SETTING_NETFILTER_MODE ? "on" : "";
        }
}

size_t settings_flags(struct settings *s, unsigned verb, struct flag *flags, enum setting *ids)
{
        size_t n = 0;

        for (int i = 0; i < SETTING_COUNT; i++) {
                const struct info *info = &infos[i];
                if (!(info->verbs & verb))
                        continue;
                void *value = info->is_bool ? (void *)&s->on[i] : (void *)&s->text[i];
                flags[n] = (struct flag){ info->flag, info->is_bool ? FLAG_BOOL : FLAG_TEXT, value, info->help, false };
                ids[n++] = (enum setting)i;
        }
        return n;
}

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

static void put_routes(const struct prefs *p, struct buf *out)
{
        for (size_t i = 0; i < p->advertise_routes.count; i++) {
                if (is_default_route(p->advertise_routes.items[i]))
                        continue;
                if (out->len)
                        buf_append_byte(out, ',');
                buf_append_slice(out, p->advertise_routes.items[i]);
        }
}

/* What one of the two flags leaves unsaid about advertised routes stays as it is. */
static enum err apply_routes(const struct settings *s, enum setting id, struct prefs *p, struct diag *diag)
{
        bool exit_node = id == SETTING_ADVERTISE_EXIT_NODE ? s->on[id] : prefs_advertises_exit_node(p);
        struct buf present = BUF_INIT(1 << 20);

        put_routes(p, &present);
        enum err e = set_routes(p, id == SETTING_ADVERTISE_ROUTES ? s->text[id] : buf_cstr(&present), exit_node, diag);
        buf_fini(&present);
        return e;
}

static enum err set_tags(struct prefs *p, const char *list, struct diag *diag)
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

/* A port, 0 for any; nothing: no relay. */
static enum err set_relay_port(struct prefs *p, const char *text, struct diag *diag)
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

static enum err set_relay_endpoints(struct prefs *p, const char *list, struct diag *diag)
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

static enum err set_exit_node(struct prefs *p, const char *word, const struct status *st, struct diag *diag)
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

static void put_exit_node(const struct prefs *p, const struct status *st, struct buf *out)
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

/* ---- one setting ---- */

static bool *bool_field(struct prefs *p, enum setting id)
{
        switch ((int)id) {
        case SETTING_ACCEPT_DNS:
                return &p->corp_dns;
        case SETTING_ACCEPT_ROUTES:
                return &p->route_all;
        case SETTING_ADVERTISE_CONNECTOR:
                return &p->app_connector;
        case SETTING_EXIT_NODE_LAN:
                return &p->exit_node_allow_lan;
        case SETTING_UPDATE_CHECK:
                return &p->update_check;
        case SETTING_REMOTE_CONFIG:
                return &p->remote_config;
        case SETTING_REPORT_POSTURE:
                return &p->posture_checking;
        case SETTING_SHIELDS_UP:
                return &p->shields_up;
        case SETTING_SSH:
                return &p->run_ssh;
        case SETTING_WEB_CLIENT:
                return &p->run_web_client;
        default:
                return NULL;
        }
}

static struct slice *text_field(struct prefs *p, enum setting id)
{
        switch ((int)id) {
        case SETTING_HOSTNAME:
                return &p->hostname;
        case SETTING_LOGIN_SERVER:
                return &p->control_url;
        case SETTING_NICKNAME:
                return &p->profile_name;
        case SETTING_OPERATOR:
                return &p->operator_user;
        default:
                return NULL;
        }
}

static enum err set_netfilter(struct prefs *p, const char *name, struct diag *diag)
{
        for (size_t i = 0; i < 3; i++)
                if (strcmp(name, netfilter_names[i]) == 0) {
                        p->netfilter_mode = (int64_t)i;
                        return OK;
                }
        return diag_set(diag, ERR_FORMAT, "--netfilter-mode is one of on, nodivert, off; not %s", name);
}

static enum err apply(const struct settings *s, enum setting id, const struct status *st, struct prefs *p, struct diag *diag)
{
        bool *flag = bool_field(p, id);
        struct slice *text = text_field(p, id);

        if (flag) {
                *flag = s->on[id];
                return OK;
        }
        if (text)
                return prefs_set_text(p, text, slice_str(s->text[id]));
        switch ((int)id) {
        case SETTING_ADVERTISE_ROUTES:
        case SETTING_ADVERTISE_EXIT_NODE:
                return apply_routes(s, id, p, diag);
        case SETTING_ADVERTISE_TAGS:
                return set_tags(p, s->text[id], diag);
        case SETTING_EXIT_NODE:
                return set_exit_node(p, s->text[id], st, diag);
        case SETTING_NETFILTER_MODE:
                return set_netfilter(p, s->text[id], diag);
        case SETTING_SNAT:
                p->no_snat = !s->on[id];
                return OK;
        case SETTING_STATEFUL:
                p->no_stateful_filtering = s->on[id] ? TRI_FALSE : TRI_TRUE;
                return OK;
        case SETTING_AUTO_UPDATE:
                p->update_apply = s->on[id] ? TRI_TRUE : TRI_FALSE;
                return OK;
        case SETTING_SYNC:
                p->sync = s->on[id] ? TRI_TRUE : TRI_FALSE;
                return OK;
        case SETTING_RELAY_PORT:
                return set_relay_port(p, s->text[id], diag);
        case SETTING_RELAY_ENDPOINTS:
                return set_relay_endpoints(p, s->text[id], diag);
        default:
                return ERR_UNSUPPORTED;
        }
}

enum err settings_apply(const struct settings *s, enum setting id, const struct status *st, struct prefs *p, uint64_t *mask,
        struct diag *diag)
{
        diag->text[0] = '\0';
        enum err e = apply(s, id, st, p, diag);

        if (e)
                return diag->text[0] ? e : diag_set(diag, e, "--%s: %s", infos[id].flag, err_str(e));
        if (infos[id].field)
                *mask |= prefs_mask_bit(infos[id].field);
        else
                *mask |= prefs_mask_bit("ExitNodeID") | prefs_mask_bit("ExitNodeIP") | prefs_mask_bit("AutoExitNode");
        return OK;
}

void settings_text(const struct prefs *p, enum setting id, const struct status *st, struct buf *out)
{
        struct prefs *q = (struct prefs *)(uintptr_t)p; /* the field finders serve both directions */
        const bool *flag = bool_field(q, id);
        const struct slice *text = text_field(q, id);
        bool on = flag && *flag;

        switch ((int)id) {
        case SETTING_ADVERTISE_EXIT_NODE:
                on = prefs_advertises_exit_node(p);
                break;
        case SETTING_SNAT:
                on = !p->no_snat;
                break;
        case SETTING_STATEFUL:
                on = p->no_stateful_filtering == TRI_FALSE;
                break;
        case SETTING_AUTO_UPDATE:
                on = p->update_apply == TRI_TRUE;
                break;
        case SETTING_ADVERTISE_ROUTES:
                put_routes(p, out);
                return;
        case SETTING_ADVERTISE_TAGS:
                for (size_t i = 0; i < p->advertise_tags.count; i++)
                        buf_printf(out, "%s%.*s", i ? "," : "", SLICE_ARGS(p->advertise_tags.items[i]));
                return;
        case SETTING_EXIT_NODE:
                put_exit_node(p, st, out);
                return;
        case SETTING_NETFILTER_MODE:
                if (p->netfilter_mode >= 0 && p->netfilter_mode <= 2)
                        buf_append_str(out, netfilter_names[p->netfilter_mode]);
                return;
        case SETTING_LOGIN_SERVER:
                if (!prefs_is_default_control(p->control_url))
                        buf_append_slice(out, p->control_url);
                return;
        default:
                break;
        }
        if (text)
                buf_append_slice(out, *text);
        else
                buf_append_str(out, on ? "true" : "false");
}

static void warn_of_forwarding(struct cli *cli)
{
        struct arena arena = ARENA_INIT(64 << 10);
        struct cli_reply reply;
        struct json_reader r;
        struct slice name, warning = { 0 };

        if (!cli_call(cli, "GET", "check-ip-forwarding", (struct slice){ 0 }, &reply))
                return;
        json_reader_init(&r, buf_slice(&reply.body), &arena);
        json_object_begin(&r);
        while (json_member(&r, &name)) {
                if (slice_is(name, "Warning"))
                        warning = json_string(&r);
                else
                        json_skip(&r);
        }
        if (json_finish(&r) == OK && warning.len)
                cli_say(stderr, "Warning: %.*s\n", SLICE_ARGS(warning));
        cli_reply_fini(&reply);
        arena_fini(&arena);
}

void settings_warn(struct cli *cli, const struct flag *flags, const enum setting *ids, size_t count, const struct prefs *p)
{
        bool has_routes = false, has_exit = false;

        for (size_t i = 0; i < count; i++) {
                has_routes |= flags[i].is_given && (ids[i] == SETTING_ADVERTISE_ROUTES || ids[i] == SETTING_ADVERTISE_EXIT_NODE);
                has_exit |= flags[i].is_given && (ids[i] == SETTING_SNAT || ids[i] == SETTING_ADVERTISE_EXIT_NODE);
        }
        if (has_routes)
                warn_of_forwarding(cli);
        if (has_exit && p->no_snat && prefs_advertises_exit_node(p))
                fprintf(stderr, "Warning: --snat-subnet-routes=false is set with --advertise-exit-node; internet traffic "
                        "through this exit node may not work as expected\n");
}
