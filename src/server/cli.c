/* The table of verbs, their help, and the way from arguments to a verb. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "server/cli.h"

static const struct cli_verb verbs[] = {
        { "serve", NULL, "", "", "", cli_serve, "Run the control server" },
        { "configtest", NULL, "", "", "", cli_configtest, "Check the configuration and change nothing" },
        { "version", NULL, "", "", "", cli_version, "Print the version" },
        { "health", NULL, "", "", "", cli_health,
                "Ask the running server whether it is well (exit status 0 or 1)" },
        { "generate", "private-key", "", "", "", cli_generate, "Print a new private key" },

        { "users", "create", "c,new", "NAME", "display-name:d= email:e= picture-url:p=", cli_users_create,
                "Create a user" },
        { "users", "list", "ls,show", "", "identifier:i= name:n= email:e=", cli_users_list, "List users" },
        { "users", "destroy", "delete", "", "identifier:i= name:n=", cli_users_destroy,
                "Delete a user without nodes" },
        { "users", "rename", "mv", "", "identifier:i= name:n= new-name:r=", cli_users_rename,
                "Rename a user" },

        { "nodes", "list", "ls,show", "", "user:u=", cli_nodes_list, "List nodes" },
        { "nodes", "list-routes", "lsr,routes", "", "identifier:i=", cli_nodes_list_routes,
                "List the routes that nodes offer" },
        { "nodes", "approve-routes", "", "", "identifier:i= routes:r=", cli_nodes_approve_routes,
                "Set the approved routes of a node (none: withdraw all)" },
        { "nodes", "register", "", "", "user:u= key:k=", cli_nodes_register,
                "Older form of `auth register`" },
        { "nodes", "expire", "logout,exp,e", "", "identifier:i= expiry:e= disable:d", cli_nodes_expire,
                "Expire a node's key now, at a date (RFC 3339), or never (--disable)" },
        { "nodes", "rename", "", "NEWNAME", "identifier:i=", cli_nodes_rename, "Give a node another name" },
        { "nodes", "delete", "del", "", "identifier:i=", cli_nodes_delete, "Delete a node" },
        { "nodes", "tag", "tags,t", "", "identifier:i= tags:t=", cli_nodes_tag, "Set the tags of a node" },
        { "nodes", "backfillips", "", "", "", cli_nodes_backfillips,
                "Give every node the addresses it lacks after a change of prefixes" },

        { "preauthkeys", "create", "c,new", "",
                "user:u= reusable ephemeral expiration:e= tags:t=", cli_preauthkeys_create,
                "Create a key with which nodes register themselves (default: once, within 1h)" },
        { "preauthkeys", "list", "ls,show", "", "", cli_preauthkeys_list, "List pre-auth keys" },
        { "preauthkeys", "expire", "revoke,exp,e", "", "id:i=", cli_preauthkeys_expire,
                "Make a key invalid now" },
        { "preauthkeys", "delete", "del,rm,d", "", "id:i=", cli_preauthkeys_delete,
                "Delete a key; its nodes stay" },

        { "apikeys", "create", "c,new", "", "expiration:e=", cli_apikeys_create,
                "Create a key for the REST API (default 90d)" },
        { "apikeys", "list", "ls,show", "", "", cli_apikeys_list, "List API keys" },
        { "apikeys", "expire", "revoke,exp,e", "", "id:i= prefix:p=", cli_apikeys_expire,
                "Make an API key invalid now" },
        { "apikeys", "delete", "remove,del", "", "id:i= prefix:p=", cli_apikeys_delete, "Delete an API key" },

        { "auth", "register", "", "", "user:u= auth-id=", cli_auth_register,
                "Let a waiting device in, as a node of a user" },
        { "auth", "reject", "", "", "auth-id=", cli_auth_reject, "Send a waiting device back to the start" },

        { "policy", "get", "show,view,fetch", "", "bypass-server-and-access-database-directly",
                cli_policy_get, "Print the policy in force" },
        { "policy", "set", "put,update", "", "file:f= bypass-server-and-access-database-directly",
                cli_policy_set, "Put a policy in force (policy.mode: database)" },
        { "policy", "check", "", "", "file:f= bypass-server-and-access-database-directly", cli_policy_check,
                "Print every error of a policy file, with its place, and run its tests" },
        { "policy", "test", "", "", "", cli_policy_test,
                "Run the tests of the policy in force against the nodes there are now" },

        /* headscale's, refused by name; without help, since help tells what works */
        { "auth", "approve", "", "", "auth-id=", cli_not_yet, NULL },
        { "oauth-clients", "create", "", "", "scope:s= tag:t= description:d=", cli_not_yet, NULL },
        { "oauth-clients", "list", "", "", "", cli_not_yet, NULL },
        { "oauth-clients", "delete", "", "", "id:i=", cli_not_yet, NULL },
        { "debug", "create-node", "", "", "name:n= user:u= key:k= route:r=", cli_not_yet, NULL },
};
enum { N_VERBS = sizeof(verbs) / sizeof(verbs[0]) };

static const struct {
        const char *group, *aliases;
} groups[] = {
        { "users", "user" },
        { "nodes", "node" },
        { "preauthkeys", "preauthkey,authkey,pre" },
        { "apikeys", "apikey,api" },
        { "generate", "gen" },
        { "oauth-clients", "oauth-client,oauthclients,oauthclient,oauth" },
};

