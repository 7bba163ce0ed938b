/* nodes and auth: the devices of the tailnet and the logins that wait. */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "cli.h"
#include "crypto/key.h"
#include "net/loop.h"

/* "[AbCdE]" of a key in its text form. */
static const char *short_key(struct cli *cli, const char *prefix, struct slice text)
{
        char *out = arena_alloc(&cli->arena, 8);
        struct public_key key;

        if (!out || key_parse(prefix, text, &key) != OK)
                return "-";
        key_format_short(&key, out);
        return out;
}

/* The texts of a list, separated. */
static const char *joined(struct cli *cli, const struct value *node, const char *name, const char *separator)
{
        const struct value *list = value_get(node, name);
        struct buf text = BUF_INIT(64 << 10);

        for (const struct value *item = list ? list->children : NULL; item; item = item->next)
                buf_printf(&text, "%s%.*s", text.len ? separator : "", SLICE_ARGS(item->text));
        const char *out = arena_cstr(&cli->arena, buf_slice(&text));
        buf_fini(&text);
        return out ? out : "";
}

static bool is_expired(const struct value *node)
{
        int64_t ns;

        return rfc3339_parse(value_text(node, "expiry"), &ns) == OK && ns != UNIX_ZERO_DATE &&
               ns / 1000 <= net_clock().unix_us;
}

int cli_nodes_list(struct cli *cli)
{
        static const char *const titles[] = { "ID", "Hostname", "Name", "MachineKey", "NodeKey", "User",
                "Tags", "IP addresses", "Ephemeral", "Last seen", "Expiration", "Connected", "Expired" };
        const char *user = cli_flag(cli, "user"), *path = "/api/v1/node";
        const struct value *nodes;
        struct table_out t;

        if (user)
                path = arena_printf(&cli->arena, "/api/v1/node?user=%s", cli_escape(cli, user));
        if (!(nodes = value_get(cli_call(cli, "GET", path, (struct slice){ 0 }), "nodes")))
                return 1;
        if (cli->output != OUTPUT_TABLE)
                return cli_done(cli, nodes, "");
        table_begin(&t, titles, sizeof(titles) / sizeof(titles[0]));
        for (const struct value *node = nodes->children; node; node = node->next) {
                table_cell(&t, "%.*s", SLICE_ARGS(value_text(node, "id")));
                table_cell(&t, "%.*s", SLICE_ARGS(value_text(node, "name")));
                table_cell(&t, "%.*s", SLICE_ARGS(value_text(node, "givenName")));
                table_cell(&t, "%s", short_key(cli, "mkey:", value_text(node, "machineKey")));
                table_cell(&t, "%s", short_key(cli, "nodekey:", value_text(node, "nodeKey")));
                table_cell(&t, "%.*s", SLICE_ARGS(value_text(value_get(node, "user"), "name")));
                table_cell(&t, "%s", joined(cli, node, "tags", ", "));
                table_cell(&t, "%s", joined(cli, node, "ipAddresses", ", "));
                table_cell(
                        &t, "%s", value_true(value_get(node, "preAuthKey"), "ephemeral") ? "true" : "false");
                table_cell(&t, "%s", cli_time(&cli->arena, value_text(node, "lastSeen")));
                table_cell(&t, "%s", cli_time(&cli->arena, value_text(node, "expiry")));
                table_cell(&t, "%s", value_true(node, "online") ? "online" : "offline");
                table_cell(&t, "%s", is_expired(node) ? "yes" : "no");
        }
        table_end(&t);
        return 0;
}

int cli_nodes_list_routes(struct cli *cli)
{
        static const char *const titles[] = { "ID", "Hostname", "Approved", "Available",
                "Serving (Primary)" };
        const char *id = cli_flag(cli, "identifier");
        const struct value *nodes =
                value_get(cli_call(cli, "GET", "/api/v1/node", (struct slice){ 0 }), "nodes");
        struct table_out t;

        if (!nodes)
                return 1;
        if (cli->output != OUTPUT_TABLE)
                return cli_done(cli, nodes, "");
        table_begin(&t, titles, 5);
        for (const struct value *node = nodes->children; node; node = node->next) {
                const char *approved = joined(cli, node, "approvedRoutes", ", "),
                           *available = joined(cli, node, "availableRoutes", ", ");
                if ((!*approved && !*available) || (id && !slice_is(value_text(node, "id"), id)))
                        continue;
                table_cell(&t, "%.*s", SLICE_ARGS(value_text(node, "id")));
                table_cell(&t, "%.*s", SLICE_ARGS(value_text(node, "givenName")));
                table_cell(&t, "%s", approved);
                table_cell(&t, "%s", available);
                table_cell(&t, "%s", joined(cli, node, "subnetRoutes", ", "));
        }
        table_end(&t);
        return 0;
}

/* An operation on the node of -i that answers with the node. */
static int on_node(
        struct cli *cli, const char *method, const char *verb, struct slice body, const char *sentence)
{
        const char *id = cli_id(cli);

