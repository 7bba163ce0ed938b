/* Classes, and who sees whom (spec/policy.md 11). Two classes see each other when one
 * is among the sources of a rule and the other among its destinations; rules of
 * autogroup:self and of via, which only some nodes have, are asked beside. */
#include <stdlib.h>

#include "state_internal.h"

struct class *class_at(const struct plan *pl, size_t i)
{
        return ((struct class *const *)pl->class_by_id.items)[i];
}

void class_free(struct class *c)
{
        free(c->ids.items);
        free(c->nodes.items);
        free(c);
}

static bool take_id(struct plan *pl, struct class *c)
{
        if (pl->free_classes.count) {
                c->id = ((uint32_t *)pl->free_classes.items)[--pl->free_classes.count];
        } else {
                if (!heap_reserve(&pl->class_by_id, 1, sizeof(c)) ||
                        !heap_reserve(&pl->free_classes, pl->class_by_id.count + 1, sizeof(uint32_t)))
                        return false;
                c->id = (uint32_t)pl->class_by_id.count++;
        }
        ((struct class **)pl->class_by_id.items)[c->id] = c;
        return true;
}

static void drop_class(struct plan *pl, struct class *c)
{
        table_remove(&pl->classes, c->key);
        ((struct class **)pl->class_by_id.items)[c->id] = NULL;
        ((uint32_t *)pl->free_classes.items)[pl->free_classes.count++] = c->id;
        class_free(c);
}

static struct class *new_class(struct plan *pl, struct slice key)
{
        struct class *c = calloc(1, sizeof(*c) + key.len);

        if (!c)
                return NULL;
        memcpy(c + 1, key.ptr, key.len);
        c->key = slice_make(c + 1, key.len);
        c->bits = (const uint64_t *)(const void *)(c + 1);
        if (!take_id(pl, c)) {
                class_free(c);
                return NULL;
        }
        if (table_put(&pl->classes, c->key, c, NULL) == OK)
                return c;
        drop_class(pl, c);
        return NULL;
}

enum err class_join(struct plan *pl, struct slice key, struct node *n, struct seat *seat)
{
        struct class *c = table_get(&pl->classes, key);

        if (!c && !(c = new_class(pl, key)))
                return ERR_NOMEM;
        if (!heap_reserve(&c->ids, 1, sizeof(int64_t)) || !heap_reserve(&c->nodes, 1, sizeof(n))) {
                if (c->ids.count == 0)
                        drop_class(pl, c);
                return ERR_NOMEM;
        }
        seat->class = c;
        seat->class_at = c->ids.count;
        ((int64_t *)c->ids.items)[c->ids.count++] = n->n.id;
        ((struct node **)c->nodes.items)[c->nodes.count++] = n;
        return OK;
}

void class_leave(struct plan *pl, struct node *n, struct seat *seat)
{
        struct class *c = seat->class;
        int64_t *ids = c->ids.items;
        struct node **nodes = c->nodes.items, *last = nodes[--c->nodes.count];

        n->touched |= c->touched;
        ids[seat->class_at] = ids[--c->ids.count];
        nodes[seat->class_at] = last;
        plan_seat(pl, last)->class_at = seat->class_at;
        seat->class = NULL;
        if (c->ids.count == 0)
                drop_class(pl, c);
}

/* ---- who sees whom --------------------------------------------------------------------- */

static bool meet(const struct plan *pl, const struct class *a, const struct class *b)
{
        const uint64_t *a_src = a->bits + pl->begin[SECTION_SRC], *a_dst = a->bits + pl->begin[SECTION_DST];
        const uint64_t *b_src = b->bits + pl->begin[SECTION_SRC], *b_dst = b->bits + pl->begin[SECTION_DST];

        for (size_t i = 0; i < pl->begin[SECTION_DST]; i++)
                if ((a_src[i] & b_dst[i]) | (b_src[i] & a_dst[i]))
                        return true;
        return false;
}

static const struct node *some(const struct class *c)
{
        return ((struct node *const *)c->nodes.items)[0];
}

