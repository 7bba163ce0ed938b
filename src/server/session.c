/*
 * Map sessions: the long polls. A session gets a whole map first, then, when changes
 * have been gathered for a moment, one delta from where it stands to now. A reader
 * that is too slow gets nothing until it has caught up, and then again one delta: what
 * it lacks does not pile up anywhere.
 */
#include <stdlib.h>

#include "state.h"

enum { OFFLINE_GRACE_S = 10, KEEPALIVE_S = 50, KEEPALIVE_JITTER_MS = 9000 };

static void keepalive_due(struct timer *timer, const struct now *now);

static void session_send(struct session *ss, struct server_message *m)
{
        struct server *s = ss->server;

        s->stats.map_bytes += m->len;
        hold_message(s, ss, m);
        timer_arm(&s->timers, &ss->keepalive, s->now.mono_us + ss->keepalive_us);
}

static void note_known(struct session *ss)
{
        for (enum change what = CHANGE_SELF; what < N_CHANGES; what++)
                ss->known[what - CHANGE_SELF] = mapper_digest(ss->server, ss->node, what);
}

/* A new policy touches many nodes and changes little for most: what the node was told
 * already is no news. A node has one session, so nobody else waits to hear it. */
static void drop_known(struct session *ss)
{
        struct node *n = ss->node;

        for (enum change what = CHANGE_NODE; what < CHANGE_SELF; what++) {
                if (n->seq[what] > ss->cursor) /* it may be told of itself in any case */
                        ss->known[0] = 0;
        }
        for (enum change what = CHANGE_SELF; what < N_CHANGES; what++) {
                uint64_t *known = &ss->known[what - CHANGE_SELF];
                if (n->seq[what] <= ss->cursor)
                        continue;
                uint64_t digest = mapper_digest(ss->server, n, what);
                if (digest && digest == *known)
                        n->seq[what] = 0;
                *known = digest;
        }
}

/* False: out of memory, the session is gone. */
static bool send_full(struct session *ss)
{
        struct server *s = ss->server;
        struct server_message *m = mapper_full(s, ss->node, ss->zstd, !ss->told_first);

        if (!m) {
                log_error(
                        &server_log, "out of memory for a network map", "node=%lld", (long long)ss->node->id);
                session_end(ss);
                return false;
        }
        ss->told_first = true;
        ss->needs_full = ss->compares_peers = false;
        mapper_note_full(s, ss->node, &ss->told);
        note_known(ss);
        ss->cursor = s->tailnet.change_seq;
        s->stats.full_maps++;
        session_send(ss, m);
        server_message_unref(m);
        return true;
}

/* Kept on disk, so that a restart does not forget it. */
static void note_seen(struct server *s, struct node *n)
{
        n->last_seen_us = s->now.unix_us;
        journal_soft_changed(s, n);
}

static void mark_online(struct server *s, struct node *n)
{
        timer_cancel(&s->timers, &n->offline_timer);
        timer_cancel(&s->timers, &n->ephemeral_timer);
        if (n->online)
                return;
        n->online = true;
        note_seen(s, n);
        change_mark(s, n, CHANGE_ONLINE);
        if (n->n_announced)
                routes_elect(s);
}

void session_open(struct server *s, struct node *n, struct server_call *call, bool zstd)
{
        struct session *ss = calloc(1, sizeof(*ss));

        if (!ss) {
                call->ops->end(call);
                return;
        }
        /* One stream a node: the older one is a connection that the client gave up. */
        while (!list_empty(&n->sessions))
                session_end(container_of(n->sessions.next, struct session, in_node));
        *ss = (struct session){ .server = s, .call = call, .node = n, .zstd = zstd };
        ss->keepalive.fire = keepalive_due;
        ss->keepalive_us = TIME_S(KEEPALIVE_S) + TIME_MS(rng_below(s->rng, KEEPALIVE_JITTER_MS));
        call->session = ss;
        list_push_back(&n->sessions, &ss->in_node);
        list_push_back(&s->sessions, &ss->in_server);
        s->n_sessions++;
        mark_online(s, n);
        call->ops->begin(call);
        (void)send_full(ss);
}

/* Deltas that were built for several. */
static void drop_shared(struct flush *f)
{
        for (size_t i = 0; i < f->n_shared; i++)
                server_message_unref(f->shared[i].message);
        f->n_shared = 0;
}

static void session_free(struct session *ss)
{
        struct server *s = ss->server;
        struct node *n = ss->node;

        hold_forget(s, ss->call);
        ss->call->session = NULL;
        timer_cancel(&s->timers, &ss->keepalive);
        list_remove(&ss->in_node);
        list_remove(&ss->in_server);
        if (--s->n_sessions == 0)
                drop_shared(&s->flush);
        if (list_empty(&n->sessions) && !n->is_removed) {
                note_seen(s, n);
                timer_arm(&s->timers, &n->offline_timer, s->now.mono_us + TIME_S(OFFLINE_GRACE_S));
        }
        id_set_fini(&ss->told);
        free(ss);
}

