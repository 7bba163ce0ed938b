/* A state over one image, made anew when something changed and it is asked. */
#include "policy/state.h"

#include <stdlib.h>

#include "image.h"
#include "policy_internal.h"

enum { TOUCH_ALL = 31 };

struct kept_node {
        struct policy_node n;
        bool is_touched; /* set, and not settled yet */
        struct arena arena;
};

struct policy_state {
        struct policy *policy;
        struct arena users_arena;
        struct policy_user *users;
        size_t user_count, node_count, node_cap;
        struct kept_node **nodes;   /* by ascending id */
        struct policy_image *image; /* NULL: to be made */
        struct policy_node *list;   /* of the image */
        int64_t *by_class;          /* node ids, class after class */
        size_t *class_begin;
        struct policy_world world;
        bool all_touched;
};

struct policy_state *policy_state_new(void)
{
        struct policy_state *st = calloc(1, sizeof(*st));

        if (!st || policy_state_set_policy(st, NULL, NULL) != OK) {
                policy_state_free(st);
                return NULL;
        }
        policy_state_settle(st);
        return st;
}

static void drop_image(struct policy_state *st)
{
        policy_image_free(st->image);
        free(st->list);
        free(st->by_class);
        free(st->class_begin);
        st->image = NULL;
        st->list = NULL;
        st->by_class = NULL;
        st->class_begin = NULL;
        st->all_touched = true;
}

static void free_node(struct kept_node *k)
{
        if (!k)
                return;
        arena_fini(&k->arena);
        free(k);
}

void policy_state_free(struct policy_state *st)
{
        if (!st)
                return;
        drop_image(st);
        for (size_t i = 0; i < st->node_count; i++)
                free_node(st->nodes[i]);
        free(st->nodes);
        arena_fini(&st->users_arena);
        policy_free(st->policy);
        free(st);
}

/* --- the image -------------------------------------------------------------------- */

static enum err make(struct policy_state *st, const struct policy *p, bool let_ambiguous,
        struct policy_node **list, struct policy_world *w, struct policy_image **out,
        struct policy_errors *errors)
{
        *list = calloc(st->node_count + 1, sizeof(**list));
        if (!*list)
                return ERR_NOMEM;
        for (size_t i = 0; i < st->node_count; i++)
                (*list)[i] = st->nodes[i]->n;
        *w = (struct policy_world){ st->users, *list, st->user_count, st->node_count };
        return policy_image_new(p, w, let_ambiguous, out, errors);
}

static enum err index_classes(struct policy_state *st)
{
        size_t classes = policy_image_class_count(st->image);

        st->by_class = calloc(st->node_count + 1, sizeof(*st->by_class));
        st->class_begin = calloc(classes + 2, sizeof(*st->class_begin));
        if (!st->by_class || !st->class_begin)
                return ERR_NOMEM;
        for (size_t i = 0; i < st->node_count; i++)
                st->class_begin[policy_image_class(st->image, i) + 2]++;
        for (size_t c = 2; c < classes + 2; c++)
                st->class_begin[c] += st->class_begin[c - 1];
        for (size_t i = 0; i < st->node_count; i++)
                st->by_class[st->class_begin[policy_image_class(st->image, i) + 1]++] = st->nodes[i]->n.id;
        return OK;
}

static enum err ensure(const struct policy_state *const_st)
{
        struct policy_state *st = (struct policy_state *)(uintptr_t)const_st;
        struct policy_errors errors;

        if (st->image)
                return OK;
        policy_errors_init(&errors);
        enum err e = make(st, st->policy, true, &st->list, &st->world, &st->image, &errors);
        if (e == OK)
                e = index_classes(st);
        if (e != OK)
                drop_image(st);
        policy_errors_fini(&errors);
        return e;
}

