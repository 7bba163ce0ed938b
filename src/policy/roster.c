/* The users and nodes of a tailnet, and the ways to find them. */
#include <stdlib.h>

#include "state_internal.h"

bool heap_reserve(struct heap_vec *v, size_t n, size_t size)
{
        size_t cap = v->cap ? v->cap : 4;

        while (cap - v->count < n)
                cap *= 2;
        if (cap == v->cap)
                return true;
        void *grown = realloc(v->items, cap * size);
        if (!grown)
                return false;
        v->items = grown;
        v->cap = cap;
        return true;
}

bool is_exit_route(const struct ip_prefix *p) { return p->bits == 0; }

bool node_in_set(const struct node *n, const struct ipset *s)
{
        return ipset_contains(s, &n->n.ipv4) || ipset_contains(s, &n->n.ipv6);
}

bool node_serves(const struct node *n, const struct ip_prefix *route)
{
        for (size_t i = 0; i < n->n.route_count; i++)
                if (ip_prefix_equal(&n->n.routes[i], route))
                        return true;
        return false;
}

/* ---- users ------------------------------------------------------------------------- */

static struct slice id_key(const int64_t *id) { return slice_make(id, sizeof(*id)); }

static void free_users(struct roster *r)
{
        table_fini(&r->users_by_id);
        table_fini(&r->users_by_provider);
        table_fini(&r->users_by_name);
        arena_fini(&r->users_arena);
        r->users = NULL;
        r->user_count = 0;
}

static bool add_name(struct roster *r, struct slice name, const struct policy_user *u)
{
        struct name_owner *owner = table_get(&r->users_by_name, name);

        if (name.len == 0)
                return true;
        if (!owner) {
                owner = ARENA_NEW(&r->users_arena, struct name_owner);
                if (!owner || table_put(&r->users_by_name, name, owner, NULL) != OK)
                        return false;
        }
        owner->count += owner->user != u;
        owner->user = u;
        return true;
}

static bool add_user(struct roster *r, struct policy_user *u)
{
        void *first = table_get(&r->users_by_provider, u->provider_id);

        return table_put(&r->users_by_id, id_key(&u->id), u, NULL) == OK &&
               (u->provider_id.len == 0 || first ||
                       table_put(&r->users_by_provider, u->provider_id, u, NULL) == OK) &&
               add_name(r, u->name, u) && add_name(r, u->email, u);
}

enum err roster_set_users(struct roster *r, const struct policy_user *users, size_t count)
{
        struct roster fresh = { .users_arena = ARENA_INIT(256 << 20), .user_count = count };
        bool ok;

        fresh.users = ARENA_ARRAY(&fresh.users_arena, count + 1, struct policy_user);
        ok = fresh.users != NULL;
        for (size_t i = 0; ok && i < count; i++) {
                struct policy_user *u = &fresh.users[i];
                *u = users[i];
                u->name = arena_copy(&fresh.users_arena, users[i].name);
                u->email = arena_copy(&fresh.users_arena, users[i].email);
                u->provider_id = arena_copy(&fresh.users_arena, users[i].provider_id);
                ok = !arena_failed(&fresh.users_arena) && add_user(&fresh, u);
        }
        if (!ok) {
                free_users(&fresh);
                return ERR_NOMEM;
        }
        free_users(r);
        r->users_arena = fresh.users_arena;
        r->users = fresh.users;
        r->user_count = count;
        r->users_by_id = fresh.users_by_id;
        r->users_by_provider = fresh.users_by_provider;
        r->users_by_name = fresh.users_by_name;
        return OK;
}

const struct policy_user *roster_user(const struct roster *r, int64_t id)
{
        return table_get(&r->users_by_id, id_key(&id));
}

const struct policy_user *roster_find_user(const struct roster *r, struct slice token, size_t *matches)
{
        const struct policy_user *u;
        const struct name_owner *owner;

        *matches = 0;
        if (token.len && token.ptr[token.len - 1] == '@') /* local@ has no e-mail address */
                token = slice_first(token, token.len - 1);
        if (token.len == 0)
                return NULL;
        u = table_get(&r->users_by_provider, token);
        owner = table_get(&r->users_by_name, token);
        *matches = u ? 1 : owner ? owner->count : 0;
        if (!u && *matches == 1)
                u = owner->user;
        return u;
}

/* ---- nodes ------------------------------------------------------------------------- */

