/*
 * Named packet filters (spec/control.md 7). PacketFilter is the filter named "base";
 * PacketFilters patches the names; what counts is all of them in order of name.
 */
#include "netmap_internal.h"

static struct tailcfg_named_filter *find(struct tailcfg_named_filter *list, size_t count, struct slice name)
{
        for (size_t i = 0; i < count; i++) {
                if (slice_equal(list[i].name, name))
                        return &list[i];
        }
        return NULL;
}

/* A filter with the forbidden legacy members is refused: it lets nothing pass. */
static struct tailcfg_filter_rules accepted(struct slice name, struct tailcfg_filter_rules rules)
{
        if (!tailcfg_filter_is_legacy(&rules))
                return rules;
        log_debug(&netmap_log, "refusing a filter of the old form", "name=%.*s", SLICE_ARGS(name));
        return (struct tailcfg_filter_rules){ .items = TAILCFG_EMPTY };
}

/* In order of name, which is how they are joined. */
static void insert(struct tailcfg_named_filter *list, size_t *count, struct slice name, struct tailcfg_filter_rules rules)
{
        struct tailcfg_named_filter *same = find(list, *count, name);
        size_t at = *count;

        rules = accepted(name, rules);
        if (same) {
                same->rules = rules;
                return;
        }
        while (at && slice_compare(list[at - 1].name, name) > 0) {
                list[at] = list[at - 1];
                at--;
        }
        list[at] = (struct tailcfg_named_filter){ name, rules };
        (*count)++;
}

static void remove_name(struct tailcfg_named_filter *list, size_t *count, struct slice name)
{
        struct tailcfg_named_filter *at = find(list, *count, name);

        if (!at)
                return;
        (*count)--;
        memmove(at, at + 1, (size_t)(list + *count - at) * sizeof(*at));
}

static void patch(struct tailcfg_named_filter *list, size_t *count, const struct tailcfg_named_filters *patches)
{
        struct slice all = SLICE_LIT("*");

        for (size_t i = 0; i < patches->count; i++) {
                if (slice_equal(patches->items[i].name, all) && !patches->items[i].rules.items)
                        *count = 0;
        }
        for (size_t i = 0; i < patches->count; i++) {
                if (patches->items[i].rules.items)
                        insert(list, count, patches->items[i].name, patches->items[i].rules);
                else
                        remove_name(list, count, patches->items[i].name);
        }
}

static bool same_filters(const struct tailcfg_named_filters *a, const struct tailcfg_named_filters *b)
{
        if (a->count != b->count)
                return false;
        for (size_t i = 0; i < a->count; i++) {
                if (!slice_equal(a->items[i].name, b->items[i].name) ||
                    !tailcfg_filter_rules_equal(&a->items[i].rules, &b->items[i].rules))
                        return false;
        }
        return true;
}

/* Deep copy into memory that replaces the old, and all rules in one list. */
static enum err keep(struct netmap *nm, const struct tailcfg_named_filters *filters)
{
        struct part fresh = { ARENA_INIT(NETMAP_PART_MEMORY), true };
        struct tailcfg_named_filter *names = ARENA_ARRAY(&fresh.arena, filters->count + 1, struct tailcfg_named_filter);
        struct tailcfg_filter_rule *rules;
        size_t total = 0, n = 0;

        for (size_t i = 0; i < filters->count; i++)
                total += filters->items[i].rules.count;
        rules = ARENA_ARRAY(&fresh.arena, total + 1, struct tailcfg_filter_rule);
        for (size_t i = 0; i < filters->count && rules; i++) {
                struct tailcfg_filter_rules *own = &names[i].rules;

                names[i].name = arena_copy(&fresh.arena, filters->items[i].name);
                if (tailcfg_filter_rules_copy(&fresh.arena, own, &filters->items[i].rules))
                        break;
                for (size_t j = 0; j < own->count; j++)
                        rules[n++] = own->items[j];
        }
        if (arena_failed(&fresh.arena)) {
                arena_fini(&fresh.arena);
                return ERR_NOMEM;
        }
        part_clear(&nm->filter_part);
        nm->filter_part = fresh;
        nm->filters = (struct tailcfg_named_filters){ names, filters->count };
        nm->rules = (struct tailcfg_filter_rules){ rules, n };
        return OK;
}

enum err filters_apply(struct netmap *nm, const struct tailcfg_map_response *m)
{
        bool any = m->packet_filter.items || m->packet_filters.items;
        size_t count = nm->is_fresh ? 0 : nm->filters.count, cap = count + m->packet_filters.count + 1;
        struct tailcfg_named_filters now;
        struct tailcfg_named_filter *list;
        enum err e;

        if (!any) {
                if (nm->is_fresh && nm->filter_part.is_set) {
                        part_clear(&nm->filter_part);
                        nm->filters = (struct tailcfg_named_filters){ 0 };
                        nm->rules = (struct tailcfg_filter_rules){ 0 };
                        nm->changes.parts |= NETMAP_FILTER;
                }
                return OK;
        }
        if (cap > NETMAP_NAMES_MAX)
                return ERR_LIMIT;
        list = ARENA_ARRAY(&nm->scratch, cap, struct tailcfg_named_filter);
        if (!list)
                return ERR_NOMEM;
        if (count)
                memcpy(list, nm->filters.items, count * sizeof(*list));
        if (m->packet_filter.items)
                insert(list, &count, SLICE_LIT("base"), m->packet_filter);
        patch(list, &count, &m->packet_filters);
        now = (struct tailcfg_named_filters){ list, count };
        if (nm->filter_part.is_set && same_filters(&nm->filters, &now))
                return OK;
        e = keep(nm, &now);
        if (!e)
                nm->changes.parts |= NETMAP_FILTER;
        return e;
}

const struct tailcfg_filter_rules *netmap_filter(const struct netmap *nm)
{
        return &nm->rules;
}

bool netmap_has_filter(const struct netmap *nm)
{
        return nm->filter_part.is_set;
}
