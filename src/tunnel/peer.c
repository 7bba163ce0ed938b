/* Peers, and the indices by which their messages find them. */
#include "tunnel_internal.h"

#include <stdlib.h>

#include "base/log.h"

static const struct log logger = { "tunnel" };

static struct slice index_key(const struct tunnel_index *index)
{
        return slice_make(&index->value, sizeof index->value);
}

enum err index_add(struct tunnel_peer *p, struct tunnel_index *index)
{
        index->peer = p;
        return table_put(&p->tunnel->indices, index_key(index), index, NULL);
}

void index_remove(struct tunnel *t, const struct tunnel_index *index)
{
        table_remove(&t->indices, index_key(index));
}

struct tunnel_index *index_find(const struct tunnel *t, uint32_t value)
{
        return table_get(&t->indices, slice_make(&value, sizeof value));
}

uint32_t index_unused(struct tunnel *t)
{
        uint32_t value;

        do
                value = rng_u32(t->rng);
        while (index_find(t, value));
        return value;
}

enum err tunnel_peer_add(struct tunnel *t, const struct tunnel_peer_config *config, struct tunnel_peer **out)
{
        struct tunnel_peer *p;
        enum err e;

        if (key_is_zero(&config->key) || key_equal(&config->key, &t->self.public))
                return ERR_AUTH;
        if (tunnel_peer_find(t, &config->key))
                return ERR_EXISTS;
        p = calloc(1, sizeof *p);
        if (!p)
                return ERR_NOMEM;
        p->tunnel = t;
        p->key = config->key;
        p->psk = config->psk;
        p->is_lazy = config->is_lazy;
        p->user = config->user;
        p->persistent_keepalive_s = config->persistent_keepalive_s;
        timers_init(p);
        p->activity = activity_new();
        e = p->activity ? table_put(&t->peers, key_slice(&p->key), p, NULL) : ERR_NOMEM;
        if (e != OK) {
                peer_free(p);
                return e;
        }
        list_push_back(&t->all_peers, &p->in_all);
        *out = p;
        return OK;
}

void peer_free(struct tunnel_peer *p)
{
        peer_handshake_drop(p);
        peer_sessions_drop(p);
        timers_fini(p);
        if (p->activity)
                activity_unref(p->activity);
        key_wipe(p, sizeof *p);
        free(p);
}

void tunnel_peer_remove(struct tunnel *t, struct tunnel_peer *p)
{
        table_remove(&t->peers, key_slice(&p->key));
        list_remove(&p->in_all);
        /* should it come back, its timestamps must still rise */
        if (t->clock_slot <= p->sent_slot)
                t->clock_slot = p->sent_slot + 1;
        peer_free(p);
}

struct tunnel_peer *tunnel_peer_find(const struct tunnel *t, const struct public_key *key)
{
        return table_get(&t->peers, key_slice(key));
}

const struct public_key *tunnel_peer_key(const struct tunnel_peer *p)
{
        return &p->key;
}

void *tunnel_peer_user(const struct tunnel_peer *p)
{
        return p->user;
}

void tunnel_peer_set_psk(struct tunnel_peer *p, const struct shared_key *psk)
{
        p->psk = *psk;
}

void tunnel_peer_set_persistent_keepalive(struct tunnel *t, struct tunnel_peer *p, uint16_t seconds,
        const struct now *now)
{
        (void)t;
        p->persistent_keepalive_s = seconds;
        timers_persistent_changed(p, now);
}

enum err peer_agree(struct tunnel_peer *p)
{
        enum err e = OK;

        if (!p->has_static_static)
                e = key_agree(&p->tunnel->self.secret, &p->key, &p->static_static);
        p->has_static_static = e == OK;
        return e;
}

void peer_handshake_drop(struct tunnel_peer *p)
{
        if (!p->handshake)
                return;
        index_remove(p->tunnel, &p->handshake->index);
        key_wipe(p->handshake, sizeof *p->handshake);
        free(p->handshake);
        p->handshake = NULL;
}

