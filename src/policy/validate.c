/* Stage 3: what the tokens refer to, and which may stand where (spec/policy.md 4, 6
 * and 7). All errors are collected. */
#include "policy_internal.h"

struct checker {
        const struct policy *p;
        const struct policy_settings *settings;
        struct policy_errors *errors;
};

enum place { SRC, ACL_DST, GRANT_DST, SSH_SRC, SSH_DST, TARGET, OTHER };

static void check_tag(struct checker *c, enum place place, struct slice tag, size_t pos)
{
        if (policy_tag(c->p, tag))
                return;
        if (place == SRC)
                policy_error_add(c->errors, pos, "src=tag not found: \"%.*s\"", SLICE_ARGS(tag));
        else if (place == ACL_DST)
                policy_error_add(c->errors, pos, "dst=\"%.*s\": tag not found: \"%.*s\"", SLICE_ARGS(tag),
                        SLICE_ARGS(tag));
        else
                policy_error_add(c->errors, pos, "tag not found: \"%.*s\"", SLICE_ARGS(tag));
}

static void check_group(struct checker *c, struct slice group, size_t pos)
{
        if (!policy_group(c->p, group))
                policy_error_add(c->errors, pos, "group not defined in policy: \"%.*s\"", SLICE_ARGS(group));
}

static void check_domain(struct checker *c, const char *prefix, struct slice domain, size_t pos)
{
        const struct policy_settings *s = c->settings;
        bool known = s->login_domain.len ? slice_equal(domain, s->login_domain) : s->user_count == 0;

        for (size_t i = 0; !s->login_domain.len && i < s->user_count; i++) {
                struct slice email = s->users[i].email;
                known |= slice_equal(slice_after(email, slice_find(email, '@') + 1), domain);
        }
        if (!known)
                policy_error_add(c->errors, pos,
                        "%s%.*s is not associated with this Tailnet and cannot be used in user:*@<domain> "
                        "expressions",
                        prefix, SLICE_ARGS(domain));
}

static bool autogroup_fits(enum place place, enum autogroup g)
{
        bool either = g == AUTOGROUP_MEMBER || g == AUTOGROUP_TAGGED;

        switch (place) {
        case SRC:
                return either || g == AUTOGROUP_DANGER_ALL;
        case ACL_DST:
        case GRANT_DST:
                return either || g == AUTOGROUP_INTERNET || g == AUTOGROUP_SELF;
        case SSH_SRC:
                return either;
        case SSH_DST:
                return either || g == AUTOGROUP_SELF;
        case TARGET:
                return either || g == AUTOGROUP_ROLE;
        case OTHER:
                break;
        }
        return false;
}

static void check_autogroup(struct checker *c, enum place place, const struct alias *a)
{
        static const char *const refused[] = {
                [SRC] = "autogroup not supported for ACL sources",
                [ACL_DST] = "autogroup not supported for ACL destinations",
                [GRANT_DST] = "autogroup not supported for ACL destinations",
                [SSH_SRC] = "autogroup not supported for SSH sources",
                [SSH_DST] = "autogroup not supported for SSH destinations",
                [TARGET] = "nodeAttrs target does not support this autogroup",
                [OTHER] = "autogroup not supported here",
        };

        if (autogroup_fits(place, a->autogroup))
                return;
        if (a->autogroup == AUTOGROUP_INTERNET && place != TARGET)
                policy_error_add(
                        c->errors, a->pos, "autogroup:internet can only be used in ACL destinations");
        else if (a->autogroup == AUTOGROUP_SELF && place == SRC)
                policy_error_add(c->errors, a->pos, "\"autogroup:self\" not valid on the src side of a rule");
        else if (a->autogroup == AUTOGROUP_DANGER_ALL && (place == ACL_DST || place == GRANT_DST))
                policy_error_add(c->errors, a->pos, "cannot use autogroup:danger-all as a dst");
        else
                policy_error_add(c->errors, a->pos, "%s: \"%.*s\"", refused[place], SLICE_ARGS(a->text));
}

static const char *kind_name(enum alias_kind kind)
{
        static const char *const names[] = {
                [ALIAS_PREFIX] = "IP or prefix",
                [ALIAS_WILDCARD] = "wildcard",
                [ALIAS_DOMAIN] = "user",
                [ALIAS_USER] = "user",
                [ALIAS_GROUP] = "group",
                [ALIAS_TAG] = "tag",
                [ALIAS_AUTOGROUP] = "autogroup",
                [ALIAS_HOST] = "host",
        };
        return names[kind];
}

