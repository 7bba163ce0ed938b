#include "node/dns.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const struct ip_addr service = { IP_V4, { 100, 100, 100, 100 }, 0 };

/* ---- the system's file ---- */

static void add_upstream(struct dns_upstreams *u, const struct ip_addr *ip, uint16_t port)
{
        if (u->count < DNS_UPSTREAMS_MAX && !ip_equal(ip, &service))
                u->items[u->count++] = (struct ip_port){ *ip, port };
}

static void add_search(struct dns_base *b, struct slice name)
{
        if (name.len && b->search_count < DNS_SEARCH_MAX && name.len < DNS_NAME_MAX)
                snprintf(b->search[b->search_count++], DNS_NAME_MAX, "%.*s", SLICE_ARGS(name));
}

/* The next word of a line. */
static bool take_word(struct slice *line, struct slice *word)
{
        *line = slice_trim(*line);
        size_t n = 0;

        while (n < line->len && line->ptr[n] != ' ' && line->ptr[n] != '\t')
                n++;
        *word = slice_first(*line, n);
        *line = slice_after(*line, n);
        return n > 0;
}

void dns_base_parse(struct slice text, struct dns_base *out)
{
        struct slice line, key, word;
        struct ip_addr ip;

        *out = (struct dns_base){ 0 };
        while (slice_split(&text, '\n', &line)) {
                if (!take_word(&line, &key))
                        continue;
                bool is_search = slice_is(key, "search") || slice_is(key, "domain");
                if (is_search)
                        out->search_count = 0; /* the last line counts */
                while (is_search && take_word(&line, &word))
                        add_search(out, word);
                if (slice_is(key, "nameserver") && take_word(&line, &word) && ip_parse(word, &ip) == OK)
                        add_upstream(&out->servers, &ip, 53);
        }
}

static bool is_plain_domain(struct slice name)
{
        for (size_t i = 0; i < name.len; i++)
                if (name.ptr[i] <= ' ' || name.ptr[i] > '~')
                        return false;
        return name.len > 0 && name.len < DNS_NAME_MAX;
}

void dns_resolv_conf(const struct netmap *nm, const struct dns_base *base, const char *mark, struct buf *out)
{
        const struct tailcfg_dns_config *c = netmap_dns(nm);
        const char *lead = "search";

        buf_printf(out, "# %s (weftd); it comes back as it was when weftd ends\nnameserver 100.100.100.100\n", mark);
        for (size_t i = 0; c && i < c->domains.count; i++)
                if (is_plain_domain(c->domains.items[i])) {
                        buf_printf(out, "%s %.*s", lead, SLICE_ARGS(c->domains.items[i]));
                        lead = "";
                }
        for (size_t i = 0; i < base->search_count; i++) {
                buf_printf(out, "%s %s", lead, base->search[i]);
                lead = "";
        }
        if (!*lead)
                buf_append_byte(out, '\n');
}

bool dns_is_wanted(const struct netmap *nm)
{
        const struct tailcfg_dns_config *c = netmap_dns(nm);

        return c && (c->proxied || c->resolvers.count || c->routes.count || c->extra_records.count);
}

/* ---- names that we know ---- */

static struct slice without_dot(struct slice name)
{
        return slice_has_suffix(name, SLICE_LIT(".")) ? slice_first(name, name.len - 1) : name;
}

static bool is_name(struct slice name, const char *asked)
{
        return slice_equal_nocase(without_dot(name), slice_str(asked));
}

/* The number of labels of the suffix, if the name is it or lies below it; else 0. */
static size_t labels_matched(const char *name, struct slice suffix)
{
        struct slice s = slice_str(name);
        size_t labels = 1;

        suffix = without_dot(suffix);
        if (!suffix.len || s.len < suffix.len || !slice_equal_nocase(slice_after(s, s.len - suffix.len), suffix) ||
                (s.len > suffix.len && s.ptr[s.len - suffix.len - 1] != '.'))
                return 0;
        for (size_t i = 0; i < suffix.len; i++)
                labels += suffix.ptr[i] == '.';
        return labels;
}

enum { ADDRS_MAX = 16 };

struct found {
        struct ip_addr addrs[ADDRS_MAX];
        size_t count;
        bool exists; /* the name does, with other records maybe */
};

static void add_found(struct found *f, const struct ip_addr *ip, uint16_t type)
{
        bool fits = type == DNS_ANY || type == (ip->family == IP_V4 ? DNS_A : DNS_AAAA);

        f->exists = true;
        if (fits && f->count < ADDRS_MAX)
                f->addrs[f->count++] = *ip;
}

static bool has_v4(const struct tailcfg_node *n)
{
        for (size_t i = 0; i < n->addresses.count; i++)
                if (n->addresses.items[i].ip.family == IP_V4)
                        return true;
        return false;
}

/* A peer's IPv6 address is kept back where both sides have IPv4 (spec/node.md 5.1). */
static void find_node(const struct tailcfg_node *self, const struct tailcfg_node *n, uint16_t type, struct found *f)
{
        bool hide_v6 = n != self && has_v4(n) && has_v4(self) && !tailcfg_node_has_cap(self, SLICE_LIT("magicdns-aaaa"));

        f->exists = true;
        for (size_t i = 0; i < n->addresses.count; i++) {
                const struct ip_addr *ip = &n->addresses.items[i].ip;
                if (ip->family == IP_V4 || !hide_v6)
                        add_found(f, ip, type);
        }
}

