/* The nodes of a tailnet and their indexes. */
#include <stdlib.h>

#include "state.h"

const struct log server_log = { "control" };

void tailnet_init(struct tailnet *t)
{
        t->id = STORE_TAILNET_DEFAULT;
        t->change_seq = 1; /* 0 stands for "before everything" */
        list_init(&t->changed);
        list_init(&t->registrations_by_age);
}

static void row_set_fini(struct row_set *set)
{
        for (size_t i = 0; i < set->n; i++)
                free(set->items[i]);
        free(set->items);
}

void tailnet_fini(struct tailnet *t)
{
        row_set_fini(&t->users);
        row_set_fini(&t->auth_keys);
        row_set_fini(&t->api_keys);
        free(t->nodes.items);
        table_fini(&t->by_node_key);
        table_fini(&t->by_machine_key);
        table_fini(&t->by_name);
        table_fini(&t->by_ip);
        table_fini(&t->registrations);
        for (size_t i = 0; i < t->n_chunks; i++)
                buf_fini(&t->chunks[i].frame);
        free(t->chunks);
}

struct node *tailnet_node(const struct tailnet *t, int64_t id) { return row_set_get(&t->nodes, id); }

struct node *tailnet_node_by_key(const struct tailnet *t, const struct public_key *node_key)
{
        return table_get(&t->by_node_key, key_slice(node_key));
}

struct node *tailnet_node_by_machine(const struct tailnet *t, const struct public_key *machine)
{
        return table_get(&t->by_machine_key, key_slice(machine));
}

struct node *tailnet_node_by_name(const struct tailnet *t, struct slice given_name)
{
        return table_get(&t->by_name, given_name);
}

enum err tailnet_user_by_name(const struct tailnet *t, struct slice name, struct store_user **out)
{
        *out = NULL;
        for (size_t i = 0; i < t->users.n; i++) {
                struct store_user *user = (struct store_user *)t->users.items[i];
                if (!slice_equal(user->name, name))
                        continue;
                if (*out)
                        return ERR_EXISTS;
                *out = user;
        }
        return *out ? OK : ERR_NOTFOUND;
}

/* ---- indexes ------------------------------------------------------------------ */

/* An index that cannot grow would hide a node: stop rather than go on with less. The
 * key that is there already goes first, as its bytes may belong to another row. */
static void index_put(struct table *t, struct slice key, void *value)
{
        (void)table_remove(t, key);
        if (table_put(t, key, value, NULL) != OK)
                abort();
}

static struct slice ip_key(const struct ip_addr *ip)
{
        return slice_make(ip->b, ip->family == IP_V4 ? 4 : 16);
}

/* The chain of a machine begins at the node in the table, whose row holds the key. */
static void index_machine(struct tailnet *t, struct node *n)
{
        struct node *first = tailnet_node_by_machine(t, &n->row->machine_key);

        n->machine_next = first;
        index_put(&t->by_machine_key, key_slice(&n->row->machine_key), n);
}

static void unindex_machine(struct tailnet *t, struct node *n)
{
        struct node *first = table_remove(&t->by_machine_key, key_slice(&n->row->machine_key));

        if (first == n) {
                first = n->machine_next;
        } else {
                struct node *before = first;
                while (before->machine_next != n)
                        before = before->machine_next;
                before->machine_next = n->machine_next;
        }
        n->machine_next = NULL;
        if (first)
                index_put(&t->by_machine_key, key_slice(&first->row->machine_key), first);
}

static void index_node(struct tailnet *t, struct node *n)
{
        index_put(&t->by_node_key, key_slice(&n->row->node_key), n);
        index_machine(t, n);
        index_put(&t->by_name, n->row->given_name, n);
        if (ip_valid(&n->row->ipv4))
                index_put(&t->by_ip, ip_key(&n->row->ipv4), n);
        if (ip_valid(&n->row->ipv6))
                index_put(&t->by_ip, ip_key(&n->row->ipv6), n);
}

/* Removes only what points to n: damaged databases may hold a name or key twice. */
static void unindex_key(struct table *t, struct slice key, struct node *n)
{
        if (table_get(t, key) == n)
                (void)table_remove(t, key);
}

static void unindex_node(struct tailnet *t, struct node *n)
{
        unindex_key(&t->by_node_key, key_slice(&n->row->node_key), n);
        unindex_machine(t, n);
        unindex_key(&t->by_name, n->row->given_name, n);
        if (ip_valid(&n->row->ipv4))
                unindex_key(&t->by_ip, ip_key(&n->row->ipv4), n);
        if (ip_valid(&n->row->ipv6))
                unindex_key(&t->by_ip, ip_key(&n->row->ipv6), n);
}

