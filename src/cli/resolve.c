/* What a person means by a node's name (spec/node.md 2.5). */
#include "cli.h"
#include "net/dial.h"

/* The name as `status` shows it: without the tailnet's suffix. */
static bool is_name(const struct status *st, const struct status_peer *p, struct slice word)
{
        struct slice shown = p->dns_name, suffix = st->magic_dns_suffix;

        if (!shown.len)
                return slice_equal_nocase(p->host_name, word);
        if (slice_equal(shown, word))
                return true;
        shown = slice_first(shown, shown.len - 1); /* the dot */
        if (slice_equal_nocase(shown, word))
                return true;
        if (shown.len > suffix.len + 1 && slice_has_suffix(shown, suffix))
                shown = slice_first(shown, shown.len - suffix.len - 1);
        return slice_equal_nocase(shown, word);
}

struct asked {
        bool is_done;
        enum err e;
        struct ip_addr first;
        struct diag *diag;
};

static void on_found(void *ctx, enum err e, const struct ip_addr *addrs, size_t count, const struct diag *d)
{
        struct asked *a = ctx;

        a->is_done = true;
        a->e = e ? e : count ? OK : ERR_NOTFOUND;
        if (count)
                a->first = addrs[0];
        *a->diag = *d;
}

enum err cli_resolve(struct cli *cli, const struct status *st, const char *word, struct ip_addr *out, bool *is_self, struct diag *diag)
{
        struct slice name = slice_str(word);

        *is_self = false;
        if (ip_parse(name, out) == OK) {
                for (size_t i = 0; i < st->self.ips.count; i++)
                        *is_self |= ip_equal(&st->self.ips.items[i], out);
                return OK;
        }
        for (size_t i = 0; i < st->peers.count; i++)
                if (is_name(st, &st->peers.items[i], name)) {
                        if (!st->peers.items[i].ips.count)
                                return diag_set(diag, ERR_NOTFOUND, "the node %s has no address", word);
                        *out = st->peers.items[i].ips.items[0];
                        return OK;
                }
        if (is_name(st, &st->self, name) && st->self.ips.count) {
                *is_self = true;
                *out = st->self.ips.items[0];
                return OK;
        }
        struct asked a = { .diag = diag };
        enum err e = net_resolve_start(cli->loop, &(struct net_resolve_options){ .name = word }, on_found, &a, NULL);
        if (e)
                return diag_set(diag, e, "cannot look up %s", word);
        while (!a.is_done)
                net_loop_run_once(cli->loop, 1000);
        if (a.e)
                return diag_set(diag, a.e, "there is no node named %s, and no host of that name either", word);
        *out = a.first;
        return OK;
}