static bool in_list(const char *word, const char *list)
{
        struct slice rest = slice_str(list), item;

        while (rest.len && slice_split(&rest, ',', &item)) {
                if (slice_is(item, word))
                        return true;
        }
        return false;
}

static const char *group_of(const char *word)
{
        for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
                if (in_list(word, groups[i].aliases))
                        return groups[i].group;
        }
        return word;
}

/* ---- help ----------------------------------------------------------------------------- */

static void print_flags(const char *spec)
{
        struct slice rest = slice_str(spec), item;

        while (rest.len && slice_split(&rest, ' ', &item)) {
                bool takes_value = item.len && item.ptr[item.len - 1] == '=';
                item.len -= takes_value;
                size_t colon = slice_find(item, ':');
                struct slice letter = slice_after(item, colon < item.len ? colon + 1 : colon);
                printf("  %s%.*s%s--%.*s%s\n", letter.len ? "-" : "", SLICE_ARGS(letter),
                        letter.len ? ", " : "    ", SLICE_ARGS(slice_first(item, colon)),
                        takes_value ? " VALUE" : "");
        }
}

static void print_global_flags(void)
{
        puts("\nEverywhere:\n"
             "  -c, --config FILE    the config file (default: HEADSCALE_CONFIG, then config.yaml in\n"
             "                       /etc/headscale, ~/.headscale, the current folder)\n"
             "  -o, --output FORM    json, json-line or yaml instead of a table\n"
             "      --force          ask nothing\n"
             "  -h, --help           this text");
}

static int help_verb(const struct cli_verb *v)
{
        printf("%s\n\nUsage:\n  weft-control %s%s%s%s%s [flags]\n", v->help, v->group, v->name ? " " : "",
                v->name ? v->name : "", *v->arguments ? " " : "", v->arguments);
        if (*v->aliases)
                printf("\nAlso called: %s\n", v->aliases);
        if (*v->flags) {
                puts("\nFlags:");
                print_flags(v->flags);
        }
        print_global_flags();
        return 0;
}

static int help_all(const char *group)
{
        puts("weft-control: control server of a Weft tailnet, and its administration\n\nUsage:\n  "
             "weft-control [-c FILE] COMMAND ...\n\nCommands:");
        for (size_t i = 0; i < N_VERBS; i++) {
                char name[64];
                if (!verbs[i].help || (group && strcmp(verbs[i].group, group) != 0))
                        continue;
                snprintf(name, sizeof(name), "%s%s%s%s%s", verbs[i].group, verbs[i].name ? " " : "",
                        verbs[i].name ? verbs[i].name : "", *verbs[i].arguments ? " " : "",
                        verbs[i].arguments);
                printf("  %-24s %s\n", name, verbs[i].help);
        }
        print_global_flags();
        return 0;
}

/* ---- dispatch ---------------------------------------------------------------------------- */

static const struct cli_verb *find_verb(struct cli *cli)
{
        const char *group = group_of(cli->words[0]);

        for (size_t i = 0; i < N_VERBS; i++) {
                const struct cli_verb *v = &verbs[i];
                if (strcmp(v->group, group) != 0)
                        continue;
                if (!v->name) {
                        cli->first_argument = 1;
                        return v;
                }
                if (cli->n_words > 1 &&
                        (strcmp(v->name, cli->words[1]) == 0 || in_list(cli->words[1], v->aliases))) {
                        cli->first_argument = 2;
                        return v;
                }
        }
        return NULL;
}

static bool is_group(const char *group)
{
        for (size_t i = 0; i < N_VERBS; i++) {
                if (verbs[i].help && strcmp(verbs[i].group, group) == 0)
                        return true;
        }
        return false;
}

static int run_verb(struct cli *cli, const struct cli_verb *v)
{
        struct diag diag;

        cli->verb_flags = v->flags;
        if (v->run == cli_not_yet)
                return v->run(cli);
        if (cli->help)
                return help_verb(v);
        if (!cli_args_check(cli, &diag))
                return cli_fail(cli, "%s", diag.text);
        if (v->run == cli_version || v->run == cli_generate)
                return v->run(cli); /* need no configuration */
        if (config_load(&cli->config, cli->config_path, cli->env, &diag) != OK)
                return cli_fail(cli, "%s", diag.text);
        int status = v->run(cli);
        config_fini(&cli->config);
        return status;
}

static int dispatch(struct cli *cli)
{
        const struct cli_verb *v;

        if (cli->n_words == 0 || strcmp(cli->words[0], "help") == 0)
                return help_all(cli->n_words > 1 ? group_of(cli->words[1]) : NULL);
        v = find_verb(cli);
        if (v)
                return run_verb(cli, v);
        if (is_group(group_of(cli->words[0])) && cli->n_words == 1)
                return help_all(group_of(cli->words[0]));
        return cli_fail(cli, "unknown command \"%s%s%s\"; weft-control --help lists all", cli->words[0],
                cli->n_words > 1 ? " " : "", cli->n_words > 1 ? cli->words[1] : "");
}

int cli_main(int argc, char **argv, char **env)
{
        struct cli cli = { .env = env, .arena = ARENA_INIT(256 << 20) };
        struct diag diag;
        int status;

        if (cli_args_parse(&cli, argc, argv, &diag))
                status = dispatch(&cli);
        else
                status = cli_fail(&cli, "%s", diag.text);
        arena_fini(&cli.arena);
        return status;
}
