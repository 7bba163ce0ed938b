/*
 * Self and peers (spec/control.md 7). Each change of a peer puts a new object in the
 * place of the old one; when all of a message is done, the lists of before and after
 * are compared, which tells the changes however often a peer was touched.
 */
#include "netmap_internal.h"

#include <stdlib.h>

static struct peer *peer_new(const struct netmap *nm, const struct tailcfg_node *node)
{
        struct peer *p = calloc(1, sizeof(*p));
        struct tailcfg_node *shown;

        if (!p)
                return NULL;
        arena_init(&p->arena, NETMAP_NODE_MEMORY);
        p->shown = &p->node;
        p->mark = nm->mark;
        if (tailcfg_node_copy(&p->arena, &p->node, node))
                goto fail;
        if (peer_is_out_of_time(nm, &p->node)) {
                shown = ARENA_NEW(&p->arena, struct tailcfg_node);
                if (!shown)
                        goto fail;
                *shown = p->node;
                shown->expired = true;
                shown->endpoints = (struct tailcfg_endpoints){ 0 };
                shown->home_derp = 0;
                p->shown = shown;
        }
        return p;
fail:
        arena_fini(&p->arena);
        free(p);
        return NULL;
}

static void peer_free(struct peer *p)
{
        if (!p)
                return;
        arena_fini(&p->arena);
        free(p);
}

bool peer_is_out_of_time(const struct netmap *nm, const struct tailcfg_node *n)
{
        if (!nm->now || !n->key_expiry.set)
                return false;
        return n->key_expiry.unix_ns / 1000 <= netmap_control_time_us(nm, nm->now);
}

/* Keeps p until the next call: listeners are told its old key. */
static void kill_peer(struct netmap *nm, struct peer *p)
{
        if (table_get(&nm->peers_by_key, key_slice(&p->node.key)) == p)
                table_remove(&nm->peers_by_key, key_slice(&p->node.key));
        p->next_dead = nm->dead;
        nm->dead = p;
}

void peers_bury(struct netmap *nm)
{
        while (nm->dead) {
                struct peer *p = nm->dead;

                nm->dead = p->next_dead;
                peer_free(p);
        }
        nm->before = NULL;
        nm->before_count = 0;
}

void peers_fini(struct netmap *nm)
{
        peers_bury(nm);
        for (size_t i = 0; i < nm->peer_count; i++)
                peer_free(nm->peers[i]);
        free(nm->peers);
        peer_free(nm->self);
        table_fini(&nm->peers_by_key);
}