static size_t text_size(const struct policy_node *n)
{
        size_t size = 0;

        for (size_t i = 0; i < n->tag_count; i++)
                size += n->tags[i].len;
        return size;
}

/* The node, its tags, its routes (twice: all, and those that are no exit routes) and
 * the texts of the tags, one behind the other. */
struct node *node_new(const struct policy_node *from)
{
        size_t tags = from->tag_count * sizeof(struct slice), text = text_size(from);
        size_t prefixes = (2 * from->route_count + from->primary_count) * sizeof(struct ip_prefix);
        struct node *n = calloc(1, sizeof(*n) + tags + prefixes + text);

        if (!n)
                return NULL;
        n->n = *from;
        struct slice *own_tags = (struct slice *)(void *)(n + 1);
        n->routes = (struct ip_prefix *)(void *)(own_tags + from->tag_count);
        struct ip_prefix *all = n->routes + from->route_count, *primary = all + from->route_count;
        uint8_t *at = (uint8_t *)(primary + from->primary_count);
        for (size_t i = 0; i < from->tag_count; i++) {
                own_tags[i] = slice_make(at, from->tags[i].len);
                if (from->tags[i].len)
                        memcpy(at, from->tags[i].ptr, from->tags[i].len);
                at += from->tags[i].len;
        }
        for (size_t i = 0; i < from->route_count; i++) {
                all[i] = from->routes[i];
                if (is_exit_route(&all[i]))
                        n->is_exit = true;
                else
                        n->routes[n->route_count++] = all[i];
        }
        if (from->primary_count)
                memcpy(primary, from->primary, from->primary_count * sizeof(*primary));
        n->n.tags = own_tags;
        n->n.routes = all;
        n->n.primary = primary;
        return n;
}

void roster_node_free(struct node *n) { free(n); }

struct node *roster_node(const struct roster *r, int64_t id) { return table_get(&r->by_id, id_key(&id)); }

struct node *roster_slot(const struct roster *r, size_t slot)
{
        return ((struct node *const *)r->slots.items)[slot];
}

static bool take_slot(struct roster *r, struct node *n)
{
        if (r->free_slots.count) {
                n->slot = ((uint32_t *)r->free_slots.items)[--r->free_slots.count];
        } else {
                /* Every slot can become free without asking for memory. */
                if (!heap_reserve(&r->slots, 1, sizeof(struct node *)) ||
                        !heap_reserve(&r->free_slots, r->slots.count + 1, sizeof(uint32_t)))
                        return false;
                n->slot = (uint32_t)r->slots.count++;
        }
        ((struct node **)r->slots.items)[n->slot] = n;
        return true;
}

static void give_slot(struct roster *r, struct node *n)
{
        ((struct node **)r->slots.items)[n->slot] = NULL;
        ((uint32_t *)r->free_slots.items)[r->free_slots.count++] = n->slot;
}

