#include "world.h"

static const char *const user_names[WORLD_USERS] = { "ann@example.com", "bob@example.com", "eve@example.org",
        "kim@example.com" };
static const char *const host_prefixes[WORLD_HOSTS] = { "10.1.0.0/16", "100.64.0.3", "10.2.2.0/24",
        "fd7a:115c:a1e0::5" };
static const char *const route_prefixes[] = { "10.1.0.0/16", "10.2.0.0/16", "10.2.2.0/24", "0.0.0.0/0",
        "::/0", "100.64.0.0/30", "fd00:1::/64", "10.3.0.0/16" };
static const char *const tags[WORLD_TAGS] = { "tag:a", "tag:b", "tag:c", "tag:d" };

static unsigned below(struct rng *rng, unsigned n) { return (unsigned)rng_below(rng, n); }

/* ---- making ---------------------------------------------------------------------- */

static struct ip_prefix prefix(const char *text)
{
        struct ip_prefix p = { 0 };
        struct ip_addr a;

        if (ip_prefix_parse(slice_str(text), &p) != OK && ip_parse(slice_str(text), &a) == OK)
                p = ip_host_prefix(a);
        return p;
}

void world_make_node(struct world *w, unsigned place, struct rng *rng)
{
        struct world_node *n = &w->nodes[place];
        uint8_t v6[16] = { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0 };

        *n = (struct world_node){ .is_there = true };
        v6[15] = (uint8_t)(place + 1);
        n->n = (struct policy_node){ .id = place + 1, .ipv4 = ip_v4(100, 64, 0, (uint8_t)(place + 1)), .ipv6 = ip_v6(v6) };
        if (below(rng, 12) == 0)
                n->n.ipv4 = (struct ip_addr){ 0 };
        if (below(rng, 2)) {
                n->tags = 1u << below(rng, WORLD_TAGS) | 1u << below(rng, WORLD_TAGS);
                for (unsigned t = 0; t < WORLD_TAGS; t++)
                        if (n->tags >> t & 1)
                                n->tag_names[n->n.tag_count++] = slice_str(tags[t]);
        } else {
                n->user = below(rng, WORLD_USERS + 1);
        }
        n->n.user_id = n->user;
        for (unsigned r = below(rng, 3) ? 0 : below(rng, ROUTES_MAX + 1); r > 0; r--) {
                struct ip_prefix p =
                        prefix(route_prefixes[below(rng, sizeof(route_prefixes) / sizeof(*route_prefixes))]);
                bool again = false;
                for (size_t i = 0; i < n->n.route_count; i++)
                        again |= ip_prefix_equal(&n->routes[i], &p);
                if (again)
                        continue;
                n->routes[n->n.route_count++] = p;
                if (p.bits && below(rng, 3))
                        n->primary[n->n.primary_count++] = p;
        }
}

static struct token make_src(struct rng *rng, bool self)
{
        static const enum token_kind kinds[] = { TOKEN_USER, TOKEN_GROUP, TOKEN_MEMBER, TOKEN_DOMAIN, TOKEN_TAG,
                TOKEN_TAGGED, TOKEN_ANY, TOKEN_DANGER_ALL, TOKEN_HOST, TOKEN_TAG, TOKEN_USER };

        return (struct token){ .kind = kinds[below(rng, self ? 3 : sizeof(kinds) / sizeof(*kinds))],
                .index = below(rng, 12) };
}

static struct token make_dst(struct rng *rng)
{
        static const enum token_kind kinds[] = { TOKEN_USER, TOKEN_GROUP, TOKEN_MEMBER, TOKEN_TAG, TOKEN_TAG,
                TOKEN_TAGGED, TOKEN_ANY, TOKEN_HOST, TOKEN_HOST, TOKEN_SELF, TOKEN_INTERNET };
        struct token t = { .kind = kinds[below(rng, sizeof(kinds) / sizeof(*kinds))], .index = below(rng, 12) };

        t.last = 65535;
        if (below(rng, 3)) {
                t.first = (uint16_t)(1 + below(rng, 30));
                t.last = (uint16_t)(t.first + below(rng, 10));
        }
        return t;
}

