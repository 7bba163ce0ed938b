/*
 * Which node serves a route (spec/server.md 6.3). Serving is what a node announces and
 * an administrator approved. Several nodes may serve a prefix; peers send to one, the
 * primary: who was it stays it while online, else the lowest id. Exit routes have no
 * primary: every approved exit node serves.
 */
#include <stdlib.h>

#include "state.h"

bool routes_is_exit(const struct ip_prefix *p) { return p->bits == 0; }

static bool list_has(const struct ip_prefix *list, size_t n, const struct ip_prefix *p)
{
        for (size_t i = 0; i < n; i++) {
                if (ip_prefix_equal(&list[i], p))
                        return true;
        }
        return false;
}

bool routes_serves(const struct node *n, const struct ip_prefix *p)
{
        return list_has(n->announced, n->n_announced, p) &&
               list_has(n->row->approved_routes, n->row->n_approved_routes, p);
}

/* Whether another node is a better, or the present, choice for p. */
static bool is_primary(const struct server *s, const struct node *n, const struct ip_prefix *p)
{
        const struct node *best = NULL;

        for (size_t i = 0; i < s->tailnet.nodes.n; i++) {
                const struct node *other = (const struct node *)s->tailnet.nodes.items[i];
                if (!other->n_announced || !other->online || !routes_serves(other, p))
                        continue;
                if (list_has(other->primary, other->n_primary, p))
                        return other == n;
                if (!best)
                        best = other;
        }
        return best == n;
}

static void elect_for(struct server *s, struct node *n)
{
        struct ip_prefix *primary = NULL;
        size_t count = 0;

        if (n->n_announced) {
                primary = calloc(n->n_announced, sizeof(*primary));
                if (!primary)
                        return;
        }
        for (size_t i = 0; i < n->n_announced; i++) {
                const struct ip_prefix *p = &n->announced[i];
                if (!routes_is_exit(p) && routes_serves(n, p) && is_primary(s, n, p) && !list_has(primary, count, p))
                        primary[count++] = *p;
        }
        bool same = count == n->n_primary;
        for (size_t i = 0; same && i < count; i++)
                same = list_has(n->primary, n->n_primary, &primary[i]);
        if (count == 0) { /* absent on the wire, not an empty list */
                free(primary);
                primary = NULL;
        }
        free(n->primary);
        n->primary = primary;
        n->n_primary = count;
        if (!same) {
                policy_note_node(s, n);
                change_mark(s, n, CHANGE_NODE);
        }
}

void routes_elect(struct server *s)
{
        for (size_t i = 0; i < s->tailnet.nodes.n; i++) {
                struct node *n = (struct node *)s->tailnet.nodes.items[i];
                if (n->n_announced || n->n_primary)
                        elect_for(s, n);
        }
}

bool routes_auto_approve(struct server *s, const struct store_node *row, const struct node *n,
        struct arena *a, struct tailcfg_prefixes *approved)
{
        struct ip_prefix *list =
                ARENA_ARRAY(a, row->n_approved_routes + n->n_announced + 1, struct ip_prefix);
        size_t count = row->n_approved_routes;

        if (!list)
                return false;
        for (size_t i = 0; i < count; i++)
                list[i] = row->approved_routes[i];
        for (size_t i = 0; i < n->n_announced; i++) {
                if (!list_has(list, count, &n->announced[i]) &&
                        policy_state_may_approve(policy_now(s), n->id, &n->announced[i]))
                        list[count++] = n->announced[i];
        }
        *approved = (struct tailcfg_prefixes){ list, count };
        return count > row->n_approved_routes;
}

void routes_approve_all(struct server *s)
{
        struct tx tx = journal_begin(s);

        for (size_t i = 0; i < s->tailnet.nodes.n; i++) {
                struct node *n = (struct node *)s->tailnet.nodes.items[i];
                struct arena a = ARENA_INIT(1 << 20);
                struct tailcfg_prefixes list;
                if (routes_auto_approve(s, n->row, n, &a, &list)) {
                        struct store_node row = *n->row;
                        row.approved_routes = list.items;
                        row.n_approved_routes = list.count;
                        (void)journal_put_node(&tx, &row);
                        change_mark(s, n, CHANGE_NODE);
                }
                arena_fini(&a);
        }
        journal_commit(&tx);
        routes_elect(s);
}
