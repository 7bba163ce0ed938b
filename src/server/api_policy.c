/* /api/v1/policy */
#include <stdlib.h>

#include "api.h"
#include "policy/state.h"

static void fail_with_errors(struct api_request *r, const struct policy_errors *errors, enum err e)
{
        struct buf text = BUF_INIT(256 << 10);

        policy_errors_write(errors, &text);
        api_fail(r, e == ERR_NOMEM ? 500 : 400, text.len ? buf_cstr(&text) : err_str(e));
        buf_fini(&text);
}

static void reply_policy(struct api_request *r)
{
        const struct server *s = r->s;

        json_object_open(&r->json);
        json_field_slice(&r->json, "policy", s->policy_text);
        api_name_time_or_zero(
                &r->json, "updatedAt", s->settings->policy_in_store ? s->policy_since_us : 0);
        json_object_close(&r->json);
        api_done(r);
}

static void get(struct api_request *r)
{
        r->doing = "loading policy";
        if (server_has_policy(r->s))
                reply_policy(r);
        else
                api_fail(r, 500, "no policy is set: every node may reach every other");
}

/* The text of the body; false once answered. */
static bool take_text(struct api_request *r, struct slice *text)
{
        *text = (struct slice){ 0 };
        if (!api_body(r, &(struct api_field){ "policy", API_TEXT, text }, 1))
                return false;
        if (slice_trim(*text).len == 0) {
                api_fail(r, 400, "the policy is empty; {} is the one that allows everything");
                return false;
        }
        if (text->len > POLICY_TEXT_MAX) {
                api_fail(r, 400, "the policy is longer than 4 MiB");
                return false;
        }
        return true;
}

static void set(struct api_request *r)
{
        struct server *s = r->s;
        struct policy_errors errors;
        struct slice text;

        r->doing = "setting policy";
        if (!s->settings->policy_in_store) {
                api_fail(r, 400, "update is disabled for modes other than 'database'");
                return;
        }
        if (!take_text(r, &text))
                return;
        policy_errors_init(&errors);
        struct tx tx = journal_begin(s);
        enum err e = journal_put_policy(&tx, text, &errors);
        journal_commit(&tx);
        if (e != OK) {
                fail_with_errors(r, &errors, e);
        } else {
                routes_approve_all(s);
                reply_policy(r);
        }
        policy_errors_fini(&errors);
}

/* Whether `set` would take it; nothing changes. */
static void check(struct api_request *r)
{
        struct policy_errors errors;
        struct slice text;

        r->doing = "checking policy";
        if (!take_text(r, &text))
                return;
        policy_errors_init(&errors);
        struct policy *p = policy_read(r->s, text, &errors);
        enum err e = p ? policy_state_try(policy_now(r->s), p, &errors) : ERR_FORMAT;
        if (e != OK)
                fail_with_errors(r, &errors, e);
        else
                api_done_empty(r);
        policy_free(p);
        policy_errors_fini(&errors);
}

/* Tests of the policy in force, against the nodes there are now. */
static void test(struct api_request *r)
{
        struct policy_errors errors;

        r->doing = "testing policy";
        if (!server_has_policy(r->s)) {
                api_fail(r, 400, "no policy is set: every node may reach every other");
                return;
        }
        policy_errors_init(&errors);
        enum err e = policy_state_test(policy_now(r->s), &errors);
        if (e != OK)
                fail_with_errors(r, &errors, e);
        else
                api_done_empty(r);
        policy_errors_fini(&errors);
}

void api_policy(struct api_request *r)
{
        bool bare = r->n_segments == 1, sub = r->n_segments == 2 && api_is(r, "POST");

        if (bare && api_is(r, "GET"))
                get(r);
        else if (bare && api_is(r, "PUT"))
                set(r);
        else if (sub && slice_is(r->segment[1], "check"))
                check(r);
        else if (sub && slice_is(r->segment[1], "test"))
                test(r);
        else
                api_fail(r, bare ? 405 : 404, bare ? "only GET and PUT" : "there is no such path in API version 1");
}
