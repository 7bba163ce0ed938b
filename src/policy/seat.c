/* Which selectors take a node in, and thereby which class it is of. */
#include <stdlib.h>

#include "state_internal.h"

struct seat *plan_seat(const struct plan *pl, const struct node *n)
{
        return &((struct seat *)pl->seats.items)[n->slot];
}

struct selector *const *seat_selectors(const struct seat *seat)
{
        return seat->count <= SEAT_FEW ? seat->few : seat->many;
}

void seat_fini(struct seat *seat)
{
        if (seat->count > SEAT_FEW)
                free(seat->many);
        *seat = (struct seat){ 0 };
}

static struct ip_range range_of(const struct holder *h) { return (struct ip_range){ h->family, h->num, h->num }; }

/* ---- collecting selectors --------------------------------------------------------------- */

static void start(struct plan *pl)
{
        pl->scratch.count = 0;
        pl->mark++;
}

static void collect(void *ctx, struct selector *s)
{
        struct plan *pl = ctx;

        if (!s || s->mark == pl->mark)
                return;
        s->mark = pl->mark;
        if (heap_reserve(&pl->scratch, 1, sizeof(s)))
                ((struct selector **)pl->scratch.items)[pl->scratch.count++] = s;
        else
                pl->arena.failed = true;
}

/* Those that take in nodes by whose they are. */
static void collect_live(struct plan *pl, const struct node *n)
{
        if (!ip_valid(&n->n.ipv4) && !ip_valid(&n->n.ipv6))
                return;
        if (is_tagged(n)) {
                collect(pl, pl->tagged);
                for (size_t i = 0; i < n->n.tag_count; i++)
                        if (slice_has_prefix(n->n.tags[i], SLICE_LIT("tag:")))
                                collect(pl, table_get(&pl->by_text, n->n.tags[i]));
                return;
        }
        collect(pl, pl->member);
        const struct policy_user *u = roster_user(pl->roster, n->n.user_id);
        if (u)
                VEC_EACH(struct selector *, s, &pl->user_selectors[u - pl->roster->users])
        collect(pl, *s);
}

static void collect_address(struct plan *pl, const struct holder *h)
{
        struct ip_range r = range_of(h);

        if (!h->node)
                return;
        literals_containing(pl, r.family, r.first, collect, pl);
        VEC_EACH(struct selector *, s, &pl->fixed)
        if (ipset_overlaps_range(&(*s)->set, &r))
                collect(pl, *s);
}

struct reach {
        struct plan *pl;
        bool is_any;
};

static void collect_holder(void *ctx, struct node *n)
{
        struct reach *reach = ctx;

        collect_live(reach->pl, n);
        reach->is_any = true;
}

/* True if the route reaches addresses of nodes. */
static bool collect_route(struct plan *pl, const struct ip_prefix *route)
{
        struct ip_range range = ip_range_of(route);
        struct reach reach = { pl, false };

        literals_overlapping(pl, &range, collect, pl);
        VEC_EACH(struct selector *, s, &pl->fixed)
        if ((*s)->takes_routes || ipset_overlaps_range(&(*s)->set, &range))
                collect(pl, *s);
        holders_in(pl->roster->holders, &range, collect_holder, &reach);
        return reach.is_any;
}

/* ---- bits --------------------------------------------------------------------------------- */

static void set_uses(const struct plan *pl, const struct selector *s, bool only_by_route, uint64_t *words)
{
        VEC_EACH(struct use, u, &s->uses)
        if (u->by_route || !only_by_route)
                words[pl->begin[u->section] + u->bit / 64] |= UINT64_C(1) << u->bit % 64;
}

static void set_exit_bits(const struct plan *pl, uint64_t *words)
{
        VEC_EACH(struct rule *, r, &pl->rules)
        if ((*r)->covers_default)
                words[pl->begin[SECTION_DST] + (*r)->at / 64] |= UINT64_C(1) << (*r)->at % 64;
        VEC_EACH(struct compiled_grant, cg, &pl->grants)
        {
                size_t bit = cg->via_dst_at;
                VEC_EACH(struct rule_dst, d, &cg->dsts)
                {
                        if (cg->g->via.count && d->is_internet)
                                words[pl->begin[SECTION_VIA_DST] + bit / 64] |= UINT64_C(1) << bit % 64;
                        bit++;
                }
        }
}

