/* /api/v1/auth: an administrator's verdict on a login that waits. */
#include "api.h"

static void approve(struct api_request *r)
{
        struct slice name = { 0 }, id = { 0 };
        struct store_user *user;
        struct node *n;
        struct diag diag;
        const struct api_field fields[] = { { "user", API_TEXT, &name }, { "authId", API_TEXT, &id } };

        r->doing = "registering node";
        if (!api_body(r, fields, 2))
                return;
        if (tailnet_user_by_name(&r->s->tailnet, name, &user) != OK) {
                api_fail(r, 404, "user not found");
                return;
        }
        enum err e = register_approve(r->s, id, user, &n, &diag);
        if (e == OK)
                api_reply_node(r, n);
        else
                api_fail_diag(r, e == ERR_NOTFOUND ? 404 : e == ERR_EXISTS ? 409 : 400, &diag);
}

static void reject(struct api_request *r)
{
        struct slice id = { 0 };

        r->doing = "rejecting login";
        if (!api_body(r, &(struct api_field){ "authId", API_TEXT, &id }, 1))
                return;
        if (register_reject(r->s, id) == OK)
                api_done_empty(r);
        else
                api_fail(r, 404, "no login of this id is waiting");
}

void api_auth(struct api_request *r)
{
        if (r->n_segments == 2 && slice_is(r->segment[1], "register") && api_is(r, "POST"))
                approve(r);
        else if (r->n_segments == 2 && slice_is(r->segment[1], "reject") && api_is(r, "POST"))
                reject(r);
        else if (r->n_segments == 2 && slice_is(r->segment[1], "approve") && api_is(r, "POST")) {
                r->doing = "approving login";
                api_fail(r, 501,
                        "SSH check mode is not supported by this release; use `auth register` for a device "
                        "that logs in");
        } else
                api_fail(r, 404, "there is no such operation on logins");
}
