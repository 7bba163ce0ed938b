/* Transactions: a growing list of rows to put and ids to delete. */
#include <stdlib.h>

#include "store/store.h"

struct store_tx *store_tx_new(void) { return calloc(1, sizeof(struct store_tx)); }

void store_tx_free(struct store_tx *tx)
{
        if (!tx)
                return;
        for (size_t i = 0; i < tx->n_ops; i++)
                free(tx->ops[i].row);
        free(tx->ops);
        free(tx);
}

static void tx_add(struct store_tx *tx, enum store_op_kind kind, int64_t id, void *row)
{
        if (tx->n_ops == tx->cap) {
                size_t cap = tx->cap ? tx->cap * 2 : 4;
                struct store_op *ops = realloc(tx->ops, cap * sizeof(*ops));
                if (!ops) {
                        tx->failed = true;
                        free(row);
                        return;
                }
                tx->ops = ops;
                tx->cap = cap;
        }
        tx->ops[tx->n_ops++] = (struct store_op){ kind, id, row };
}

static void tx_put(struct store_tx *tx, enum store_op_kind kind, int64_t id, void *row)
{
        if (row)
                tx_add(tx, kind, id, row);
        else
                tx->failed = true;
}

void store_tx_put_user(struct store_tx *tx, const struct store_user *row)
{
        tx_put(tx, STORE_PUT_USER, row->id, store_user_dup(row));
}

void store_tx_put_auth_key(struct store_tx *tx, const struct store_auth_key *row)
{
        tx_put(tx, STORE_PUT_AUTH_KEY, row->id, store_auth_key_dup(row));
}

void store_tx_put_api_key(struct store_tx *tx, const struct store_api_key *row)
{
        tx_put(tx, STORE_PUT_API_KEY, row->id, store_api_key_dup(row));
}

void store_tx_put_node(struct store_tx *tx, const struct store_node *row)
{
        tx_put(tx, STORE_PUT_NODE, row->id, store_node_dup(row));
}

void store_tx_put_policy(struct store_tx *tx, const struct store_policy *row)
{
        tx_put(tx, STORE_PUT_POLICY, row->id, store_policy_dup(row));
}

void store_tx_id(struct store_tx *tx, enum store_op_kind kind, int64_t id) { tx_add(tx, kind, id, NULL); }
