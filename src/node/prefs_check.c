/* What an edit may not do, and the questions others ask of preferences. */
#include "node/prefs.h"

struct slice prefs_control_url(const struct prefs *p)
{
        return p->control_url.len ? p->control_url : SLICE_LIT(PREFS_DEFAULT_CONTROL_URL);
}

bool prefs_is_default_control(struct slice url)
{
        return url.len == 0 || slice_is(url, PREFS_DEFAULT_CONTROL_URL) ||
               slice_is(url, "https://login.tailscale.com");
}

bool prefs_has_exit_node(const struct prefs *p)
{
        return p->exit_node_id.len || p->exit_node_ip.len || p->auto_exit_node.len;
}

bool prefs_advertises_exit_node(const struct prefs *p)
{
        bool v4 = false, v6 = false;

        for (size_t i = 0; i < p->advertise_routes.count; i++) {
                v4 |= slice_is(p->advertise_routes.items[i], "0.0.0.0/0");
                v6 |= slice_is(p->advertise_routes.items[i], "::/0");
        }
        return v4 && v6;
}

size_t prefs_routes(const struct prefs *p, struct ip_prefix *out, size_t max)
{
        size_t n = 0;

        for (size_t i = 0; i < p->advertise_routes.count && n < max; i++)
                if (ip_prefix_parse(p->advertise_routes.items[i], &out[n]) == OK)
                        n++;
        return n;
}

static enum err check_routes(const struct prefs *p, struct diag *diag)
{
        bool v4 = false, v6 = false;

        for (size_t i = 0; i < p->advertise_routes.count; i++) {
                struct slice text = p->advertise_routes.items[i];
                struct ip_prefix prefix;
                if (ip_prefix_parse(text, &prefix) != OK)
                        return diag_set(diag, ERR_FORMAT, "advertised route \"%.*s\" is not an address range such as "
                                "192.168.1.0/24", SLICE_ARGS(text));
                struct ip_prefix masked = ip_prefix_masked(prefix);
                if (!ip_prefix_equal(&prefix, &masked)) {
                        char right[IP_TEXT_MAX];
                        ip_prefix_format(&masked, right);
                        return diag_set(diag, ERR_FORMAT, "advertised route %.*s has bits set behind its prefix; "
                                "the range is written %s", SLICE_ARGS(text), right);
                }
                v4 |= ip_prefix_is_default(&prefix) && prefix.ip.family == IP_V4;
                v6 |= ip_prefix_is_default(&prefix) && prefix.ip.family == IP_V6;
        }
        if (v4 != v6)
                return diag_set(diag, ERR_FORMAT, "an exit node advertises both 0.0.0.0/0 and ::/0; %s is missing",
                        v4 ? "::/0" : "0.0.0.0/0");
        return OK;
}

static enum err check_tags(const struct prefs *p, struct diag *diag)
{
        for (size_t i = 0; i < p->advertise_tags.count; i++) {
                struct slice tag = p->advertise_tags.items[i];
                bool ok = slice_has_prefix(tag, SLICE_LIT("tag:")) && tag.len > 4;
                for (size_t k = 4; ok && k < tag.len; k++) {
                        uint8_t c = tag.ptr[k];
                        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
                        ok = letter || (k > 4 && ((c >= '0' && c <= '9') || c == '-'));
                }
                if (!ok)
                        return diag_set(diag, ERR_FORMAT, "tag \"%.*s\" is not of the form tag:name, where the name "
                                "begins with a letter and goes on with letters, digits and dashes", SLICE_ARGS(tag));
        }
        return OK;
}

static enum err check_control_url(const struct prefs *p, struct diag *diag)
{
        struct slice url = prefs_control_url(p);

        if (!slice_has_prefix(url, SLICE_LIT("https://")) && !slice_has_prefix(url, SLICE_LIT("http://")))
                return diag_set(diag, ERR_FORMAT, "control server \"%.*s\" is not a URL that begins with https:// or "
                        "http://", SLICE_ARGS(url));
        for (size_t i = 0; i < url.len; i++)
                if (url.ptr[i] <= ' ' || url.ptr[i] == 0x7f)
                        return diag_set(diag, ERR_FORMAT, "the control server's URL contains a space or control character");
        return OK;
}

/* What p switches on, and old (may be NULL) has not, of the features of the official
 * daemon that this one does not have yet; NULL: nothing. */
static const char *unsupported(const struct prefs *p, const struct prefs *old)
{
        const struct {
                bool is_on, was_on;
                const char *what;
        } missing[] = {
                { p->run_ssh, old && old->run_ssh, "the SSH server (--ssh)" },
                { p->run_web_client, old && old->run_web_client, "the web client (--webclient)" },
                { p->app_connector, old && old->app_connector, "the app connector (--advertise-connector)" },
                { p->auto_exit_node.len, old && old->auto_exit_node.len, "the choice of an exit node by itself (--exit-node=auto:any)" },
                { p->update_apply == TRI_TRUE, old && old->update_apply == TRI_TRUE, "automatic updates (--auto-update)" },
                { p->posture_checking, old && old->posture_checking, "posture reports (--report-posture)" },
                { p->remote_config, old && old->remote_config, "configuration by the administrator (--remote-config)" },
                { p->relay_server_port.len, old && old->relay_server_port.len, "the peer relay (--relay-server-port)" },
                { p->relay_endpoints.count, old && old->relay_endpoints.count, "the peer relay (--relay-server-static-endpoints)" },
                { p->drive_shares.len > 2, old && old->drive_shares.len > 2, "sharing of folders (drive)" },
        };

        for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
                if (missing[i].is_on && !missing[i].was_on)
                        return missing[i].what;
        return NULL;
}

const char *prefs_unsupported(const struct prefs *p)
{
        return unsupported(p, NULL);
}

enum err prefs_check(const struct prefs *p, const struct prefs *old, struct diag *diag)
{
        const char *new_feature = unsupported(p, old);

        if (new_feature)
                return diag_set(diag, ERR_UNSUPPORTED, "%s is not supported by this version of weftd", new_feature);
        enum err err = check_control_url(p, diag);
        if (!err)
                err = check_routes(p, diag);
        if (!err)
                err = check_tags(p, diag);
        if (err)
                return err;
        if (prefs_has_exit_node(p) && prefs_advertises_exit_node(p))
                return diag_set(diag, ERR_FORMAT, "a node cannot use an exit node and be one at the same time; "
                        "give up one with --exit-node= or --advertise-exit-node=false");
        if (p->netfilter_mode < NETFILTER_OFF || p->netfilter_mode > NETFILTER_ON)
                return diag_set(diag, ERR_RANGE, "netfilter mode %lld is none of 0 (off), 1 (nodivert), 2 (on)",
                        (long long)p->netfilter_mode);
        if (p->hostname.len > 253)
                return diag_set(diag, ERR_RANGE, "the host name is longer than 253 bytes");
        return OK;
}
