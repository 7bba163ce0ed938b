#include "policy_case.h"

static void parse_user(struct json_reader *r, struct policy_user *u)
{
        struct slice name;

        json_object_begin(r);
        while (json_member(r, &name)) {
                if (slice_is(name, "id"))
                        u->id = json_i64(r);
                else if (slice_is(name, "name"))
                        u->name = json_string(r);
                else if (slice_is(name, "email"))
                        u->email = json_string(r);
                else
                        json_skip(r);
        }
        /* The roles of the captured tailnet (corpus README). */
        u->roles = slice_is(u->name, "odin") ? POLICY_OWNER | POLICY_ADMIN : POLICY_ADMIN;
}

static size_t parse_prefixes(struct json_reader *r, struct ip_prefix *out)
{
        size_t n = 0;

        json_array_begin(r);
        while (json_element(r)) {
                if (n == CASE_LIST_MAX || ip_prefix_parse(json_string(r), &out[n++]) != OK)
                        json_fail(r, ERR_FORMAT, "a prefix was expected");
        }
        return n;
}

static void parse_node(struct json_reader *r, struct policy_node *n, struct case_node *more)
{
        struct slice name;

        json_object_begin(r);
        while (json_member(r, &name)) {
                if (slice_is(name, "id"))
                        n->id = json_i64(r);
                else if (slice_is(name, "name"))
                        more->name = json_string(r);
                else if (slice_is(name, "user"))
                        more->user = json_string(r);
                else if (slice_is(name, "ipv4") || slice_is(name, "ipv6")) {
                        if (ip_parse(json_string(r), slice_is(name, "ipv4") ? &n->ipv4 : &n->ipv6) != OK)
                                json_fail(r, ERR_FORMAT, "an address was expected");
                } else if (slice_is(name, "advertised"))
                        more->n_advertised = parse_prefixes(r, more->advertised);
                else if (slice_is(name, "approved"))
                        more->n_approved = parse_prefixes(r, more->approved);
                else if (slice_is(name, "tags")) {
                        json_array_begin(r);
                        while (json_element(r) && n->tag_count < CASE_LIST_MAX)
                                more->tags[n->tag_count++] = json_string(r);
                } else
                        json_skip(r);
        }
        n->tags = more->tags;
        n->routes = more->approved;
        n->route_count = more->n_approved;
        n->primary = more->primary;
}

/* The lowest id that serves a route is its primary; all nodes are up. */
static void elect(struct policy_case *c)
{
        for (size_t i = 0; i < c->n_nodes; i++) {
                struct case_node *n = &c->more[i];
                for (size_t r = 0; r < n->n_approved; r++) {
                        bool taken = n->approved[r].bits == 0;
                        for (size_t j = 0; j < i; j++)
                                for (size_t k = 0; k < c->more[j].n_approved; k++)
                                        taken |= ip_prefix_equal(&c->more[j].approved[k], &n->approved[r]);
                        if (!taken)
                                n->primary[n->n_primary++] = n->approved[r];
                }
                c->nodes[i].primary_count = n->n_primary;
                for (size_t u = 0; u < c->n_users; u++)
                        if (n->user.len && slice_equal(n->user, c->users[u].name))
                                c->nodes[i].user_id = c->users[u].id;
        }
}

static void parse_expect(struct json_reader *r, struct policy_case *c)
{
        struct slice name, node;

        json_object_begin(r);
        while (json_member(r, &name)) {
                if (slice_is(name, "result"))
                        c->result = json_string(r);
                else if (slice_is(name, "error"))
                        c->error = json_string(r);
                else if (slice_is(name, "error_match"))
                        c->error_match = json_string(r);
                else if (slice_is(name, "filters")) {
                        json_array_begin(r);
                        while (json_element(r) && c->n_filters < CASE_LIST_MAX)
                                c->filters[c->n_filters++] = json_raw(r);
                } else if (slice_is(name, "nodes")) {
                        json_object_begin(r);
                        while (json_member(r, &node)) {
                                struct slice raw = json_raw(r);
                                for (size_t i = 0; i < c->n_nodes; i++)
                                        if (slice_equal(c->more[i].name, node))
                                                c->expect[i] = raw;
                        }
                } else
                        json_skip(r);
        }
}

static void parse_settings(struct json_reader *r, struct policy_case *c)
{
        struct slice name;

        json_object_begin(r);
        while (json_member(r, &name)) {
                if (slice_is(name, "devices_auto_updates_on"))
                        c->auto_updates = json_bool(r);
                else
                        json_skip(r);
        }
}

enum err case_parse(struct slice line, struct policy_case *c)
{
        struct json_reader r;
        struct slice name;

        json_reader_init(&r, line, &c->arena);
        json_object_begin(&r);
        while (json_member(&r, &name)) {
                if (slice_is(name, "id"))
                        c->id = json_string(&r);
                else if (slice_is(name, "category"))
                        c->category = json_string(&r);
                else if (slice_is(name, "policy"))
                        c->policy = json_string(&r);
                else if (slice_is(name, "compare"))
                        c->sets = slice_is(json_string(&r), "set");
                else if (slice_is(name, "settings"))
                        parse_settings(&r, c);
                else if (slice_is(name, "users")) {
                        json_array_begin(&r);
                        while (json_element(&r) && c->n_users < CASE_USERS_MAX)
                                parse_user(&r, &c->users[c->n_users++]);
                } else if (slice_is(name, "nodes")) {
                        json_array_begin(&r);
                        while (json_element(&r) && c->n_nodes < CASE_NODES_MAX) {
                                parse_node(&r, &c->nodes[c->n_nodes], &c->more[c->n_nodes]);
                                c->n_nodes++;
                        }
                } else if (slice_is(name, "expect"))
                        parse_expect(&r, c);
                else if (slice_is(name, "rule"))
                        c->rule = json_raw(&r);
                else if (slice_is(name, "match"))
                        c->match = json_raw(&r);
                else
                        json_skip(&r);
        }
        elect(c);
        return json_finish(&r);
}
