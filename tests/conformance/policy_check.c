/* What the engine answers, beside what was captured. */
#include <stdio.h>

#include "canon.h"
#include "filter/filter.h"
#include "policy/ipset.h"
#include "policy_case.h"

struct check {
        struct policy_case *c;
        struct policy_state *st;
        struct arena *a;
        struct buf *why;
        bool ok;
};

static void differ(struct check *k, size_t node, const char *what, struct slice want, struct slice got)
{
        k->ok = false;
        buf_printf(k->why, "    %.*s: %s\n      want %.*s\n      got  %.*s\n",
                SLICE_ARGS(k->c->more[node].name), what, SLICE_ARGS(want), SLICE_ARGS(got));
}

static void same(struct check *k, size_t node, const char *what, struct slice want, struct slice got)
{
        if (!slice_equal(want, got))
                differ(k, node, what, want, got);
}

/* A rule as text in which only the addresses count, not how they are written. */
static void set_token(struct slice text, struct ipset *s, struct arena *a)
{
        struct tailcfg_match m;
        struct ip_prefix first, last;

        if (tailcfg_match_parse(text, &m) != OK)
                return;
        if (m.kind == TAILCFG_MATCH_PREFIX)
                ipset_add_prefix(s, a, &m.prefix);
        if (m.kind != TAILCFG_MATCH_RANGE)
                return;
        first = ip_host_prefix(m.first);
        last = ip_host_prefix(m.last);
        struct ip_range r = ip_range_of(&first);
        r.last = ip_range_of(&last).last;
        ipset_add(s, a, r);
}

static struct slice rules_as_sets(const struct tailcfg_filter_rules *rules, struct arena *a)
{
        struct buf out = BUF_INIT(1 << 24);

        for (size_t i = 0; i < rules->count; i++) {
                const struct tailcfg_filter_rule *r = &rules->items[i];
                struct ipset src = { 0 };
                for (size_t j = 0; j < r->src_ips.count; j++)
                        set_token(r->src_ips.items[j], &src, a);
                ipset_sort(&src);
                for (size_t j = 0; j < src.count; j++)
                        buf_printf(&out, "%.*s ", SLICE_ARGS(ip_range_text(&src.items[j], a)));
                for (uint32_t port = 0; port <= 65535; port++) {
                        struct ipset dst = { 0 };
                        for (size_t j = 0; j < r->dst_ports.count; j++)
                                if (r->dst_ports.items[j].ports.first == port)
                                        set_token(r->dst_ports.items[j].ip, &dst, a);
                        ipset_sort(&dst);
                        for (size_t j = 0; j < dst.count; j++)
                                buf_printf(&out, "-> %.*s:%u ", SLICE_ARGS(ip_range_text(&dst.items[j], a)),
                                        port);
                }
                buf_append_str(&out, "; ");
        }
        struct slice kept = arena_copy(a, buf_slice(&out));
        buf_fini(&out);
        return kept;
}

static void check_filter(struct check *k, size_t node, int64_t index)
{
        struct tailcfg_filter_rules rules, want;
        struct buf json = BUF_INIT(1 << 24);
        struct json_writer w;

        if (index < 0 || (size_t)index >= k->c->n_filters ||
                policy_state_filter(k->st, k->c->nodes[node].id, k->a, &rules) != OK) {
                differ(k, node, "filter", SLICE_LIT(""), SLICE_LIT("out of memory"));
                return;
        }
        json_writer_init(&w, &json, NULL);
        tailcfg_filter_rules_write(&w, &rules);
        if (!k->c->sets)
                same(k, node, "filter", canon_text(k->c->filters[index], k->a),
                        canon_text(buf_slice(&json), k->a));
        else if (tailcfg_filter_rules_decode(k->c->filters[index], k->a, &want) == OK)
                same(k, node, "filter", rules_as_sets(&want, k->a), rules_as_sets(&rules, k->a));
        buf_fini(&json);
}

static void put_prefixes(struct buf *out, const struct ip_prefix *p, size_t n)
{
        char text[IP_TEXT_MAX];

        buf_append_byte(out, '[');
        for (size_t i = 0; i < n; i++) {
                ip_prefix_format(&p[i], text);
                buf_printf(out, "%s\"%s\"", i ? "," : "", text);
        }
        buf_append_byte(out, ']');
}

/* Lists of prefixes in the order of their text, as the corpus has them. */
static struct slice sorted_list(struct slice json, struct arena *a)
{
        struct buf wrapped = BUF_INIT(1 << 20);

