/* preauthkeys and apikeys: create | list | expire | delete */
#include <stdio.h>

#include "cli.h"

/* "tag:a, tag:b", the user's name, or "-". */
static struct slice owner_of(struct cli *cli, const struct value *key)
{
        const struct value *tags = value_get(key, "aclTags");
        struct buf text = BUF_INIT(8192);
        struct slice name = value_text(value_get(key, "user"), "name");

        for (const struct value *tag = tags ? tags->children : NULL; tag; tag = tag->next)
                buf_printf(&text, "%s%.*s", text.len ? ", " : "", SLICE_ARGS(tag->text));
        struct slice owner = text.len   ? arena_copy(&cli->arena, buf_slice(&text))
                             : name.len ? name
                                        : SLICE_LIT("-");
        buf_fini(&text);
        return owner;
}

static const char *yes_no(const struct value *v, const char *name)
{
        return value_true(v, name) ? "true" : "false";
}

int cli_preauthkeys_list(struct cli *cli)
{
        static const char *const titles[] = { "ID", "Key/Prefix", "Reusable", "Ephemeral", "Used",
                "Expiration", "Created", "Owner" };
        const struct value *keys =
                value_get(cli_call(cli, "GET", "/api/v1/preauthkey", (struct slice){ 0 }), "preAuthKeys");
        struct table_out t;

        if (!keys)
                return 1;
        if (cli->output != OUTPUT_TABLE)
                return cli_done(cli, keys, "");
        table_begin(&t, titles, 8);
        for (const struct value *key = keys->children; key; key = key->next) {
                table_cell(&t, "%.*s", SLICE_ARGS(value_text(key, "id")));
                table_cell(&t, "%.*s", SLICE_ARGS(value_text(key, "key")));
                table_cell(&t, "%s", yes_no(key, "reusable"));
                table_cell(&t, "%s", yes_no(key, "ephemeral"));
                table_cell(&t, "%s", yes_no(key, "used"));
                table_cell(&t, "%s", cli_time(&cli->arena, value_text(key, "expiration")));
                table_cell(&t, "%s", cli_time(&cli->arena, value_text(key, "createdAt")));
                table_cell(&t, "%.*s", SLICE_ARGS(owner_of(cli, key)));
        }
        table_end(&t);
        return 0;
}

int cli_preauthkeys_create(struct cli *cli)
{
        const char *expiration = cli_expiration(cli, "expiration", "1h"), *tags = cli_flag(cli, "tags");

        if (!expiration)
                return 1;
        struct json_writer w = cli_json_begin(cli);
        json_field_str(&w, "user", cli_flag(cli, "user") ? cli_flag(cli, "user") : "0");
        json_field_bool(&w, "reusable", cli_flag(cli, "reusable") != NULL);
        json_field_bool(&w, "ephemeral", cli_flag(cli, "ephemeral") != NULL);
        json_field_str(&w, "expiration", expiration);
        if (tags) {
                json_name(&w, "aclTags");
                cli_put_csv(&w, tags);
        }
        const struct value *key =
                value_get(cli_call(cli, "POST", "/api/v1/preauthkey", cli_json_end(cli, &w)), "preAuthKey");
        if (!key)
                return 1;
        const char *text = arena_cstr(&cli->arena, value_text(key, "key"));
        return cli_done(cli, key, text ? text : "");
}

int cli_preauthkeys_expire(struct cli *cli)
{
        const char *id = cli_id(cli);

        if (!id)
                return 1;
        struct json_writer w = cli_json_begin(cli);
        json_field_str(&w, "id", id);
        const struct value *v = cli_call(cli, "POST", "/api/v1/preauthkey/expire", cli_json_end(cli, &w));
        return v ? cli_done(cli, v, "Key expired") : 1;
}

int cli_preauthkeys_delete(struct cli *cli)
{
        const char *id = cli_id(cli);

        if (!id)
                return 1;
        const struct value *v = cli_call(cli, "DELETE",
                arena_printf(&cli->arena, "/api/v1/preauthkey?id=%s", id), (struct slice){ 0 });
        return v ? cli_done(cli, v, "Key deleted") : 1;
}

/* ---- API keys -------------------------------------------------------------------------- */

int cli_apikeys_create(struct cli *cli)
{
        const char *expiration = cli_expiration(cli, "expiration", "90d");

        if (!expiration)
                return 1;
        struct json_writer w = cli_json_begin(cli);
        json_field_str(&w, "expiration", expiration);
        const struct value *key =
                value_get(cli_call(cli, "POST", "/api/v1/apikey", cli_json_end(cli, &w)), "apiKey");
        if (!key)
                return 1;
        const char *text = arena_cstr(&cli->arena, key->text);
        return cli_done(cli, key, text ? text : "");
}

static const struct value *api_keys(struct cli *cli)
{
        return value_get(cli_call(cli, "GET", "/api/v1/apikey", (struct slice){ 0 }), "apiKeys");
}

int cli_apikeys_list(struct cli *cli)
{
        static const char *const titles[] = { "ID", "Prefix", "Expiration", "Created" };
        const struct value *keys = api_keys(cli);
        struct table_out t;

        if (!keys)
                return 1;
        if (cli->output != OUTPUT_TABLE)
                return cli_done(cli, keys, "");
        table_begin(&t, titles, 4);
        for (const struct value *key = keys->children; key; key = key->next) {
                table_cell(&t, "%.*s", SLICE_ARGS(value_text(key, "id")));
                table_cell(&t, "%.*s", SLICE_ARGS(value_text(key, "prefix")));
                table_cell(&t, "%s", cli_time(&cli->arena, value_text(key, "expiration")));
                table_cell(&t, "%s", cli_time(&cli->arena, value_text(key, "createdAt")));
        }
        table_end(&t);
        return 0;
}

/* Exactly one of -i and -p; false after the error was told. */
static bool one_name(struct cli *cli, const char **id, const char **prefix)
{
        *id = cli_flag(cli, "id");
        *prefix = cli_flag(cli, "prefix");
        if (!*id == !*prefix)
                cli_fail(cli, "name the key by -i ID or by -p PREFIX, one of the two");
        return !*id != !*prefix;
}

int cli_apikeys_expire(struct cli *cli)
{
        const char *id, *prefix;

        if (!one_name(cli, &id, &prefix))
                return 1;
        struct json_writer w = cli_json_begin(cli);
        json_field_str(&w, id ? "id" : "prefix", id ? id : prefix);
        const struct value *v = cli_call(cli, "POST", "/api/v1/apikey/expire", cli_json_end(cli, &w));
        return v ? cli_done(cli, v, "Key expired") : 1;
}

int cli_apikeys_delete(struct cli *cli)
{
        const char *id, *prefix;

        if (!one_name(cli, &id, &prefix))
                return 1;
        if (id) { /* the API deletes by prefix alone */
                const struct value *keys = api_keys(cli);
                if (!keys)
                        return 1;
                for (const struct value *key = keys->children; key && !prefix; key = key->next) {
                        if (slice_is(value_text(key, "id"), id))
                                prefix = arena_cstr(&cli->arena, value_text(key, "prefix"));
                }
                if (!prefix)
                        return cli_fail(cli, "no API key has this id; `weft-control apikeys list` shows all");
        }
        const char *path = arena_printf(&cli->arena, "/api/v1/apikey/%s", cli_escape(cli, prefix));
        const struct value *v = cli_call(cli, "DELETE", path, (struct slice){ 0 });
        return v ? cli_done(cli, v, "Key deleted") : 1;
}
