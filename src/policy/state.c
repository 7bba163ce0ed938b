/* The calls of policy/state.h: a roster, a policy and the plan of both. */
#include "policy/state.h"

#include <stdlib.h>

#include "state_internal.h"

/* ---- the plan ------------------------------------------------------------------------- */

/* When memory was short, the plan is made anew at the next call that needs it. */
static void lose_plan(struct policy_state *st)
{
        plan_free(st->plan);
        st->plan = NULL;
        st->all_touched = true;
}

static struct plan *plan_of(struct policy_state *st)
{
        if (!st->plan && plan_new(st->policy, &st->roster, &st->clock, &st->plan) != OK)
                return NULL;
        return st->plan;
}

static const struct class *class_in(const struct policy_state *st, uint32_t class)
{
        return st->plan && class < st->plan->class_by_id.count ? class_at(st->plan, class) : NULL;
}

/* A node with its place in the plan, or NULL. */
static struct node *find(const struct policy_state *st, int64_t id)
{
        return st->plan ? roster_node(&st->roster, id) : NULL;
}

struct policy_state *policy_state_new(void)
{
        struct policy_state *st = calloc(1, sizeof(*st));

        if (st && policy_state_set_policy(st, NULL, NULL) == OK) {
                policy_state_settle(st);
                return st;
        }
        policy_state_free(st);
        return NULL;
}

void policy_state_free(struct policy_state *st)
{
        if (!st)
                return;
        plan_free(st->plan);
        roster_fini(&st->roster);
        policy_free(st->policy);
        free(st);
}

/* ---- changes ---------------------------------------------------------------------------- */

static struct policy *no_policy(void)
{
        struct policy_errors errors;

        policy_errors_init(&errors);
        struct policy *p = policy_parse((struct slice){ 0 }, &(struct policy_settings){ 0 }, &errors);
        policy_errors_fini(&errors);
        return p;
}

enum err policy_state_set_policy(struct policy_state *st, struct policy *p, struct policy_errors *errors)
{
        struct policy *taken = p ? p : no_policy();
        struct plan *pl = NULL;
        enum err e = taken ? OK : ERR_NOMEM;

        st->clock++;
        if (p)
                e = plan_check_users(p, &st->roster, errors);
        if (e == OK)
                e = plan_new(taken, &st->roster, &st->clock, &pl);
        if (e != OK) {
                if (!p)
                        policy_free(taken);
                return e;
        }
        plan_free(st->plan);
        policy_free(st->policy);
        st->plan = pl;
        st->policy = taken;
        st->all_touched = true;
        return OK;
}

enum err policy_state_set_users(struct policy_state *st, const struct policy_user *users, size_t count,
        struct policy_errors *errors)
{
        enum err e = roster_set_users(&st->roster, users, count);

        if (e != OK)
                return e;
        st->clock++;
        lose_plan(st);
        (void)plan_of(st);
        return plan_check_users(st->policy, &st->roster, errors);
}

static bool same_node(const struct policy_node *a, const struct policy_node *b)
{
        bool same = a->user_id == b->user_id && slices_equal(a->tags, a->tag_count, b->tags, b->tag_count) &&
                    a->route_count == b->route_count && a->primary_count == b->primary_count &&
                    ip_equal(&a->ipv4, &b->ipv4) && ip_equal(&a->ipv6, &b->ipv6);

        for (size_t i = 0; same && i < a->route_count; i++)
                same = ip_prefix_equal(&a->routes[i], &b->routes[i]);
        for (size_t i = 0; same && i < a->primary_count; i++)
                same = ip_prefix_equal(&a->primary[i], &b->primary[i]);
        return same;
}

/* What the others may notice of it. */
static bool look(const struct plan *pl, const struct node *n, struct standing *s)
{
        const struct seat *seat = plan_seat(pl, n);

        *s = (struct standing){ .node = n, .class = seat->class, .own_count = seat->own_count };
        s->selectors = malloc((seat->own_count + 1) * sizeof(*s->selectors));
        if (!s->selectors)
                return false;
        if (seat->own_count)
                memcpy(s->selectors, seat_selectors(seat), seat->own_count * sizeof(*s->selectors));
        return touch_look(pl, s);
}