        if (!id)
                return 1;
        const struct value *v =
                cli_call(cli, method, arena_printf(&cli->arena, "/api/v1/node/%s%s", id, verb), body);
        if (!v)
                return 1;
        return cli_done(cli, value_get(v, "node") ? value_get(v, "node") : v, sentence);
}

int cli_nodes_approve_routes(struct cli *cli)
{
        struct json_writer w = cli_json_begin(cli);

        json_name(&w, "routes");
        cli_put_csv(&w, cli_flag(cli, "routes") ? cli_flag(cli, "routes") : "");
        return on_node(cli, "POST", "/approve_routes", cli_json_end(cli, &w), "Routes approved");
}

int cli_nodes_expire(struct cli *cli)
{
        const char *expiry = cli_flag(cli, "expiry");
        bool never = cli_flag(cli, "disable") != NULL;
        struct json_writer w = cli_json_begin(cli);

        if (expiry)
                json_field_str(&w, "expiry", expiry);
        if (never)
                json_field_bool(&w, "disableExpiry", true);
        return on_node(cli, "POST", "/expire", cli_json_end(cli, &w),
                never    ? "Node expiry disabled"
                : expiry ? "Node expiration updated"
                         : "Node expired");
}

int cli_nodes_rename(struct cli *cli)
{
        const char *name = cli_argument(cli, 0);

        if (!name)
                return cli_fail(cli, "give the new name: weft-control nodes rename NEWNAME -i ID");
        return on_node(cli, "POST", arena_printf(&cli->arena, "/rename/%s", cli_escape(cli, name)),
                (struct slice){ 0 }, "Node renamed");
}

int cli_nodes_delete(struct cli *cli)
{
        const char *id = cli_id(cli);

        if (!id)
                return 1;
        const char *path = arena_printf(&cli->arena, "/api/v1/node/%s", id);
        const struct value *node = value_get(cli_call(cli, "GET", path, (struct slice){ 0 }), "node");
        if (!node)
                return 1;
        const char *question =
                arena_printf(&cli->arena, "Delete node %.*s?", SLICE_ARGS(value_text(node, "givenName")));
        if (!cli_confirm(cli, question ? question : "Delete?")) {
                puts("Node not deleted");
                return 0;
        }
        return on_node(cli, "DELETE", "", (struct slice){ 0 }, "Node deleted");
}

int cli_nodes_tag(struct cli *cli)
{
        const char *tags = cli_flag(cli, "tags");
        struct json_writer w = cli_json_begin(cli);

        json_name(&w, "tags");
        cli_put_csv(&w, tags ? tags : "");
        return on_node(cli, "POST", "/tags", cli_json_end(cli, &w), "Node updated");
}

int cli_nodes_backfillips(struct cli *cli)
{
        if (!cli_confirm(cli, "Assign missing addresses, and take away those of families that are no longer "
                              "configured?")) {
                puts("Nothing was changed");
                return 0;
        }
        const struct value *v =
                cli_call(cli, "POST", "/api/v1/node/backfillips?confirmed=true", (struct slice){ 0 });
        const char *lines = v ? joined(cli, v, "changes", "\n") : NULL;
        if (!lines)
                return 1;
        return cli_done(cli, v, *lines ? lines : "Every node has its addresses");
}

/* ---- logins -------------------------------------------------------------------------------- */

static int approve(struct cli *cli, const char *id)
{
        const char *user = cli_flag(cli, "user");

        if (!id || !user)
                return cli_fail(cli, "give the login's id and its user: weft-control auth register --auth-id "
                                     "ID --user NAME");
        struct json_writer w = cli_json_begin(cli);
        json_field_str(&w, "user", user);
        json_field_str(&w, "authId", id);
        const struct value *node =
                value_get(cli_call(cli, "POST", "/api/v1/auth/register", cli_json_end(cli, &w)), "node");
        if (!node)
                return 1;
        const char *sentence =
                arena_printf(&cli->arena, "Node %.*s registered", SLICE_ARGS(value_text(node, "givenName")));
        return cli_done(cli, node, sentence ? sentence : "Node registered");
}

int cli_auth_register(struct cli *cli) { return approve(cli, cli_flag(cli, "auth-id")); }

int cli_nodes_register(struct cli *cli) { return approve(cli, cli_flag(cli, "key")); }

int cli_auth_reject(struct cli *cli)
{
        const char *id = cli_flag(cli, "auth-id");

        if (!id)
                return cli_fail(cli, "give the login's id: weft-control auth reject --auth-id ID");
        struct json_writer w = cli_json_begin(cli);
        json_field_str(&w, "authId", id);
        const struct value *v = cli_call(cli, "POST", "/api/v1/auth/reject", cli_json_end(cli, &w));
        return v ? cli_done(cli, v, "Login rejected") : 1;
}