        buf_append_str(&wrapped, "{\"Dsts\":");
        buf_append_slice(&wrapped, json);
        buf_append_byte(&wrapped, '}');
        struct slice s = canon_text(arena_copy(a, buf_slice(&wrapped)), a);
        buf_fini(&wrapped);
        return s;
}

static struct slice peers_canon(struct slice json, struct arena *a)
{
        struct json_reader r;
        struct slice name;
        struct buf out = BUF_INIT(1 << 20);

        json_reader_init(&r, json, a);
        json_object_begin(&r);
        buf_append_byte(&out, '{');
        for (bool first = true; json_member(&r, &name); first = false) {
                struct slice list = sorted_list(json_raw(&r), a);
                buf_printf(&out, "%s\"%.*s\":%.*s", first ? "" : ",", SLICE_ARGS(name), SLICE_ARGS(list));
        }
        buf_append_byte(&out, '}');
        struct slice s = canon_text(arena_copy(a, buf_slice(&out)), a);
        buf_fini(&out);
        return s;
}

static void check_peers(struct check *k, size_t node, struct slice want)
{
        struct buf got = BUF_INIT(1 << 20);
        bool first = true;

        buf_append_byte(&got, '{');
        for (size_t i = 0; i < k->c->n_nodes; i++) {
                struct tailcfg_prefixes routes;
                if (!policy_state_sees(k->st, k->c->nodes[node].id, k->c->nodes[i].id) ||
                        policy_state_routes(k->st, k->c->nodes[node].id, k->c->nodes[i].id, k->a, &routes) !=
                                OK)
                        continue;
                buf_printf(&got, "%s\"%.*s\":", first ? "" : ",", SLICE_ARGS(k->c->more[i].name));
                put_prefixes(&got, routes.items, routes.count);
                first = false;
        }
        buf_append_byte(&got, '}');
        same(k, node, "peers", peers_canon(want, k->a), peers_canon(arena_copy(k->a, buf_slice(&got)), k->a));
        buf_fini(&got);
}

static void check_ssh(struct check *k, size_t node, struct slice want)
{
        struct buf json = BUF_INIT(1 << 20), expected = BUF_INIT(1 << 20);
        struct json_writer w;

        json_writer_init(&w, &json, NULL);
        policy_state_write_ssh(k->st, k->c->nodes[node].id, SLICE_LIT("https://unused"), &w);
        buf_printf(&expected, "{\"rules\":%.*s}", SLICE_ARGS(want));
        same(k, node, "ssh", canon_text(buf_slice(&expected), k->a), canon_text(buf_slice(&json), k->a));
        buf_fini(&json);
        buf_fini(&expected);
}

/* ---- attributes ------------------------------------------------------------------- */

/* What the corpus says to leave out of the comparison. */
static bool is_left_out(struct slice name)
{
        static const char *const names[] = { "is-admin", "is-owner", "tailnet-lock", "warn-funnel-no-https",
                "max-key-duration" };
        static const char *const plain[] = { "service-host", "store-appc-routes", "tailnet-display-name",
                "native-ipv4", "probe-udp-lifetime", "ssh-behavior-v1", "ssh-env-vars" };
        static const struct slice cap = SLICE_LIT("https://tailscale.com/cap/");

        for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
                if (slice_is(name, plain[i]))
                        return true;
        if (!slice_has_prefix(name, cap))
                return false;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (slice_is(slice_after(name, cap.len), names[i]))
                        return true;
        return slice_has_prefix(slice_after(name, cap.len), SLICE_LIT("funnel-ports?"));
}

static struct slice without_left_out(struct slice json, struct arena *a)
{
        struct json_reader r;
        struct slice name;
        struct buf out = BUF_INIT(1 << 20);
        bool first = true;

        json_reader_init(&r, json, a);
        json_object_begin(&r);
        buf_append_byte(&out, '{');
        while (json_member(&r, &name)) {
                struct slice raw = json_raw(&r);
                if (is_left_out(name))
                        continue;
                buf_printf(&out, "%s\"%.*s\":%.*s", first ? "" : ",", SLICE_ARGS(name), SLICE_ARGS(raw));
                first = false;
        }
        buf_append_byte(&out, '}');
        struct slice s = canon_text(arena_copy(a, buf_slice(&out)), a);
        buf_fini(&out);
        return s;
}

