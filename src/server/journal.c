/*
 * Durable changes. A change goes three ways at once: into memory, into a transaction
 * for the store, and, as it was before, onto the undo list. The store's "durable up to
 * n" drops undo records and releases the answers that waited for it (hold.c). If the
 * store refuses instead, the undo records are played backwards, memory is what the
 * disk is, and every answer still waiting becomes an error.
 */
#include <stdlib.h>

#include "state.h"

enum undo_kind {
        UNDO_USER,
        UNDO_AUTH_KEY,
        UNDO_API_KEY,
        UNDO_NODE_ADDED,
        UNDO_NODE_CHANGED,
        UNDO_NODE_REMOVED,
        UNDO_POLICY
};

struct undo {
        struct list link;
        uint64_t commit;
        enum undo_kind kind;
        int64_t id;
        void *old; /* the row before, owned; NULL: there was none */
        struct node *node;
};

void journal_init(struct server *s)
{
        list_init(&s->journal.undo);
        list_init(&s->journal.held);
        list_init(&s->journal.dirty);
        list_init(&s->journal.writing);
}

/* ---- transactions ------------------------------------------------------------- */

struct tx journal_begin(struct server *s)
{
        struct tx tx = { s, store_tx_new() };

        if (!tx.store)
                abort();
        tx.store->number = s->journal.submitted + 1;
        return tx;
}

void journal_commit(struct tx *tx)
{
        struct server *s = tx->s;

        if (tx->store->n_ops == 0 && !tx->store->failed) {
                store_tx_free(tx->store);
                return;
        }
        s->journal.submitted = tx->store->number;
        store_commit(s->store, tx->store);
        tx->store = NULL;
}

static void remember(struct tx *tx, enum undo_kind kind, int64_t id, void *old, struct node *node)
{
        struct undo *u = calloc(1, sizeof(*u));

        if (!u)
                abort();
        *u = (struct undo){ .commit = tx->store->number, .kind = kind, .id = id, .old = old, .node = node };
        list_push_back(&tx->s->journal.undo, &u->link);
}

static void *must(void *row)
{
        if (!row)
                abort(); /* the store has the change: memory must have it too */
        return row;
}

void journal_put_user(struct tx *tx, const struct store_user *row)
{
        store_tx_put_user(tx->store, row);
        remember(tx, UNDO_USER, row->id, row_set_put(&tx->s->tailnet.users, must(store_user_dup(row))), NULL);
        policy_note_users(tx->s);
}

void journal_delete_user(struct tx *tx, int64_t id)
{
        store_tx_id(tx->store, STORE_DELETE_USER, id);
        remember(tx, UNDO_USER, id, row_set_remove(&tx->s->tailnet.users, id), NULL);
        policy_note_users(tx->s);
}

void journal_put_auth_key(struct tx *tx, const struct store_auth_key *row)
{
        store_tx_put_auth_key(tx->store, row);
        remember(tx, UNDO_AUTH_KEY, row->id,
                row_set_put(&tx->s->tailnet.auth_keys, must(store_auth_key_dup(row))), NULL);
}

void journal_delete_auth_key(struct tx *tx, int64_t id)
{
        store_tx_id(tx->store, STORE_DELETE_AUTH_KEY, id);
        remember(tx, UNDO_AUTH_KEY, id, row_set_remove(&tx->s->tailnet.auth_keys, id), NULL);
}

void journal_use_auth_key(struct tx *tx, const struct store_auth_key *row)
{
        struct store_auth_key used = *row;

        used.used = true;
        store_tx_id(tx->store, STORE_USE_AUTH_KEY, row->id);
        remember(tx, UNDO_AUTH_KEY, row->id,
                row_set_put(&tx->s->tailnet.auth_keys, must(store_auth_key_dup(&used))), NULL);
}

void journal_put_api_key(struct tx *tx, const struct store_api_key *row)
{
        store_tx_put_api_key(tx->store, row);
        remember(tx, UNDO_API_KEY, row->id,
                row_set_put(&tx->s->tailnet.api_keys, must(store_api_key_dup(row))), NULL);
}

void journal_delete_api_key(struct tx *tx, int64_t id)
{
        store_tx_id(tx->store, STORE_DELETE_API_KEY, id);
        remember(tx, UNDO_API_KEY, id, row_set_remove(&tx->s->tailnet.api_keys, id), NULL);
}

/* The row as it goes to disk: the hard part with today's soft part. */
static struct store_node whole_row(const struct node *n)
{
        struct store_node row = *n->row;

        row.disco_key = n->disco_key;
        row.hostinfo = n->hostinfo;
        row.endpoints = n->endpoints;
        row.n_endpoints = n->n_endpoints;
        row.cap_version = n->cap_version;
        row.last_seen_us = n->last_seen_us;
        return row;
}

struct node *journal_put_node(struct tx *tx, const struct store_node *row)
{
        struct node *n = tailnet_node(&tx->s->tailnet, row->id);
        struct store_node *copy = must(store_node_dup(row));

        if (n) {
                remember(tx, UNDO_NODE_CHANGED, n->id, node_swap_row(tx->s, n, copy), n);
        } else {
                n = node_add(tx->s, copy);
                remember(tx, UNDO_NODE_ADDED, n->id, NULL, n);
        }
        struct store_node whole = whole_row(n);
        store_tx_put_node(tx->store, &whole);
        return n;
}

void journal_delete_node(struct tx *tx, struct node *n)
{
        store_tx_id(tx->store, STORE_DELETE_NODE, n->id);
        node_unlink(tx->s, n);
        remember(tx, UNDO_NODE_REMOVED, n->id, NULL, n);
}

