/* /api/v1/preauthkey and /api/v1/apikey. A key's text is shown once, at its creation. */
#include "api.h"

/* ---- pre-auth keys -------------------------------------------------------------------- */

void api_write_auth_key(const struct server *s, struct json_writer *w, const struct store_auth_key *key,
        const char *full_text, bool inside_node)
{
        const struct store_user *user = tailnet_user(&s->tailnet, key->user_id);
        struct buf masked = BUF_INIT(128);

        buf_printf(&masked, "hskey-auth-%.*s-***", SLICE_ARGS(key->prefix));
        json_object_open(w);
        json_name(w, "user");
        if (user)
                api_write_user(w, user);
        else
                json_put_null(w);
        api_name_id(w, "id", key->id);
        json_field_str(w, "key", full_text ? full_text : buf_cstr(&masked));
        json_field_bool(w, "reusable", key->reusable);
        json_field_bool(w, "ephemeral", key->ephemeral);
        json_field_bool(w, "used", key->used);
        (inside_node ? api_name_time : api_name_time_or_zero)(w, "expiration", key->expires_us);
        (inside_node ? api_name_time : api_name_time_or_zero)(w, "createdAt", key->created_us);
        api_name_tags(w, "aclTags", key->tags);
        json_object_close(w);
        buf_fini(&masked);
}

static void create_auth_key(struct api_request *r)
{
        struct store_auth_key row = { .tailnet = r->s->tailnet.id, .created_us = r->s->now.unix_us };
        struct tailcfg_strings tags = { 0 };
        struct api_time expires = { 0 };
        struct new_key key;
        const struct api_field fields[] = {
                { "user", API_ID, &row.user_id },
                { "reusable", API_BOOL, &row.reusable },
                { "ephemeral", API_BOOL, &row.ephemeral },
                { "expiration", API_TIME, &expires },
                { "aclTags", API_LIST, &tags },
        };

        r->doing = "creating pre-auth key";
        if (!api_body(r, fields, sizeof(fields) / sizeof(fields[0])) || !api_tags(r, &tags, &row.tags))
                return;
        if (!row.user_id && !row.tags.len) {
                api_fail(r, 400, "a pre-auth key needs a user, tags, or both");
                return;
        }
        if (row.user_id && !tailnet_user(&r->s->tailnet, row.user_id)) {
                api_fail(r, 404, "user not found");
                return;
        }
        key_mint(r->s, "auth", &key);
        row.id = r->s->tailnet.auth_keys.last_id + 1;
        row.prefix = key.prefix;
        row.hash = SLICE_ARRAY(key.hash);
        row.expires_us = expires.us;
        struct tx tx = journal_begin(r->s);
        journal_put_auth_key(&tx, &row);
        journal_commit(&tx);
        json_object_open(&r->json);
        json_name(&r->json, "preAuthKey");
        api_write_auth_key(r->s, &r->json, &row, key.text, false);
        json_object_close(&r->json);
        api_done(r);
        key_wipe(&key, sizeof(key));
}

static void list_auth_keys(struct api_request *r)
{
        const struct row_set *keys = &r->s->tailnet.auth_keys;

        r->doing = "listing pre-auth keys";
        json_object_open(&r->json);
        json_name(&r->json, "preAuthKeys");
        json_array_open(&r->json);
        for (size_t i = 0; i < keys->n; i++)
                api_write_auth_key(
                        r->s, &r->json, (const struct store_auth_key *)keys->items[i], NULL, false);
        json_array_close(&r->json);
        json_object_close(&r->json);
        api_done(r);
}

static struct store_auth_key *auth_key_of(struct api_request *r, int64_t id)
{
        struct store_auth_key *key = row_set_get(&r->s->tailnet.auth_keys, id);

        if (!key)
                api_fail(r, 404, "pre-auth key not found");
        return key;
}

static void expire_auth_key(struct api_request *r)
{
        const struct store_auth_key *key;
        int64_t id = 0;

        r->doing = "expiring pre-auth key";
        if (!api_body(r, &(struct api_field){ "id", API_ID, &id }, 1) || !(key = auth_key_of(r, id)))
                return;
        struct store_auth_key row = *key;
        row.expires_us = r->s->now.unix_us;
        struct tx tx = journal_begin(r->s);
        journal_put_auth_key(&tx, &row);
        journal_commit(&tx);
        api_done_empty(r);
}

static void delete_auth_key(struct api_request *r)
{
        struct tailnet *t = &r->s->tailnet;
        struct slice text;
        int64_t id;

        r->doing = "deleting pre-auth key";
        if (!api_query(r, "id", &text)) {
                api_fail(r, 400, "the key's id is missing");
                return;
        }
        if (!api_id(r, text, &id) || !auth_key_of(r, id))
                return;
        struct tx tx = journal_begin(r->s);
        for (size_t i = 0; i < t->nodes.n; i++) { /* nodes outlive the key they came with */
                const struct node *n = (const struct node *)t->nodes.items[i];
                if (n->row->auth_key_id != id)
                        continue;
                struct store_node row = *n->row;
                row.auth_key_id = 0;
                (void)journal_put_node(&tx, &row);
        }
        journal_delete_auth_key(&tx, id);
        journal_commit(&tx);
        api_done_empty(r);
}

