/* /api/v1/user */
#include "api.h"

void api_write_user(struct json_writer *w, const struct store_user *user)
{
        json_object_open(w);
        api_name_id(w, "id", user->id);
        json_field_slice(w, "name", user->name);
        api_name_time_or_zero(w, "createdAt", user->created_us);
        json_field_slice(w, "displayName", user->display_name);
        json_field_slice(w, "email", user->email);
        json_field_slice(w, "providerId", user->provider_id);
        json_field_slice(w, "provider", user->provider);
        json_field_slice(w, "profilePicUrl", user->picture_url);
        json_object_close(w);
}

static void reply_user(struct api_request *r, const struct store_user *user)
{
        json_object_open(&r->json);
        json_name(&r->json, "user");
        api_write_user(&r->json, user);
        json_object_close(&r->json);
        api_done(r);
}

static bool name_is_usable(struct api_request *r, struct slice name)
{
        struct store_user *other;

        if (!name_is_user(name)) {
                api_fail(r, 400,
                        "a user name begins with a letter, has at least two characters, and only letters, "
                        "digits, "
                        "'-', '.', '_' and at most one '@'");
                return false;
        }
        if (tailnet_user_by_name(&r->s->tailnet, name, &other) != ERR_NOTFOUND) {
                api_fail(r, 409, "a user of this name exists already");
                return false;
        }
        return true;
}

static void create(struct api_request *r)
{
        struct store_user row = { .tailnet = r->s->tailnet.id, .created_us = r->s->now.unix_us };
        const struct api_field fields[] = {
                { "name", API_TEXT, &row.name },
                { "displayName", API_TEXT, &row.display_name },
                { "email", API_TEXT, &row.email },
                { "pictureUrl", API_TEXT, &row.picture_url },
        };

        r->doing = "creating user";
        if (!api_body(r, fields, sizeof(fields) / sizeof(fields[0])) || !name_is_usable(r, row.name))
                return;
        row.id = r->s->tailnet.users.last_id + 1;
        struct tx tx = journal_begin(r->s);
        journal_put_user(&tx, &row);
        journal_commit(&tx);
        reply_user(r, &row);
}

static bool matches(const struct store_user *user, struct slice name, struct slice email, int64_t id)
{
        if (name.len)
                return slice_equal(user->name, name);
        if (email.len)
                return slice_equal(user->email, email);
        return id == 0 || user->id == id;
}

static void list(struct api_request *r)
{
        const struct row_set *users = &r->s->tailnet.users;
        struct slice name = { 0 }, email = { 0 }, id_text = { 0 };
        int64_t id = 0;

        r->doing = "listing users";
        (void)api_query(r, "name", &name);
        (void)api_query(r, "email", &email);
        if (api_query(r, "id", &id_text) && !api_id(r, id_text, &id))
                return;
        json_object_open(&r->json);
        json_name(&r->json, "users");
        json_array_open(&r->json);
        for (size_t i = 0; i < users->n; i++) {
                const struct store_user *user = (const struct store_user *)users->items[i];
                if (matches(user, name, email, id))
                        api_write_user(&r->json, user);
        }
        json_array_close(&r->json);
        json_object_close(&r->json);
        api_done(r);
}

/* The user of the path's id; answers 400 or 404. */
static struct store_user *user_of_path(struct api_request *r)
{
        int64_t id;

        if (!api_id(r, r->segment[1], &id))
                return NULL;
        struct store_user *user = tailnet_user(&r->s->tailnet, id);
        if (!user)
                api_fail(r, 404, "user not found");
        return user;
}

static void rename_user(struct api_request *r)
{
        const struct store_user *user;

        r->doing = "renaming user";
        if (!(user = user_of_path(r)) || !name_is_usable(r, r->segment[3]))
                return;
        struct store_user row = *user;
        row.name = r->segment[3];
        struct tx tx = journal_begin(r->s);
        journal_put_user(&tx, &row);
        journal_commit(&tx);
        for (size_t i = 0; i < r->s->tailnet.nodes.n; i++) { /* so that the new profile is told */
                struct node *n = (struct node *)r->s->tailnet.nodes.items[i];
                if (n->row->user_id == row.id)
                        change_mark(r->s, n, CHANGE_NODE);
        }
        reply_user(r, &row);
}

/* Deleting a user takes their keys along, but never nodes (spec/server.md, trap 13). */
static void destroy(struct api_request *r)
{
        const struct tailnet *t = &r->s->tailnet;
        const struct store_user *user;

        r->doing = "deleting user";
        if (!(user = user_of_path(r)))
                return;
        int64_t id = user->id;
        for (size_t i = 0; i < t->nodes.n; i++) {
                if (((const struct node *)t->nodes.items[i])->row->user_id == id) {
                        api_fail(r, 400, "the user still has nodes; delete or move them first");
                        return;
                }
        }
        struct tx tx = journal_begin(r->s);
        for (size_t i = t->auth_keys.n; i-- > 0;) {
                const struct store_auth_key *key = (const struct store_auth_key *)t->auth_keys.items[i];
                if (key->user_id == id)
                        journal_delete_auth_key(&tx, key->id);
        }
        journal_delete_user(&tx, id);
        journal_commit(&tx);
        api_done_empty(r);
}

void api_users(struct api_request *r)
{
        if (r->n_segments == 1 && api_is(r, "POST"))
                create(r);
        else if (r->n_segments == 1 && api_is(r, "GET"))
                list(r);
        else if (r->n_segments == 4 && slice_is(r->segment[2], "rename") && api_is(r, "POST"))
                rename_user(r);
        else if (r->n_segments == 2 && api_is(r, "DELETE"))
                destroy(r);
        else
                api_fail(r, 404, "there is no such operation on users");
}