/* Lists of nodes by id. */
static size_t place_by_id(const struct heap_vec *v, int64_t id)
{
        size_t lo = 0, hi = v->count;

        while (lo < hi) {
                size_t mid = (lo + hi) / 2;
                if (((struct node *const *)v->items)[mid]->n.id < id)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return lo;
}

static bool add_by_id(struct heap_vec *v, struct node *n)
{
        size_t at = place_by_id(v, n->n.id);

        if (!heap_reserve(v, 1, sizeof(n)))
                return false;
        struct node **items = v->items;
        memmove(items + at + 1, items + at, (v->count - at) * sizeof(n));
        items[at] = n;
        v->count++;
        return true;
}

static void remove_by_id(struct heap_vec *v, struct node *n)
{
        size_t at = place_by_id(v, n->n.id);
        struct node **items = v->items;

        if (at >= v->count || items[at] != n)
                return;
        v->count--;
        memmove(items + at, items + at + 1, (v->count - at) * sizeof(n));
}

const struct user_nodes *roster_of_user(const struct roster *r, int64_t user_id)
{
        return table_get(&r->by_user, id_key(&user_id));
}

static bool join_user(struct roster *r, struct node *n)
{
        struct user_nodes *u = table_get(&r->by_user, id_key(&n->n.user_id));

        if (is_tagged(n) || !n->n.user_id)
                return true;
        if (!u) {
                u = calloc(1, sizeof(*u));
                if (!u)
                        return false;
                u->user_id = n->n.user_id;
                if (table_put(&r->by_user, id_key(&u->user_id), u, NULL) != OK) {
                        free(u);
                        return false;
                }
        }
        n->user = u;
        return add_by_id(&u->nodes, n);
}

static void leave_user(struct roster *r, struct node *n)
{
        struct user_nodes *u = n->user;

        if (!u)
                return;
        remove_by_id(&u->nodes, n);
        n->user = NULL;
        if (u->nodes.count)
                return;
        table_remove(&r->by_user, id_key(&u->user_id));
        free(u->nodes.items);
        free(u);
}

/* ---- routes -------------------------------------------------------------------------- */

static size_t place_of_route(const struct roster *r, const struct ip_prefix *p)
{
        size_t lo = 0, hi = r->served.count;

        while (lo < hi) {
                size_t mid = (lo + hi) / 2;
                if (ip_prefix_compare(&((struct served *)r->served.items)[mid].prefix, p) < 0)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return lo;
}

const struct served *roster_served(const struct roster *r, const struct ip_prefix *p)
{
        size_t at = place_of_route(r, p);
        const struct served *s = (const struct served *)r->served.items + at;

        return at < r->served.count && ip_prefix_equal(&s->prefix, p) ? s : NULL;
}

static bool serve(struct roster *r, const struct ip_prefix *p, struct node *n, uint64_t clock)
{
        size_t at = place_of_route(r, p);
        struct served *items = r->served.items;

        if (at == r->served.count || !ip_prefix_equal(&items[at].prefix, p)) {
                if (!heap_reserve(&r->served, 1, sizeof(*items)))
                        return false;
                items = r->served.items;
                memmove(items + at + 1, items + at, (r->served.count - at) * sizeof(*items));
                items[at] = (struct served){ .prefix = *p };
                r->served.count++;
                r->served_changed = clock;
        }
        return add_by_id(&items[at].nodes, n);
}

static void unserve(struct roster *r, const struct ip_prefix *p, struct node *n, uint64_t clock)
{
        size_t at = place_of_route(r, p);
        struct served *items = r->served.items;

        if (at == r->served.count || !ip_prefix_equal(&items[at].prefix, p))
                return;
        remove_by_id(&items[at].nodes, n);
        if (items[at].nodes.count)
                return;
        free(items[at].nodes.items);
        r->served.count--;
        memmove(items + at, items + at + 1, (r->served.count - at) * sizeof(*items));
        r->served_changed = clock;
}

/* ---- together ------------------------------------------------------------------------- */

static bool is_outside(const struct node *n)
{
        return (ip_valid(&n->n.ipv4) && !ip_is_tailscale(&n->n.ipv4)) ||
               (ip_valid(&n->n.ipv6) && !ip_is_tailscale(&n->n.ipv6));
}

enum err roster_add(struct roster *r, struct node *n, uint64_t clock)
{
        if (!take_slot(r, n))
                return ERR_NOMEM;
        r->node_count++;
        r->exit_count += n->is_exit;
        r->outside_count += is_outside(n);
        holder_put(&r->holders, &n->v4, &n->n.ipv4, n);
        holder_put(&r->holders, &n->v6, &n->n.ipv6, n);
        bool ok = table_put(&r->by_id, id_key(&n->n.id), n, NULL) == OK && join_user(r, n);
        for (size_t i = 0; ok && i < n->route_count; i++)
                ok = serve(r, &n->routes[i], n, clock);
        if (ok)
                return OK;
        roster_remove(r, n, clock);
        return ERR_NOMEM;
}

void roster_remove(struct roster *r, struct node *n, uint64_t clock)
{
        table_remove(&r->by_id, id_key(&n->n.id));
        leave_user(r, n);
        holder_take(&r->holders, &n->v4);
        holder_take(&r->holders, &n->v6);
        for (size_t i = 0; i < n->route_count; i++)
                unserve(r, &n->routes[i], n, clock);
        r->node_count--;
        r->exit_count -= n->is_exit;
        r->outside_count -= is_outside(n);
        give_slot(r, n);
}

void roster_fini(struct roster *r)
{
        for (size_t i = 0; i < r->slots.count; i++) {
                struct node *n = roster_slot(r, i);
                if (!n)
                        continue;
                roster_remove(r, n, 0);
                roster_node_free(n);
        }
        free(r->slots.items);
        free(r->free_slots.items);
        free(r->served.items);
        table_fini(&r->by_id);
        table_fini(&r->by_user);
        free_users(r);
}
