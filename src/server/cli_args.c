/*
 * Options and words. Flags may stand anywhere, as `--name value`, `--name=value`,
 * `-n value` or `-nvalue`; "--" ends them. Which take a value is known from the table
 * of all flags of all verbs, so that a flag may stand before its verb.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* Long name, short name, whether a value follows. A letter means one thing
 * a verb; which one, the verb's own table says (cli_flag). */
static const struct {
        const char *name;
        char letter;
        bool takes_value;
} known[] = {
        { "config", 'c', true },
        { "output", 'o', true },
        { "force", 0, false },
        { "help", 'h', false },
        { "user", 'u', true },
        { "reusable", 0, false },
        { "ephemeral", 0, false },
        { "expiration", 'e', true },
        { "tags", 't', true },
        { "identifier", 'i', true },
        { "id", 'i', true },
        { "name", 'n', true },
        { "email", 'e', true },
        { "display-name", 'd', true },
        { "picture-url", 'p', true },
        { "new-name", 'r', true },
        { "key", 'k', true },
        { "expiry", 'e', true },
        { "disable", 'd', false },
        { "routes", 'r', true },
        { "prefix", 'p', true },
        { "auth-id", 0, true },
        { "file", 'f', true },
        { "scope", 's', true },
        { "tag", 't', true },
        { "description", 'd', true },
        { "route", 'r', true },
        { "bypass-server-and-access-database-directly", 0, false },
};
enum { N_KNOWN = sizeof(known) / sizeof(known[0]) };

static bool set_output(struct cli *cli, const char *value, struct diag *diag)
{
        static const struct {
                const char *name;
                enum output form;
        } forms[] = { { "", OUTPUT_TABLE }, { "json", OUTPUT_JSON }, { "json-line", OUTPUT_JSON_LINE },
                { "yaml", OUTPUT_YAML } };

        for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
                if (strcmp(forms[i].name, value) == 0) {
                        cli->output = forms[i].form;
                        return true;
                }
        }
        (void)diag_set(diag, ERR_FORMAT, "--output must be json, json-line or yaml");
        return false;
}

static bool add_flag(struct cli *cli, const char *name, const char *value, struct diag *diag)
{
        if (strcmp(name, "config") == 0) {
                cli->config_path = value;
                return true;
        }
        if (strcmp(name, "output") == 0)
                return set_output(cli, value, diag);
        if (strcmp(name, "force") == 0)
                return cli->force = true;
        if (strcmp(name, "help") == 0)
                return cli->help = true;
        if (cli->n_flags == CLI_FLAGS_MAX) {
                (void)diag_set(diag, ERR_LIMIT, "too many flags");
                return false;
        }
        cli->flags[cli->n_flags++] = (struct cli_flag){ name, value };
        return true;
}

/* A short flag is kept by its letter until the verb says which long name it has. */
static const char *letter_name(char letter)
{
        static const char letters[][2] = { "u", "e", "t", "i", "n", "d", "p", "r", "k", "f", "s" };

        for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
                if (letters[i][0] == letter)
                        return letters[i];
        }
        return letter == 'c' ? "config" : letter == 'o' ? "output" : "help";
}

static bool parse_long(struct cli *cli, char **argv, int argc, int *i, struct diag *diag)
{
        const char *text = argv[*i] + 2, *equals = strchr(text, '=');
        size_t len = equals ? (size_t)(equals - text) : strlen(text);

        for (size_t k = 0; k < N_KNOWN; k++) {
                if (strlen(known[k].name) != len || strncmp(known[k].name, text, len) != 0)
                        continue;
                if (!known[k].takes_value)
                        return !equals || strcmp(equals, "=true") == 0
                                       ? add_flag(cli, known[k].name, "", diag)
                                       : true;
                if (equals)
                        return add_flag(cli, known[k].name, equals + 1, diag);
                if (*i + 1 < argc)
                        return add_flag(cli, known[k].name, argv[++*i], diag);
                (void)diag_set(diag, ERR_FORMAT, "--%s needs a value", known[k].name);
                return false;
        }
        (void)diag_set(diag, ERR_FORMAT, "unknown flag: %s", argv[*i]);
        return false;
}

static bool parse_short(struct cli *cli, char **argv, int argc, int *i, struct diag *diag)
{
        char letter = argv[*i][1];
        const char *rest = argv[*i] + 2;

        for (size_t k = 0; k < N_KNOWN; k++) {
                if (known[k].letter != letter)
                        continue;
                /* -d is a switch for `nodes expire` and has a value for users. */
                bool is_switch = !known[k].takes_value ||
                                 (letter == 'd' && cli->n_words > 1 && cli->words[0][0] == 'n');
                if (is_switch && *rest == '\0')
                        return add_flag(cli, letter_name(letter), "", diag);
                if (*rest)
                        return add_flag(cli, letter_name(letter), *rest == '=' ? rest + 1 : rest, diag);
                if (*i + 1 < argc)
                        return add_flag(cli, letter_name(letter), argv[++*i], diag);
                (void)diag_set(diag, ERR_FORMAT, "-%c needs a value", letter);
                return false;
        }
        (void)diag_set(diag, ERR_FORMAT, "unknown flag: %s", argv[*i]);
        return false;
}

bool cli_args_parse(struct cli *cli, int argc, char **argv, struct diag *diag)
{
        bool only_words = false;

        for (int i = 1; i < argc; i++) {
                if (!only_words && strcmp(argv[i], "--") == 0) {
                        only_words = true;
                } else if (!only_words && strncmp(argv[i], "--", 2) == 0) {
                        if (!parse_long(cli, argv, argc, &i, diag))
                                return false;
                } else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
                        if (!parse_short(cli, argv, argc, &i, diag))
                                return false;
                } else if (cli->n_words == CLI_WORDS_MAX) {
                        (void)diag_set(diag, ERR_LIMIT, "too many arguments");
                        return false;
                } else {
                        cli->words[cli->n_words++] = argv[i];
                }
        }
        return true;
}

/* Finds "name" or its letter among the verb's flags ("user:u= reusable"); gives the
 * long name as it stands there. */
static bool in_spec(const char *spec, const char *name, struct slice *long_name)
{
        struct slice rest = slice_str(spec), item;

        while (slice_split(&rest, ' ', &item)) {
                if (item.len && item.ptr[item.len - 1] == '=')
                        item.len--;
                size_t colon = slice_find(item, ':');
                *long_name = slice_first(item, colon);
                if (slice_is(*long_name, name) ||
                        (colon < item.len && slice_is(slice_after(item, colon + 1), name)))
                        return true;
        }
        return false;
}

bool cli_args_check(const struct cli *cli, struct diag *diag)
{
        struct slice long_name;

        for (size_t i = 0; i < cli->n_flags; i++) {
                if (!in_spec(cli->verb_flags, cli->flags[i].name, &long_name)) {
                        (void)diag_set(diag, ERR_FORMAT, "%s%s does not go with this command; try --help",
                                strlen(cli->flags[i].name) == 1 ? "-" : "--", cli->flags[i].name);
                        return false;
                }
        }
        return true;
}

const char *cli_flag(const struct cli *cli, const char *name)
{
        struct slice long_name;

        for (size_t i = cli->n_flags; i-- > 0;) {
                if (in_spec(cli->verb_flags, cli->flags[i].name, &long_name) && slice_is(long_name, name))
                        return cli->flags[i].value;
        }
        return NULL;
}

const char *cli_argument(const struct cli *cli, size_t n)
{
        return cli->first_argument + n < cli->n_words ? cli->words[cli->first_argument + n] : NULL;
}