static void make_rule(struct world_rule *r, bool may_via, struct rng *rng)
{
        static const int protos[] = { -1, -1, 6, 17, 132 };
        bool self = false, internet = false;

        *r = (struct world_rule){ .is_grant = below(rng, 2), .via = -1, .proto = protos[below(rng, 5)] };
        r->dst_count = 1 + below(rng, LIST_MAX);
        for (unsigned i = 0; i < r->dst_count; i++) {
                r->dst[i] = make_dst(rng);
                if (r->is_grant && i) { /* one port list for all of a grant */
                        r->dst[i].first = r->dst[0].first;
                        r->dst[i].last = r->dst[0].last;
                }
                self |= r->dst[i].kind == TOKEN_SELF;
                internet |= r->dst[i].kind == TOKEN_INTERNET;
        }
        r->src_count = 1 + below(rng, LIST_MAX);
        for (unsigned i = 0; i < r->src_count; i++)
                r->src[i] = make_src(rng, self);
        r->has_app = r->is_grant && !internet && below(rng, 2);
        if (may_via && r->is_grant && !r->has_app && below(rng, 2))
                r->via = (int)below(rng, WORLD_TAGS);
}

void world_make_rules(struct world *w, struct rng *rng)
{
        unsigned grants = 0;

        for (unsigned g = 0; g < WORLD_GROUPS; g++)
                w->groups[g] = below(rng, 1u << WORLD_USERS);
        w->has_rules = below(rng, 12) != 0;
        w->rule_count = w->has_rules ? below(rng, WORLD_RULES + 1) : 0;
        for (unsigned i = 0; i < w->rule_count; i++) {
                struct world_rule r;
                make_rule(&r, true, rng);
                if (r.is_grant) {
                        w->rules[i] = w->rules[grants];
                        w->rules[grants++] = r;
                } else {
                        w->rules[i] = r;
                }
        }
        w->ssh_count = below(rng, WORLD_SSH + 1);
        for (unsigned i = 0; i < w->ssh_count; i++) {
                w->ssh[i].is_check = below(rng, 2);
                w->ssh[i].is_self = below(rng, 2);
                w->ssh[i].has_localpart = below(rng, 2);
                w->ssh[i].tag = below(rng, WORLD_TAGS);
                w->ssh[i].src_count = 1 + below(rng, LIST_MAX);
                for (unsigned k = 0; k < w->ssh[i].src_count; k++)
                        w->ssh[i].src[k] = make_src(rng, true);
        }
        w->attr_tag = below(rng, WORLD_TAGS);
}

void world_add_rule(struct world *w, struct rng *rng)
{
        struct world_rule r;

        make_rule(&r, false, rng);
        if (r.is_grant) {
                memmove(w->rules + 1, w->rules, w->rule_count * sizeof(r));
                w->rules[0] = r;
        } else {
                w->rules[w->rule_count] = r;
        }
        w->rule_count++;
}

void world_make(struct world *w, struct rng *rng)
{
        memset(w, 0, sizeof(*w));
        for (unsigned u = 0; u < WORLD_USERS; u++)
                w->users[u] = (struct policy_user){ .id = u + 1,
                        .name = slice_first(slice_str(user_names[u]), 3),
                        .email = slice_str(user_names[u]),
                        .roles = u == 0 ? POLICY_OWNER | POLICY_ADMIN : 0u };
        for (unsigned i = 0; i < WORLD_NODES; i++) {
                world_make_node(w, i, rng);
                w->nodes[i].is_there = below(rng, 4) != 0;
        }
        world_make_rules(w, rng);
}

/* ---- writing --------------------------------------------------------------------- */

