/* Whom a change of one node concerns. */
#include <stdlib.h>

#include "state_internal.h"

static void touch_class(struct class *c, unsigned what) { c->touched |= what; }

static void touch_all(struct plan *pl, unsigned what)
{
        for (size_t i = 0; i < pl->class_by_id.count; i++)
                if (class_at(pl, i))
                        touch_class(class_at(pl, i), what);
}

static bool has_selector(const struct standing *s, const struct selector *sel)
{
        for (size_t i = 0; i < s->own_count; i++)
                if (s->selectors[i] == sel)
                        return true;
        return false;
}

/* Whether others can take them for the same: rules name addresses, ssh rules repeat
 * them for each tag and sort them by user. */
static bool same_identity(const struct node *a, const struct node *b)
{
        return a && b && ip_equal(&a->n.ipv4, &b->n.ipv4) && ip_equal(&a->n.ipv6, &b->n.ipv6) &&
               a->n.tag_count == b->n.tag_count && (is_tagged(a) || a->n.user_id == b->n.user_id);
}

/* ---- what rules say of their sources ---------------------------------------------------- */

/* Bits of rules, and of ssh rules, whose sources are no longer what they were. */
static void mark_uses(const struct plan *pl, const struct selector *s, uint64_t *words)
{
        VEC_EACH(struct use, u, &s->uses)
        if (u->section == SECTION_SRC || u->section == SECTION_SSH_SRC || u->section == SECTION_VIA_SRC)
                words[pl->begin[u->section] + u->bit / 64] |= UINT64_C(1) << u->bit % 64;
}

static bool mark_left(const struct plan *pl, const struct standing *from, const struct standing *to, bool all,
        uint64_t *words)
{
        bool any = false;

        for (size_t i = 0; i < from->own_count; i++) {
                struct selector *s = from->selectors[i];
                if (!s->is_live || (!all && has_selector(to, s)))
                        continue;
                mark_uses(pl, s, words);
                any = true;
        }
        return any;
}

static void mark_routes(const struct plan *pl, uint64_t *words)
{
        VEC_EACH(struct selector *, s, &pl->fixed)
        if ((*s)->takes_routes)
                mark_uses(pl, *s, words);
}

static bool meets(const struct plan *pl, const struct class *c, const uint64_t *words, enum section changed,
        enum section reader)
{
        const uint64_t *a = words + pl->begin[changed], *b = c->bits + pl->begin[reader];
        size_t n = pl->begin[changed + 1] - pl->begin[changed];

        for (size_t i = 0; i < n; i++)
                if (a[i] & b[i])
                        return true;
        return false;
}

static void touch_readers(struct plan *pl, const uint64_t *words)
{
        for (size_t i = 0; i < pl->class_by_id.count; i++) {
                struct class *c = class_at(pl, i);
                if (!c)
                        continue;
                if (meets(pl, c, words, SECTION_SRC, SECTION_DST) ||
                        meets(pl, c, words, SECTION_VIA_SRC, SECTION_CARRY))
                        touch_class(c, POLICY_TOUCH_FILTER);
                if (meets(pl, c, words, SECTION_SSH_SRC, SECTION_SSH_DST))
                        touch_class(c, POLICY_TOUCH_SSH);
        }
}

static enum err touch_sources(
        struct policy_state *st, const struct standing *old, const struct standing *new)
{
        struct plan *pl = st->plan;
        uint64_t *words = calloc(pl->begin[SECTIONS] + 1, sizeof(*words));
        bool all = !same_identity(old->node, new->node), any;

        if (!words)
                return ERR_NOMEM;
        any = mark_left(pl, old, new, all, words);
        any |= mark_left(pl, new, old, all, words);
        if (st->roster.served_changed == st->clock) {
                mark_routes(pl, words);
                touch_readers(pl, words);
        } else if (any) {
                touch_readers(pl, words);
        }
        /* An exit node is offered where any rule leads anywhere: what was empty may not
         * be any more. */
        if (any && st->roster.exit_count)
                touch_all(pl, POLICY_TOUCH_ROUTES);
        free(words);
        return OK;
}

/* ---- peers -------------------------------------------------------------------------------- */

bool touch_look(const struct plan *pl, struct standing *s)
{
        size_t words = pl->class_by_id.count / 64 + 1;

        s->sees = calloc(words, sizeof(*s->sees));
        s->key = malloc(s->class->key.len);
        if (!s->sees || !s->key)
                return false;
        s->sees_words = words;
        s->key_len = s->class->key.len;
        memcpy(s->key, s->class->key.ptr, s->key_len);
        for (size_t i = 0; i < pl->class_by_id.count; i++)
                if (class_at(pl, i) && classes_see(pl, s->class, class_at(pl, i)))
                        s->sees[i / 64] |= UINT64_C(1) << i % 64;
        return true;
}

