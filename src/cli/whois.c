/* `weft whois`: whose address is that (spec/node.md 2.5). */
#include "cli.h"
#include "json/copy.h"
#include "proto/tailcfg_node.h"

struct whois {
        struct tailcfg_node node;
        struct tailcfg_user_profile user;
        struct slice caps; /* raw JSON object */
};

static enum err decode(struct slice json, struct arena *arena, struct whois *out)
{
        struct json_reader r;
        struct slice name;

        *out = (struct whois){ 0 };
        json_reader_init(&r, json, arena);
        json_object_begin(&r);
        while (json_member(&r, &name)) {
                if (slice_is(name, "Node"))
                        tailcfg_node_parse(&r, &out->node);
                else if (slice_is(name, "UserProfile"))
                        tailcfg_user_profile_parse(&r, &out->user);
                else if (slice_is(name, "CapMap"))
                        out->caps = json_raw(&r);
                else
                        json_skip(&r);
        }
        return json_finish(&r);
}

static void print_prefixes(const char *title, const struct tailcfg_prefixes *list, size_t from)
{
        char text[IP_TEXT_MAX];

        if (list->count <= from)
                return;
        printf("  %-14s", title);
        for (size_t i = from; i < list->count; i++) {
                ip_prefix_format(&list->items[i], text);
                printf("%s%s", i > from ? ", " : "", text);
        }
        putchar('\n');
}

static void print_caps(struct slice caps, struct arena *arena)
{
        struct json_reader r;
        struct slice name;

        json_reader_init(&r, caps, arena);
        if (json_peek(&r) != JSON_OBJECT)
                return;
        json_object_begin(&r);
        for (bool first = true; json_member(&r, &name); first = false) {
                if (first)
                        printf("Capabilities:\n");
                struct slice values = json_raw(&r);
                cli_say(stdout, "  - %.*s", SLICE_ARGS(name));
                if (values.len && !slice_is(values, "null") && !slice_is(values, "[]"))
                        cli_say(stdout, ": %.*s", SLICE_ARGS(values));
                putchar('\n');
        }
}

static void print_whois(const struct whois *w, struct arena *arena)
{
        struct slice name = w->node.name;

        if (name.len && name.ptr[name.len - 1] == '.')
                name.len--;
        cli_say(stdout, "Machine:\n  %-14s%.*s\n  %-14s%.*s\n", "Name:", SLICE_ARGS(name), "ID:", SLICE_ARGS(w->node.stable_id));
        print_prefixes("Addresses:", &w->node.addresses, 0);
        print_prefixes("AllowedIPs:", &w->node.allowed_ips, 2);
        if (w->node.tags.count) {
                printf("  %-14s", "Tags:");
                for (size_t i = 0; i < w->node.tags.count; i++)
                        cli_say(stdout, "%s%.*s", i ? ", " : "", SLICE_ARGS(w->node.tags.items[i]));
                putchar('\n');
        } else {
                cli_say(stdout, "User:\n  %-14s%.*s\n  %-14s%lld\n", "Name:", SLICE_ARGS(w->user.login_name), "ID:", (long long)w->user.id);
        }
        print_caps(w->caps, arena);
}

/* Only characters that need no escape in a query can be an address or a key. */
static bool is_plain(const char *word)
{
        return *word && !word[strspn(word, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.:[]-")];
}

static int run_whois(struct cli *cli, int argc, char **argv)
{
        bool json = false;
        const char *proto = "";
        struct flag flags[] = { { "json", FLAG_BOOL, &json, "as JSON", false }, { "proto", FLAG_TEXT, &proto, "tcp or udp, for an address with port", false } };
        struct arena arena = ARENA_INIT(64 << 20);
        struct cli_reply reply;
        struct whois w;
        char path[256];
        int rest, status;

        if (!cli_flags(cli, &cli_verb_whois, flags, 2, argc, argv, 1, &rest, &status))
                return status;
        if (rest >= argc)
                return cli_fail(cli, "whose address? %s whois IP[:PORT]", cli->program);
        if (!is_plain(argv[rest]) || strlen(argv[rest]) > 100 || (*proto && strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0))
                return cli_fail(cli, "%s is no address; write 100.64.0.1, 100.64.0.1:443 or nodekey:...", argv[rest]);
        snprintf(path, sizeof path, "whois?addr=%s%s%s", argv[rest], *proto ? "&proto=" : "", proto);
        status = 1;
        if (!cli_call(cli, "GET", path, (struct slice){ 0 }, &reply))
                goto out;
        if (json)
                status = cli_print_json(stdout, buf_slice(&reply.body), json_copy) == OK ? 0 : 1;
        else if (decode(buf_slice(&reply.body), &arena, &w) == OK) {
                print_whois(&w, &arena);
                status = 0;
        }
        if (status)
                cli_fail(cli, "the daemon's answer cannot be understood");
        cli_reply_fini(&reply);
out:
        arena_fini(&arena);
        return status;
}

const struct cli_verb cli_verb_whois = { "whois", "whois [flags] IP[:PORT]", "Show whose address that is", run_whois };