static void write_token(const struct token *t, struct buf *out)
{
        switch (t->kind) {
        case TOKEN_ANY:
                buf_append_str(out, "*");
                break;
        case TOKEN_USER:
                buf_append_str(out, user_names[t->index % WORLD_USERS]);
                break;
        case TOKEN_GROUP:
                buf_printf(out, "group:g%u", t->index % WORLD_GROUPS);
                break;
        case TOKEN_TAG:
                buf_append_str(out, tags[t->index % WORLD_TAGS]);
                break;
        case TOKEN_MEMBER:
                buf_append_str(out, "autogroup:member");
                break;
        case TOKEN_TAGGED:
                buf_append_str(out, "autogroup:tagged");
                break;
        case TOKEN_SELF:
                buf_append_str(out, "autogroup:self");
                break;
        case TOKEN_INTERNET:
                buf_append_str(out, "autogroup:internet");
                break;
        case TOKEN_DANGER_ALL:
                buf_append_str(out, "autogroup:danger-all");
                break;
        case TOKEN_HOST:
                buf_printf(out, "h%u", t->index % WORLD_HOSTS);
                break;
        case TOKEN_DOMAIN:
                buf_append_str(out, "user:*@example.com");
                break;
        }
}

static void write_list(const struct token *t, unsigned n, bool with_ports, struct buf *out)
{
        buf_append_byte(out, '[');
        for (unsigned i = 0; i < n; i++) {
                buf_append_str(out, i ? ",\"" : "\"");
                write_token(&t[i], out);
                if (with_ports && t[i].first == 0)
                        buf_append_str(out, ":*");
                else if (with_ports)
                        buf_printf(out, ":%u-%u", t[i].first, t[i].last);
                buf_append_byte(out, '"');
        }
        buf_append_byte(out, ']');
}

static const char *proto_name(int proto) { return proto == 6 ? "tcp" : proto == 17 ? "udp" : "sctp"; }

static void write_rule(const struct world_rule *r, struct buf *out)
{
        buf_append_str(out, r->is_grant ? "{\"src\":" : "{\"action\":\"accept\",\"src\":");
        write_list(r->src, r->src_count, false, out);
        buf_append_str(out, ",\"dst\":");
        write_list(r->dst, r->dst_count, !r->is_grant, out);
        if (!r->is_grant && r->proto >= 0)
                buf_printf(out, ",\"proto\":\"%s\"", proto_name(r->proto));
        if (r->is_grant) {
                buf_append_str(out, ",\"ip\":[\"");
                if (r->proto >= 0)
                        buf_printf(out, "%s:", proto_name(r->proto));
                if (r->dst[0].first == 0)
                        buf_append_str(out, "*\"]");
                else
                        buf_printf(out, "%u-%u\"]", r->dst[0].first, r->dst[0].last);
        }
        if (r->has_app)
                buf_append_str(out, ",\"app\":{\"tailscale.com/cap/drive\":[{\"x\":1}],\"example.com/y\":[]}");
        if (r->via >= 0)
                buf_printf(out, ",\"via\":[\"%s\"]", tags[r->via]);
        buf_append_byte(out, '}');
}

static void write_rules(const struct world *w, bool grants, struct buf *out)
{
        bool first = true;

        buf_printf(out, "\"%s\":[", grants ? "grants" : "acls");
        for (unsigned i = 0; i < w->rule_count; i++) {
                if (w->rules[i].is_grant != grants)
                        continue;
                buf_append_str(out, first ? "" : ",\n");
                write_rule(&w->rules[i], out);
                first = false;
        }
        buf_append_str(out, "],\n");
}

static void write_maps(const struct world *w, bool turned, struct buf *out)
{
        buf_append_str(out, "\"groups\":{");
        for (unsigned i = 0; i < WORLD_GROUPS; i++) {
                unsigned g = turned ? WORLD_GROUPS - 1 - i : i;
                buf_printf(out, "%s\"group:g%u\":[", i ? "," : "", g);
                bool first = true;
                for (unsigned u = 0; u < WORLD_USERS; u++) {
                        if (!(w->groups[g] >> u & 1))
                                continue;
                        buf_printf(out, "%s\"%s\"", first ? "" : ",", user_names[u]);
                        first = false;
                }
                buf_append_byte(out, ']');
        }
        buf_append_str(out, "},\n\"hosts\":{");
        for (unsigned i = 0; i < WORLD_HOSTS; i++) {
                unsigned h = turned ? WORLD_HOSTS - 1 - i : i;
                buf_printf(out, "%s\"h%u\":\"%s\"", i ? "," : "", h, host_prefixes[h]);
        }
        buf_append_str(out, "},\n\"tagOwners\":{");
        for (unsigned i = 0; i < WORLD_TAGS; i++)
                buf_printf(out, "%s\"%s\":[\"ann@example.com\"]", i ? "," : "",
                        tags[turned ? WORLD_TAGS - 1 - i : i]);
        buf_append_str(out, "},\n");
}

