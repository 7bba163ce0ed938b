/* `weft ip`: addresses of a node. */
#include "cli.h"

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

const struct cli_verb cli_verb_ip = { "ip", "ip [flags] [node]", "Show the tailnet addresses of this or another node", run_ip };