void session_end(struct session *ss)
{
        struct server_call *call = ss->call;

        session_free(ss);
        call->ops->end(call);
}

static void keepalive_due(struct timer *timer, const struct now *now)
{
        struct session *ss = container_of(timer, struct session, keepalive);
        struct server_message *m = mapper_keepalive(ss->zstd);

        (void)now;
        timer_arm(&ss->server->timers, timer, now->mono_us + ss->keepalive_us);
        if (!m)
                return;
        if (!ss->blocked)
                hold_message(ss->server, ss, m);
        server_message_unref(m);
}

/* ---- telling changes ------------------------------------------------------------------ */

/* Those who stand at the same place share the same bytes. A reference for the caller. */
static struct server_message *shared_delta(struct server *s, struct session *ss)
{
        struct flush *f = &s->flush;

        if (f->shared_seq != s->tailnet.change_seq)
                drop_shared(f);
        f->shared_seq = s->tailnet.change_seq;
        for (size_t i = 0; i < f->n_shared; i++) {
                const struct shared_delta *d = &f->shared[i];
                if (view_equal(d->view, ss->node->view) && d->cursor == ss->cursor && d->zstd == ss->zstd)
                        return server_message_ref(d->message);
        }
        struct server_message *m = mapper_delta(s, ss->node->view, NULL, ss->cursor, NULL, ss->zstd);
        if (m && f->n_shared < N_SHARED_DELTAS)
                f->shared[f->n_shared++] = (struct shared_delta){ ss->node->view, ss->cursor, ss->zstd,
                        server_message_ref(m) };
        return m;
}

static void session_flush(struct session *ss)
{
        struct server *s = ss->server;
        struct server_message *m;

        if (ss->blocked)
                return;
        (void)policy_now(s);
        if (!ss->needs_full)
                drop_known(ss);
        bool own = mapper_needs_own_delta(ss->node, ss->cursor) || ss->compares_peers;
        if (mapper_lost_removals(s, ss->cursor) || (own && ss->zstd && mapper_is_mass_change(s, ss->cursor)))
                ss->needs_full = true;
        if (ss->needs_full) {
                (void)send_full(ss);
                return;
        }
        if (!ss->compares_peers && !mapper_has_news(s, ss->node, ss->cursor)) {
                ss->cursor = s->tailnet.change_seq;
                return;
        }
        if (own)
                m = mapper_delta(s, ss->node->view, ss->node, ss->cursor,
                        ss->compares_peers ? &ss->told : NULL, ss->zstd);
        else
                m = shared_delta(s, ss);
        if (!m) {
                session_end(ss);
                return;
        }
        if (ss->compares_peers)
                mapper_note_full(s, ss->node, &ss->told);
        else
                mapper_note_delta(s, ss->node, ss->cursor, &ss->told);
        ss->compares_peers = false;
        ss->cursor = s->tailnet.change_seq;
        if (m->len) {
                s->stats.deltas++;
                session_send(ss, m);
        }
        server_message_unref(m);
}

/* A part of the round. What changes between two parts is told to those whose turn is
 * yet to come; for the others there is another round. */
static void flush_part(struct server *s)
{
        enum { PART = 64 };
        struct flush *f = &s->flush;

        for (size_t i = 0; i < PART && f->left && !list_empty(&s->sessions); i++) {
                struct list *first = s->sessions.next;
                f->left--;
                list_remove(first);
                list_push_back(&s->sessions, first);
                session_flush(container_of(first, struct session, in_server));
        }
        if (list_empty(&s->sessions))
                f->left = 0;
}

void session_flush_all(struct server *s)
{
        struct flush *f = &s->flush;

        if (!f->left) {
                (void)policy_now(s); /* marks all before the first is told */
                timer_cancel(&s->timers, &f->timer);
                f->again = false;
                f->left = s->n_sessions;
        }
        flush_part(s);
        if (f->left) {
                timer_arm(&s->timers, &f->timer, s->now.mono_us + TIME_MS(1));
                return;
        }
        drop_shared(f);
        if (f->again)
                session_schedule_flush(s);
}

void session_schedule_flush(struct server *s)
{
        s->flush.again = true;
        if (!s->flush.left && !timer_armed(&s->flush.timer) && s->n_sessions)
                timer_arm(&s->timers, &s->flush.timer, s->now.mono_us + s->settings->batch_delay_us);
}

void session_restart_all(struct server *s)
{
        list_each (it, &s->sessions)
                container_of(it, struct session, in_server)->needs_full = true;
        session_schedule_flush(s);
}

void server_call_writable(struct server *s, const struct now *now, struct server_call *call)
{
        s->now = *now;
        if (!call->session || !call->session->blocked)
                return;
        call->session->blocked = false;
        session_flush(call->session);
        if (!s->flush.left)
                drop_shared(&s->flush);
}

void server_call_closed(struct server *s, const struct now *now, struct server_call *call)
{
        s->now = *now;
        if (call->session)
                session_free(call->session);
        list_remove(&call->link);
        hold_forget(s, call);
}