static void check_self_caps(struct check *k, size_t node, struct slice want)
{
        struct tailcfg_strings attrs;
        struct buf got = BUF_INIT(1 << 20);

        if (policy_state_attrs(k->st, k->c->nodes[node].id, k->a, &attrs) != OK)
                return;
        /* The baseline is the server's, not the policy's. */
        buf_printf(&got,
                "{\"https://tailscale.com/cap/ssh\":null,\"https://tailscale.com/cap/file-sharing\":null,"
                "\"default-auto-update\":[%s]",
                k->c->auto_updates ? "true" : "false");
        for (size_t i = 0; i < attrs.count; i++)
                buf_printf(&got, ",\"%.*s\":null", SLICE_ARGS(attrs.items[i]));
        buf_append_byte(&got, '}');
        same(k, node, "self_caps", without_left_out(want, k->a),
                without_left_out(arena_copy(k->a, buf_slice(&got)), k->a));
        buf_fini(&got);
}

static bool is_exit(const struct policy_node *n)
{
        for (size_t i = 0; i < n->route_count; i++)
                if (n->routes[i].bits == 0)
                        return true;
        return false;
}

static void check_peer_caps(struct check *k, size_t node, struct slice want)
{
        struct buf got = BUF_INIT(1 << 20);
        bool first = true;

        buf_append_byte(&got, '{');
        for (size_t i = 0; i < k->c->n_nodes; i++) {
                if (!policy_state_sees(k->st, k->c->nodes[node].id, k->c->nodes[i].id) ||
                        !is_exit(&k->c->nodes[i]))
                        continue;
                buf_printf(&got, "%s\"%.*s\":{\"suggest-exit-node\":null}", first ? "" : ",",
                        SLICE_ARGS(k->c->more[i].name));
                first = false;
        }
        buf_append_byte(&got, '}');
        same(k, node, "peer_caps", canon_text(want, k->a), canon_text(buf_slice(&got), k->a));
        buf_fini(&got);
}

static bool has_attr(struct check *k, size_t node, const char *name)
{
        struct tailcfg_strings attrs;

        if (policy_state_attrs(k->st, k->c->nodes[node].id, k->a, &attrs) != OK)
                return false;
        for (size_t i = 0; i < attrs.count; i++)
                if (slice_is(attrs.items[i], name))
                        return true;
        return false;
}

static struct slice addresses(struct check *k, size_t viewer, size_t node)
{
        struct ip_prefix own[2] = { ip_host_prefix(k->c->nodes[node].ipv4),
                ip_host_prefix(k->c->nodes[node].ipv6) };
        bool no_v4 = has_attr(k, node, "disable-ipv4") || has_attr(k, viewer, "disable-ipv4");
        struct buf out = BUF_INIT(4096);

        put_prefixes(&out, own + no_v4, 2u - no_v4);
        struct slice s = arena_copy(k->a, buf_slice(&out));
        buf_fini(&out);
        return s;
}

static void check_peer_addresses(struct check *k, size_t node, struct slice want)
{
        struct json_reader r;
        struct slice name;

        json_reader_init(&r, want, k->a);
        json_object_begin(&r);
        while (json_member(&r, &name)) {
                struct slice list = canon_text(json_raw(&r), k->a);
                for (size_t i = 0; i < k->c->n_nodes; i++)
                        if (slice_equal(k->c->more[i].name, name))
                                same(k, node, "peer_addresses", list,
                                        canon_text(addresses(k, node, i), k->a));
        }
}

/* ---- capabilities, as the node looks them up ----------------------------------------- */

struct cap_list {
        struct buf json;
        bool any;
};

static void visit_cap(void *ctx, struct slice name, const struct slice *values, size_t count)
{
        struct cap_list *l = ctx;

        buf_printf(&l->json, "%s\"%.*s\":[", l->any ? "," : "", SLICE_ARGS(name));
        for (size_t i = 0; i < count; i++)
                buf_printf(&l->json, "%s%.*s", i ? "," : "", SLICE_ARGS(values[i]));
        buf_append_byte(&l->json, ']');
        l->any = true;
}

/* The same name twice becomes one with the values of both. */
static struct slice merge_caps(struct slice json, struct arena *a)
{
        struct json_reader r;
        struct slice name, names[64], values[64];
        size_t n = 0;
        struct buf out = BUF_INIT(1 << 20);

