/* Groups, hosts, tag owners, approvers and node attributes (spec/policy.md 6.3-6.5). */
#include "base/table.h"
#include "policy_internal.h"

static bool is_letter(uint8_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* A map from names to lists of strings. */
static void parse_named(
        struct parser *ps, struct vec *out, const char *what, const char *value_what, bool null_is_error)
{
        struct table seen = TABLE_INIT(0);
        struct slice name;

        if (!parse_want(ps, JSON_OBJECT, what))
                return;
        json_object_begin(&ps->r);
        while (json_member(&ps->r, &name)) {
                void *old = NULL;
                size_t pos = parse_pos(ps);
                struct named *n = VEC_PUSH(out, ps->a, struct named);
                if (!n)
                        break;
                *n = (struct named){ .name = name, .pos = pos };
                if (table_put(&seen, name, ps, &old) == OK && old)
                        policy_error_add(
                                ps->errors, pos, "duplicate object member name \"%.*s\"", SLICE_ARGS(name));
                if (null_is_error && json_peek(&ps->r) == JSON_NULL)
                        policy_error_add(ps->errors, pos, "%s", value_what);
                struct vec members = { 0 };
                parse_texts(ps, &members, value_what);
                n->members = members;
        }
        table_fini(&seen);
}

static const struct text *nested_member(const struct named *group)
{
        VEC_EACH(struct text, m, &group->members)
                if (slice_has_prefix(m->s, SLICE_LIT("group:")))
                        return m;
        return NULL;
}

/* The official service looks at groups from the last name to the first and reports
 * the first group it finds inside another. */
static void check_nesting(struct parser *ps, const struct vec *groups)
{
        const struct named *last = NULL;
        const struct text *inside = NULL;

        VEC_EACH(struct named, g, groups)
        {
                const struct text *m = nested_member(g);
                if (m && (!last || slice_compare(g->name, last->name) > 0)) {
                        last = g;
                        inside = m;
                }
        }
        if (last)
                policy_error_add(ps->errors, inside->pos,
                        "groups[\"%.*s\"]: \"%.*s\": group members cannot be recursive",
                        SLICE_ARGS(last->name), SLICE_ARGS(inside->s));
}

void parse_groups(struct parser *ps)
{
        bool nested = false;

        parse_named(ps, &ps->p->groups, "groups must be an object", "group value must be an array of users",
                true);
        VEC_EACH(struct named, g, &ps->p->groups)
        {
                if (!slice_has_prefix(g->name, SLICE_LIT("group:")))
                        policy_error_add(ps->errors, g->pos, "group must start with 'group:', got: \"%.*s\"",
                                SLICE_ARGS(g->name));
                VEC_EACH(struct text, m, &g->members)
                {
                        if (slice_has_prefix(m->s, SLICE_LIT("group:")))
                                nested = true;
                        else if (slice_find(m->s, '@') == m->s.len)
                                policy_error_add(ps->errors, m->pos, "username must contain @, got: \"%.*s\"",
                                        SLICE_ARGS(m->s));
                }
        }
        if (nested)
                check_nesting(ps, &ps->p->groups);
}

static bool parse_host_value(struct slice text, struct ip_prefix *out)
{
        struct ip_addr ip;

        if (ip_parse(text, &ip) == OK) {
                *out = ip_host_prefix(ip);
                return true;
        }
        if (ip_prefix_parse(text, out) != OK)
                return false;
        *out = ip_prefix_masked(*out);
        return true;
}

void parse_hosts(struct parser *ps)
{
        struct slice name;
        struct table seen = TABLE_INIT(0);

        if (!parse_want(ps, JSON_OBJECT, "hosts must be an object"))
                return;
        json_object_begin(&ps->r);
        while (json_member(&ps->r, &name)) {
                void *old = NULL;
                struct text t = parse_text(ps, "a host must be an address or a prefix");
                struct host *h = VEC_PUSH(&ps->p->hosts, ps->a, struct host);
                if (!h)
                        break;
                *h = (struct host){ .name = name, .pos = t.pos };
                if (table_put(&seen, name, ps, &old) == OK && old)
                        policy_error_add(
                                ps->errors, t.pos, "duplicate object member name \"%.*s\"", SLICE_ARGS(name));
                if (slice_find(name, ':') < name.len || slice_find(name, '@') < name.len || name.len == 0)
                        policy_error_add(ps->errors, t.pos, "invalid hostname: \"%.*s\"", SLICE_ARGS(name));
                if (!parse_host_value(t.s, &h->prefix))
                        policy_error_add(ps->errors, t.pos,
                                "hostname contains invalid IP address: hostname \"%.*s\" address \"%.*s\"",
                                SLICE_ARGS(name), SLICE_ARGS(t.s));
        }
        table_fini(&seen);
}

void parse_tag_owners(struct parser *ps)
{
        parse_named(ps, &ps->p->tag_owners, "tagOwners must be an object",
                "tag owners must be a list of strings", false);
        VEC_EACH(struct named, t, &ps->p->tag_owners)
        {
                if (!slice_has_prefix(t->name, SLICE_LIT("tag:")))
                        policy_error_add(ps->errors, t->pos, "tag must start with 'tag:', got: \"%.*s\"",
                                SLICE_ARGS(t->name));
                else if (t->name.len < 5 || !is_letter(t->name.ptr[4]))
                        policy_error_add(ps->errors, t->pos,
                                "tagOwners[\"%.*s\"]: tag names must start with a letter, after 'tag:'",
                                SLICE_ARGS(t->name));
        }
}

static void parse_approve_routes(struct parser *ps)
{
        struct vec *routes = &ps->p->approve_routes;

        parse_named(ps, routes, "autoApprovers.routes must be an object",
                "approvers must be a list of strings", false);
        for (size_t i = 0; i < routes->count; i++) {
                struct named *n = &((struct named *)routes->items)[i];
                if (ip_prefix_parse(n->name, &n->prefix) != OK)
                        policy_error_add(ps->errors, n->pos,
                                "autoApprovers.routes: \"%.*s\" is not a prefix such as 10.0.0.0/8",
                                SLICE_ARGS(n->name));
                else
                        n->prefix = ip_prefix_masked(n->prefix);
        }
}

void parse_auto_approvers(struct parser *ps)
{
        static const char *const names[] = { "routes", "exitNode", NULL };
        uint32_t seen = 0;
        int i;

        if (!parse_want(ps, JSON_OBJECT, "autoApprovers must be an object"))
                return;
        json_object_begin(&ps->r);
        while ((i = parse_member(ps, names, &seen, false)) >= 0) {
                if (i == 0)
                        parse_approve_routes(ps);
                else
                        parse_texts(ps, &ps->p->approve_exit, "exitNode must be a list of strings");
        }
}

/* Accepted, and of no effect: addresses are given out by the server's prefixes. */
static void parse_ip_pool(struct parser *ps)
{
        struct vec texts = { 0 };
        struct ip_prefix cgnat = { ip_v4(100, 64, 0, 0), 10 };
        struct ip_prefix reserved[] = { { ip_v4(100, 100, 100, 0), 24 }, { ip_v4(100, 115, 92, 0), 23 } };

        parse_texts(ps, &texts, "ipPool must be a list of strings");
        VEC_EACH(struct text, t, &texts)
        {
                struct ip_prefix p;
                if (ip_prefix_parse(t->s, &p) != OK)
                        policy_error_add(ps->errors, t->pos, "\"%.*s\": invalid address", SLICE_ARGS(t->s));
                else if (p.bits < cgnat.bits || !ip_prefix_overlaps(&p, &cgnat) ||
                         ip_prefix_overlaps(&p, &reserved[0]) || ip_prefix_overlaps(&p, &reserved[1]))
                        policy_error_add(ps->errors, t->pos, "IPPool(%.*s): network within reserved range",
                                SLICE_ARGS(t->s));
        }
}

void parse_node_attrs(struct parser *ps)
{
        static const char *const names[] = { "target", "attr", "ipPool", NULL };

        if (!parse_want(ps, JSON_ARRAY, "nodeAttrs must be a list"))
                return;
        json_array_begin(&ps->r);
        while (json_element(&ps->r)) {
                struct node_attr entry = { 0 };
                uint32_t seen = 0;
                int i;
                if (!parse_want(ps, JSON_OBJECT, "an entry of nodeAttrs must be an object"))
                        continue;
                json_object_begin(&ps->r);
                while ((i = parse_member(ps, names, &seen, false)) >= 0) {
                        if (i == 0)
                                parse_aliases(ps, &entry.target);
                        else if (i == 1)
                                parse_texts(ps, &entry.attr, "attr must be a list of strings");
                        else
                                parse_ip_pool(ps);
                }
                struct node_attr *added = VEC_PUSH(&ps->p->node_attrs, ps->a, struct node_attr);
                if (added)
                        *added = entry;
        }
}