void standing_fini(struct standing *s)
{
        free(s->sees);
        free(s->key);
        free(s->selectors);
}

static bool saw(const struct standing *s, size_t class) { return class / 64 < s->sees_words && bit_at(s->sees, class); }

/* Those for whom the node came or went, and those who see other routes of it. */
static void touch_peers(
        struct plan *pl, const struct standing *old, const struct standing *new, bool other_routes)
{
        for (size_t i = 0; i < pl->class_by_id.count; i++) {
                struct class *c = class_at(pl, i);
                if (c && saw(old, i) != saw(new, i))
                        touch_class(c, POLICY_TOUCH_PEERS | POLICY_TOUCH_ROUTES);
                else if (c && other_routes && saw(new, i))
                        touch_class(c, POLICY_TOUCH_ROUTES);
        }
}

static bool carries_any_via(const struct plan *pl, const struct node *n)
{
        if (n)
                VEC_EACH(struct compiled_grant, cg, &pl->grants)
        if (cg->g->via.count && node_carries_via(n, cg->g))
                return true;
        return false;
}

void touch_user(const struct plan *pl, const struct node *n)
{
        unsigned what = (pl->has_self ? POLICY_TOUCH_FILTER : 0u) |
                        (pl->has_ssh_self || pl->has_localpart ? POLICY_TOUCH_SSH : 0u);

        for (size_t i = 0; n->user && i < n->user->nodes.count; i++)
                ((struct node *const *)n->user->nodes.items)[i]->touched |= what;
}

static bool same_prefixes(const struct ip_prefix *a, size_t n, const struct ip_prefix *b, size_t m)
{
        for (size_t i = 0; n == m && i < n; i++)
                if (!ip_prefix_equal(&a[i], &b[i]))
                        return false;
        return n == m;
}

static bool same_routes(const struct standing *a, const struct standing *b)
{
        const struct policy_node *x = a->node ? &a->node->n : NULL, *y = b->node ? &b->node->n : NULL;

        if (!x || !y)
                return !(x ? x : y)->route_count;
        return same_prefixes(x->routes, x->route_count, y->routes, y->route_count) &&
               same_prefixes(x->primary, x->primary_count, y->primary, y->primary_count);
}

static bool same_class(const struct standing *a, const struct standing *b)
{
        return a->node && b->node && a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

enum err touch_change(struct policy_state *st, const struct standing *old, const struct standing *new)
{
        struct plan *pl = st->plan;
        bool other_routes = !same_routes(old, new);
        bool is_other = !same_class(old, new) || !same_identity(old->node, new->node);

        touch_peers(pl, old, new, other_routes);
        if (new->node && is_other) {
                struct node *n = roster_node(&st->roster, new->node->n.id);
                n->touched = TOUCH_ALL;
                touch_user(pl, n);
        }
        if (pl->has_via && other_routes && (carries_any_via(pl, old->node) || carries_any_via(pl, new->node)))
                touch_all(pl, POLICY_TOUCH_ROUTES);
        return touch_sources(st, old, new);
}

/* ---- routers whose routes reach addresses of nodes ---------------------------------------- */

/* Such a router stands where the nodes behind its routes stand. */
static enum err reseat(struct policy_state *st, struct node *n)
{
        struct plan *pl = st->plan;
        struct standing old = { .node = n, .class = class_of(pl, n) }, new = { .node = n };
        enum err e = touch_look(pl, &old) ? OK : ERR_NOMEM;

        if (e == OK) {
                unseat_node(pl, n);
                e = seat_node(pl, n);
        }
        new.class = e == OK ? class_of(pl, n) : NULL;
        if (e == OK && touch_look(pl, &new)) {
                touch_peers(pl, &old, &new, true);
                n->touched |= TOUCH_ALL;
        } else {
                e = ERR_NOMEM;
        }
        standing_fini(&old);
        standing_fini(&new);
        return e;
}

enum err touch_routers(struct policy_state *st, const struct node *n, const struct node *but)
{
        const struct roster *r = &st->roster;

        for (size_t i = 0; i < r->served.count; i++) {
                const struct served *s = (const struct served *)r->served.items + i;
                if (!ip_prefix_contains(&s->prefix, &n->n.ipv4) && !ip_prefix_contains(&s->prefix, &n->n.ipv6))
                        continue;
                for (size_t k = 0; k < s->nodes.count; k++) {
                        struct node *router = ((struct node *const *)s->nodes.items)[k];
                        if (router != but && reseat(st, router) != OK)
                                return ERR_NOMEM;
                }
        }
        return OK;
}
