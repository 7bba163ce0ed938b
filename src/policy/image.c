#include <stdlib.h>

#include "image_internal.h"

enum { STATE_MEMORY_MAX = 1 << 30 };

/* Sets that are asked for after the state is built are resolved now. */
static void resolve_targets(struct policy_image *st)
{
        VEC_EACH(struct node_attr, entry, &st->p->node_attrs)
        VEC_EACH(struct alias, t, &entry->target)
        (void)state_resolve(st, t);
        VEC_EACH(struct ssh_rule, r, &st->p->ssh)
        {
                VEC_EACH(struct alias, s, &r->src)
                (void)state_resolve(st, s);
                VEC_EACH(struct alias, d, &r->dst)
                (void)state_resolve(st, d);
        }
}

static void build(struct policy_image *st)
{
        state_index_nodes(st);
        state_compile(st);
        resolve_targets(st);
        for (size_t i = 0; i < st->w->node_count; i++)
                state_compile_node(st, i);
        state_classify(st);
}

enum err policy_image_new(const struct policy *p, const struct policy_world *w, bool let_ambiguous,
        struct policy_image **out, struct policy_errors *errors)
{
        struct policy_image *st = calloc(1, sizeof(*st));
        enum err e = OK;

        if (!st)
                return ERR_NOMEM;
        st->arena = ARENA_INIT(STATE_MEMORY_MAX);
        st->p = p;
        st->w = w;
        st->errors = errors;
        state_fixed_sets(st);
        state_check_users(st);
        if (st->is_ambiguous && !let_ambiguous)
                e = ERR_EXISTS;
        st->nodes = ARENA_ARRAY(&st->arena, w->node_count + 1, struct node_info);
        if (e == OK && st->nodes)
                build(st);
        if (e == OK && arena_failed(&st->arena))
                e = ERR_NOMEM;
        st->errors = NULL;
        if (e == OK)
                *out = st;
        else
                policy_image_free(st);
        return e;
}

void policy_image_free(struct policy_image *st)
{
        if (!st)
                return;
        table_fini(&st->by_tag);
        table_fini(&st->by_user);
        table_fini(&st->sets);
        arena_fini(&st->arena);
        free(st);
}

enum err policy_image_test(const struct policy_image *st, struct policy_errors *errors)
{
        bool ok = state_run_tests(st, errors);

        return state_run_ssh_tests(st, errors) && ok ? OK : ERR_DENIED;
}