/* The place of the node with this id, or of the first above it. */
static size_t place_of(const struct policy_state *st, int64_t id)
{
        size_t lo = 0, hi = st->node_count;

        while (lo < hi) {
                size_t mid = (lo + hi) / 2;
                if (st->nodes[mid]->n.id < id)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return lo;
}

static bool find(const struct policy_state *st, int64_t id, size_t *at)
{
        *at = place_of(st, id);
        return *at < st->node_count && st->nodes[*at]->n.id == id;
}

/* --- changes ---------------------------------------------------------------------- */

enum err policy_state_set_policy(struct policy_state *st, struct policy *p, struct policy_errors *errors)
{
        struct policy_errors none;
        enum err e = p ? policy_state_try(st, p, errors) : OK;

        if (e != OK && e != ERR_DENIED) /* failing tests are for policy_state_test() to tell */
                return e;
        policy_errors_init(&none);
        if (!p)
                p = policy_parse((struct slice){ 0 }, &(struct policy_settings){ 0 }, &none);
        policy_errors_fini(&none);
        if (!p)
                return ERR_NOMEM;
        policy_free(st->policy);
        st->policy = p;
        drop_image(st);
        return OK;
}

enum err policy_state_set_users(
        struct policy_state *st, const struct policy_user *users, size_t count, struct policy_errors *errors)
{
        struct arena a = ARENA_INIT(256 << 20);
        struct policy_user *copy = ARENA_ARRAY(&a, count + 1, struct policy_user);

        for (size_t i = 0; copy && i < count; i++) {
                copy[i] = users[i];
                copy[i].name = arena_copy(&a, users[i].name);
                copy[i].email = arena_copy(&a, users[i].email);
                copy[i].provider_id = arena_copy(&a, users[i].provider_id);
        }
        if (arena_failed(&a)) {
                arena_fini(&a);
                return ERR_NOMEM;
        }
        drop_image(st);
        arena_fini(&st->users_arena);
        st->users_arena = a;
        st->users = copy;
        st->user_count = count;
        return policy_state_try(st, st->policy, errors) == ERR_EXISTS ? ERR_EXISTS : OK;
}

static struct kept_node *keep(const struct policy_node *n)
{
        struct kept_node *k = calloc(1, sizeof(*k));

        if (!k)
                return NULL;
        k->arena = ARENA_INIT(1 << 20);
        k->n = *n;
        k->is_touched = true;
        struct slice *tags = ARENA_ARRAY(&k->arena, n->tag_count + 1, struct slice);
        struct ip_prefix *routes = ARENA_ARRAY(&k->arena, n->route_count + 1, struct ip_prefix);
        struct ip_prefix *primary = ARENA_ARRAY(&k->arena, n->primary_count + 1, struct ip_prefix);
        for (size_t i = 0; tags && i < n->tag_count; i++)
                tags[i] = arena_copy(&k->arena, n->tags[i]);
        if (routes && n->route_count)
                memcpy(routes, n->routes, n->route_count * sizeof(*routes));
        if (primary && n->primary_count)
                memcpy(primary, n->primary, n->primary_count * sizeof(*primary));
        k->n.tags = tags;
        k->n.routes = routes;
        k->n.primary = primary;
        if (!arena_failed(&k->arena))
                return k;
        free_node(k);
        return NULL;
}

static bool same_routes(const struct ip_prefix *a, size_t n_a, const struct ip_prefix *b, size_t n_b)
{
        bool same = n_a == n_b;

        for (size_t i = 0; same && i < n_a; i++)
                same = ip_prefix_equal(&a[i], &b[i]);
        return same;
}

static bool same_node(const struct policy_node *a, const struct policy_node *b)
{
        bool same = a->user_id == b->user_id && a->tag_count == b->tag_count && ip_equal(&a->ipv4, &b->ipv4) &&
                    ip_equal(&a->ipv6, &b->ipv6);

        for (size_t i = 0; same && i < a->tag_count; i++)
                same = slice_equal(a->tags[i], b->tags[i]);
        return same && same_routes(a->routes, a->route_count, b->routes, b->route_count) &&
               same_routes(a->primary, a->primary_count, b->primary, b->primary_count);
}

enum err policy_state_set_node(struct policy_state *st, const struct policy_node *node)
{
        struct kept_node *k;
        size_t at;

        if (find(st, node->id, &at) && same_node(&st->nodes[at]->n, node))
                return OK; /* said again: nothing is touched */
        k = keep(node);
        if (!k)
                return ERR_NOMEM;
        if (find(st, node->id, &at)) {
                free_node(st->nodes[at]);
        } else {
                if (st->node_count == st->node_cap) {
                        size_t cap = st->node_cap ? st->node_cap * 2 : 64;
                        void *grown = realloc(st->nodes, cap * sizeof(*st->nodes));
                        if (!grown) {
                                free_node(k);
                                return ERR_NOMEM;
                        }
                        st->nodes = grown;
                        st->node_cap = cap;
                }
                memmove(&st->nodes[at + 1], &st->nodes[at], (st->node_count - at) * sizeof(*st->nodes));
                st->node_count++;
        }
        st->nodes[at] = k;
        drop_image(st);
        return OK;
}

enum err policy_state_remove_node(struct policy_state *st, int64_t id)
{
        size_t at;

        if (!find(st, id, &at))
                return ERR_NOTFOUND;
        free_node(st->nodes[at]);
        st->node_count--;
        memmove(&st->nodes[at], &st->nodes[at + 1], (st->node_count - at) * sizeof(*st->nodes));
        drop_image(st);
        return OK;
}

/* --- touched ------------------------------------------------------------------------ */

unsigned policy_state_touched(const struct policy_state *st, int64_t node)
{
        size_t at;

        return find(st, node, &at) && (st->all_touched || st->nodes[at]->is_touched) ? TOUCH_ALL : 0;
}

bool policy_state_next_touched(const struct policy_state *st, struct policy_touched *t)
{
        while (t->node_at < st->node_count) {
                t->node = st->nodes[t->node_at++]->n.id;
                t->what = policy_state_touched(st, t->node);
                if (t->what)
                        return true;
        }
        return false;
}

void policy_state_settle(struct policy_state *st)
{
        st->all_touched = false;
        for (size_t i = 0; i < st->node_count; i++)
                st->nodes[i]->is_touched = false;
}

/* --- look-ups ------------------------------------------------------------------------- */

uint32_t policy_state_class(const struct policy_state *st, int64_t node)
{
        size_t at;

        return ensure(st) == OK && find(st, node, &at) ? policy_image_class(st->image, at) : POLICY_NO_CLASS;
}

uint32_t policy_state_class_limit(const struct policy_state *st)
{
        return ensure(st) == OK ? (uint32_t)policy_image_class_count(st->image) : 0;
}

const int64_t *policy_state_class_nodes(const struct policy_state *st, uint32_t class, size_t *count)
{
        *count = 0;
        if (ensure(st) != OK || class >= policy_image_class_count(st->image))
                return NULL;
        *count = st->class_begin[class + 1] - st->class_begin[class];
        return st->by_class + st->class_begin[class];
}

bool policy_state_classes_see(const struct policy_state *st, uint32_t a, uint32_t b)
{
        return ensure(st) == OK && policy_image_classes_see(st->image, a, b);
}

bool policy_state_sees(const struct policy_state *st, int64_t a, int64_t b)
{
        size_t x, y;

        return ensure(st) == OK && find(st, a, &x) && find(st, b, &y) && policy_image_sees(st->image, x, y);
}

enum err policy_state_filter(
        struct policy_state *st, int64_t node, struct arena *a, struct tailcfg_filter_rules *out)
{
        enum err e = ensure(st);
        size_t at;

        if (e == OK && !find(st, node, &at))
                e = ERR_NOTFOUND;
        return e == OK ? policy_image_filter(st->image, at, a, out) : e;
}

enum err policy_state_routes(
        struct policy_state *st, int64_t viewer, int64_t peer, struct arena *a, struct tailcfg_prefixes *out)
{
        enum err e = ensure(st);
        size_t x, y;

        if (e == OK && !(find(st, viewer, &x) && find(st, peer, &y)))
                e = ERR_NOTFOUND;
        return e == OK ? policy_image_routes(st->image, x, y, a, out) : e;
}

void policy_state_write_ssh(
        struct policy_state *st, int64_t node, struct slice base_url, struct json_writer *w)
{
        size_t at;

        if (ensure(st) == OK && find(st, node, &at)) {
                policy_image_write_ssh(st->image, at, base_url, w);
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
        size_t x, y;

        return ensure(st) == OK && find(st, src, &x) && find(st, dst, &y) &&
               policy_image_ssh_period(st->image, x, y, period_ns);
}

enum err policy_state_attrs(
        struct policy_state *st, int64_t node, struct arena *a, struct tailcfg_strings *out)
{
        enum err e = ensure(st);
        size_t at;

        if (e == OK && !find(st, node, &at))
                e = ERR_NOTFOUND;
        return e == OK ? policy_image_attrs(st->image, at, a, out) : e;
}

bool policy_state_may_approve(struct policy_state *st, int64_t node, const struct ip_prefix *route)
{
        size_t at;

        return ensure(st) == OK && find(st, node, &at) && policy_image_may_approve(st->image, at, route);
}

bool policy_state_tag_exists(const struct policy_state *st, struct slice tag)
{
        return policy_tag(st->policy, tag) != NULL;
}

bool policy_state_user_owns_tag(const struct policy_state *st, int64_t user_id, struct slice tag)
{
        return ensure(st) == OK && policy_image_user_owns_tag(st->image, user_id, tag);
}

bool policy_state_tags_own_tag(
        const struct policy_state *st, const struct slice *tags, size_t count, struct slice tag)
{
        return ensure(st) == OK && policy_image_tags_own_tag(st->image, tags, count, tag);
}

enum err policy_state_test(struct policy_state *st, struct policy_errors *errors)
{
        enum err e = ensure(st);

        return e == OK ? policy_image_test(st->image, errors) : e;
}

enum err policy_state_try(struct policy_state *st, const struct policy *p, struct policy_errors *errors)
{
        struct policy_node *list = NULL;
        struct policy_world world;
        struct policy_image *image = NULL;
        enum err e = make(st, p, false, &list, &world, &image, errors);

        if (e == OK)
                e = policy_image_test(image, errors);
        policy_image_free(image);
        free(list);
        return e;
}
