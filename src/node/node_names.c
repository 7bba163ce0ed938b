/* MagicDNS and the rest of the node: when it answers, and what the system is told of it
 * (spec/node.md 5.2, 5.5). */
#include <stdlib.h>

#include "node_internal.h"

enum { RESTORES_MAX = 10 };

/* ---- what the resolver asks of the node ------------------------------------------------- */

static const struct netmap *names_netmap(void *ctx)
{
        return backend_netmap(((struct node *)ctx)->backend);
}

static bool is_private(const struct ip_addr *ip)
{
        static const struct ip_prefix nets[] = {
                { { IP_V4, { 10 }, 0 }, 8 }, { { IP_V4, { 172, 16 }, 0 }, 12 }, { { IP_V4, { 192, 168 }, 0 }, 16 },
                { { IP_V4, { 127 }, 0 }, 8 }, { { IP_V4, { 169, 254 }, 0 }, 16 }, { { IP_V6, { 0xfc }, 0 }, 7 },
                { { IP_V6, { 0xfe, 0x80 }, 0 }, 10 },
        };

        for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
                if (ip_prefix_contains(&nets[i], ip))
                        return true;
        return false;
}

/* Servers of the tailnet and of accepted subnets; with an exit node all but those of the
 * local network, which no exit node leads to. */
static bool names_is_inside(void *ctx, const struct ip_addr *ip)
{
        const struct node *n = ctx;

        for (size_t i = 0; i < n->routes.route_count; i++) {
                const struct ip_prefix *p = &n->routes.routes[i];
                if (ip_prefix_contains(p, ip) && (!ip_prefix_is_default(p) || !is_private(ip)))
                        return true;
        }
        return ip_is_tailscale(ip);
}

enum err node_names_start(struct node *n)
{
        static const struct node_dns_ops ops = { names_netmap, names_is_inside };

        n->names = node_dns_new(n->loop, ROUTER_MARK, &ops, n);
        return n->names ? OK : ERR_NOMEM;
}

void node_names_stop(struct node *n)
{
        node_dns_free(n->names);
        n->names = NULL;
        buf_fini(&n->names_text);
}

void node_names_listen(struct node *n)
{
        struct diag d;

        if (!n->engine_on || !n->names)
                return;
        enum err e = node_dns_listen(n->names, &d);
        backend_set_warning(n->backend, WARN_RESOLVER, e ? d.text : NULL);
}

/* ---- the system's settings ------------------------------------------------------------------ */

static void names_set(void *ctx, enum err e, const struct diag *d)
{
        struct node *n = ctx;

        n->names_pending--;
        if (!n->is_stopping)
                backend_set_warning(n->backend, WARN_DNS, e ? d->text : NULL);
}

static void ask_system(struct node *n, enum os_dns_kind kind, struct slice text)
{
        struct os_dns_config c = { .kind = (uint8_t)kind, .text = text };

        memcpy(c.link, n->tun.name, sizeof c.link);
        n->names_pending++;
        enum err err = priv_dns_set(n->options.priv, &c, names_set, n);
        if (err) {
                struct diag diag;
                diag_set(&diag, err, "cannot change the system's DNS settings: %s", err_str(err));
                names_set(n, err, &diag);
        }
}

/* For systemd-resolved: names to complete with, and names below which we are to be asked. */
static void put_domains(const struct netmap *nm, struct buf *out)
{
        const struct tailcfg_dns_config *c = netmap_dns(nm);

        for (size_t i = 0; i < c->domains.count; i++)
                buf_printf(out, "%.*s ", SLICE_ARGS(c->domains.items[i]));
        for (size_t i = 0; i < c->routes.count; i++)
                buf_printf(out, "~%.*s ", SLICE_ARGS(c->routes.items[i].suffix));
        if (c->proxied) {
                buf_printf(out, "~%.*s ~0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa ", SLICE_ARGS(netmap_magic_dns_suffix(nm)));
                for (int i = 64; i < 128; i++)
                        buf_printf(out, "~%d.100.in-addr.arpa ", i);
        }
        if (c->resolvers.count)
                buf_append_str(out, "~. ");
}

static void read_base(struct node *n)
{
        struct buf text = BUF_INIT(64 << 10);
        struct dns_base base;

        os_dns_read(&text);
        dns_base_parse(buf_slice(&text), &base);
        node_dns_set_base(n->names, &base);
        buf_fini(&text);
}

void node_names_apply(struct node *n, bool on)
{
        const struct netmap *nm = backend_netmap(n->backend);
        struct buf text = BUF_INIT(OS_DNS_TEXT_MAX);
        enum os_dns_kind kind = OS_DNS_NONE;

        if (!on)
                node_dns_close(n->names);
        else if (!n->names_pending)
                read_base(n); /* not while the file changes under our hands */
        if (on && backend_prefs(n->backend)->corp_dns && dns_is_wanted(nm))
                kind = os_dns_detect();
        if (kind == OS_DNS_FILE)
                dns_resolv_conf(nm, node_dns_base(n->names), OS_DNS_MARK, &text);
        else if (kind == OS_DNS_RESOLVED)
                put_domains(nm, &text);
        if (kind != n->names_kind || !slice_equal(buf_slice(&text), buf_slice(&n->names_text))) {
                ask_system(n, kind, buf_slice(&text));
                n->names_kind = kind;
                buf_fini(&n->names_text);
                n->names_text = text;
                text = BUF_INIT(0);
        }
        buf_fini(&text);
}

/* Somebody else, a DHCP client most often, may write the file anew: its servers are then
 * ours to ask, and the file is ours again. */
void node_names_tick(struct node *n)
{
        bool was_rewritten = n->names_rewritten;

        n->names_rewritten = n->names_kind == OS_DNS_FILE && !n->names_pending && !os_dns_is_ours();
        if (!was_rewritten || !n->names_rewritten)
                return; /* whoever writes it may not be done yet */
        n->names_rewritten = false;
        if (n->names_restored == RESTORES_MAX) {
                backend_set_warning(n->backend, WARN_DNS, "another program keeps rewriting resolv.conf; "
                        "names of the tailnet work only by asking 100.100.100.100");
                return;
        }
        n->names_restored++;
        log_info(&node_log, "resolv.conf was rewritten by another program", NULL);
        buf_clear(&n->names_text);
        node_names_apply(n, n->engine_on);
}