static int by_prefix(const void *a, const void *b) { return ip_prefix_compare(a, b); }

/* What tells nodes apart beside the bits: whose they are where autogroup:self counts,
 * and their routes. */
static void add_identity(struct plan *pl, const struct node *n)
{
        uint8_t marks = (uint8_t)(n->is_exit | (pl->has_self && n->user ? 2 : 0));

        buf_append_byte(&pl->key, marks);
        if (marks & 2)
                buf_append(&pl->key, &n->user->user_id, sizeof(n->user->user_id));
        if (n->route_count == 0)
                return;
        struct ip_prefix *sorted = malloc(n->route_count * sizeof(*sorted));
        if (!sorted) {
                pl->arena.failed = true;
                return;
        }
        memcpy(sorted, n->routes, n->route_count * sizeof(*sorted));
        qsort(sorted, n->route_count, sizeof(*sorted), by_prefix);
        for (size_t i = 0; i < n->route_count; i++) {
                buf_append_byte(&pl->key, sorted[i].ip.family);
                buf_append_byte(&pl->key, sorted[i].bits);
                buf_append(&pl->key, sorted[i].ip.b, sizeof(sorted[i].ip.b));
        }
        free(sorted);
}

static bool make_key(struct plan *pl, const struct node *n, size_t own_count)
{
        size_t bytes = pl->begin[SECTIONS] * sizeof(uint64_t);
        struct selector *const *s = pl->scratch.items;

        buf_clear(&pl->key);
        uint64_t *words = (uint64_t *)(void *)buf_extend(&pl->key, bytes + 1);
        if (!words)
                return false;
        memset(words, 0, bytes + 1);
        for (size_t i = 0; i < pl->scratch.count; i++)
                set_uses(pl, s[i], i >= own_count, words);
        if (n->is_exit)
                set_exit_bits(pl, words);
        add_identity(pl, n);
        return buf_status(&pl->key) == OK;
}

void route_bits(struct plan *pl, const struct ip_prefix *route, uint64_t *words)
{
        uint64_t *both = words;

        start(pl);
        collect_route(pl, route);
        memset(words, 0, pl->begin[SECTION_ORIGIN] * sizeof(*words));
        for (size_t i = 0; i < pl->scratch.count; i++) {
                const struct selector *s = ((struct selector *const *)pl->scratch.items)[i];
                VEC_EACH(struct use, u, &s->uses)
                if (u->section == SECTION_SRC || u->section == SECTION_DST)
                        both[pl->begin[u->section] + u->bit / 64] |= UINT64_C(1) << u->bit % 64;
        }
}

/* ---- the sets of live selectors -------------------------------------------------------------- */

static bool live_room(struct ipset *s)
{
        size_t cap = s->cap ? s->cap * 2 : 4;

        if (s->count < s->cap)
                return true;
        void *grown = realloc(s->items, cap * sizeof(*s->items));
        if (!grown)
                return false;
        s->items = grown;
        s->cap = cap;
        return true;
}

static bool live_add(struct plan *pl, struct selector *s, const struct holder *h)
{
        struct ip_range r = range_of(h);

        s->changed = *pl->clock;
        if (!h->node)
                return true;
        if (!live_room(&s->set))
                return false;
        if (pl->is_bulk)
                s->set.items[s->set.count++] = r;
        else
                ipset_put(&s->set, &r);
        return true;
}

static void live_remove(struct plan *pl, struct selector *s, const struct holder *h)
{
        s->changed = *pl->clock;
        if (h->node && live_room(&s->set))
                ipset_cut(&s->set, h->family, h->num);
        else if (h->node)
                pl->arena.failed = true; /* a range that was to be split: the plan is made anew */
}

