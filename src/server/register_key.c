/* Registration by pre-auth key (spec/server.md 5.2). */
#include "state.h"

/* The node that this machine would update with the key. ERR_NOTFOUND: none, make one. */
static enum err find_existing(
        struct server *s, const struct candidate *c, const struct store_auth_key *key, struct node **out)
{
        struct node *tagged = NULL, *owned = NULL;
        size_t n_owned = 0;

        *out = NULL;
        for (struct node *n = tailnet_node_by_machine(&s->tailnet, &c->machine_key); n; n = n->machine_next) {
                if (node_is_tagged(n)) {
                        tagged = n;
                } else if (!key->user_id || n->row->user_id == key->user_id) {
                        owned = n;
                        n_owned++;
                }
        }
        if (key->tags.len && tagged)
                *out = tagged;
        else if (n_owned > 1)
                return ERR_EXISTS;
        else if (owned)
                *out = owned;
        else if (!key->tags.len)
                *out = tagged;
        return *out ? OK : ERR_NOTFOUND;
}

/* A container that restarts presents its spent key with its old node key: that is no
 * new registration and needs no valid key. */
static bool needs_no_key(const struct server *s, const struct candidate *c, const struct store_auth_key *key,
        const struct node *n)
{
        bool converts = key->tags.len && !node_is_tagged(n);

        return key_equal(&n->row->node_key, &c->node_key) && !node_is_expired(s, n) && !converts;
}

static struct node *update_node(struct tx *tx, struct node *n, const struct candidate *c,
        const struct store_auth_key *key, struct diag *diag)
{
        struct store_node row = *n->row;

        if (key->tags.len && !node_is_tagged(n)) {
                row.tags = key->tags;
                row.user_id = 0;
        }
        row.expires_us = row.tags.len ? 0 : register_expiry(tx->s, c);
        row.method = STORE_REGISTER_AUTH_KEY;
        row.auth_key_id = key->id;
        row.ephemeral = key->ephemeral;
        return register_again(tx, n, &row, c, diag);
}

static struct node *create_node(
        struct tx *tx, const struct candidate *c, const struct store_auth_key *key, struct diag *diag)
{
        struct store_node row = {
                .user_id = key->tags.len ? 0 : key->user_id,
                .tags = key->tags,
                .method = STORE_REGISTER_AUTH_KEY,
                .auth_key_id = key->id,
                .ephemeral = key->ephemeral,
                .expires_us = key->tags.len ? 0 : register_expiry(tx->s, c),
        };

        if (c->hostinfo && c->hostinfo->request_tags.count) {
                (void)diag_set(diag, ERR_DENIED,
                        "requested tags are invalid or not permitted; the key itself may carry tags");
                return NULL;
        }
        return register_new(tx, &row, c, diag);
}

void register_with_key(
        struct server *s, const struct candidate *c, struct slice auth_key, struct server_call *call)
{
        const struct store_auth_key *key = key_find_auth(s, auth_key);
        struct node *n;
        struct diag diag = { "" };

        if (!key) {
                register_reply_error(s, call, "invalid pre auth key");
                return;
        }
        if (find_existing(s, c, key, &n) == ERR_EXISTS) {
                register_reply_error(
                        s, call, "this machine has several nodes; the key does not say which one it is for");
                return;
        }
        const char *refusal = n && needs_no_key(s, c, key, n) ? NULL : key_auth_refusal(s, key);
        if (refusal) {
                register_reply_error(s, call, refusal);
                return;
        }
        /* The key is spent and the node written in one transaction, or neither is. */
        struct tx tx = journal_begin(s);
        bool spend = !key->reusable && !key->used;
        n = n ? update_node(&tx, n, c, key, &diag) : create_node(&tx, c, key, &diag);
        if (n && spend)
                journal_use_auth_key(&tx, key);
        journal_commit(&tx);
        if (n)
                register_reply_node(s, call, n);
        else
                register_reply_error(s, call, diag.text);
}
