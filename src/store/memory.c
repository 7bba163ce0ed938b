/* The diskless store: a queue of commits and five plain arrays that play the disk. */
#include <stdlib.h>

#include "base/list.h"
#include "store/memory.h"

struct rows {
        struct store_op *items; /* as they were put: id and row */
        size_t n, cap;
        int64_t last_id;
};

enum rows_of { ROWS_USER, ROWS_AUTH_KEY, ROWS_API_KEY, ROWS_NODE, ROWS_POLICY, N_ROWS };

struct memory_store {
        struct store store;
        struct rows disk[N_ROWS];
        struct store_tx *head, **tail;
        uint64_t durable, reported;
        enum err error; /* refusing everything until resumed */
        bool error_reported;
};

static struct memory_store *memory_of(struct store *st)
{
        return container_of(st, struct memory_store, store);
}

static enum rows_of rows_of_kind(enum store_op_kind kind)
{
        switch (kind) {
        case STORE_PUT_USER:
        case STORE_DELETE_USER:
                return ROWS_USER;
        case STORE_PUT_AUTH_KEY:
        case STORE_DELETE_AUTH_KEY:
        case STORE_USE_AUTH_KEY:
                return ROWS_AUTH_KEY;
        case STORE_PUT_API_KEY:
        case STORE_DELETE_API_KEY:
                return ROWS_API_KEY;
        case STORE_PUT_NODE:
        case STORE_DELETE_NODE:
                return ROWS_NODE;
        case STORE_PUT_POLICY:
                break;
        }
        return ROWS_POLICY;
}

static size_t rows_find(const struct rows *r, int64_t id)
{
        size_t i = 0;

        while (i < r->n && r->items[i].id != id)
                i++;
        return i;
}

static void rows_put(struct rows *r, struct store_op *op)
{
        size_t i = rows_find(r, op->id);

        if (i == r->n) {
                if (r->n == r->cap) {
                        size_t cap = r->cap ? r->cap * 2 : 16;
                        struct store_op *items = realloc(r->items, cap * sizeof(*items));
                        if (!items)
                                abort(); /* a test double: nothing to save */
                        r->items = items;
                        r->cap = cap;
                }
                r->items[r->n++] = (struct store_op){ .id = op->id };
        }
        free(r->items[i].row);
        r->items[i].row = op->row;
        op->row = NULL;
        if (op->id > r->last_id)
                r->last_id = op->id;
}

static void rows_delete(struct rows *r, int64_t id)
{
        size_t i = rows_find(r, id);

        if (i == r->n)
                return;
        free(r->items[i].row);
        r->items[i] = r->items[--r->n];
}

/* A key that is already used refuses the whole commit. */
static bool memory_acceptable(const struct memory_store *ms, const struct store_tx *tx)
{
        const struct rows *keys = &ms->disk[ROWS_AUTH_KEY];

        for (size_t i = 0; i < tx->n_ops; i++) {
                if (tx->ops[i].kind != STORE_USE_AUTH_KEY)
                        continue;
                size_t at = rows_find(keys, tx->ops[i].id);
                if (at == keys->n || ((const struct store_auth_key *)keys->items[at].row)->used)
                        return false;
        }
        return !tx->failed;
}

static void memory_apply(struct memory_store *ms, struct store_op *op)
{
        struct rows *r = &ms->disk[rows_of_kind(op->kind)];

        if (op->row) {
                rows_put(r, op);
        } else if (op->kind == STORE_USE_AUTH_KEY) {
                size_t i = rows_find(r, op->id);
                if (i < r->n)
                        ((struct store_auth_key *)r->items[i].row)->used = true;
        } else {
                rows_delete(r, op->id);
        }
}

static void memory_drop_queue(struct memory_store *ms)
{
        for (struct store_tx *tx = ms->head, *next; tx; tx = next) {
                next = tx->next;
                store_tx_free(tx);
        }
        ms->head = NULL;
        ms->tail = &ms->head;
}

static enum err memory_load(struct store *st, const struct store_visitor *v, struct diag *diag)
{
        struct memory_store *ms = memory_of(st);
        enum err e = OK;