/* ---- nodes ---------------------------------------------------------------------- */

static void ephemeral_timeout(struct timer *timer, const struct now *now);
static void offline_timeout(struct timer *timer, const struct now *now);

static void load_soft(struct node *n)
{
        struct arena a = ARENA_INIT(1 << 20);
        struct tailcfg_hostinfo hostinfo = { 0 };
        unsigned changes;

        n->disco_key = n->row->disco_key;
        n->cap_version = n->row->cap_version;
        n->last_seen_us = n->row->last_seen_us;
        (void)node_set_endpoints(n, n->row->endpoints, n->row->n_endpoints);
        /* An old row may have no Hostinfo, or one that a stricter reader refuses. */
        if (n->row->hostinfo.len == 0 || tailcfg_hostinfo_decode(n->row->hostinfo, &a, &hostinfo) != OK)
                hostinfo = (struct tailcfg_hostinfo){ 0 };
        if (node_set_hostinfo(n, &hostinfo, &changes) != OK)
                log_warn(&server_log, "a node's Hostinfo cannot be used", "node=%lld", (long long)n->id);
        arena_fini(&a);
}

struct node *node_add(struct server *s, struct store_node *row)
{
        struct node *n = calloc(1, sizeof(*n));

        if (!n)
                abort();
        n->id = row->id;
        n->row = row;
        n->server = s;
        n->peer_json = BUF_INIT(4 << 20);
        list_init(&n->sessions);
        n->ephemeral_timer.fire = ephemeral_timeout;
        n->offline_timer.fire = offline_timeout;
        load_soft(n);
        node_relink(s, n);
        return n;
}

void node_relink(struct server *s, struct node *n)
{
        n->is_removed = false;
        (void)row_set_put(&s->tailnet.nodes, n);
        index_node(&s->tailnet, n);
        n->view = (struct view){ .policy_class = POLICY_NO_CLASS };
        policy_note_node(s, n);
        if (n->row->ephemeral && !n->online)
                timer_arm(
                        &s->timers, &n->ephemeral_timer, s->now.mono_us + s->settings->ephemeral_timeout_us);
        change_mark(s, n, CHANGE_NODE);
}

void node_unlink(struct server *s, struct node *n)
{
        while (!list_empty(&n->sessions))
                session_end(container_of(n->sessions.next, struct session, in_node));
        n->is_removed = true;
        n->online = false;
        timer_cancel(&s->timers, &n->ephemeral_timer);
        timer_cancel(&s->timers, &n->offline_timer);
        list_remove(&n->dirty);
        unindex_node(&s->tailnet, n);
        address_released(s, &n->row->ipv4);
        address_released(s, &n->row->ipv6);
        (void)row_set_remove(&s->tailnet.nodes, n->id);
        policy_forget_node(s, n);
        change_removed(s, n->id);
        list_remove(&n->changed);
}

void node_free(struct node *n)
{
        timer_cancel(&n->server->timers, &n->ephemeral_timer);
        timer_cancel(&n->server->timers, &n->offline_timer);
        list_remove(&n->dirty);
        list_remove(&n->changed);
        free((void *)n->hostinfo.ptr);
        free((void *)n->hostinfo_peer.ptr);
        free(n->endpoints);
        free(n->announced);
        free(n->primary);
        buf_fini(&n->peer_json);
        free(n->row);
        free(n);
}

struct store_node *node_swap_row(struct server *s, struct node *n, struct store_node *row)
{
        struct store_node *old = n->row;

        unindex_node(&s->tailnet, n);
        n->row = row;
        index_node(&s->tailnet, n);
        policy_note_node(s, n);
        buf_clear(&n->peer_json);
        return old;
}

bool node_is_expired(const struct server *s, const struct node *n)
{
        return n->row->expires_us && n->row->expires_us <= s->now.unix_us;
}

/* ---- soft part ------------------------------------------------------------------- */

/* Takes the text out of b, which must be empty of failure. */
static enum err replace_text(struct slice *text, struct buf *b)
{
        if (buf_status(b) != OK)
                return buf_status(b);
        free((void *)text->ptr);
        *text = buf_slice(b);
        *b = BUF_INIT(0);
        return OK;
}

static enum err set_announced(struct node *n, const struct tailcfg_prefixes *routes)
{
        struct ip_prefix *copy = NULL;

