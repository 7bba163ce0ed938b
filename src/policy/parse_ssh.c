/* ssh rules (spec/policy.md 6.6), tests and sshTests (6.7). */
#include "base/text.h"
#include "policy_internal.h"

static const int64_t CHECK_PERIOD_MAX_NS = 168ll * 3600 * 1000000000;

static void check_action(struct parser *ps, const struct text *action, size_t rule_pos, bool *is_check)
{
        struct slice s = slice_trim(action->s);

        *is_check = slice_is(s, "check");
        if (!action->s.ptr || action->s.len == 0)
                policy_error_add(
                        ps->errors, action->pos ? action->pos : rule_pos, "action must be specified");
        else if (!*is_check && !slice_is(s, "accept"))
                policy_error_add(ps->errors, action->pos, "\"%.*s\" is not a valid action", SLICE_ARGS(s));
}

static struct text parse_ssh_action(struct parser *ps)
{
        if (json_peek(&ps->r) == JSON_NULL)
                policy_error_add(ps->errors, parse_pos(ps), "\"null\" is not a valid action");
        return parse_text(ps, "action must be a string");
}

static void check_period(struct parser *ps, const struct text *t, struct ssh_rule *rule)
{
        char text[32];
        struct slice s = t->s;

        if (!s.ptr)
                return;
        rule->has_period = true;
        if (!rule->is_check)
                policy_error_add(ps->errors, t->pos, "checkPeriod is only valid with action \"check\"");
        if (slice_is(s, "always"))
                return;
        if (duration_parse(s, &rule->period_ns) != OK) {
                policy_error_add(ps->errors, t->pos, "time: invalid duration \"%.*s\"", SLICE_ARGS(s));
                return;
        }
        duration_format(rule->period_ns, text);
        if (rule->period_ns < 0)
                policy_error_add(ps->errors, t->pos, "checkPeriod %s must be a positive duration", text);
        else if (rule->period_ns > CHECK_PERIOD_MAX_NS)
                policy_error_add(ps->errors, t->pos, "checkPeriod %s is above the max (168h)", text);
}

static void check_texts(struct parser *ps, const struct ssh_rule *rule)
{
        if (rule->users.count == 0)
                policy_error_add(ps->errors, rule->pos, "users must be specified");
        for (size_t i = 0; i < rule->users.count; i++) {
                struct text *u = &((struct text *)rule->users.items)[i];
                u->s = slice_trim(u->s);
                if (u->s.len == 0 || slice_is(u->s, "*"))
                        policy_error_add(ps->errors, u->pos, "user \"%.*s\" is not valid", SLICE_ARGS(u->s));
        }
        VEC_EACH(struct text, e, &rule->accept_env)
        if (e->s.len == 0)
                policy_error_add(ps->errors, e->pos, "acceptEnv values cannot be empty");
}

static void parse_ssh_rule(struct parser *ps)
{
        static const char *const names[] = { "action", "src", "dst", "users", "checkPeriod", "acceptEnv",
                NULL };
        struct ssh_rule rule = { .pos = parse_pos(ps) };
        struct text action = { 0 }, period = { 0 };
        uint32_t seen = 0;
        int i;

        if (!parse_want(ps, JSON_OBJECT, "an ssh rule must be an object"))
                return;
        json_object_begin(&ps->r);
        while ((i = parse_member(ps, names, &seen, false)) >= 0) {
                if (i == 0)
                        action = parse_ssh_action(ps);
                else if (i == 1)
                        parse_aliases(ps, &rule.src);
                else if (i == 2)
                        parse_aliases(ps, &rule.dst);
                else if (i == 3)
                        parse_texts(ps, &rule.users, "users must be a list of strings");
                else if (i == 4)
                        period = parse_text(ps, "checkPeriod must be a string");
                else
                        parse_texts(ps, &rule.accept_env, "acceptEnv must be a list of strings");
        }
        check_action(ps, &action, rule.pos, &rule.is_check);
        check_period(ps, &period, &rule);
        check_texts(ps, &rule);
        struct ssh_rule *added = VEC_PUSH(&ps->p->ssh, ps->a, struct ssh_rule);
        if (added)
                *added = rule;
}

void parse_ssh(struct parser *ps)
{
        if (!parse_want(ps, JSON_ARRAY, "ssh must be a list"))
                return;
        json_array_begin(&ps->r);
        while (json_element(&ps->r))
                parse_ssh_rule(ps);
}

static struct text parse_test_proto(struct parser *ps)
{
        struct text t = { .pos = parse_pos(ps) };

        if (json_peek(&ps->r) != JSON_NUMBER)
                return parse_text(ps, "proto must be a name or a number");
        t.s = json_raw(&ps->r);
        return t;
}

void parse_tests(struct parser *ps)
{
        static const char *const names[] = { "src", "proto", "accept", "deny", NULL };

        if (!parse_want(ps, JSON_ARRAY, "tests must be a list"))
                return;
        json_array_begin(&ps->r);
        while (json_element(&ps->r)) {
                struct policy_test t = { .pos = parse_pos(ps) };
                uint32_t seen = 0;
                int i;
                if (!parse_want(ps, JSON_OBJECT, "a test must be an object"))
                        continue;
                json_object_begin(&ps->r);
                while ((i = parse_member(ps, names, &seen, false)) >= 0) {
                        if (i == 0)
                                t.src = parse_text(ps, "src must be a string");
                        else if (i == 1)
                                t.proto = parse_test_proto(ps);
                        else
                                parse_texts(
                                        ps, i == 2 ? &t.accept : &t.deny, "a list of strings was expected");
                }
                struct policy_test *added = VEC_PUSH(&ps->p->tests, ps->a, struct policy_test);
                if (added)
                        *added = t;
        }
}

void parse_ssh_tests(struct parser *ps)
{
        static const char *const names[] = { "src", "dst", "accept", "deny", "check", NULL };

        if (!parse_want(ps, JSON_ARRAY, "sshTests must be a list"))
                return;
        json_array_begin(&ps->r);
        while (json_element(&ps->r)) {
                struct ssh_test t = { .pos = parse_pos(ps) };
                uint32_t seen = 0;
                int i;
                if (!parse_want(ps, JSON_OBJECT, "an ssh test must be an object"))
                        continue;
                json_object_begin(&ps->r);
                while ((i = parse_member(ps, names, &seen, false)) >= 0) {
                        struct vec *lists[] = { NULL, &t.dst, &t.accept, &t.deny, &t.check };
                        if (i == 0)
                                t.src = parse_text(ps, "src must be a string");
                        else
                                parse_texts(ps, lists[i], "a list of strings was expected");
                }
                struct ssh_test *added = VEC_PUSH(&ps->p->ssh_tests, ps->a, struct ssh_test);
                if (added)
                        *added = t;
        }
}
