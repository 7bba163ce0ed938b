/* The top of a policy: text to sections (spec/policy.md 1 and 2). */
#include <stdlib.h>

#include "base/text.h"
#include "policy/hujson.h"
#include "policy_internal.h"

static void parse_randomize(struct parser *ps)
{
        if (parse_want(ps, JSON_BOOL, "randomizeClientPort must be true or false"))
                ps->p->randomize_client_port = json_bool(&ps->r);
}

static void parse_sections(struct parser *ps)
{
        static const char *const names[] = { "acls", "grants", "groups", "hosts", "tagOwners",
                "autoApprovers", "nodeAttrs", "ssh", "tests", "sshTests", "randomizeClientPort", NULL };
        static void (*const sections[])(struct parser *) = { parse_acls, parse_grants, parse_groups,
                parse_hosts, parse_tag_owners, parse_auto_approvers, parse_node_attrs, parse_ssh, parse_tests,
                parse_ssh_tests, parse_randomize };
        uint32_t seen = 0;
        int i;

        json_object_begin(&ps->r);
        while ((i = parse_member(ps, names, &seen, false)) >= 0)
                sections[i](ps);
}

/* Grants come before acls, wherever they stand in the text. */
static void order_grants(struct policy *p)
{
        struct vec ordered = { 0 };

        for (int acls = 0; acls < 2; acls++) {
                VEC_EACH(struct grant, g, &p->grants)
                {
                        struct grant *to =
                                g->is_acl == acls ? VEC_PUSH(&ordered, &p->arena, struct grant) : NULL;
                        if (to)
                                *to = *g;
                }
        }
        p->grants = ordered;
}

/* Stage 1 and 2 of spec/policy.md 7: HuJSON, then typed values. */
static void parse_all(struct parser *ps, struct slice text)
{
        uint8_t *json = arena_alloc(ps->a, text.len + 1);
        size_t pos = 0;
        const char *why = NULL;

        if (!json)
                return;
        if (hujson_to_json(text, json, &pos, &why) != OK) {
                policy_error_add(ps->errors, pos, "parsing HuJSON: %s", why);
                return;
        }
        ps->p->json = slice_make(json, text.len);
        json_reader_init(&ps->r, ps->p->json, ps->a);
        parse_sections(ps);
        if (json_finish(&ps->r) != OK)
                policy_error_add(ps->errors, ps->r.error_pos, "parsing HuJSON: %s",
                        ps->r.error ? ps->r.error : err_str(ps->r.status));
        else
                order_grants(ps->p);
}

/* Names are repeated only where that was an error already. */
static bool index_named(struct table *t, const struct vec *named)
{
        struct named *items = named->items;

        for (size_t i = 0; i < named->count; i++)
                if (table_put(t, items[i].name, &items[i], NULL) != OK)
                        return false;
        return true;
}

static bool index_names(struct policy *p)
{
        struct host *hosts = p->hosts.items;

        for (size_t i = 0; i < p->hosts.count; i++)
                if (table_put(&p->host_by_name, hosts[i].name, &hosts[i], NULL) != OK)
                        return false;
        return index_named(&p->group_by_name, &p->groups) && index_named(&p->tag_by_name, &p->tag_owners);
}

struct policy *policy_parse(
        struct slice text, const struct policy_settings *settings, struct policy_errors *errors)
{
        struct policy *p = calloc(1, sizeof(*p));
        struct parser ps = { .p = p, .a = p ? &p->arena : NULL, .errors = errors };

        if (!p) {
                policy_error_add(errors, 0, "out of memory");
                return NULL;
        }
        p->arena = ARENA_INIT((size_t)64 * POLICY_TEXT_MAX);
        p->is_empty = text.len == 0;
        if (text.len > POLICY_TEXT_MAX)
                policy_error_add(errors, 0, "the policy is longer than %d bytes", POLICY_TEXT_MAX);
        else if (!utf8_valid(text))
                policy_error_add(errors, 0, "parsing HuJSON: the text is not valid UTF-8");
        else if (text.len)
                parse_all(&ps, text);
        if (!index_names(p))
                p->arena.failed = true;
        else if (errors->count == 0)
                policy_validate(p, settings, errors);
        if (errors->count == 0 && arena_failed(&p->arena))
                policy_error_add(errors, 0, "the policy needs more memory than is allowed; make it smaller");
        if (errors->count == 0)
                return p;
        policy_errors_locate(errors, text);
        policy_free(p);
        return NULL;
}

void policy_free(struct policy *p)
{
        if (!p)
                return;
        table_fini(&p->group_by_name);
        table_fini(&p->tag_by_name);
        table_fini(&p->host_by_name);
        arena_fini(&p->arena);
        free(p);
}

bool policy_is_empty(const struct policy *p) { return p->is_empty; }

bool policy_has_ssh_checks(const struct policy *p)
{
        VEC_EACH(struct ssh_rule, rule, &p->ssh)
                if (rule->is_check)
                        return true;
        return false;
}

const struct named *policy_group(const struct policy *p, struct slice name)
{
        return table_get(&p->group_by_name, name);
}

const struct named *policy_tag(const struct policy *p, struct slice name)
{
        return table_get(&p->tag_by_name, name);
}

const struct host *policy_host(const struct policy *p, struct slice name)
{
        return table_get(&p->host_by_name, name);
}