static void find_host(const struct netmap *nm, const char *name, uint16_t type, struct found *f)
{
        const struct tailcfg_node *self = netmap_self(nm);
        const struct tailcfg_dns_config *c = netmap_dns(nm);
        struct ip_addr ip;

        *f = (struct found){ 0 };
        for (size_t i = 0; c->proxied && i <= netmap_peer_count(nm); i++) {
                const struct tailcfg_node *n = i ? netmap_peer_at(nm, i - 1) : self;
                if (is_name(n->name, name))
                        find_node(self, n, type, f);
        }
        for (size_t i = 0; i < c->extra_records.count; i++) {
                const struct tailcfg_dns_record *r = &c->extra_records.items[i];
                bool is_addr = !r->type.len || slice_is(r->type, "A") || slice_is(r->type, "AAAA");
                if (is_addr && is_name(r->name, name) && ip_parse(r->value, &ip) == OK)
                        add_found(f, &ip, type);
        }
}

/* ---- answering ---- */

void dns_refuse(struct slice query, const struct dns_query *q, enum dns_rcode rcode, struct buf *reply)
{
        if (dns_answer_write(query, q, &(struct dns_answer){ .rcode = rcode }, reply) != OK)
                buf_clear(reply);
}

static void answer(struct slice query, const struct dns_query *q, const struct dns_answer *a, struct buf *reply)
{
        if (dns_answer_write(query, q, a, reply) == OK)
                return;
        buf_clear(reply);
        dns_refuse(query, q, DNS_SERVFAIL, reply);
}

/* True if the answer is ours to give: names of the tailnet, names of its addresses. */
static bool resolve_here(const struct netmap *nm, struct slice query, const struct dns_query *q, const struct now *now,
        struct buf *reply)
{
        const struct tailcfg_dns_config *c = netmap_dns(nm);
        struct slice suffix = c->proxied ? netmap_magic_dns_suffix(nm) : (struct slice){ 0 };
        struct dns_answer a = { .zone = suffix, .serial = (uint32_t)(now->unix_us / 1000000) };
        struct found found;
        struct ip_addr ip;

        find_host(nm, q->name, q->type, &found);
        bool in_zone = labels_matched(q->name, suffix);
        if (labels_matched(q->name, SLICE_LIT("onion"))) {
                a.rcode = DNS_NXDOMAIN;
        } else if (c->proxied && dns_reverse_parse(q->name, &ip) == OK && ip_is_tailscale(&ip)) {
                const struct tailcfg_node *n = netmap_node_by_ip(nm, &ip);
                a.zone = slice_str(strchr(q->name, '.') + 1);
                if (!n)
                        a.rcode = DNS_NXDOMAIN;
                else if (q->type == DNS_PTR || q->type == DNS_ANY)
                        a.name = n->name;
        } else if (!found.exists && !in_zone) {
                return false;
        } else if (q->type == DNS_NS || q->type == DNS_SOA || q->type == DNS_AXFR || q->type == DNS_HINFO) {
                a.rcode = DNS_NOTIMP;
        } else if (!found.exists) {
                a.rcode = DNS_NXDOMAIN;
        } else {
                a.addrs = found.addrs;
                a.addr_count = found.count;
        }
        answer(query, q, &a, reply);
        return true;
}

/* ---- asking others ---- */

static void add_resolvers(struct dns_upstreams *out, const struct tailcfg_resolvers *list)
{
        struct ip_port at;
        struct ip_addr ip;

        for (size_t i = 0; i < list->count; i++) {
                struct slice addr = list->items[i].addr;
                if (ip_parse(addr, &ip) == OK)
                        add_upstream(out, &ip, 53);
                else if (ip_port_parse(addr, &at) == OK)
                        add_upstream(out, &at.ip, at.port);
        }
}

/* The longest suffix decides; a route without resolvers is for us to answer. True if there
 * was one. */
static bool find_route(const struct tailcfg_dns_config *c, const char *name, struct dns_upstreams *out)
{
        const struct tailcfg_dns_route *best = NULL;
        size_t most = 0;

        for (size_t i = 0; i < c->routes.count; i++) {
                size_t labels = labels_matched(name, c->routes.items[i].suffix);
                if (labels > most) {
                        most = labels;
                        best = &c->routes.items[i];
                }
        }
        if (best)
                add_resolvers(out, &best->resolvers);
        return best;
}

void dns_resolve(const struct netmap *nm, const struct dns_base *base, struct slice query, const struct dns_query *q,
        const struct now *now, struct buf *reply, struct dns_upstreams *out)
{
        const struct tailcfg_dns_config *c = netmap_dns(nm);

        out->count = 0;
        if (!c || !netmap_self(nm)) {
                dns_refuse(query, q, DNS_SERVFAIL, reply);
                return;
        }
        if (q->class == DNS_CLASS_IN && !q->is_odd && resolve_here(nm, query, q, now, reply))
                return;
        bool is_routed = find_route(c, q->name, out);
        if (is_routed && !out->count) {
                dns_refuse(query, q, DNS_NXDOMAIN, reply);
                return;
        }
        if (!out->count)
                add_resolvers(out, &c->resolvers);
        if (!out->count)
                *out = base->servers;
        if (!out->count)
                add_resolvers(out, &c->fallback_resolvers);
        if (!out->count)
                dns_refuse(query, q, DNS_SERVFAIL, reply);
}
