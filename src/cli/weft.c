#include "cli/weft.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const struct cli_verb *const verbs[] = {
        &cli_verb_up,     &cli_verb_down, &cli_verb_login, &cli_verb_logout,   &cli_verb_set,   &cli_verb_status,
        &cli_verb_ip,     &cli_verb_ping, &cli_verb_netcheck, &cli_verb_whois, &cli_verb_version,
};
enum { VERB_COUNT = sizeof verbs / sizeof *verbs };

static bool has_help(const struct flag *flags, size_t count)
{
        for (size_t i = 0; i < count; i++)
                if (flags[i].help)
                        return true;
        return false;
}

bool cli_flags(const struct cli *cli, const struct cli_verb *verb, struct flag *flags, size_t count, int argc,
        char **argv, int max_args, int *rest, int *status)
{
        struct diag diag;
        enum err err = flags_parse(flags, count, argc - 1, argv + 1, rest, &diag);

        ++*rest; /* counted from the verb */
        if (err && diag.text[0] == 0) {
                printf("Usage: %s %s\n\n%s.\n", cli->program, verb->usage, verb->summary);
                if (has_help(flags, count)) {
                        printf("\nFlags:\n");
                        flags_print(stdout, flags, count);
                }
                *status = 0;
                return false;
        }
        if (!err && max_args >= 0 && argc - *rest > max_args)
                err = diag_set(&diag, ERR_FORMAT, "too many arguments: %s", argv[*rest + max_args]);
        if (err) {
                *status = cli_fail(cli, "%s; see %s %s --help", diag.text, cli->program, verb->name);
                return false;
        }
        return true;
}

static void print_usage(FILE *out, const struct flag *flags, size_t count)
{
        fprintf(out, "Usage: weft [flags] VERB [flags] [arguments]\n\nThe command line of the weft node.\n\nVerbs:\n");
        for (size_t i = 0; i < VERB_COUNT; i++)
                fprintf(out, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
        fprintf(out, "\nFlags:\n");
        flags_print(out, flags, count);
        fprintf(out, "\nEach verb has a help of its own: weft VERB --help\n");
}

/* Old names of flags that scripts still use (spec/node.md 2, argument rewriting). */
static char *rewrite_flag(const char *word)
{
        static const char *const names[][2] = {
                { "authkey", "auth-key" },
                { "posture-checking", "report-posture" },
        };
        const char *name = word + 1 + (word[0] == '-' && word[1] == '-');
        char *out = NULL;

        for (size_t i = 0; word[0] == '-' && i < sizeof names / sizeof *names; i++) {
                size_t len = strlen(names[i][0]);
                if (strncmp(name, names[i][0], len) != 0 || (name[len] && name[len] != '='))
                        continue;
                size_t size = strlen(names[i][1]) + strlen(name + len) + 3;
                out = malloc(size);
                if (out)
                        snprintf(out, size, "--%s%s", names[i][1], name + len);
                break;
        }
        return out ? out : strdup(word);
}

static int run_verb(struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
        char **words = calloc((size_t)argc + 1, sizeof *words);
        bool short_of_memory = !words;

        for (int i = 0; words && i < argc; i++) {
                words[i] = rewrite_flag(argv[i]);
                short_of_memory |= !words[i];
        }
        int status = short_of_memory ? cli_fail(cli, "out of memory") : verb->run(cli, argc, words);
        for (int i = 0; words && i < argc; i++)
                free(words[i]);
        free(words);
        return status;
}

int weft_main(int argc, char **argv)
{
        struct cli cli = { .socket_path = weft_default_socket(), .program = "weft" };
        bool version = false;
        struct flag flags[] = {
                { "socket", FLAG_TEXT, &cli.socket_path, "path of the daemon's socket", false },
                { "version", FLAG_BOOL, &version, "print the version and exit", false },
        };
        const size_t count = sizeof flags / sizeof *flags;
        struct diag diag;
        int rest = 0;

        enum err err = flags_parse(flags, count, argc - 1, argv + 1, &rest, &diag);
        if (err) {
                if (diag.text[0])
                        return cli_fail(&cli, "%s; see weft --help", diag.text);
                print_usage(stdout, flags, count);
                return 0;
        }
        argc -= rest + 1;
        argv += rest + 1;
        static char version_word[] = "version";
        char *only_version[] = { version_word, NULL };
        if (version) {
                argc = 1;
                argv = only_version;
        }
        if (argc == 0 || strcmp(argv[0], "help") == 0) {
                print_usage(argc ? stdout : stderr, flags, count);
                return argc ? 0 : 1;
        }
        for (size_t i = 0; i < VERB_COUNT; i++) {
                if (strcmp(argv[0], verbs[i]->name) != 0)
                        continue;
                if (net_loop_new(&cli.loop) != OK)
                        return cli_fail(&cli, "the system refuses an event loop; are too many files open?");
                int status = run_verb(&cli, verbs[i], argc, argv);
                net_loop_free(cli.loop);
                return status;
        }
        return cli_fail(&cli, "there is no verb \"%s\"; see weft --help", argv[0]);
}