        if (routes->count) {
                copy = calloc(routes->count, sizeof(*copy));
                if (!copy)
                        return ERR_NOMEM;
        }
        for (size_t i = 0; i < routes->count; i++)
                copy[i] = ip_prefix_masked(routes->items[i]);
        free(n->announced);
        n->announced = copy;
        n->n_announced = routes->count;
        return OK;
}

static enum err keep_net_info(const struct node *n, struct arena *a, struct tailcfg_hostinfo *full)
{
        struct tailcfg_hostinfo stored;

        if (full->net_info || n->hostinfo.len == 0)
                return OK;
        enum err e = tailcfg_hostinfo_decode(n->hostinfo, a, &stored);
        if (e == OK)
                full->net_info = stored.net_info;
        return e;
}

enum err node_set_hostinfo(struct node *n, const struct tailcfg_hostinfo *hostinfo, unsigned *changes)
{
        enum { HOSTINFO_MAX = 256 << 10 };
        struct arena a = ARENA_INIT(1 << 20);
        struct buf whole = BUF_INIT(HOSTINFO_MAX), peer = BUF_INIT(HOSTINFO_MAX);
        struct tailcfg_hostinfo full = *hostinfo, bare;
        struct json_writer w;
        enum err e;

        *changes = 0;
        e = keep_net_info(n, &a, &full);
        if (e != OK)
                goto out;
        json_writer_init(&w, &whole, NULL);
        tailcfg_hostinfo_write(&w, &full);
        bare = full;
        bare.net_info = NULL;
        bare.request_tags = (struct tailcfg_strings){ 0 };
        json_writer_init(&w, &peer, NULL);
        tailcfg_hostinfo_write(&w, &bare);
        if ((e = buf_status(&whole)) != OK || (e = buf_status(&peer)) != OK)
                goto out;

        int64_t derp = full.net_info ? full.net_info->preferred_derp : 0;
        if (derp != n->home_derp)
                *changes |= 1U << CHANGE_DERP;
        if (!slice_equal(n->hostinfo_peer, buf_slice(&peer)))
                *changes |= 1U << CHANGE_NODE;
        if (!slice_equal(n->hostinfo, buf_slice(&whole)))
                *changes |= 1U << CHANGE_SELF;
        if (*changes == 0)
                goto out;
        e = set_announced(n, &full.routable_ips);
        if (e == OK)
                e = replace_text(&n->hostinfo, &whole);
        if (e == OK)
                e = replace_text(&n->hostinfo_peer, &peer);
        n->home_derp = derp;
        buf_clear(&n->peer_json);
        if (tailnet_node(&n->server->tailnet, n->id) == n)
                policy_note_node(n->server, n);
out:
        buf_fini(&whole);
        buf_fini(&peer);
        arena_fini(&a);
        return e;
}

bool node_set_endpoints(struct node *n, const struct ip_port *endpoints, size_t count)
{
        enum { ENDPOINTS_MAX = 64 };
        bool same;

        if (count > ENDPOINTS_MAX)
                count = ENDPOINTS_MAX;
        same = count == n->n_endpoints;
        for (size_t i = 0; same && i < count; i++)
                same = ip_port_equal(&endpoints[i], &n->endpoints[i]);
        if (same)
                return false;
        struct ip_port *copy = count ? calloc(count, sizeof(*copy)) : NULL;
        if (count && !copy)
                return false;
        for (size_t i = 0; i < count; i++)
                copy[i] = endpoints[i];
        free(n->endpoints);
        n->endpoints = copy;
        n->n_endpoints = count;
        return true;
}

/* ---- timers ------------------------------------------------------------------------- */

static void ephemeral_timeout(struct timer *timer, const struct now *now)
{
        struct node *n = container_of(timer, struct node, ephemeral_timer);
        struct tx tx = journal_begin(n->server);

        (void)now;
        log_info(&server_log, "ephemeral node was away too long and is removed", "node=%lld name=%.*s",
                (long long)n->id, SLICE_ARGS(n->row->given_name));
        journal_delete_node(&tx, n);
        journal_commit(&tx);
}

static void offline_timeout(struct timer *timer, const struct now *now)
{
        struct node *n = container_of(timer, struct node, offline_timer);
        struct server *s = n->server;

        n->online = false;
        n->last_seen_us = now->unix_us;
        journal_soft_changed(s, n);
        change_mark(s, n, CHANGE_ONLINE);
        if (n->n_announced)
                routes_elect(s);
        if (n->row->ephemeral)
                timer_arm(&s->timers, &n->ephemeral_timer, now->mono_us + s->settings->ephemeral_timeout_us);
        log_debug(&server_log, "node went offline", "node=%lld", (long long)n->id);
}