enum err journal_put_policy(struct tx *tx, struct slice text, struct policy_errors *errors)
{
        struct server *s = tx->s;
        struct store_policy before = { .data = s->policy_text, .created_us = s->policy_since_us },
                            row = { .id = s->last_policy_id + 1,
                                    .tailnet = s->tailnet.id,
                                    .data = text,
                                    .created_us = s->now.unix_us };
        struct store_policy *old = must(store_policy_dup(&before));
        enum err e = policy_enforce(s, text, s->now.unix_us, true, errors);

        if (e != OK) {
                free(old);
                return e;
        }
        s->last_policy_id = row.id;
        store_tx_put_policy(tx->store, &row);
        remember(tx, UNDO_POLICY, row.id, old, NULL);
        return OK;
}

/* ---- soft parts ----------------------------------------------------------------- */

void journal_soft_changed(struct server *s, struct node *n)
{
        if (n->is_removed)
                return;
        list_remove(&n->dirty);
        list_push_back(&s->journal.dirty, &n->dirty);
        if (!timer_armed(&s->soft_timer))
                timer_arm(&s->timers, &s->soft_timer, s->now.mono_us + TIME_S(1));
}

void journal_write_soft(struct server *s)
{
        struct journal *j = &s->journal;

        if (list_empty(&j->dirty))
                return;
        if (j->soft_commit) { /* the last one is still under way: the disk is slow */
                timer_arm(&s->timers, &s->soft_timer, s->now.mono_us + TIME_S(1));
                return;
        }
        struct tx tx = journal_begin(s);
        for (struct list *it; (it = list_pop_front(&j->dirty));) {
                struct node *n = container_of(it, struct node, dirty);
                struct store_node row = whole_row(n);
                store_tx_put_node(tx.store, &row);
                list_push_back(&j->writing, &n->dirty);
        }
        journal_commit(&tx);
        j->soft_commit = j->submitted;
}

static void soft_settled(struct server *s, bool written)
{
        struct journal *j = &s->journal;

        for (struct list *it; (it = list_pop_front(&j->writing));) {
                if (!written)
                        journal_soft_changed(s, container_of(it, struct node, dirty));
        }
        j->soft_commit = 0;
}

/* ---- the store's answers ------------------------------------------------------------- */

static void forget_undo(struct undo *u)
{
        list_remove(&u->link);
        if (u->kind == UNDO_NODE_REMOVED)
                node_free(u->node);
        free(u->old);
        free(u);
}

static void undo_row(struct row_set *set, struct undo *u)
{
        if (u->old)
                free(row_set_put(set, u->old));
        else
                free(row_set_remove(set, u->id));
        u->old = NULL;
}

static void undo_policy(struct server *s, const struct store_policy *old)
{
        struct policy_errors errors;

        policy_errors_init(&errors);
        if (policy_enforce(s, old->data, old->created_us, false, &errors) != OK)
                abort(); /* it was in force a moment ago */
        policy_errors_fini(&errors);
}

static void play_back(struct server *s, struct undo *u)
{
        switch (u->kind) {
        case UNDO_USER:
                undo_row(&s->tailnet.users, u);
                policy_note_users(s);
                break;
        case UNDO_AUTH_KEY:
                undo_row(&s->tailnet.auth_keys, u);
                break;
        case UNDO_API_KEY:
                undo_row(&s->tailnet.api_keys, u);
                break;
        case UNDO_NODE_ADDED:
                node_unlink(s, u->node);
                node_free(u->node);
                break;
        case UNDO_NODE_CHANGED:
                free(node_swap_row(s, u->node, u->old));
                u->old = NULL;
                change_mark(s, u->node, CHANGE_NODE);
                break;
        case UNDO_NODE_REMOVED:
                node_relink(s, u->node);
                break;
        case UNDO_POLICY:
                undo_policy(s, u->old);
                break;
        }
        list_remove(&u->link);
        free(u->old);
        free(u);
}

static void roll_back(struct server *s, const struct store_result *r)
{
        struct journal *j = &s->journal;
        struct log_limit *limit = &j->trouble;

        if (log_allow(limit, s->now.mono_us))
                log_error(
                        &server_log, "changes cannot be stored and are refused", "why=\"%s\"", r->diag.text);
        while (!list_empty(&j->undo))
                play_back(s, container_of(j->undo.prev, struct undo, link));
        store_resume(s->store, r->durable + 1);
        j->submitted = j->durable;
        if (j->soft_commit)
                soft_settled(s, false);
        hold_refuse_all(s, r->diag.text);
        routes_elect(s);
        session_restart_all(s);
}

void server_store_ready(struct server *s, const struct now *now)
{
        struct journal *j = &s->journal;
        struct store_result r;

        s->now = *now;
        if (!store_poll(s->store, &r))
                return;
        j->durable = r.durable;
        while (!list_empty(&j->undo)) {
                struct undo *u = container_of(j->undo.next, struct undo, link);
                if (u->commit > r.durable)
                        break;
                forget_undo(u);
        }
        if (j->soft_commit && j->soft_commit <= r.durable)
                soft_settled(s, true);
        hold_release(s, r.durable);
        if (r.error != OK)
                roll_back(s, &r);
}

void journal_fini(struct server *s)
{
        struct journal *j = &s->journal;

        hold_refuse_all(s, "the server is going down");
        while (!list_empty(&j->undo))
                forget_undo(container_of(j->undo.next, struct undo, link));
}
