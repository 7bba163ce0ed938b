/* What the sections share: typed values that report and go on, member names that are
 * matched as the official parser matches them (spec/policy.md 1). */
#include "policy_internal.h"

void *vec_push(struct vec *v, struct arena *a, size_t size)
{
        if (v->count == v->cap) {
                size_t cap = v->cap ? v->cap * 2 : 4;
                void *grown = arena_array(a, cap, size);
                if (!grown)
                        return NULL;
                if (v->count)
                        memcpy(grown, v->items, v->count * size);
                v->items = grown;
                v->cap = cap;
        }
        return (char *)v->items + v->count++ * size;
}

size_t parse_pos(struct parser *ps)
{
        (void)json_peek(&ps->r); /* skips white space */
        return ps->r.pos;
}

bool parse_want(struct parser *ps, enum json_type type, const char *what)
{
        enum json_type got = json_peek(&ps->r);
        size_t pos = ps->r.pos;

        if (got == type)
                return true;
        json_skip(&ps->r);
        if (got != JSON_NULL && !ps->r.status)
                policy_error_add(ps->errors, pos, "%s", what);
        return false;
}

/* Equal but for case, '_' and '-'. */
static bool same_name(struct slice name, const char *known)
{
        struct slice k = slice_str(known);
        size_t n = 0;

        for (size_t i = 0; i < name.len; i++) {
                uint8_t c = name.ptr[i];
                if (c == '_' || c == '-')
                        continue;
                if (n == k.len || !slice_equal_nocase(slice_make(&name.ptr[i], 1), slice_make(&k.ptr[n], 1)))
                        return false;
                n++;
        }
        return n == k.len;
}

int parse_member(struct parser *ps, const char *const *names, uint32_t *seen, bool allow_hash)
{
        struct slice name;

        for (;;) {
                size_t before = parse_pos(ps);
                if (!json_member(&ps->r, &name))
                        return -1;
                if (ps->r.text.ptr[before] == ',')
                        before++;
                while (before < ps->r.pos && ps->r.text.ptr[before] != '"')
                        before++;
                int i = 0;
                while (names[i] && !same_name(name, names[i]))
                        i++;
                if (names[i] && !(*seen & 1u << i)) {
                        *seen |= 1u << i;
                        return i;
                }
                if (names[i])
                        policy_error_add(ps->errors, before, "duplicate object member name \"%.*s\"",
                                SLICE_ARGS(name));
                else if (!allow_hash || name.len == 0 || name.ptr[0] != '#')
                        policy_error_add(ps->errors, before, "unknown field: \"%.*s\"", SLICE_ARGS(name));
                json_skip(&ps->r);
        }
}

struct text parse_text(struct parser *ps, const char *what)
{
        struct text t = { .pos = parse_pos(ps) };

        if (parse_want(ps, JSON_STRING, what))
                t.s = json_string(&ps->r);
        return t;
}

void parse_texts(struct parser *ps, struct vec *out, const char *what)
{
        if (!parse_want(ps, JSON_ARRAY, what))
                return;
        json_array_begin(&ps->r);
        while (json_element(&ps->r)) {
                size_t pos = parse_pos(ps);
                if (!parse_want(ps, JSON_STRING, "a string was expected"))
                        continue;
                struct text *t = VEC_PUSH(out, ps->a, struct text);
                struct slice s = json_string(&ps->r);
                if (t)
                        *t = (struct text){ s, pos };
        }
}

void parse_aliases(struct parser *ps, struct vec *out)
{
        struct vec texts = { 0 };

        parse_texts(ps, &texts, "a list of strings was expected");
        VEC_EACH(struct text, t, &texts)
        {
                struct alias alias;
                const char *why = NULL;
                if (!alias_parse(slice_trim(t->s), t->pos, &alias, ps->a, &why)) {
                        policy_error_add(ps->errors, t->pos, "%s", why ? why : "out of memory");
                        continue;
                }
                struct alias *added = VEC_PUSH(out, ps->a, struct alias);
                if (added)
                        *added = alias;
        }
}