/* Whether the node is one of those of the user, or has a route to one; of all, or of
 * the sources of a grant. */
static bool reaches_own(
        const struct plan *pl, const struct node *n, const struct user_nodes *own, const struct compiled_grant *of)
{
        if (n->user != own && !plan_seat(pl, n)->is_odd)
                return false;
        for (size_t i = 0; i < own->nodes.count; i++) {
                const struct node *o = ((struct node *const *)own->nodes.items)[i];
                const struct seat *seat = plan_seat(pl, o);
                if (of && !(seat->class && class_bit(pl, seat->class, SECTION_ORIGIN, of->at)))
                        continue;
                if (o == n)
                        return true;
                for (size_t r = 0; r < n->route_count; r++)
                        if (ip_prefix_contains(&n->routes[r], &o->n.ipv4) ||
                                ip_prefix_contains(&n->routes[r], &o->n.ipv6))
                                return true;
        }
        return false;
}

/* The rules that a node has for the devices of its user. */
static bool self_access(const struct plan *pl, const struct node *own, const struct node *other)
{
        if (!pl->has_self || !own->user || (other->user != own->user && !plan_seat(pl, other)->is_odd))
                return false;
        VEC_EACH(struct compiled_grant, cg, &pl->grants)
        {
                if (!cg->has_self || cg->g->via.count || !(cg->g->ip.count || cg->g->app.count))
                        continue;
                if ((reaches_own(pl, own, own->user, cg) && reaches_own(pl, other, own->user, NULL)) ||
                        (reaches_own(pl, other, own->user, cg) && reaches_own(pl, own, own->user, NULL)))
                        return true;
        }
        return false;
}

bool node_carries_via(const struct node *n, const struct grant *g)
{
        VEC_EACH(struct alias, v, &g->via)
        for (size_t i = 0; i < n->n.tag_count; i++)
                if (slice_equal(v->text, n->n.tags[i]))
                        return true;
        return false;
}

bool via_range_applies(const struct node *n, const struct ip_range *range)
{
        for (size_t i = 0; i < n->route_count; i++) {
                struct ip_range route = ip_range_of(&n->routes[i]);
                if (ip_range_overlaps(&route, range))
                        return true;
        }
        return false;
}

static bool via_dst_applies(const struct node *n, const struct rule_dst *d)
{
        if (d->is_internet)
                return n->is_exit;
        for (size_t i = 0; !d->selector->is_live && i < d->selector->set.count; i++)
                if (via_range_applies(n, &d->selector->set.items[i]))
                        return true;
        return false;
}

/* The rules that a node has as one that others go through. */
static bool via_access(const struct plan *pl, const struct node *own, const struct class *own_class,
        const struct class *other)
{
        VEC_EACH(struct compiled_grant, cg, &pl->grants)
        {
                size_t bit = cg->via_dst_at;
                if (!cg->g->via.count || !class_bit(pl, own_class, SECTION_CARRY, cg->via_at))
                        continue;
                bool own_src = class_bit(pl, own_class, SECTION_VIA_SRC, cg->via_at);
                bool other_src = class_bit(pl, other, SECTION_VIA_SRC, cg->via_at);
                VEC_EACH(struct rule_dst, d, &cg->dsts)
                {
                        if (via_dst_applies(own, d) &&
                                ((own_src && class_bit(pl, other, SECTION_VIA_DST, bit)) ||
                                        (other_src && class_bit(pl, own_class, SECTION_VIA_DST, bit))))
                                return true;
                        bit++;
                }
        }
        return false;
}

bool classes_see(const struct plan *pl, const struct class *a, const struct class *b)
{
        const struct node *x = some(a), *y = some(b);

        if (a == b && a->nodes.count > 1)
                y = ((struct node *const *)b->nodes.items)[1];
        return meet(pl, a, b) || self_access(pl, x, y) || self_access(pl, y, x) ||
               (pl->has_via && (via_access(pl, x, a, b) || via_access(pl, y, b, a)));
}