static void write_ssh(const struct world *w, struct buf *out)
{
        buf_append_str(out, "\"ssh\":[");
        for (unsigned i = 0; i < w->ssh_count; i++) {
                buf_printf(out, "%s{\"action\":\"%s\",\"src\":", i ? ",\n" : "",
                        w->ssh[i].is_check ? "check" : "accept");
                write_list(w->ssh[i].src, w->ssh[i].src_count, false, out);
                buf_printf(out, ",\"dst\":[\"%s\"],\"users\":[\"root\"%s]}",
                        w->ssh[i].is_self ? "autogroup:self" : tags[w->ssh[i].tag],
                        w->ssh[i].has_localpart ? ",\"localpart:*@example.com\"" : "");
        }
        buf_append_str(out, "],\n");
}

void world_write(const struct world *w, bool turned, struct buf *out)
{
        buf_append_str(out, "{");
        if (w->has_rules && turned)
                write_rules(w, false, out);
        write_maps(w, turned, out);
        if (w->has_rules) {
                write_rules(w, true, out);
                if (!turned)
                        write_rules(w, false, out);
        }
        write_ssh(w, out);
        buf_printf(out, "\"nodeAttrs\":[{\"target\":[\"%s\",\"group:g0\"],\"attr\":[\"x\"]}]}", tags[w->attr_tag]);
}

/* ---- the naive answer ---------------------------------------------------------------- */

static const struct world_node *holder(const struct world *w, const struct ip_addr *a)
{
        for (unsigned i = 0; i < WORLD_NODES; i++) {
                const struct world_node *n = &w->nodes[i];
                if (n->is_there && ip_valid(a) && (ip_equal(&n->n.ipv4, a) || ip_equal(&n->n.ipv6, a)))
                        return n;
        }
        return NULL;
}

static bool in_group(const struct world *w, const struct world_node *n, unsigned group)
{
        return n->user && (w->groups[group % WORLD_GROUPS] >> (n->user - 1) & 1);
}

/* Whether the token takes the node in. */
static bool names_node(const struct world *w, const struct token *t, const struct world_node *n)
{
        switch (t->kind) {
        case TOKEN_USER:
                return !n->tags && n->user == t->index % WORLD_USERS + 1;
        case TOKEN_GROUP:
                return !n->tags && in_group(w, n, t->index);
        case TOKEN_TAG:
                return n->tags >> t->index % WORLD_TAGS & 1;
        case TOKEN_MEMBER:
                return !n->tags;
        case TOKEN_TAGGED:
                return n->tags != 0;
        case TOKEN_DOMAIN:
                return !n->tags && n->user && n->user != 3;
        case TOKEN_ANY:
        case TOKEN_SELF:
        case TOKEN_INTERNET:
        case TOKEN_DANGER_ALL:
        case TOKEN_HOST:
                break;
        }
        return false;
}

static bool in_host(const struct token *t, const struct ip_addr *a)
{
        struct ip_prefix p = prefix(host_prefixes[t->index % WORLD_HOSTS]);

        return t->kind == TOKEN_HOST && ip_prefix_contains(&p, a);
}

static bool in_routes(const struct world_node *n, const struct ip_addr *a)
{
        for (size_t i = 0; i < n->n.route_count; i++)
                if (n->routes[i].bits && ip_prefix_contains(&n->routes[i], a))
                        return true;
        return false;
}