void peer_log(const struct tunnel_peer *p, const char *what)
{
        char key[8];

        if (log_level() < LOG_DEBUG)
                return;
        key_format_short(&p->key, key);
        log_debug(&logger, what, "peer=%s", key);
}

static void slot_drop(struct tunnel_peer *p, struct tunnel_session **slot)
{
        struct tunnel_session *s = *slot;

        if (!s)
                return;
        *slot = NULL;
        index_remove(p->tunnel, &s->index);
        session_revoke(s);
        p->tunnel->ops->session_removed(p->tunnel->ctx, p, s);
        tunnel_session_unref(s);
}

static void slot_move(struct tunnel_peer *p, struct tunnel_session **to, struct tunnel_session **from)
{
        slot_drop(p, to);
        *to = *from;
        *from = NULL;
}

/*
 * The initiator knows that its session works and uses it at once. The responder's
 * has to wait in `next` until the initiator has shown, by sending on it, that the
 * response arrived; until then sending goes on with `current`.
 */
enum err peer_session_made(struct tunnel_peer *p, struct tunnel_session *s, const struct now *now)
{
        struct tunnel *t = p->tunnel;
        enum err e = index_add(p, &s->index);

        if (e != OK) {
                tunnel_session_unref(s);
                return e;
        }
        t->stats.sessions++;
        if (s->is_initiator) {
                if (p->next) {
                        slot_move(p, &p->previous, &p->next);
                        slot_drop(p, &p->current);
                } else {
                        slot_move(p, &p->previous, &p->current);
                }
                p->current = s;
        } else {
                slot_drop(p, &p->next);
                slot_drop(p, &p->previous);
                p->next = s;
        }
        peer_log(p, s->is_initiator ? "session made" : "session offered");
        t->ops->session_added(t->ctx, p, s);
        timers_session_derived(p, now);
        if (s->is_initiator) {
                timers_handshake_complete(p, now);
                t->ops->session_use(t->ctx, p, s, true);
        }
        timers_activity(p); /* reports about a session just dropped do not reach us */
        return OK;
}

void peer_session_confirmed(struct tunnel_peer *p, const struct now *now)
{
        struct tunnel *t = p->tunnel;

        slot_move(p, &p->previous, &p->current);
        p->current = p->next;
        p->next = NULL;
        atomic_store_explicit(&p->current->is_confirmed, true, memory_order_relaxed);
        peer_log(p, "session confirmed");
        timers_handshake_complete(p, now);
        t->ops->session_use(t->ctx, p, p->current, false);
        timers_activity(p);
}

void peer_sessions_drop(struct tunnel_peer *p)
{
        slot_drop(p, &p->previous);
        slot_drop(p, &p->current);
        slot_drop(p, &p->next);
}

bool peer_can_send(const struct tunnel_peer *p, const struct now *now)
{
        return p->current && session_can_send(p->current, now->mono_us);
}

void tunnel_peer_reset(struct tunnel *t, struct tunnel_peer *p)
{
        (void)t;
        peer_handshake_drop(p);
        peer_sessions_drop(p);
        timers_reset(p);
        p->handshake_sent_us = 0;
        p->attempts = 0;
        p->has_heard_timestamp = false;
}

void tunnel_peer_status(const struct tunnel_peer *p, const struct now *now, struct tunnel_peer_status *out)
{
        *out = (struct tunnel_peer_status){
                .last_handshake_us = p->completed_us,
                .last_sent_us = stamp_get(&p->activity->sent_us),
                .last_received_us = stamp_get(&p->activity->heard_us),
                .tx_bytes = stamp_get(&p->activity->sent_bytes) + p->handshake_tx_bytes,
                .rx_bytes = stamp_get(&p->activity->heard_bytes) + p->handshake_rx_bytes,
                .has_session = peer_can_send(p, now),
        };
}