/* The kinds of token that ssh does not take. True if refused. */
static bool refuse_for_ssh(struct checker *c, enum place place, const struct alias *a)
{
        if (place == SSH_SRC &&
                (a->kind == ALIAS_HOST || a->kind == ALIAS_PREFIX || a->kind == ALIAS_WILDCARD))
                policy_error_add(
                        c->errors, a->pos, "alias not supported for SSH source: %s", kind_name(a->kind));
        else if (place == SSH_DST && a->kind == ALIAS_WILDCARD)
                policy_error_add(c->errors, a->pos,
                        "wildcard (*) is not supported as SSH destination; use tags, users, "
                        "autogroup:member, autogroup:tagged or autogroup:self");
        else if (place == SSH_DST && a->kind == ALIAS_HOST)
                policy_error_add(c->errors, a->pos, "invalid dst \"%.*s\"", SLICE_ARGS(a->text));
        else if (place == SSH_DST &&
                 (a->kind == ALIAS_GROUP || a->kind == ALIAS_PREFIX || a->kind == ALIAS_DOMAIN))
                policy_error_add(
                        c->errors, a->pos, "alias not supported for SSH destination: %s", kind_name(a->kind));
        else
                return false;
        return true;
}

static void check_alias(struct checker *c, enum place place, const struct alias *a)
{
        if (refuse_for_ssh(c, place, a))
                return;
        switch (a->kind) {
        case ALIAS_TAG:
                check_tag(c, place, a->text, a->pos);
                break;
        case ALIAS_GROUP:
                check_group(c, a->text, a->pos);
                break;
        case ALIAS_HOST:
                if (!policy_host(c->p, a->text))
                        policy_error_add(c->errors, a->pos, "host not defined in policy: \"%.*s\"",
                                SLICE_ARGS(a->text));
                break;
        case ALIAS_DOMAIN:
                check_domain(c, place == SSH_SRC ? "[ssh] " : "", a->domain, a->pos);
                break;
        case ALIAS_AUTOGROUP:
                check_autogroup(c, place, a);
                break;
        case ALIAS_PREFIX:
        case ALIAS_WILDCARD:
        case ALIAS_USER:
                break;
        }
}

static bool has_autogroup(const struct vec *aliases, enum autogroup g)
{
        VEC_EACH(struct alias, a, aliases)
        if (a->autogroup == g)
                return true;
        return false;
}

/* autogroup:self needs sources that are persons. */
static void check_self(struct checker *c, const struct grant *g)
{
        VEC_EACH(struct alias, s, &g->src)
        {
                bool fits = s->kind == ALIAS_USER || s->kind == ALIAS_DOMAIN || s->kind == ALIAS_GROUP ||
                            s->autogroup == AUTOGROUP_MEMBER || (s->kind == ALIAS_WILDCARD && g->is_acl);
                if (fits)
                        continue;
                policy_error_add(c->errors, s->pos,
                        "autogroup:self can only be used with users, groups, or supported autogroups");
                return;
        }
}

static void check_grant_only(struct checker *c, const struct grant *g)
{
        if (g->ip.count == 0 && g->app.count == 0)
                policy_error_add(c->errors, g->pos, "ip and app can not both be empty");
        if (g->app.count && has_autogroup(&g->dst, AUTOGROUP_INTERNET))
                policy_error_add(c->errors, g->pos, "cannot use app grants with autogroup:internet");
        VEC_EACH(struct alias, d, &g->dst)
        if (d->kind == ALIAS_PREFIX && d->prefix.bits == 0)
                policy_error_add(c->errors, d->pos,
                        "dst \"%.*s\": to allow all IP addresses, use \"*\" or \"autogroup:internet\"",
                        SLICE_ARGS(d->text));
        VEC_EACH(struct alias, v, &g->via)
        if (!policy_tag(c->p, v->text))
                policy_error_add(c->errors, v->pos, "tag \"%.*s\" not found", SLICE_ARGS(v->text));
}