static bool is_src(const struct world *w, const struct token *t, const struct ip_addr *a)
{
        const struct world_node *n = holder(w, a);

        if (t->kind == TOKEN_DANGER_ALL || in_host(t, a) || (n && names_node(w, t, n)))
                return true;
        if (t->kind != TOKEN_ANY)
                return false;
        for (unsigned i = 0; i < WORLD_NODES; i++)
                if (w->nodes[i].is_there && in_routes(&w->nodes[i], a))
                        return true;
        return ip_is_tailscale(a);
}

/* The device of the node's user that has the address; among the sources of the rule,
 * a device counts whole when one of its addresses does. */
static bool is_own(const struct world *w, const struct world_rule *r, const struct world_node *node,
        const struct ip_addr *a, bool as_src)
{
        const struct world_node *n = holder(w, a);

        if (!n || !node->user || n->user != node->user || n->tags || node->tags)
                return false;
        for (unsigned i = 0; as_src && i < r->src_count; i++) {
                if ((ip_valid(&n->n.ipv4) && is_src(w, &r->src[i], &n->n.ipv4)) ||
                        is_src(w, &r->src[i], &n->n.ipv6))
                        return true;
        }
        return !as_src;
}

static bool rule_allows(const struct world *w, const struct world_rule *r, const struct world_node *node,
        const struct ip_addr *src, const struct ip_addr *dst)
{
        bool from = false;

        if (r->via >= 0 && !(node->tags >> r->via & 1))
                return false;
        for (unsigned i = 0; i < r->src_count; i++)
                from |= is_src(w, &r->src[i], src);
        for (unsigned i = 0; i < r->dst_count; i++) {
                const struct token *t = &r->dst[i];
                const struct world_node *n = holder(w, dst);
                if (r->via >= 0) {
                        /* Only what is written as addresses goes through others. */
                        bool reaches = false;
                        struct ip_prefix p = prefix(host_prefixes[t->index % WORLD_HOSTS]);
                        for (size_t k = 0; k < node->n.route_count; k++)
                                reaches |= node->routes[k].bits && ip_prefix_overlaps(&node->routes[k], &p);
                        if (from && reaches && in_host(t, dst))
                                return true;
                        reaches = false;
                        for (size_t k = 0; k < node->n.route_count; k++)
                                reaches |= node->routes[k].bits && ip_is_tailscale(&node->routes[k].ip) &&
                                           node->routes[k].ip.family == dst->family;
                        if (from && t->kind == TOKEN_ANY && reaches && ip_is_tailscale(dst))
                                return true;
                        continue;
                }
                if (t->kind == TOKEN_SELF && is_own(w, r, node, src, true) && is_own(w, r, node, dst, false))
                        return true;
                if (from && (t->kind == TOKEN_ANY || in_host(t, dst) || (n && names_node(w, t, n))))
                        return true;
        }
        return false;
}

/* Each destination of an acl has its own ports. */
static bool rule_allows_port(const struct world *w, const struct world_rule *r, const struct world_node *node,
        const struct ip_addr *src, const struct ip_addr *dst, uint16_t port)
{
        for (unsigned i = 0; i < r->dst_count; i++) {
                struct world_rule one = *r;
                one.dst[0] = r->dst[i];
                one.dst_count = 1;
                if (r->dst[i].first <= port && port <= r->dst[i].last && rule_allows(w, &one, node, src, dst))
                        return true;
        }
        return false;
}

bool world_allows(const struct world *w, unsigned node, const struct ip_addr *src, const struct ip_addr *dst,
        unsigned proto, uint16_t port)
{
        const struct world_node *n = &w->nodes[node];
        const struct token any = { .kind = TOKEN_ANY };

        if (!w->has_rules)
                return proto != 132 && is_src(w, &any, src);
        for (unsigned i = 0; i < w->rule_count; i++) {
                const struct world_rule *r = &w->rules[i];
                bool fits = r->proto < 0 ? proto != 132 : r->proto == (int)proto;
                if (fits && rule_allows_port(w, r, n, src, dst, port))
                        return true;
        }
        return false;
}
