/* Tokens that stand for addresses, in the order in which they are told apart
 * (spec/policy.md 3). */
#include "policy_internal.h"

static const struct {
        const char *name;
        enum autogroup group;
        unsigned role;
} autogroups[] = {
        { "autogroup:internet", AUTOGROUP_INTERNET, 0 },
        { "autogroup:member", AUTOGROUP_MEMBER, 0 },
        { "autogroup:nonroot", AUTOGROUP_NONROOT, 0 },
        { "autogroup:tagged", AUTOGROUP_TAGGED, 0 },
        { "autogroup:self", AUTOGROUP_SELF, 0 },
        { "autogroup:danger-all", AUTOGROUP_DANGER_ALL, 0 },
        { "autogroup:owner", AUTOGROUP_ROLE, POLICY_OWNER },
        { "autogroup:admin", AUTOGROUP_ROLE, POLICY_ADMIN },
        { "autogroup:it-admin", AUTOGROUP_ROLE, POLICY_IT_ADMIN },
        { "autogroup:network-admin", AUTOGROUP_ROLE, POLICY_NETWORK_ADMIN },
        { "autogroup:billing-admin", AUTOGROUP_ROLE, POLICY_BILLING_ADMIN },
        { "autogroup:auditor", AUTOGROUP_ROLE, POLICY_AUDITOR },
};

static bool find_autogroup(struct alias *out)
{
        for (size_t i = 0; i < sizeof(autogroups) / sizeof(autogroups[0]); i++) {
                if (!slice_is(out->text, autogroups[i].name))
                        continue;
                out->autogroup = autogroups[i].group;
                out->role = autogroups[i].role;
                return true;
        }
        return false;
}

static bool is_prefix(struct slice text, struct ip_prefix *out)
{
        struct ip_addr ip;

        if (slice_find(text, '/') < text.len) {
                if (ip_prefix_parse(text, out) != OK)
                        return false;
                *out = ip_prefix_masked(*out);
                return true;
        }
        if (ip_parse(text, &ip) != OK)
                return false;
        *out = ip_host_prefix(ip);
        return true;
}

bool alias_parse(struct slice text, size_t pos, struct alias *out, struct arena *a, const char **why)
{
        static const struct slice any_of_domain = SLICE_LIT("user:*@");

        *out = (struct alias){ .kind = ALIAS_PREFIX, .text = text, .pos = pos };
        if (is_prefix(text, &out->prefix))
                return true;
        if (slice_is(text, "*")) {
                out->kind = ALIAS_WILDCARD;
        } else if (slice_has_prefix(text, any_of_domain)) {
                out->kind = ALIAS_DOMAIN;
                out->domain = slice_after(text, any_of_domain.len);
        } else if (slice_find(text, '@') < text.len) {
                out->kind = ALIAS_USER;
        } else if (slice_has_prefix(text, SLICE_LIT("group:"))) {
                out->kind = ALIAS_GROUP;
        } else if (slice_has_prefix(text, SLICE_LIT("tag:"))) {
                out->kind = ALIAS_TAG;
        } else if (slice_has_prefix(text, SLICE_LIT("autogroup:"))) {
                out->kind = ALIAS_AUTOGROUP;
                if (find_autogroup(out))
                        return true;
                *why = arena_printf(a,
                        "invalid autogroup: got \"%.*s\", must be one of [autogroup:internet "
                        "autogroup:member "
                        "autogroup:nonroot autogroup:tagged autogroup:self autogroup:danger-all]",
                        SLICE_ARGS(text));
                return false;
        } else if (slice_find(text, ':') == text.len && text.len) {
                out->kind = ALIAS_HOST;
        } else {
                *why = arena_printf(a, "invalid alias format: \"%.*s\"", SLICE_ARGS(text));
                return false;
        }
        return true;
}

bool localpart_domain(struct slice user, struct slice *domain)
{
        static const struct slice any = SLICE_LIT("localpart:*@");

        if (!slice_has_prefix(user, any))
                return false;
        *domain = slice_after(user, any.len);
        return domain->len && slice_find(*domain, '@') == domain->len;
}
