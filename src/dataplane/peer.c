#include "peer.h"

#include <stdlib.h>

#include "shared.h"

/* ---- lifetime ------------------------------------------------------------ */

void peer_unref(struct dataplane_peer *p)
{
        if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
                return;
        for (struct staged_packet *s = p->stage_first, *next; s; s = next) {
                next = s->next;
                free(s);
        }
        free(p);
}

struct dataplane_peer *dataplane_peer_new(struct dataplane *dp, const struct public_key *key, void *owner)
{
        struct dataplane_peer *p = calloc(1, sizeof(*p));

        if (!p)
                return NULL;
        atomic_init(&p->refs, 1);
        p->key = *key;
        p->owner = owner;
        list_init(&p->sessions);
        list_push_back(&dp->peers, &p->in_all);
        return p;
}

static void release_path(struct retired *r) { free(container_of(r, struct peer_path, retired)); }

static void release_peer(struct retired *r) { peer_unref(container_of(r, struct dataplane_peer, retired)); }

static void release_session(struct retired *r)
{
        struct session_entry *e = container_of(r, struct session_entry, retired);

        tunnel_session_unref(e->session);
        free(e);
}

static void remove_entry(struct dataplane *dp, struct session_entry *e)
{
        struct dataplane_peer *peer = e->peer;

        if (published(&peer->session) == e->session)
                publish(&peer->session, NULL);
        session_unlink(&dp->sessions, e);
        list_remove(&e->of_peer);
        retire(dp, &e->retired, release_session);
}

void dataplane_peer_remove(struct dataplane *dp, struct dataplane_peer *p)
{
        struct peer_path *path = published(&p->path);

        list_each_safe(it, &p->sessions)
                remove_entry(dp, container_of(it, struct session_entry, of_peer));
        publish(&p->path, NULL);
        if (path)
                retire(dp, &path->retired, release_path);
        p->is_removed = true;
        list_remove(&p->in_all);
        retire(dp, &p->retired, release_peer);
}

void *dataplane_peer_owner(const struct dataplane_peer *p) { return p->owner; }

/* ---- what is known of it ------------------------------------------------- */

void dataplane_peer_set_jailed(struct dataplane_peer *p, bool jailed)
{
        atomic_store_explicit(&p->jailed, jailed, memory_order_relaxed);
}

enum err dataplane_peer_set_path(
        struct dataplane *dp, struct dataplane_peer *p, const struct dataplane_path *config)
{
        struct peer_path *old = published(&p->path), *path = calloc(1, sizeof(*path));

        if (!path)
                return ERR_NOMEM;
        path->config = *config;
        path->to = udp_address_of(&config->udp);
        publish(&p->path, path);
        if (old)
                retire(dp, &old->retired, release_path);
        return OK;
}

void dataplane_peer_counters(const struct dataplane_peer *p, struct dataplane_counters *out)
{
        const struct peer_counters *c = &p->counters;

        *out = (struct dataplane_counters){
                .tx_bytes = count_read(&c->tx_bytes),
                .tx_packets = count_read(&c->tx_packets),
                .rx_bytes = count_read(&c->rx_bytes),
                .rx_packets = count_read(&c->rx_packets),
                .tx_udp4_bytes = count_read(&c->tx_udp4_bytes),
                .tx_udp6_bytes = count_read(&c->tx_udp6_bytes),
                .tx_derp_bytes = count_read(&c->tx_derp_bytes),
                .rx_udp4_bytes = count_read(&c->rx_udp4_bytes),
                .rx_udp6_bytes = count_read(&c->rx_udp6_bytes),
                .rx_derp_bytes = count_read(&c->rx_derp_bytes),
                .last_sent_us = count_read(&c->last_sent_us),
                .last_received_us = count_read(&c->last_received_us),
        };
}

/* ---- sessions ------------------------------------------------------------ */

static struct session_entry *_Atomic *bucket_of(struct session_table *t, uint32_t index)
{
        return &t->buckets[index % SESSION_BUCKETS];
}

struct session_entry *session_find(struct session_table *t, uint32_t index)
{
        struct session_entry *e = published(bucket_of(t, index));

        while (e && e->index != index)
                e = published(&e->next);
        return e;
}

void session_insert(struct session_table *t, struct session_entry *e)
{
        struct session_entry *_Atomic *bucket = bucket_of(t, e->index);

        atomic_init(&e->next, published(bucket));
        publish(bucket, e);
}

/* e keeps its next pointer: a reader may stand on it. */
void session_unlink(struct session_table *t, struct session_entry *e)
{
        struct session_entry *_Atomic *link = bucket_of(t, e->index);

        while (published(link) != e)
                link = &published(link)->next;
        publish(link, published(&e->next));
}

enum err dataplane_session_add(struct dataplane *dp, struct dataplane_peer *peer, struct tunnel_session *s)
{
        uint32_t index = tunnel_session_index(s);

        if (session_find(&dp->sessions, index))
                return ERR_EXISTS;
        struct session_entry *e = calloc(1, sizeof(*e));
        if (!e)
                return ERR_NOMEM;
        e->index = index;
        e->session = tunnel_session_ref(s);
        e->peer = peer;
        list_push_back(&peer->sessions, &e->of_peer);
        session_insert(&dp->sessions, e);
        return OK;
}

void dataplane_session_use(
        struct dataplane *dp, struct dataplane_peer *peer, struct tunnel_session *s, bool confirm)
{
        publish(&peer->session, s);
        /* Should the queue be full, the peer's next packet flushes the stage. */
        if (s)
                (void)!inbox_push(
                        &dp->sender.in, confirm ? COMMAND_CONFIRM : COMMAND_FLUSH, peer, (struct slice){ 0 });
}

void dataplane_session_remove(struct dataplane *dp, struct tunnel_session *s)
{
        struct session_entry *e = session_find(&dp->sessions, tunnel_session_index(s));

        if (e && e->session == s)
                remove_entry(dp, e);
}

void dataplane_send_keepalive(struct dataplane *dp, struct dataplane_peer *peer)
{
        (void)!inbox_push(&dp->sender.in, COMMAND_KEEPALIVE, peer, (struct slice){ 0 });
}

void dataplane_drop_staged(struct dataplane *dp, struct dataplane_peer *peer)
{
        (void)!inbox_push(&dp->sender.in, COMMAND_DROP_STAGED, peer, (struct slice){ 0 });
}