/* The old node, or NULL, makes room for the new one, or NULL. */
static enum err replace(struct policy_state *st, struct node *old, struct node *new)
{
        struct standing before = { 0 }, after = { 0 };
        struct plan *pl = plan_of(st);
        bool ok = pl != NULL;

        st->clock++;
        if (ok && old) {
                ok = look(pl, old, &before);
                touch_user(pl, old);
                unseat_node(pl, old);
                if (new)
                        new->touched |= old->touched; /* what touched the class it leaves */
        }
        if (old)
                roster_remove(&st->roster, old, st->clock);
        if (new && roster_add(&st->roster, new, st->clock) != OK) {
                standing_fini(&before);
                lose_plan(st);
                roster_node_free(new);
                if (old && roster_add(&st->roster, old, st->clock) != OK)
                        roster_node_free(old);
                return ERR_NOMEM;
        }
        if (ok && new)
                ok = seat_node(pl, new) == OK && look(pl, new, &after);
        ok = ok && touch_change(st, &before, &after) == OK;
        ok = ok && (!old || touch_routers(st, old, new) == OK) && (!new || touch_routers(st, new, new) == OK);
        standing_fini(&before);
        standing_fini(&after);
        if (!ok)
                lose_plan(st);
        roster_node_free(old);
        return OK;
}

enum err policy_state_set_node(struct policy_state *st, const struct policy_node *node)
{
        struct node *old = roster_node(&st->roster, node->id), *new;

        if (old && same_node(&old->n, node))
                return OK;
        new = node_new(node);
        if (!new)
                return ERR_NOMEM;
        new->touched = old ? old->touched : TOUCH_ALL;
        return replace(st, old, new);
}

enum err policy_state_remove_node(struct policy_state *st, int64_t id)
{
        struct node *old = roster_node(&st->roster, id);

        return old ? replace(st, old, NULL) : ERR_NOTFOUND;
}

/* ---- touched ------------------------------------------------------------------------------ */

static unsigned touched(const struct policy_state *st, const struct node *n)
{
        if (st->all_touched || !st->plan)
                return TOUCH_ALL;
        return n->touched | class_of(st->plan, n)->touched;
}

unsigned policy_state_touched(const struct policy_state *st, int64_t node)
{
        const struct node *n = roster_node(&st->roster, node);

        return n ? touched(st, n) : 0;
}

bool policy_state_next_touched(const struct policy_state *st, struct policy_touched *t)
{
        while (t->at < st->roster.slots.count) {
                const struct node *n = roster_slot(&st->roster, t->at++);
                t->what = n ? touched(st, n) : 0;
                if (!t->what)
                        continue;
                t->node = n->n.id;
                return true;
        }
        return false;
}

void policy_state_settle(struct policy_state *st)
{
        for (size_t i = 0; i < st->roster.slots.count; i++)
                if (roster_slot(&st->roster, i))
                        roster_slot(&st->roster, i)->touched = 0;
        for (size_t i = 0; st->plan && i < st->plan->class_by_id.count; i++)
                if (class_at(st->plan, i))
                        class_at(st->plan, i)->touched = 0;
        st->all_touched = st->plan == NULL;
}

/* ---- classes -------------------------------------------------------------------------------- */

uint32_t policy_state_class(const struct policy_state *st, int64_t node)
{
        const struct node *n = find(st, node);

        return n ? class_of(st->plan, n)->id : POLICY_NO_CLASS;
}

uint32_t policy_state_class_limit(const struct policy_state *st)
{
        return st->plan ? (uint32_t)st->plan->class_by_id.count : 0;
}

const int64_t *policy_state_class_nodes(const struct policy_state *st, uint32_t class, size_t *count)
{
        const struct class *c = class_in(st, class);

        *count = c ? c->ids.count : 0;
        return c ? c->ids.items : NULL;
}

bool policy_state_classes_see(const struct policy_state *st, uint32_t a, uint32_t b)
{
        const struct class *x = class_in(st, a), *y = class_in(st, b);

        return x && y && classes_see(st->plan, x, y);
}

