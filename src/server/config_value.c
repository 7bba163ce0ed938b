/* One value from text to the member of struct config that its key names. */
#include <string.h>

#include "base/text.h"
#include "config_internal.h"

static void *member(struct config *c, const struct config_key *key) { return (char *)c + key->offset; }

static bool parse_bool(struct slice text, bool *out)
{
        static const char *const yes[] = { "1", "t", "true", "yes", "on" }, *const no[] = { "0", "f", "false",
                "no", "off" };

        for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
                if (slice_equal_nocase(text, slice_str(yes[i])) ||
                        slice_equal_nocase(text, slice_str(no[i]))) {
                        *out = slice_equal_nocase(text, slice_str(yes[i]));
                        return true;
                }
        }
        return false;
}

/* Go's duration text; a bare number is nanoseconds, as it is for headscale. */
static enum err parse_duration(struct slice text, int64_t *ns)
{
        return parse_i64(text, ns) == OK ? OK : duration_parse(text, ns);
}

static enum err set_prom(struct config *c, const struct config_key *key, struct slice text)
{
        int64_t *ns = member(c, key);

        *ns = 0;
        if (text.len && prom_duration_parse(text, ns) != OK) {
                *ns = 0;
                config_warn(c, "%s: \"%.*s\" is no duration such as 90d; keys will not expire", key->name,
                        SLICE_ARGS(text));
        }
        return OK;
}

static enum err set_words(struct config *c, const struct config_key *key, struct slice text)
{
        enum { WORDS_MAX = 256 };
        struct slice *items = ARENA_ARRAY(&c->arena, WORDS_MAX, struct slice), word;
        size_t n = 0;

        if (!items)
                return ERR_NOMEM;
        while (slice_split(&text, ' ', &word)) {
                word = slice_trim(word);
                if (word.len && n < WORDS_MAX)
                        items[n++] = arena_copy(&c->arena, word);
        }
        config_set_list(c, key, items, n);
        return OK;
}

void config_set_list(struct config *c, const struct config_key *key, const struct slice *items, size_t n)
{
        *(struct config_list *)member(c, key) = (struct config_list){ items, n };
}

enum err config_set_text(struct config *c, const struct config_key *key, struct slice text, struct diag *diag)
{
        text = slice_trim(text);
        switch (key->type) {
        case CONFIG_TEXT: {
                char *copy = arena_cstr(&c->arena, text);
                *(char **)member(c, key) = copy;
                return copy ? OK : ERR_NOMEM;
        }
        case CONFIG_BOOL:
                if (parse_bool(text, member(c, key)))
                        return OK;
                return diag_set(diag, ERR_FORMAT, "%s: \"%.*s\" is neither true nor false", key->name,
                        SLICE_ARGS(text));
        case CONFIG_INT:
                if (parse_i64(text, member(c, key)) == OK)
                        return OK;
                return diag_set(
                        diag, ERR_FORMAT, "%s: \"%.*s\" is not a whole number", key->name, SLICE_ARGS(text));
        case CONFIG_DURATION:
                if (parse_duration(text, member(c, key)) == OK)
                        return OK;
                return diag_set(diag, ERR_FORMAT, "%s: \"%.*s\" is no duration such as 30m or 1h30m",
                        key->name, SLICE_ARGS(text));
        case CONFIG_PROM:
                return set_prom(c, key, text);
        case CONFIG_LIST:
                return set_words(c, key, text);
        case CONFIG_SPLIT:
        case CONFIG_RECORDS:
                return diag_set(diag, ERR_UNSUPPORTED, "%s cannot be given as one text; use the config file",
                        key->name);
        case CONFIG_ANY:
                return OK;
        }
        return OK;
}