/* The index of the peer with that id, or of the first after it. */
static size_t position(const struct netmap *nm, int64_t id)
{
        size_t low = 0, high = nm->peer_count;

        if (high && nm->peers[high - 1]->node.id < id)
                return high; /* full lists come in order */
        while (low < high) {
                size_t mid = low + (high - low) / 2;

                if (nm->peers[mid]->node.id < id)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

const struct peer *peers_find(const struct netmap *nm, int64_t id)
{
        size_t at = position(nm, id);

        return at < nm->peer_count && nm->peers[at]->node.id == id ? nm->peers[at] : NULL;
}

/* Before the first change of a call: remembers who was there. */
static enum err remember(struct netmap *nm)
{
        if (nm->before)
                return OK;
        nm->before = ARENA_ARRAY(&nm->scratch, nm->peer_count + 1, struct peer *);
        if (!nm->before)
                return ERR_NOMEM;
        if (nm->peer_count)
                memcpy(nm->before, nm->peers, nm->peer_count * sizeof(*nm->peers));
        nm->before_count = nm->peer_count;
        return OK;
}

static enum err make_room(struct netmap *nm)
{
        size_t cap = nm->peer_cap ? nm->peer_cap * 2 : 16;
        struct peer **peers;

        if (nm->peer_count < nm->peer_cap)
                return OK;
        if (nm->peer_count >= NETMAP_PEERS_MAX)
                return ERR_LIMIT;
        peers = reallocarray(nm->peers, cap, sizeof(*peers));
        if (!peers)
                return ERR_NOMEM;
        nm->peers = peers;
        nm->peer_cap = cap;
        return OK;
}

/* In modern form: routes spelled out, relay as a number (spec/control.md 6.6). */
static struct tailcfg_node modern(const struct tailcfg_node *n)
{
        struct tailcfg_node m = *n;

        m.allowed_ips = n->unsigned_peerapi_only ? n->addresses : tailcfg_node_allowed_ips(n);
        if (!m.allowed_ips.items)
                m.allowed_ips.items = TAILCFG_EMPTY;
        m.home_derp = tailcfg_node_home_derp(n);
        m.legacy_derp = (struct slice){ 0 };
        return m;
}

/* Adds or replaces a peer; one that is equal stays as it is. */
static enum err set_peer(struct netmap *nm, const struct tailcfg_node *node)
{
        struct tailcfg_node n = modern(node);
        size_t at = position(nm, n.id);
        struct peer *old = at < nm->peer_count && nm->peers[at]->node.id == n.id ? nm->peers[at] : NULL;
        struct peer *p;
        enum err e;

        if (old && tailcfg_node_equal(&old->node, &n) &&
            (old->shown != &old->node) == peer_is_out_of_time(nm, &n)) {
                old->mark = nm->mark;
                return OK;
        }
        e = remember(nm);
        if (!e && !old)
                e = make_room(nm);
        if (e)
                return e;
        p = peer_new(nm, &n);
        if (!p)
                return ERR_NOMEM;
        if (old) {
                kill_peer(nm, old);
        } else {
                memmove(nm->peers + at + 1, nm->peers + at, (nm->peer_count - at) * sizeof(*nm->peers));
                nm->peer_count++;
        }
        nm->peers[at] = p;
        return table_put(&nm->peers_by_key, key_slice(&p->node.key), p, NULL);
}

static enum err remove_peer(struct netmap *nm, int64_t id)
{
        size_t at = position(nm, id);
        enum err e;

        if (at == nm->peer_count || nm->peers[at]->node.id != id)
                return OK;
        e = remember(nm);
        if (e)
                return e;
        kill_peer(nm, nm->peers[at]);
        nm->peer_count--;
        memmove(nm->peers + at, nm->peers + at + 1, (nm->peer_count - at) * sizeof(*nm->peers));
        return OK;
}

/* Removes whoever the list that has just ended did not name. */
static enum err sweep(struct netmap *nm)
{
        size_t kept = 0;
        enum err e = OK;

        for (size_t i = 0; i < nm->peer_count && !e; i++) {
                if (nm->peers[i]->mark != nm->mark)
                        e = remember(nm);
        }
        if (e)
                return e;
        for (size_t i = 0; i < nm->peer_count; i++) {
                if (nm->peers[i]->mark == nm->mark)
                        nm->peers[kept++] = nm->peers[i];
                else
                        kill_peer(nm, nm->peers[i]);
        }
        nm->peer_count = kept;
        return OK;
}

static bool is_newer(const struct tailcfg_time *a, const struct tailcfg_time *b)
{
        return a->set && (!b->set || a->unix_ns > b->unix_ns);
}

/* A full list from a server that has not yet heard of the peer's new disco key must
 * not bring the old one back: only a peer that is online, or was seen since, may. */
static enum err set_listed_peer(struct netmap *nm, const struct tailcfg_node *node)
{
        struct tailcfg_node n = *node;
        const struct peer *old = nm->is_fresh ? NULL : peers_find(nm, n.id);

        if (old && !key_is_zero(&old->node.disco_key) && !key_equal(&old->node.disco_key, &n.disco_key) &&
            n.online != TAILCFG_TRUE && !is_newer(&n.last_seen, &old->node.last_seen))
                n.disco_key = old->node.disco_key;
        return set_peer(nm, &n);
}

static bool is_stale_patch(const struct tailcfg_peer_change *c, const struct tailcfg_node *n)
{
        return !key_is_zero(&c->disco_key) && c->online == TAILCFG_FALSE && !is_newer(&c->last_seen, &n->last_seen);
}

static enum err patch_peer(struct netmap *nm, const struct tailcfg_peer_change *c)
{
        const struct peer *old = peers_find(nm, c->node_id);
        struct tailcfg_node n;

        if (!old || is_stale_patch(c, &old->node))
                return OK;
        n = old->node;
        if (c->derp_region)
                n.home_derp = c->derp_region;
        if (c->cap)
                n.cap = c->cap;
        if (c->cap_map.items)
                n.cap_map = c->cap_map;
        if (c->endpoints.items)
                n.endpoints = c->endpoints;
        if (!key_is_zero(&c->key))
                n.key = c->key;
        if (c->key_signature.len)
                n.key_signature = c->key_signature;
        if (!key_is_zero(&c->disco_key))
                n.disco_key = c->disco_key;
        if (c->online)
                n.online = c->online;
        if (c->last_seen.set)
                n.last_seen = c->last_seen;
        if (c->key_expiry.set) {
                n.key_expiry = c->key_expiry;
                n.key_expiry.set = c->key_expiry.unix_ns != UNIX_ZERO_DATE;
                n.expired = false; /* a new date decides anew; patches cannot say it */
        }
        return set_peer(nm, &n);
}

static enum err set_seen(struct netmap *nm, const struct tailcfg_node_bool *c)
{
        const struct peer *old = peers_find(nm, c->node_id);
        struct tailcfg_node n;

        if (!old)
                return OK;
        n = old->node;
        n.last_seen = (struct tailcfg_time){ 0 };
        if (c->value)
                n.last_seen = tailcfg_time_ns(nm->now->unix_us * 1000);
        return set_peer(nm, &n);
}

static enum err set_online(struct netmap *nm, const struct tailcfg_node_bool *c)
{
        const struct peer *old = peers_find(nm, c->node_id);
        struct tailcfg_node n;

        if (!old)
                return OK;
        n = old->node;
        n.online = tailcfg_opt(c->value);
        return set_peer(nm, &n);
}

static enum err apply_full_list(struct netmap *nm, const struct tailcfg_nodes *peers)
{
        enum err e = OK;

        nm->mark++;
        for (size_t i = 0; i < peers->count && !e; i++)
                e = set_listed_peer(nm, &peers->items[i]);
        return e ? e : sweep(nm);
}

static enum err apply_delta(struct netmap *nm, const struct tailcfg_map_response *m)
{
        enum err e = OK;

        for (size_t i = 0; i < m->peers_removed.count && !e; i++)
                e = remove_peer(nm, m->peers_removed.items[i]);
        for (size_t i = 0; i < m->peers_changed.count && !e; i++)
                e = set_peer(nm, &m->peers_changed.items[i]);
        if (nm->is_fresh && !e)
                e = sweep(nm); /* the first message names everybody */
        for (size_t i = 0; i < m->peer_seen_change.count && !e; i++)
                e = set_seen(nm, &m->peer_seen_change.items[i]);
        for (size_t i = 0; i < m->online_change.count && !e; i++)
                e = set_online(nm, &m->online_change.items[i]);
        for (size_t i = 0; i < m->peers_changed_patch.count && !e; i++)
                e = patch_peer(nm, &m->peers_changed_patch.items[i]);
        return e;
}

enum err peers_apply(struct netmap *nm, const struct tailcfg_map_response *m)
{
        if (m->peers.count)
                return apply_full_list(nm, &m->peers);
        if (nm->is_fresh)
                nm->mark++;
        return apply_delta(nm, m);
}

enum err peers_set_self(struct netmap *nm, const struct tailcfg_node *node)
{
        struct tailcfg_node n = modern(node);
        const struct now *now = nm->now;
        struct peer *p;

        if (nm->self && tailcfg_node_equal(&nm->self->node, &n))
                return OK;
        nm->now = NULL; /* our own expiry is the backend's business */
        p = peer_new(nm, &n);
        nm->now = now;
        if (!p)
                return ERR_NOMEM;
        if (nm->self)
                kill_peer(nm, nm->self);
        nm->self = p;
        nm->changes.parts |= NETMAP_SELF;
        return OK;
}

enum err peers_expire(struct netmap *nm)
{
        enum err e = OK;

        for (size_t i = 0; i < nm->peer_count && !e; i++) {
                const struct peer *p = nm->peers[i];

                if ((p->shown != &p->node) != peer_is_out_of_time(nm, &p->node))
                        e = set_peer(nm, &p->node);
        }
        return e;
}

static bool endpoints_equal(const struct tailcfg_endpoints *a, const struct tailcfg_endpoints *b)
{
        if (a->count != b->count)
                return false;
        for (size_t i = 0; i < a->count; i++) {
                if (!ip_port_equal(&a->items[i], &b->items[i]))
                        return false;
        }
        return true;
}

static bool prefixes_equal(const struct tailcfg_prefixes *a, const struct tailcfg_prefixes *b)
{
        if (a->count != b->count)
                return false;
        for (size_t i = 0; i < a->count; i++) {
                if (!ip_prefix_equal(&a->items[i], &b->items[i]))
                        return false;
        }
        return true;
}

static bool times_equal(const struct tailcfg_time *a, const struct tailcfg_time *b)
{
        return a->set == b->set && (!a->set || a->unix_ns == b->unix_ns);
}

static unsigned difference(const struct tailcfg_node *a, const struct tailcfg_node *b)
{
        struct tailcfg_node rest = *b; /* b, but for what has a bit of its own */
        unsigned what = 0;

        if (!key_equal(&a->key, &b->key))
                what |= NETMAP_PEER_KEY;
        if (!key_equal(&a->disco_key, &b->disco_key))
                what |= NETMAP_PEER_DISCO;
        if (!endpoints_equal(&a->endpoints, &b->endpoints))
                what |= NETMAP_PEER_ENDPOINTS;
        if (a->home_derp != b->home_derp)
                what |= NETMAP_PEER_DERP;
        if (!prefixes_equal(&a->addresses, &b->addresses) || !prefixes_equal(&a->allowed_ips, &b->allowed_ips))
                what |= NETMAP_PEER_ROUTES;
        if (a->online != b->online || a->expired != b->expired || !times_equal(&a->last_seen, &b->last_seen))
                what |= NETMAP_PEER_ONLINE;
        rest.key = a->key;
        rest.disco_key = a->disco_key;
        rest.endpoints = a->endpoints;
        rest.home_derp = a->home_derp;
        rest.addresses = a->addresses;
        rest.allowed_ips = a->allowed_ips;
        rest.online = a->online;
        rest.expired = a->expired;
        rest.last_seen = a->last_seen;
        if (!tailcfg_node_equal(a, &rest))
                what |= NETMAP_PEER_OTHER;
        return what;
}

static void note_pair(struct netmap_peer_change *c, const struct peer *was, const struct peer *is)
{
        *c = (struct netmap_peer_change){ .id = was ? was->node.id : is->node.id };
        if (was) {
                c->old_key = was->node.key;
                c->old_stable_id = was->node.stable_id;
        }
        if (is)
                c->node = is->shown;
        if (!was)
                c->what = NETMAP_PEER_ADDED;
        else if (!is)
                c->what = NETMAP_PEER_REMOVED;
        else
                c->what = difference(was->shown, is->shown);
}

/* Walks both ordered lists at once. */
enum err peers_note_changes(struct netmap *nm)
{
        size_t b = 0, a = 0, n = 0;
        struct netmap_peer_change *list;

        if (!nm->before)
                return OK;
        list = ARENA_ARRAY(&nm->scratch, nm->before_count + nm->peer_count + 1, struct netmap_peer_change);
        if (!list)
                return ERR_NOMEM;
        while (b < nm->before_count || a < nm->peer_count) {
                const struct peer *was = b < nm->before_count ? nm->before[b] : NULL;
                const struct peer *is = a < nm->peer_count ? nm->peers[a] : NULL;

                if (was && is && was->node.id < is->node.id)
                        is = NULL;
                else if (was && is && was->node.id > is->node.id)
                        was = NULL;
                b += was != NULL;
                a += is != NULL;
                if (was == is)
                        continue;
                note_pair(&list[n], was, is);
                if (list[n].what)
                        n++;
        }
        nm->changes.peers = list;
        nm->changes.peer_count = n;
        if (n)
                nm->changes.parts |= NETMAP_PEERS;
        return OK;
}

size_t netmap_peer_count(const struct netmap *nm)
{
        return nm->peer_count;
}

const struct tailcfg_node *netmap_peer_at(const struct netmap *nm, size_t i)
{
        return i < nm->peer_count ? nm->peers[i]->shown : NULL;
}

const struct tailcfg_node *netmap_peer_by_id(const struct netmap *nm, int64_t id)
{
        const struct peer *p = peers_find(nm, id);

        return p ? p->shown : NULL;
}

const struct tailcfg_node *netmap_peer_by_key(const struct netmap *nm, const struct public_key *key)
{
        const struct peer *p = table_get(&nm->peers_by_key, key_slice(key));

        return p ? p->shown : NULL;
}