        json_reader_init(&r, json, a);
        json_object_begin(&r);
        while (json_member(&r, &name) && n < 64) {
                struct slice raw = json_raw(&r), inner = slice_make(raw.ptr + 1, raw.len - 2);
                size_t i = 0;
                while (i < n && !slice_equal(names[i], name))
                        i++;
                const char *sep = i < n && values[i].len && inner.len ? "," : "";
                values[i] = slice_str(arena_printf(a, "%.*s%s%.*s", i < n ? (int)values[i].len : 0,
                        i < n ? (const char *)values[i].ptr : "", sep, SLICE_ARGS(inner)));
                names[i] = name;
                n += i == n;
        }
        buf_append_byte(&out, '{');
        for (size_t i = 0; i < n; i++)
                buf_printf(
                        &out, "%s\"%.*s\":[%.*s]", i ? "," : "", SLICE_ARGS(names[i]), SLICE_ARGS(values[i]));
        buf_append_byte(&out, '}');
        struct slice s = canon_text(arena_copy(a, buf_slice(&out)), a);
        buf_fini(&out);
        return s;
}

static struct slice caps_between(
        const struct filter *f, const struct ip_addr *src, const struct ip_addr *dst, struct arena *a)
{
        struct cap_list l = { .json = BUF_INIT(1 << 20) };

        buf_append_byte(&l.json, '{');
        filter_caps(f, src, dst, visit_cap, &l);
        buf_append_byte(&l.json, '}');
        struct slice s = merge_caps(arena_copy(a, buf_slice(&l.json)), a);
        buf_fini(&l.json);
        return s;
}

static void put_cap(struct buf *out, bool *first, struct slice key, struct slice caps)
{
        if (slice_is(caps, "{}"))
                return;
        buf_printf(out, "%s\"%.*s\":%.*s", *first ? "" : ",", SLICE_ARGS(key), SLICE_ARGS(caps));
        *first = false;
}

static void check_whois(struct check *k, size_t node, struct slice want)
{
        struct tailcfg_filter_rules rules;
        const struct policy_node *own = &k->c->nodes[node];
        struct ip_prefix local[] = { ip_host_prefix(own->ipv4), ip_host_prefix(own->ipv6) };
        struct buf got = BUF_INIT(1 << 20);
        bool first = true;

        if (policy_state_filter(k->st, k->c->nodes[node].id, k->a, &rules) != OK)
                return;
        struct filter *f = filter_new(&(struct filter_options){
                .rules = rules.items, .rule_count = rules.count, .local = local, .local_count = 2 });
        buf_append_byte(&got, '{');
        for (size_t i = 0; f && i < k->c->n_nodes; i++) {
                const struct policy_node *peer = &k->c->nodes[i];
                char text[IP_TEXT_MAX];
                if (!policy_state_sees(k->st, k->c->nodes[node].id, k->c->nodes[i].id))
                        continue;
                struct slice v4 = caps_between(f, &peer->ipv4, &own->ipv4, k->a),
                             v6 = caps_between(f, &peer->ipv6, &own->ipv6, k->a);
                if (slice_equal(v4, v6)) {
                        put_cap(&got, &first, k->c->more[i].name, v4);
                        continue;
                }
                put_cap(&got, &first, slice_make(text, ip_format(&peer->ipv4, text)), v4);
                put_cap(&got, &first, slice_make(text, ip_format(&peer->ipv6, text)), v6);
        }
        buf_append_byte(&got, '}');
        filter_free(f);
        same(k, node, "whois_caps", canon_text(want, k->a), canon_text(buf_slice(&got), k->a));
        buf_fini(&got);
}

/* ---- a case ------------------------------------------------------------------------------ */

