/* acls and grants; an acl becomes one grant for each of its destinations. */
#include "policy_internal.h"

struct acl_dst {
        struct alias alias;
        struct vec ports;
};

static struct text parse_proto(struct parser *ps)
{
        struct text t = { .pos = parse_pos(ps) };

        if (json_peek(&ps->r) == JSON_NUMBER)
                t.s = json_raw(&ps->r);
        else
                t = parse_text(ps, "proto must be a name or a number");
        return t;
}

static void parse_action(struct parser *ps)
{
        struct text t = parse_text(ps, "action must be a string");

        if (t.s.ptr && !slice_is(t.s, "accept"))
                policy_error_add(ps->errors, t.pos, "action=\"%.*s\" is not supported: invalid ACL action",
                        SLICE_ARGS(t.s));
}

static void parse_acl_dst(struct parser *ps, const struct text *t, struct vec *out)
{
        struct acl_dst d = { 0 };
        struct slice host, ports;
        const char *why = NULL;
        bool ok = host_port_parse(t->s, &host, &ports, ps->a, &why);

        if (ok && !ports_parse(ports, &d.ports, ps->a, &why)) {
                policy_error_add(ps->errors, t->pos, "dst=\"%.*s\": %s", SLICE_ARGS(t->s), why ? why : "");
                return;
        }
        if (!ok || !alias_parse(host, t->pos, &d.alias, ps->a, &why)) {
                policy_error_add(ps->errors, t->pos, "%s", why ? why : "out of memory");
                return;
        }
        struct acl_dst *added = VEC_PUSH(out, ps->a, struct acl_dst);
        if (added)
                *added = d;
}

static void add_acl_grant(struct parser *ps, const struct acl_dst *d, const struct grant *acl, int proto)
{
        struct grant *g = VEC_PUSH(&ps->p->grants, ps->a, struct grant);

        if (!g)
                return;
        *g = (struct grant){ .is_acl = true, .pos = acl->pos, .src = acl->src };
        struct alias *dst = VEC_PUSH(&g->dst, ps->a, struct alias);
        struct ip_spec *ip = VEC_PUSH(&g->ip, ps->a, struct ip_spec);
        if (!dst || !ip)
                return;
        *dst = d->alias;
        *ip = (struct ip_spec){ proto, d->ports };
}

/* File order if every destination is an autogroup, else autogroup:self comes last
 * (spec/policy.md 9). */
static void add_acl(struct parser *ps, const struct vec *dsts, const struct grant *acl, int proto)
{
        bool all_autogroups = true;

        VEC_EACH(struct acl_dst, d, dsts)
        all_autogroups &= d->alias.kind == ALIAS_AUTOGROUP;
        for (int pass = 0; pass < 2; pass++) {
                VEC_EACH(struct acl_dst, d, dsts)
                {
                        int in_pass = !all_autogroups && d->alias.autogroup == AUTOGROUP_SELF;
                        if (in_pass == pass)
                                add_acl_grant(ps, d, acl, proto);
                }
        }
}

static void check_proto_ports(struct parser *ps, const struct text *proto, int number, const struct vec *dsts)
{
        if (proto_has_ports(number))
                return;
        VEC_EACH(struct acl_dst, d, dsts)
        {
                VEC_EACH(struct port_range, r, &d->ports)
                {
                        if (r->first == 0 && r->last == 65535)
                                continue;
                        policy_error_add(ps->errors, proto->pos,
                                "protocol does not support specific ports: \"%.*s\", only \"*\" is allowed",
                                SLICE_ARGS(proto->s));
                        return;
                }
        }
}

static void parse_acl(struct parser *ps)
{
        static const char *const names[] = { "action", "proto", "src", "dst", NULL };
        struct grant acl = { .pos = parse_pos(ps) };
        struct vec dst_texts = { 0 }, dsts = { 0 };
        struct text proto = { 0 };
        int number, i;
        uint32_t seen = 0;
        const char *why = NULL;

        if (!parse_want(ps, JSON_OBJECT, "an acl must be an object"))
                return;
        json_object_begin(&ps->r);
        while ((i = parse_member(ps, names, &seen, true)) >= 0) {
                if (i == 0)
                        parse_action(ps);
                else if (i == 1)
                        proto = parse_proto(ps);
                else if (i == 2)
                        parse_aliases(ps, &acl.src);
                else
                        parse_texts(ps, &dst_texts, "dst must be a list of strings");
        }
        VEC_EACH(struct text, t, &dst_texts)
        parse_acl_dst(ps, t, &dsts);
        if (!proto_parse(proto.s, true, &number, ps->a, &why)) {
                policy_error_add(ps->errors, proto.pos, "%s", why ? why : "out of memory");
                return;
        }
        check_proto_ports(ps, &proto, number, &dsts);
        add_acl(ps, &dsts, &acl, number);
}

