/* MapResponse.DNSConfig from the configuration (spec/server.md 6.4). */
#include <stdio.h>

#include "state.h"

struct slice mapper_fqdn(const struct server_settings *settings, struct arena *a, struct slice label)
{
        const char *text = settings->base_domain.len ? arena_printf(a, "%.*s.%.*s.", SLICE_ARGS(label),
                                                               SLICE_ARGS(settings->base_domain))
                                                     : arena_printf(a, "%.*s.", SLICE_ARGS(label));

        return slice_str(text);
}

static struct tailcfg_resolvers resolvers_of(struct arena *a, const struct slice *servers, size_t n)
{
        struct tailcfg_resolver *items = ARENA_ARRAY(a, n + 1, struct tailcfg_resolver);

        for (size_t i = 0; items && i < n; i++)
                items[i].addr = servers[i];
        return (struct tailcfg_resolvers){ items, items ? n : 0 };
}

/* How many reverse zones a prefix needs: one for each value of the last, partly
 * covered label (an octet of IPv4, a nibble of IPv6). */
static size_t reverse_zone_count(const struct ip_prefix *p)
{
        unsigned unit = p->ip.family == IP_V4 ? 8 : 4;

        if (!ip_valid(&p->ip))
                return 0;
        return (size_t)1 << ((unit - p->bits % unit) % unit);
}

static struct slice reverse_zone(struct arena *a, const struct ip_prefix *p, size_t index)
{
        bool v4 = p->ip.family == IP_V4;
        unsigned unit = v4 ? 8 : 4, labels = (p->bits + unit - 1) / unit;
        struct ip_addr base = ip_prefix_masked(*p).ip;
        struct buf zone = BUF_INIT(256);

        for (unsigned i = labels; i-- > 0;) {
                unsigned value = v4 ? base.b[i] : (i % 2 ? base.b[i / 2] & 15U : base.b[i / 2] >> 4);
                if (i == labels - 1)
                        value += (unsigned)index;
                buf_printf(&zone, v4 ? "%u." : "%x.", value);
        }
        buf_append_str(&zone, v4 ? "in-addr.arpa" : "ip6.arpa");
        struct slice text = arena_copy(a, buf_slice(&zone));
        buf_fini(&zone);
        return text;
}

static size_t add_reverse_zones(struct arena *a, const struct ip_prefix *p, struct tailcfg_dns_route *routes)
{
        size_t n = reverse_zone_count(p);

        for (size_t i = 0; i < n; i++) /* resolvers present and empty: the node answers itself */
                routes[i] = (struct tailcfg_dns_route){ reverse_zone(a, p, i), { TAILCFG_EMPTY, 0 } };
        return n;
}

static void add_routes(
        const struct server_settings *settings, struct arena *a, struct tailcfg_dns_config *out)
{
        size_t zones = settings->magic_dns ? reverse_zone_count(&settings->prefix_v4) +
                                                     reverse_zone_count(&settings->prefix_v6) + 1
                                           : 0;
        struct tailcfg_dns_route *routes =
                ARENA_ARRAY(a, settings->n_split + zones + 1, struct tailcfg_dns_route);
        size_t n = 0;

        if (!routes)
                return;
        for (size_t i = 0; i < settings->n_split; i++) {
                const struct server_split_dns *split = &settings->split[i];
                routes[n++] = (struct tailcfg_dns_route){ split->domain,
                        resolvers_of(a, split->nameservers, split->n_nameservers) };
        }
        if (settings->magic_dns) {
                n += add_reverse_zones(a, &settings->prefix_v4, routes + n);
                n += add_reverse_zones(a, &settings->prefix_v6, routes + n);
        }
        out->routes = (struct tailcfg_dns_routes){ routes, n };
}

void mapper_dns_config(const struct server *s, struct arena *a, struct tailcfg_dns_config *out)
{
        const struct server_settings *settings = s->settings;
        struct slice *domains = ARENA_ARRAY(a, settings->n_search_domains + 1, struct slice);
        struct tailcfg_dns_record *records =
                ARENA_ARRAY(a, s->n_records + 1, struct tailcfg_dns_record);
        size_t n = 0;

        *out = (struct tailcfg_dns_config){ .proxied = settings->magic_dns };
        if (!domains || !records)
                return;
        if (settings->base_domain.len)
                domains[n++] = settings->base_domain;
        for (size_t i = 0; i < settings->n_search_domains; i++)
                domains[n++] = settings->search_domains[i];
        out->domains = (struct tailcfg_strings){ domains, n };

        struct tailcfg_resolvers global = resolvers_of(a, settings->nameservers, settings->n_nameservers);
        if (settings->override_local_dns)
                out->resolvers = global;
        else
                out->fallback_resolvers = global;
        add_routes(settings, a, out);
        for (size_t i = 0; i < s->n_records; i++) {
                const struct server_dns_record *r = &s->records[i];
                records[i] = (struct tailcfg_dns_record){ r->name, r->type, r->value };
        }
        out->extra_records = (struct tailcfg_dns_records){ records, s->n_records };
}