        (void)diag;
        for (size_t kind = 0; kind < N_ROWS; kind++) {
                for (size_t i = 0; i < ms->disk[kind].n && e == OK; i++) {
                        const void *row = ms->disk[kind].items[i].row;
                        switch ((enum rows_of)kind) {
                        case ROWS_USER:
                                e = v->user(v->ctx, row);
                                break;
                        case ROWS_AUTH_KEY:
                                e = v->auth_key(v->ctx, row);
                                break;
                        case ROWS_API_KEY:
                                e = v->api_key(v->ctx, row);
                                break;
                        case ROWS_NODE:
                                e = v->node(v->ctx, row);
                                break;
                        case ROWS_POLICY:
                                e = v->policy(v->ctx, row);
                                break;
                        case N_ROWS:
                                break;
                        }
                }
        }
        v->last_ids(v->ctx, ms->disk[ROWS_USER].last_id, ms->disk[ROWS_AUTH_KEY].last_id,
                ms->disk[ROWS_API_KEY].last_id, ms->disk[ROWS_NODE].last_id);
        return e;
}

static void memory_commit(struct store *st, struct store_tx *tx)
{
        struct memory_store *ms = memory_of(st);

        tx->next = NULL;
        *ms->tail = tx;
        ms->tail = &tx->next;
}

static bool memory_poll(struct store *st, struct store_result *out)
{
        struct memory_store *ms = memory_of(st);

        if (ms->durable == ms->reported && (ms->error == OK || ms->error_reported))
                return false;
        *out = (struct store_result){ .durable = ms->durable, .error = ms->error };
        if (ms->error != OK)
                (void)diag_set(&out->diag, OK, "the store refused: %s", err_str(ms->error));
        ms->reported = ms->durable;
        ms->error_reported = ms->error != OK;
        return true;
}

static void memory_resume(struct store *st, uint64_t next)
{
        struct memory_store *ms = memory_of(st);

        memory_drop_queue(ms);
        ms->error = OK;
        ms->error_reported = false;
        ms->durable = ms->reported = next - 1;
}

static enum err memory_check(struct store *st) { return memory_of(st)->error; }

static void memory_close(struct store *st)
{
        struct memory_store *ms = memory_of(st);

        memory_drop_queue(ms);
        for (size_t kind = 0; kind < N_ROWS; kind++) {
                for (size_t i = 0; i < ms->disk[kind].n; i++)
                        free(ms->disk[kind].items[i].row);
                free(ms->disk[kind].items);
        }
        free(ms);
}

static const struct store_backend memory_backend = {
        "memory",
        memory_load,
        memory_commit,
        memory_poll,
        memory_resume,
        memory_check,
        memory_close,
};

struct store *store_memory_new(void)
{
        struct memory_store *ms = calloc(1, sizeof(*ms));

        if (!ms)
                return NULL;
        ms->store.backend = &memory_backend;
        ms->tail = &ms->head;
        return &ms->store;
}

size_t store_memory_pending(const struct store *st)
{
        const struct memory_store *ms = container_of(st, const struct memory_store, store);
        size_t n = 0;

        for (const struct store_tx *tx = ms->head; tx; tx = tx->next)
                n++;
        return n;
}

void store_memory_sync(struct store *st, size_t n)
{
        struct memory_store *ms = memory_of(st);

        while (n-- && ms->head && ms->error == OK) {
                struct store_tx *tx = ms->head;
                if (!memory_acceptable(ms, tx)) {
                        store_memory_fail(st, ERR_EXISTS);
                        return;
                }
                ms->head = tx->next;
                if (!ms->head)
                        ms->tail = &ms->head;
                for (size_t i = 0; i < tx->n_ops; i++)
                        memory_apply(ms, &tx->ops[i]);
                ms->durable = tx->number;
                store_tx_free(tx);
        }
}

void store_memory_fail(struct store *st, enum err e)
{
        struct memory_store *ms = memory_of(st);

        ms->error = e;
        ms->error_reported = false;
}

void store_memory_crash(struct store *st) { memory_resume(st, 1); }
