#include "tunnel_internal.h"

#include <stdlib.h>

/* A peer has three sessions and a handshake of its own at most. */
enum { MAX_INDICES = 4 * MAX_PEERS };

static void become(struct tunnel *t, const struct secret_key *secret)
{
        t->self.secret = *secret;
        key_public(&t->self.secret, &t->self.public);
        cookie_checker_init(&t->checker, &t->self.public);
}

struct tunnel *tunnel_new(const struct tunnel_config *config, const struct tunnel_ops *ops, void *ctx,
        struct rng *rng)
{
        struct tunnel *t = calloc(1, sizeof *t);

        if (!t)
                return NULL;
        t->ops = ops;
        t->ctx = ctx;
        t->rng = rng;
        if (config->clock_floor_unix_us > 0) /* used already, so after it */
                t->clock_slot = t->highest_slot = clock_slot_of(config->clock_floor_unix_us) + 1;
        list_init(&t->all_peers);
        table_init(&t->peers, MAX_PEERS);
        table_init(&t->indices, MAX_INDICES);
        timer_heap_init(&t->timers);
        become(t, &config->secret);
        return t;
}

void tunnel_free(struct tunnel *t)
{
        if (!t)
                return;
        list_each_safe(it, &t->all_peers)
                tunnel_peer_remove(t, container_of(it, struct tunnel_peer, in_all));
        table_fini(&t->peers);
        table_fini(&t->indices);
        timer_heap_fini(&t->timers);
        load_fini(&t->load);
        key_wipe(t, sizeof *t);
        free(t);
}

void tunnel_set_secret(struct tunnel *t, const struct secret_key *secret)
{
        become(t, secret);
        list_each(it, &t->all_peers) {
                struct tunnel_peer *p = container_of(it, struct tunnel_peer, in_all);

                peer_handshake_drop(p);
                p->handshake_sent_us = 0;
                p->has_static_static = false;
                if (p->current)
                        session_revoke(p->current);
                if (p->next)
                        session_revoke(p->next);
        }
}

const struct public_key *tunnel_public_key(const struct tunnel *t)
{
        return &t->self.public;
}

int64_t tunnel_clock(const struct tunnel *t)
{
        return clock_slot_unix_us(t->highest_slot);
}

uint64_t tunnel_deadline(const struct tunnel *t)
{
        return timer_next(&t->timers);
}

void tunnel_run(struct tunnel *t, const struct now *now)
{
        timer_run(&t->timers, now);
}

void tunnel_receive(struct tunnel *t, struct slice datagram, const struct tunnel_source *from,
        const struct now *now)
{
        handshake_receive(t, tunnel_message_type(datagram), datagram, from, now);
}

void tunnel_event(struct tunnel *t, uint32_t index_value, unsigned events, const struct now *now)
{
        struct tunnel_index *index = index_find(t, index_value);
        struct tunnel_peer *p;

        if (!index || !index->session)
                return;
        p = index->peer;
        if (events & TUNNEL_FIRST_RECEIVE && index->session == p->next)
                peer_session_confirmed(p, now);
        if (events & TUNNEL_WANT_REKEY && index->session == p->current)
                handshake_start(p, now);
        if (events & TUNNEL_ACTIVITY)
                timers_activity(p);
}

void tunnel_want_session(struct tunnel *t, struct tunnel_peer *p, const struct now *now)
{
        (void)t;
        if (!peer_can_send(p, now))
                handshake_start(p, now);
}

const struct tunnel_stats *tunnel_stats(const struct tunnel *t)
{
        return &t->stats;
}