static void check_grants(struct checker *c)
{
        const void *last_src = NULL;

        VEC_EACH(struct grant, g, &c->p->grants)
        {
                bool same_acl = g->is_acl && g->src.items && g->src.items == last_src;
                last_src = g->src.items;
                if (!same_acl)
                        VEC_EACH(struct alias, s, &g->src)
                check_alias(c, SRC, s);
                VEC_EACH(struct alias, d, &g->dst)
                check_alias(c, g->is_acl ? ACL_DST : GRANT_DST, d);
                if (has_autogroup(&g->dst, AUTOGROUP_SELF))
                        check_self(c, g);
                if (!g->is_acl)
                        check_grant_only(c, g);
        }
}

/* Owners of tags and approvers: users, groups and tags. */
static void check_owners(struct checker *c, const struct vec *owners, const char *invalid, struct slice tag)
{
        VEC_EACH(struct text, o, owners)
        {
                if (slice_has_prefix(o->s, SLICE_LIT("tag:"))) {
                        if (tag.len && !policy_tag(c->p, o->s))
                                policy_error_add(c->errors, o->pos,
                                        "tag \"%.*s\" references undefined tag \"%.*s\"", SLICE_ARGS(tag),
                                        SLICE_ARGS(o->s));
                        check_tag(c, OTHER, o->s, o->pos);
                } else if (slice_has_prefix(o->s, SLICE_LIT("group:"))) {
                        check_group(c, o->s, o->pos);
                } else if (slice_find(o->s, '@') == o->s.len) {
                        policy_error_add(c->errors, o->pos, "%s: \"%.*s\"", invalid, SLICE_ARGS(o->s));
                }
        }
}

static bool is_tagged_source(const struct alias *s)
{
        return s->kind == ALIAS_TAG || s->autogroup == AUTOGROUP_TAGGED;
}

static void check_ssh_pair(struct checker *c, const struct ssh_rule *r, const struct alias *d)
{
        bool tagged = false, only_same = r->src.count == 1;

        VEC_EACH(struct alias, s, &r->src)
        {
                tagged |= is_tagged_source(s);
                only_same &= s->kind == ALIAS_USER && slice_equal(s->text, d->text);
        }
        if (d->kind == ALIAS_USER && tagged)
                policy_error_add(c->errors, d->pos,
                        "tags in SSH source cannot access user-owned devices (%.*s); "
                        "let the destination be a tag",
                        SLICE_ARGS(d->text));
        else if (d->kind == ALIAS_USER && r->src.count && !only_same)
                policy_error_add(c->errors, d->pos,
                        "user destination requires source to contain only that same user \"%.*s\"; "
                        "use autogroup:self or a tag",
                        SLICE_ARGS(d->text));
        else if (d->autogroup == AUTOGROUP_SELF && tagged)
                policy_error_add(c->errors, d->pos,
                        "autogroup:self destination requires source to contain only users or groups, "
                        "not tags or autogroup:tagged");
        else if (d->autogroup == AUTOGROUP_MEMBER && tagged)
                policy_error_add(c->errors, d->pos,
                        "tags in SSH source cannot access autogroup:member (user-owned devices)");
}

static void check_ssh(struct checker *c)
{
        VEC_EACH(struct ssh_rule, r, &c->p->ssh)
        {
                struct slice domain;
                VEC_EACH(struct alias, s, &r->src)
                check_alias(c, SSH_SRC, s);
                VEC_EACH(struct alias, d, &r->dst)
                {
                        check_alias(c, SSH_DST, d);
                        check_ssh_pair(c, r, d);
                }
                VEC_EACH(struct text, u, &r->users)
                if (localpart_domain(u->s, &domain))
                        check_domain(c, "", domain, u->pos);
        }
}

void policy_validate(
        const struct policy *p, const struct policy_settings *settings, struct policy_errors *errors)
{
        struct checker c = { p, settings, errors };

        check_grants(&c);
        VEC_EACH(struct named, t, &p->tag_owners)
        check_owners(&c, &t->members, "invalid owner format", t->name);
        VEC_EACH(struct named, r, &p->approve_routes)
        check_owners(&c, &r->members, "invalid auto approver format", (struct slice){ 0 });
        check_owners(&c, &p->approve_exit, "invalid auto approver format", (struct slice){ 0 });
        VEC_EACH(struct node_attr, n, &p->node_attrs)
        VEC_EACH(struct alias, t, &n->target)
        check_alias(&c, TARGET, t);
        check_ssh(&c);
}