void api_preauthkeys(struct api_request *r)
{
        if (r->n_segments == 1 && api_is(r, "POST"))
                create_auth_key(r);
        else if (r->n_segments == 1 && api_is(r, "GET"))
                list_auth_keys(r);
        else if (r->n_segments == 1 && api_is(r, "DELETE"))
                delete_auth_key(r);
        else if (r->n_segments == 2 && slice_is(r->segment[1], "expire") && api_is(r, "POST"))
                expire_auth_key(r);
        else
                api_fail(r, 404, "there is no such operation on pre-auth keys");
}

/* ---- API keys ----------------------------------------------------------------------------- */

static void create_api_key(struct api_request *r)
{
        struct store_api_key row = { .tailnet = r->s->tailnet.id, .created_us = r->s->now.unix_us };
        struct api_time expires = { 0 };
        struct new_key key;

        r->doing = "creating API key";
        if (!api_body(r, &(struct api_field){ "expiration", API_TIME, &expires }, 1))
                return;
        key_mint(r->s, "api", &key);
        row.id = r->s->tailnet.api_keys.last_id + 1;
        row.prefix = key.prefix;
        row.hash = SLICE_ARRAY(key.hash);
        row.expires_us = expires.us;
        struct tx tx = journal_begin(r->s);
        journal_put_api_key(&tx, &row);
        journal_commit(&tx);
        json_object_open(&r->json);
        json_field_str(&r->json, "apiKey", key.text);
        json_object_close(&r->json);
        api_done(r);
        key_wipe(&key, sizeof(key));
}

static void list_api_keys(struct api_request *r)
{
        const struct row_set *keys = &r->s->tailnet.api_keys;
        struct json_writer *w = &r->json;

        r->doing = "listing API keys";
        json_object_open(w);
        json_name(w, "apiKeys");
        json_array_open(w);
        for (size_t i = 0; i < keys->n; i++) {
                const struct store_api_key *key = (const struct store_api_key *)keys->items[i];
                json_object_open(w);
                api_name_id(w, "id", key->id);
                json_field_slice(w, "prefix", key->prefix);
                api_name_time(w, "expiration", key->expires_us);
                api_name_time(w, "createdAt", key->created_us);
                api_name_time(w, "lastSeen", key->last_seen_us);
                json_object_close(w);
        }
        json_array_close(w);
        json_object_close(w);
        api_done(r);
}

/* "<12>", "hskey-api-<12>" or "hskey-api-<12>-***". */
static struct slice bare_prefix(struct slice text)
{
        if (slice_has_prefix(text, SLICE_LIT("hskey-api-")))
                text = slice_after(text, sizeof("hskey-api-") - 1);
        if (slice_has_suffix(text, SLICE_LIT("-***")))
                text = slice_first(text, text.len - 4);
        return text;
}

static void expire_api_key(struct api_request *r)
{
        const struct store_api_key *key;
        struct slice prefix = { 0 };
        int64_t id = 0;
        const struct api_field fields[] = { { "id", API_ID, &id }, { "prefix", API_TEXT, &prefix } };

        r->doing = "expiring API key";
        if (!api_body(r, fields, 2))
                return;
        if ((id != 0) == (prefix.len != 0)) {
                api_fail(r, 400, "give the key's id or its prefix, one of the two");
                return;
        }
        key = id ? row_set_get(&r->s->tailnet.api_keys, id) : key_find_api_prefix(r->s, bare_prefix(prefix));
        if (!key) {
                api_fail(r, 404, "API key not found");
                return;
        }
        struct store_api_key row = *key;
        row.expires_us = r->s->now.unix_us;
        struct tx tx = journal_begin(r->s);
        journal_put_api_key(&tx, &row);
        journal_commit(&tx);
        api_done_empty(r);
}

static void delete_api_key(struct api_request *r)
{
        const struct store_api_key *key;
        struct slice id;

        r->doing = "deleting API key";
        if (api_query(r, "id", &id)) {
                api_fail(r, 400, "the key is named twice: by the path and by an id");
                return;
        }
        key = key_find_api_prefix(r->s, bare_prefix(r->segment[1]));
        if (!key) {
                api_fail(r, 404, "API key not found");
                return;
        }
        struct tx tx = journal_begin(r->s);
        journal_delete_api_key(&tx, key->id);
        journal_commit(&tx);
        api_done_empty(r);
}

void api_apikeys(struct api_request *r)
{
        if (r->n_segments == 1 && api_is(r, "POST"))
                create_api_key(r);
        else if (r->n_segments == 1 && api_is(r, "GET"))
                list_api_keys(r);
        else if (r->n_segments == 2 && slice_is(r->segment[1], "expire") && api_is(r, "POST"))
                expire_api_key(r);
        else if (r->n_segments == 2 && api_is(r, "DELETE"))
                delete_api_key(r);
        else
                api_fail(r, 404, "there is no such operation on API keys");
}
