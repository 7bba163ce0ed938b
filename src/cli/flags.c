#include "cli/flags.h"

#include <string.h>

#include "base/text.h"

static struct flag *find(struct flag *flags, size_t count, struct slice name)
{
        for (size_t i = 0; i < count; i++)
                if (slice_is(name, flags[i].name))
                        return &flags[i];
        return NULL;
}

bool flags_given(const struct flag *flags, size_t count, const char *name)
{
        for (size_t i = 0; i < count; i++)
                if (strcmp(flags[i].name, name) == 0)
                        return flags[i].is_given;
        return false;
}

/* Words that Go's strconv.ParseBool takes. */
static enum err parse_bool(struct slice text, bool *out)
{
        static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
        static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

        for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
                if (slice_is(text, yes[i]) || slice_is(text, no[i])) {
                        *out = slice_is(text, yes[i]);
                        return OK;
                }
        }
        return ERR_FORMAT;
}

static enum err store(struct flag *f, const char *value, struct diag *diag)
{
        struct slice text = slice_str(value);

        switch (f->kind) {
        case FLAG_BOOL:
                if (parse_bool(text, f->value) == OK)
                        return OK;
                return diag_set(diag, ERR_FORMAT, "flag --%s is either true or false, not \"%s\"", f->name, value);
        case FLAG_TEXT:
                *(const char **)f->value = value;
                return OK;
        case FLAG_NUMBER:
                if (parse_i64(text, f->value) == OK)
                        return OK;
                return diag_set(diag, ERR_FORMAT, "flag --%s needs a whole number, not \"%s\"", f->name, value);
        case FLAG_DURATION:
                if (duration_parse(text, f->value) == OK)
                        return OK;
                return diag_set(diag, ERR_FORMAT, "flag --%s needs a duration such as 5s or 1m30s, not \"%s\"",
                        f->name, value);
        }
        return ERR_STATE;
}

enum err flags_parse(struct flag *flags, size_t count, int argc, char **argv, int *rest, struct diag *diag)
{
        int i = 0;

        diag->text[0] = 0;
        while (i < argc && argv[i][0] == '-' && argv[i][1]) {
                const char *word = argv[i++] + 1;
                if (strcmp(word, "-") == 0)
                        break;
                word += *word == '-';
                const char *equals = strchr(word, '=');
                struct slice name = equals ? slice_make(word, (size_t)(equals - word)) : slice_str(word);
                if (slice_is(name, "h") || slice_is(name, "help"))
                        return ERR_NOTFOUND;
                struct flag *f = find(flags, count, name);
                if (!f)
                        return diag_set(diag, ERR_FORMAT, "unknown flag --%.*s", SLICE_ARGS(name));
                if (f->is_given)
                        return diag_set(diag, ERR_FORMAT, "flag --%s is given twice", f->name);
                const char *value = equals ? equals + 1 : f->kind == FLAG_BOOL ? "true" : i < argc ? argv[i++] : NULL;
                if (!value)
                        return diag_set(diag, ERR_FORMAT, "flag --%s needs a value", f->name);
                enum err err = store(f, value, diag);
                if (err)
                        return err;
                f->is_given = true;
        }
        *rest = i;
        return OK;
}

static void print_default(FILE *out, const struct flag *f)
{
        char text[32];

        switch (f->kind) {
        case FLAG_BOOL:
                if (*(const bool *)f->value)
                        fprintf(out, " (default true)");
                return;
        case FLAG_TEXT:
                if (*(const char **)f->value && **(const char **)f->value)
                        fprintf(out, " (default %s)", *(const char **)f->value);
                return;
        case FLAG_NUMBER:
                if (*(const int64_t *)f->value)
                        fprintf(out, " (default %lld)", (long long)*(const int64_t *)f->value);
                return;
        case FLAG_DURATION:
                duration_format(*(const int64_t *)f->value, text);
                fprintf(out, " (default %s)", text);
                return;
        }
}

void flags_print(FILE *out, const struct flag *flags, size_t count)
{
        static const char *const placeholder[] = {
                [FLAG_BOOL] = "", [FLAG_TEXT] = " TEXT", [FLAG_NUMBER] = " N", [FLAG_DURATION] = " DURATION",
        };

        for (size_t i = 0; i < count; i++) {
                if (!flags[i].help)
                        continue;
                fprintf(out, "  --%s%s\n        %s", flags[i].name, placeholder[flags[i].kind], flags[i].help);
                print_default(out, &flags[i]);
                fputc('\n', out);
        }
}