void parse_acls(struct parser *ps)
{
        if (!parse_want(ps, JSON_ARRAY, "acls must be a list"))
                return;
        ps->p->has_rules = true;
        json_array_begin(&ps->r);
        while (json_element(&ps->r))
                parse_acl(ps);
}

static void parse_ip(struct parser *ps, struct vec *out)
{
        struct vec texts = { 0 };

        parse_texts(ps, &texts, "ip must be a list of strings");
        VEC_EACH(struct text, t, &texts)
        {
                struct ip_spec spec;
                const char *why = NULL;
                if (!ip_spec_parse(t->s, &spec, ps->a, &why)) {
                        policy_error_add(ps->errors, t->pos, "%s", why ? why : "out of memory");
                        continue;
                }
                struct ip_spec *added = VEC_PUSH(out, ps->a, struct ip_spec);
                if (added)
                        *added = spec;
        }
}

static void check_cap_name(struct parser *ps, struct slice name, size_t pos)
{
        static const char *const ours[] = { "drive", "relay", "webui", "kubernetes", "tsidp", "secrets" };
        static const struct slice domain = SLICE_LIT("tailscale.com/"), cap = SLICE_LIT("tailscale.com/cap/");

        for (size_t i = 0; i + 3 <= name.len; i++) {
                if (memcmp(name.ptr + i, "://", 3) == 0) {
                        policy_error_add(
                                ps->errors, pos, "capability name must have the form {domain}/{path}");
                        return;
                }
        }
        if (!slice_has_prefix(name, domain))
                return;
        for (size_t i = 0; slice_has_prefix(name, cap) && i < sizeof(ours) / sizeof(ours[0]); i++)
                if (slice_is(slice_after(name, cap.len), ours[i]))
                        return;
        policy_error_add(ps->errors, pos, "capability name must not be in the tailscale.com domain");
}

static void parse_app(struct parser *ps, struct vec *out)
{
        struct slice name;

        if (!parse_want(ps, JSON_OBJECT, "app must be an object"))
                return;
        json_object_begin(&ps->r);
        while (json_member(&ps->r, &name)) {
                size_t pos = parse_pos(ps);
                VEC_EACH(struct app_cap, other, out)
                if (slice_equal(other->name, name))
                        policy_error_add(
                                ps->errors, pos, "duplicate object member name \"%.*s\"", SLICE_ARGS(name));
                check_cap_name(ps, name, pos);
                struct app_cap *cap = VEC_PUSH(out, ps->a, struct app_cap);
                if (!cap)
                        return;
                cap->name = name;
                if (!parse_want(ps, JSON_ARRAY, "the values of a capability must be a list"))
                        continue;
                json_array_begin(&ps->r);
                while (json_element(&ps->r)) {
                        struct slice raw = json_raw(&ps->r),
                                     *value = VEC_PUSH(&cap->values, ps->a, struct slice);
                        if (value)
                                *value = raw;
                }
        }
}

static void parse_via(struct parser *ps, struct vec *out)
{
        parse_aliases(ps, out);
        VEC_EACH(struct alias, v, out)
        if (v->kind != ALIAS_TAG)
                policy_error_add(ps->errors, v->pos, "via can only be a tag");
}

static void parse_grant(struct parser *ps)
{
        static const char *const names[] = { "src", "dst", "ip", "app", "via", NULL };
        struct grant g = { .pos = parse_pos(ps) };
        uint32_t seen = 0;
        int i;

        if (!parse_want(ps, JSON_OBJECT, "a grant must be an object"))
                return;
        json_object_begin(&ps->r);
        while ((i = parse_member(ps, names, &seen, false)) >= 0) {
                if (i == 0)
                        parse_aliases(ps, &g.src);
                else if (i == 1)
                        parse_aliases(ps, &g.dst);
                else if (i == 2)
                        parse_ip(ps, &g.ip);
                else if (i == 3)
                        parse_app(ps, &g.app);
                else
                        parse_via(ps, &g.via);
        }
        struct grant *added = VEC_PUSH(&ps->p->grants, ps->a, struct grant);
        if (added)
                *added = g;
}

void parse_grants(struct parser *ps)
{
        if (!parse_want(ps, JSON_ARRAY, "grants must be a list"))
                return;
        ps->p->has_rules = true;
        json_array_begin(&ps->r);
        while (json_element(&ps->r))
                parse_grant(ps);
}
