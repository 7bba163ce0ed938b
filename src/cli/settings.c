#include "settings_values.h"

#include <string.h>

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
                return settings_set_routes(s, id, p, diag);
        case SETTING_ADVERTISE_TAGS:
                return settings_set_tags(p, s->text[id], diag);
        case SETTING_EXIT_NODE:
                return settings_set_exit_node(p, s->text[id], st, diag);
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
                return settings_set_relay_port(p, s->text[id], diag);
        case SETTING_RELAY_ENDPOINTS:
                return settings_set_relay_endpoints(p, s->text[id], diag);
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
                settings_put_routes(p, out);
                return;
        case SETTING_ADVERTISE_TAGS:
                for (size_t i = 0; i < p->advertise_tags.count; i++)
                        buf_printf(out, "%s%.*s", i ? "," : "", SLICE_ARGS(p->advertise_tags.items[i]));
                return;
        case SETTING_EXIT_NODE:
                settings_put_exit_node(p, st, out);
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