bool policy_state_sees(const struct policy_state *st, int64_t a, int64_t b)
{
        const struct node *x = find(st, a), *y = find(st, b);

        return x && y && x != y && classes_see(st->plan, class_of(st->plan, x), class_of(st->plan, y));
}

/* ---- look-ups --------------------------------------------------------------------------------- */

/* Why a look-up cannot be answered. */
static enum err ready(struct policy_state *st, const struct node *n)
{
        return !plan_of(st) ? ERR_NOMEM : n ? OK : ERR_NOTFOUND;
}

enum err policy_state_filter(
        struct policy_state *st, int64_t node, struct arena *a, struct tailcfg_filter_rules *out)
{
        const struct node *n = roster_node(&st->roster, node);
        enum err e = ready(st, n);

        return e == OK ? plan_filter(st->plan, n, a, out) : e;
}

enum err policy_state_routes(struct policy_state *st, int64_t viewer, int64_t peer, struct arena *a,
        struct tailcfg_prefixes *out)
{
        const struct node *x = roster_node(&st->roster, viewer), *y = roster_node(&st->roster, peer);
        enum err e = ready(st, x && y ? x : NULL);

        return e == OK ? plan_routes(st->plan, x, y, a, out) : e;
}

void policy_state_write_ssh(
        struct policy_state *st, int64_t node, struct slice base_url, struct json_writer *w)
{
        const struct node *n = roster_node(&st->roster, node);

        if (ready(st, n) == OK) {
                plan_write_ssh(st->plan, n, base_url, w);
                return;
        }
        json_object_open(w);
        json_name(w, "rules");
        json_array_open(w);
        json_array_close(w);
        json_object_close(w);
}

bool policy_state_ssh_period(struct policy_state *st, int64_t src, int64_t dst, int64_t *period_ns)
{
        const struct node *x = roster_node(&st->roster, src), *y = roster_node(&st->roster, dst);

        return x && ready(st, y) == OK && plan_ssh_period(st->plan, x, y, period_ns);
}

enum err policy_state_attrs(
        struct policy_state *st, int64_t node, struct arena *a, struct tailcfg_strings *out)
{
        const struct node *n = roster_node(&st->roster, node);
        enum err e = ready(st, n);

        return e == OK ? plan_attr_names(st->plan, n, a, out) : e;
}

bool policy_state_may_approve(struct policy_state *st, int64_t node, const struct ip_prefix *route)
{
        const struct node *n = roster_node(&st->roster, node);

        return ready(st, n) == OK && plan_may_approve(st->plan, n, route);
}

bool policy_state_tag_exists(const struct policy_state *st, struct slice tag)
{
        return policy_tag(st->policy, tag) != NULL;
}

bool policy_state_user_owns_tag(const struct policy_state *st, int64_t user_id, struct slice tag)
{
        return st->plan && plan_user_owns_tag(st->plan, user_id, tag);
}

bool policy_state_tags_own_tag(
        const struct policy_state *st, const struct slice *tags, size_t count, struct slice tag)
{
        return st->plan && plan_tags_own_tag(st->plan, tags, count, tag);
}

/* ---- tests ------------------------------------------------------------------------------------- */

static enum err run_tests(struct plan *pl, struct policy_errors *errors)
{
        bool ok = plan_run_tests(pl, errors);

        return plan_run_ssh_tests(pl, errors) && ok ? OK : ERR_DENIED;
}

enum err policy_state_test(struct policy_state *st, struct policy_errors *errors)
{
        return plan_of(st) ? run_tests(st->plan, errors) : ERR_NOMEM;
}

enum err policy_state_try(struct policy_state *st, const struct policy *p, struct policy_errors *errors)
{
        struct plan *pl = NULL;
        enum err e = plan_check_users(p, &st->roster, errors);

        if (e == OK)
                e = plan_new(p, &st->roster, &st->clock, &pl);
        if (e == OK)
                e = run_tests(pl, errors);
        plan_free(pl);
        return e;
}
