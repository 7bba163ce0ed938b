/* users create | list | destroy | rename */
#include <stdio.h>

#include "cli.h"

static void put_flag(struct cli *cli, struct json_writer *w, const char *name, const char *flag)
{
        const char *value = cli_flag(cli, flag);

        if (value)
                json_field_str(w, name, value);
}

int cli_users_create(struct cli *cli)
{
        const char *name = cli_argument(cli, 0);

        if (!name)
                return cli_fail(cli, "give the name of the user: weft-control users create NAME");
        struct json_writer w = cli_json_begin(cli);
        json_field_str(&w, "name", name);
        put_flag(cli, &w, "displayName", "display-name");
        put_flag(cli, &w, "email", "email");
        put_flag(cli, &w, "pictureUrl", "picture-url");
        const struct value *v = cli_call(cli, "POST", "/api/v1/user", cli_json_end(cli, &w));
        return v ? cli_done(cli, value_get(v, "user"), "User created") : 1;
}

/* One filter: id, then name, then email. */
static const struct value *list(struct cli *cli, const char *id, const char *name, const char *email)
{
        const char *path = "/api/v1/user";

        if (id)
                path = arena_printf(&cli->arena, "/api/v1/user?id=%s", cli_escape(cli, id));
        else if (name)
                path = arena_printf(&cli->arena, "/api/v1/user?name=%s", cli_escape(cli, name));
        else if (email)
                path = arena_printf(&cli->arena, "/api/v1/user?email=%s", cli_escape(cli, email));
        return value_get(cli_call(cli, "GET", path, (struct slice){ 0 }), "users");
}

int cli_users_list(struct cli *cli)
{
        static const char *const titles[] = { "ID", "Name", "Username", "Email", "Created" };
        const struct value *users =
                list(cli, cli_flag(cli, "identifier"), cli_flag(cli, "name"), cli_flag(cli, "email"));
        struct table_out t;

        if (!users)
                return 1;
        if (cli->output != OUTPUT_TABLE)
                return cli_done(cli, users, "");
        table_begin(&t, titles, 5);
        for (const struct value *user = users->children; user; user = user->next) {
                table_cell(&t, "%.*s", SLICE_ARGS(value_text(user, "id")));
                table_cell(&t, "%.*s", SLICE_ARGS(value_text(user, "displayName")));
                table_cell(&t, "%.*s", SLICE_ARGS(value_text(user, "name")));
                table_cell(&t, "%.*s", SLICE_ARGS(value_text(user, "email")));
                table_cell(&t, "%s", cli_time(&cli->arena, value_text(user, "createdAt")));
        }
        table_end(&t);
        return 0;
}

/* The one user that -i or -n means; NULL after the error was told. */
static const struct value *the_user(struct cli *cli)
{
        const char *id = cli_flag(cli, "identifier"), *name = cli_flag(cli, "name");
        const struct value *users;

        if (!id && !name) {
                cli_fail(cli, "say which user with -i ID or -n NAME");
                return NULL;
        }
        users = list(cli, id, name, NULL);
        if (!users)
                return NULL;
        if (!users->children)
                cli_fail(cli, "no such user; `weft-control users list` shows all");
        else if (users->children->next)
                cli_fail(cli, "several users fit; name one by -i ID");
        else
                return users->children;
        return NULL;
}

int cli_users_destroy(struct cli *cli)
{
        const struct value *user = the_user(cli);

        if (!user)
                return 1;
        const char *question = arena_printf(&cli->arena, "Delete user %.*s and their pre-auth keys?",
                SLICE_ARGS(value_text(user, "name")));
        if (!cli_confirm(cli, question ? question : "Delete?")) {
                puts("User not deleted");
                return 0;
        }
        const char *path = arena_printf(&cli->arena, "/api/v1/user/%.*s", SLICE_ARGS(value_text(user, "id")));
        const struct value *v = cli_call(cli, "DELETE", path, (struct slice){ 0 });
        return v ? cli_done(cli, v, "User destroyed") : 1;
}

int cli_users_rename(struct cli *cli)
{
        const char *new_name = cli_flag(cli, "new-name");
        const struct value *user;

        if (!new_name)
                return cli_fail(cli, "give the new name with -r NAME");
        if (!(user = the_user(cli)))
                return 1;
        const char *path = arena_printf(&cli->arena, "/api/v1/user/%.*s/rename/%s",
                SLICE_ARGS(value_text(user, "id")), cli_escape(cli, new_name));
        const struct value *v = cli_call(cli, "POST", path, (struct slice){ 0 });
        return v ? cli_done(cli, value_get(v, "user"), "User renamed") : 1;
}
