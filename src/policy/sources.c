/* What rules say in SrcIPs: addresses as tokens (spec/policy.md 9, step 2). */
#include "state_internal.h"

static void push_slice(struct vec *v, struct arena *a, struct slice s)
{
        struct slice *added = VEC_PUSH(v, a, struct slice);

        if (added)
                *added = s;
}

static void push_tokens(struct vec *v, struct arena *a, const struct ipset *s)
{
        for (size_t i = 0; i < s->count; i++)
                push_slice(v, a, ip_range_text(&s->items[i], a));
}

static struct tailcfg_strings as_strings(const struct vec *v)
{
        return (struct tailcfg_strings){ v->count ? v->items : TAILCFG_EMPTY, v->count };
}

struct tailcfg_strings set_tokens(const struct ipset *s, struct arena *a)
{
        struct vec v = { 0 };

        push_tokens(&v, a, s);
        return as_strings(&v);
}

uint64_t tokens_digest(const struct tailcfg_strings *tokens)
{
        uint64_t words[2] = { tokens->count, 0 };

        for (size_t i = 0; i < tokens->count; i++) {
                words[1] = hash_bytes(tokens->items[i]);
                words[0] = hash_bytes(slice_make(words, sizeof(words)));
        }
        return words[0];
}

struct slice prefix_text(const struct ip_prefix *p, bool cidr_form, struct arena *a)
{
        char text[IP_TEXT_MAX];

        if (!cidr_form && ip_prefix_is_host(p))
                ip_format(&p->ip, text);
        else
                ip_prefix_format(p, text);
        return arena_copy(a, slice_str(text));
}

static void push_routes(const struct plan *pl, struct source *s, struct vec *tokens)
{
        const struct served *served = pl->roster->served.items;

        for (size_t i = 0; i < pl->roster->served.count; i++) {
                push_slice(tokens, &s->arena, prefix_text(&served[i].prefix, true, &s->arena));
                ipset_add_prefix(&s->meaning, &s->arena, &served[i].prefix);
        }
}

/* Beside `*` the other sources are named again where they are not yet. */
static void push_others(struct source *s, struct vec *tokens)
{
        struct table known = TABLE_INIT(0);

        VEC_EACH(struct slice, t, tokens)
        if (table_put(&known, *t, s, NULL) != OK)
                s->arena.failed = true;
        VEC_EACH(struct selector *, sel, &s->selectors)
        {
                for (size_t i = 0; !(*sel)->takes_routes && i < (*sel)->set.count; i++) {
                        struct slice text = ip_range_text(&(*sel)->set.items[i], &s->arena);
                        if (table_get(&known, text))
                                continue;
                        push_slice(tokens, &s->arena, text);
                        if (table_put(&known, text, s, NULL) != OK)
                                s->arena.failed = true;
                }
        }
        table_fini(&known);
}

static bool is_stale(const struct plan *pl, const struct source *s)
{
        if (!s->is_built || (s->has_any && pl->roster->served_changed > s->built))
                return true;
        VEC_EACH(struct selector *, sel, &s->selectors)
        if ((*sel)->changed > s->built)
                return true;
        return false;
}

enum err source_build(struct plan *pl, struct source *s)
{
        struct vec tokens = { 0 };

        if (!is_stale(pl, s))
                return OK;
        arena_fini(&s->arena);
        s->set = s->meaning = (struct ipset){ 0 };
        VEC_EACH(struct selector *, sel, &s->selectors)
        ipset_add_set(&s->set, &s->arena, &(*sel)->set);
        ipset_sort(&s->set);
        ipset_add_set(&s->meaning, &s->arena, &s->set);
        if (s->has_everything)
                push_slice(&tokens, &s->arena, SLICE_LIT("*"));
        else
                push_tokens(&tokens, &s->arena, &s->set);
        if (s->has_any && !s->has_everything)
                push_routes(pl, s, &tokens);
        ipset_sort(&s->meaning);
        if (s->has_any && !s->has_everything && s->kind == SOURCE_PLAIN)
                push_others(s, &tokens);
        s->tokens = as_strings(&tokens);
        s->digest = tokens_digest(&s->tokens);
        s->built = *pl->clock;
        s->is_built = !arena_failed(&s->arena);
        return s->is_built ? OK : ERR_NOMEM;
}
