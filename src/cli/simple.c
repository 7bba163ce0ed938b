/* The verbs that are one request or less: down, logout, ip, version. */
#include <inttypes.h>

#include "cli.h"
#include "proto/tailcfg_base.h"

static int run_down(struct cli *cli, int argc, char **argv)
{
        const char *reason = "", *risk = "";
        struct flag flags[] = { { "reason", FLAG_TEXT, &reason, "why, for the audit log", false },
                { "accept-risk", FLAG_TEXT, &risk, NULL, false } };
        struct arena arena = ARENA_INIT(64 << 20);
        struct status st;
        struct cli_reply reply;
        int rest, status;

        if (!cli_flags(cli, &cli_verb_down, flags, 2, argc, argv, 0, &rest, &status))
                return status;
        bool ok = cli_get_status(cli, false, &arena, &st);
        bool was_stopped = ok && slice_is(st.backend_state, "Stopped");
        if (was_stopped)
                fprintf(stderr, "Tailscale was already stopped.\n");
        else if (ok && (ok = cli_call(cli, "PATCH", "prefs", SLICE_LIT("{\"WantRunning\":false,\"WantRunningSet\":true}"), &reply)))
                cli_reply_fini(&reply);
        arena_fini(&arena);
        return ok ? 0 : 1;
}

static int run_logout(struct cli *cli, int argc, char **argv)
{
        const char *reason = "";
        struct flag flags[] = { { "reason", FLAG_TEXT, &reason, "why, for the audit log", false } };
        struct cli_reply reply;
        int rest, status;

        if (!cli_flags(cli, &cli_verb_logout, flags, 1, argc, argv, 0, &rest, &status))
                return status;
        if (!cli_call(cli, "POST", "logout", (struct slice){ 0 }, &reply))
                return 1;
        cli_reply_fini(&reply);
        return 0;
}

struct wanted_ips {
        bool one, v4, v6;
        const char *assertion;
};

static int print_ips(const struct cli *cli, const struct tailcfg_addrs *ips, const struct wanted_ips *w)
{
        char text[IP_TEXT_MAX];
        bool any = false;
        struct ip_addr asserted;

        if (*w->assertion && ip_parse(slice_str(w->assertion), &asserted) != OK)
                return cli_fail(cli, "%s is no IP address", w->assertion);
        for (size_t i = 0; i < ips->count; i++) {
                const struct ip_addr *a = &ips->items[i];
                if (*w->assertion) {
                        if (ip_equal(a, &asserted))
                                return 0;
                        continue;
                }
                if ((w->v4 && a->family != IP_V4) || (w->v6 && a->family != IP_V6))
                        continue;
                ip_format(a, text);
                printf("%s\n", text);
                any = true;
                if (w->one)
                        break;
        }
        if (*w->assertion)
                return cli_fail(cli, "%s is not an address of this node", w->assertion);
        return any ? 0 : cli_fail(cli, "no address of that kind");
}

static int run_ip(struct cli *cli, int argc, char **argv)
{
        struct wanted_ips w = { .assertion = "" };
        struct flag flags[] = { { "1", FLAG_BOOL, &w.one, "only one address", false }, { "4", FLAG_BOOL, &w.v4, "only IPv4", false },
                { "6", FLAG_BOOL, &w.v6, "only IPv6", false },
                { "assert", FLAG_TEXT, &w.assertion, "succeed only if this node has the address", false } };
        struct arena arena = ARENA_INIT(64 << 20);
        struct status st;
        struct diag diag;
        struct ip_addr addr;
        bool is_self;
        int rest, status = 1;

        if (!cli_flags(cli, &cli_verb_ip, flags, 4, argc, argv, 1, &rest, &status))
                return status;
        status = 1;
        if (w.one + w.v4 + w.v6 > 1) {
                status = cli_fail(cli, "-1, -4 and -6 exclude each other");
                goto out;
        }
        if (!cli_get_status(cli, rest < argc, &arena, &st))
                goto out;
        const struct tailcfg_addrs *ips = &st.ips;
        if (rest < argc) {
                if (cli_resolve(cli, &st, argv[rest], &addr, &is_self, &diag) != OK) {
                        status = cli_fail(cli, "%s", diag.text);
                        goto out;
                }
                ips = is_self ? &st.self.ips : NULL;
                for (size_t i = 0; i < st.peers.count && !ips; i++)
                        for (size_t k = 0; k < st.peers.items[i].ips.count; k++)
                                if (ip_equal(&st.peers.items[i].ips.items[k], &addr))
                                        ips = &st.peers.items[i].ips;
        }
        if (!ips)
                status = cli_fail(cli, "%s is not a node of the tailnet", argv[rest]);
        else if (!ips->count)
                status = cli_fail(cli, "no addresses yet: the node is in state %.*s", SLICE_ARGS(st.backend_state));
        else
                status = print_ips(cli, ips, &w);
out:
        arena_fini(&arena);
        return status;
}

static void print_version_json(struct slice daemon)
{
        struct buf out = BUF_INIT(4096);
        struct json_writer w;

        json_writer_init(&w, &out, "  ");
        json_object_open(&w);
        json_field_str(&w, "majorMinorPatch", WEFT_VERSION);
        json_field_str(&w, "short", WEFT_VERSION);
        json_field_str(&w, "long", WEFT_VERSION);
        if (daemon.len)
                json_field_slice(&w, "daemonLong", daemon);
        json_field_i64(&w, "cap", TAILCFG_CAPVER);
        json_object_close(&w);
        printf("%s\n", buf_cstr(&out));
        buf_fini(&out);
}

static int run_version(struct cli *cli, int argc, char **argv)
{
        bool daemon = false, json = false;
        struct flag flags[] = { { "daemon", FLAG_BOOL, &daemon, "the daemon's version too", false },
                { "json", FLAG_BOOL, &json, "as JSON", false } };
        struct arena arena = ARENA_INIT(64 << 20);
        struct status st = { 0 };
        int rest, status;

        if (!cli_flags(cli, &cli_verb_version, flags, 2, argc, argv, 0, &rest, &status))
                return status;
        if (daemon && !cli_get_status(cli, false, &arena, &st)) {
                arena_fini(&arena);
                return 1;
        }
        if (json) {
                print_version_json(st.version);
        } else if (daemon) {
                printf("Client: %s\nDaemon: %.*s\n", WEFT_VERSION, SLICE_ARGS(st.version));
        } else {
                printf("%s\n  long version: %s\n  capability version: %d\n", WEFT_VERSION, WEFT_VERSION, TAILCFG_CAPVER);
        }
        arena_fini(&arena);
        return 0;
}

const struct cli_verb cli_verb_down = { "down", "down [flags]", "Disconnect, keeping the login", run_down };
const struct cli_verb cli_verb_logout = { "logout", "logout [flags]", "Disconnect and expire this node's key", run_logout };
const struct cli_verb cli_verb_ip = { "ip", "ip [flags] [node]", "Show the tailnet addresses of this or another node", run_ip };
const struct cli_verb cli_verb_version = { "version", "version [flags]", "Print the version", run_version };