static void check_node(struct check *k, size_t node)
{
        const struct case_node *n = &k->c->more[node];
        struct json_reader r;
        struct slice name, routes = SLICE_LIT("[]"), primary = SLICE_LIT("[]");
        bool has_peers = false;
        struct buf list = BUF_INIT(1 << 16);

        json_reader_init(&r, k->c->expect[node], k->a);
        json_object_begin(&r);
        while (json_member(&r, &name)) {
                if (slice_is(name, "filter")) {
                        check_filter(k, node, json_i64(&r));
                        continue;
                }
                struct slice raw = json_raw(&r);
                if (slice_is(name, "peers")) {
                        has_peers = true;
                        check_peers(k, node, raw);
                } else if (slice_is(name, "self_routes"))
                        routes = raw;
                else if (slice_is(name, "self_primary"))
                        primary = raw;
                else if (slice_is(name, "self_addresses"))
                        same(k, node, "self_addresses", canon_text(raw, k->a),
                                canon_text(addresses(k, node, node), k->a));
                else if (slice_is(name, "peer_addresses"))
                        check_peer_addresses(k, node, raw);
                else if (slice_is(name, "ssh"))
                        check_ssh(k, node, raw);
                else if (slice_is(name, "self_caps"))
                        check_self_caps(k, node, raw);
                else if (slice_is(name, "peer_caps"))
                        check_peer_caps(k, node, raw);
                else if (slice_is(name, "whois_caps"))
                        check_whois(k, node, raw);
        }
        if (has_peers) {
                put_prefixes(&list, n->approved, n->n_approved);
                same(k, node, "self_routes", sorted_list(routes, k->a),
                        sorted_list(arena_copy(k->a, buf_slice(&list)), k->a));
                buf_clear(&list);
                put_prefixes(&list, n->primary, n->n_primary);
                same(k, node, "self_primary", sorted_list(primary, k->a),
                        sorted_list(arena_copy(k->a, buf_slice(&list)), k->a));
        }
        buf_fini(&list);
}

static void check_approval(struct check *k, size_t node)
{
        const struct case_node *n = &k->c->more[node];
        char text[IP_TEXT_MAX];

        for (size_t i = 0; i < n->n_advertised; i++) {
                bool approved = false,
                     may = policy_state_may_approve(k->st, k->c->nodes[node].id, &n->advertised[i]);
                for (size_t j = 0; j < n->n_approved; j++)
                        approved |= ip_prefix_equal(&n->approved[j], &n->advertised[i]);
                ip_prefix_format(&n->advertised[i], text);
                if (approved != may)
                        differ(k, node, text, approved ? SLICE_LIT("approved") : SLICE_LIT("not approved"),
                                may ? SLICE_LIT("approved") : SLICE_LIT("not approved"));
        }
}

static bool contains(struct slice text, struct slice part)
{
        return part.len == 0 || memmem(text.ptr, text.len, part.ptr, part.len) != NULL;
}

static bool check_rejected(struct policy_case *c, const struct policy_errors *errors, struct buf *why)
{
        struct buf text = BUF_INIT(1 << 20);

        policy_errors_write(errors, &text);
        bool ok = slice_is(c->result, "reject") &&
                  (slice_is(c->error_match, "any") || contains(buf_slice(&text), c->error));
        if (!ok)
                buf_printf(why, "    want %.*s %.*s\n    got  reject %.*s\n", SLICE_ARGS(c->result),
                        SLICE_ARGS(c->error), SLICE_ARGS(buf_slice(&text)));
        buf_fini(&text);
        return ok;
}

/* The state of the case; NULL with errors if its policy is not taken. */
static struct policy_state *make_state(struct policy_case *c, struct policy_errors *errors)
{
        struct policy_settings settings = { SLICE_LIT("example.com"), c->users, c->n_users };
        struct policy *p = policy_parse(c->policy, &settings, errors);
        struct policy_state *st = p ? policy_state_new() : NULL;
        bool ok = st && policy_state_set_users(st, c->users, c->n_users, errors) == OK &&
                  policy_state_set_policy(st, p, errors) == OK;

        if (!ok) {
                policy_free(p);
                policy_state_free(st);
                return NULL;
        }
        for (size_t i = 0; i < c->n_nodes; i++)
                ok &= policy_state_set_node(st, &c->nodes[i]) == OK;
        if (ok && policy_state_test(st, errors) == OK)
                return st;
        policy_state_free(st);
        return NULL;
}

bool case_run(struct policy_case *c, struct buf *why)
{
        struct check k = { .c = c, .a = &c->arena, .why = why, .ok = true };
        struct policy_errors errors;

        policy_errors_init(&errors);
        k.st = make_state(c, &errors);
        if (!k.st) {
                k.ok = check_rejected(c, &errors, why);
        } else if (!slice_is(c->result, "accept")) {
                buf_printf(why, "    want reject %.*s\n    got  accept\n", SLICE_ARGS(c->error));
                k.ok = false;
        } else {
                for (size_t i = 0; i < c->n_nodes; i++) {
                        if (c->expect[i].len)
                                check_node(&k, i);
                        check_approval(&k, i);
                }
        }
        policy_state_free(k.st);
        policy_errors_fini(&errors);
        return k.ok;
}