/* ---- seats -------------------------------------------------------------------------------------- */

static bool room_for_seat(struct plan *pl, size_t slot)
{
        if (slot < pl->seats.count)
                return true;
        size_t n = slot + 1 - pl->seats.count;
        if (!heap_reserve(&pl->seats, n, sizeof(struct seat)))
                return false;
        memset((struct seat *)pl->seats.items + pl->seats.count, 0, n * sizeof(struct seat));
        pl->seats.count += n;
        return true;
}

/* Those just collected. */
static bool keep_selectors(const struct plan *pl, struct seat *seat, size_t own_count)
{
        size_t count = pl->scratch.count;
        struct selector **list = seat->few;

        if (count > SEAT_FEW && !(list = seat->many = malloc(count * sizeof(*list))))
                return false;
        if (count)
                memcpy(list, pl->scratch.items, count * sizeof(*list));
        seat->own_count = (uint32_t)own_count;
        seat->count = (uint32_t)count;
        return true;
}

static enum err find_seat(struct plan *pl, struct node *n)
{
        bool is_odd = false;

        if (!room_for_seat(pl, n->slot))
                return ERR_NOMEM;
        start(pl);
        collect_live(pl, n);
        collect_address(pl, &n->v4);
        collect_address(pl, &n->v6);
        size_t own = pl->scratch.count;
        for (size_t i = 0; i < n->route_count; i++)
                is_odd |= collect_route(pl, &n->routes[i]);
        struct seat *seat = plan_seat(pl, n);
        if (!keep_selectors(pl, seat, own))
                return ERR_NOMEM;
        if (!make_key(pl, n, own) || class_join(pl, buf_slice(&pl->key), n, seat) != OK) {
                seat_fini(seat);
                return ERR_NOMEM;
        }
        seat->is_odd = is_odd;
        return pl->arena.failed ? ERR_NOMEM : OK;
}

enum err seat_node(struct plan *pl, struct node *n)
{
        enum err e = find_seat(pl, n);
        struct seat *seat = e == OK ? plan_seat(pl, n) : NULL;

        for (size_t i = 0; e == OK && i < seat->own_count; i++) {
                struct selector *s = seat_selectors(seat)[i];
                if (s->is_live && (!live_add(pl, s, &n->v4) || !live_add(pl, s, &n->v6)))
                        e = ERR_NOMEM;
        }
        return e;
}

struct shared {
        struct plan *pl;
        const struct node *but;
        const struct holder *addr;
};

static void keep_for(void *ctx, struct node *n)
{
        const struct shared *s = ctx;
        const struct seat *seat = n->slot < s->pl->seats.count ? plan_seat(s->pl, n) : NULL;

        for (size_t i = 0; n != s->but && seat && seat->class && i < seat->own_count; i++)
                if (seat_selectors(seat)[i]->is_live && !live_add(s->pl, seat_selectors(seat)[i], s->addr))
                        s->pl->arena.failed = true;
}

/* Addresses are to be of one node only; while they move from one to another, they may
 * be of two, and the other keeps them. */
static void keep_shared(struct plan *pl, const struct node *n, const struct holder *h)
{
        struct ip_range r = range_of(h);

        if (h->node)
                holders_in(pl->roster->holders, &r, keep_for, &(struct shared){ pl, n, h });
}

void unseat_node(struct plan *pl, struct node *n)
{
        struct seat *seat = n->slot < pl->seats.count ? plan_seat(pl, n) : NULL;

        if (!seat || !seat->class)
                return;
        for (size_t i = 0; i < seat->own_count; i++) {
                struct selector *s = seat_selectors(seat)[i];
                if (!s->is_live)
                        continue;
                live_remove(pl, s, &n->v4);
                live_remove(pl, s, &n->v6);
        }
        class_leave(pl, n, seat);
        seat_fini(seat);
        keep_shared(pl, n, &n->v4);
        keep_shared(pl, n, &n->v6);
}
