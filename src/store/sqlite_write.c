/* Rows into columns: one prepared statement per kind of operation. */
#include "sqlite_internal.h"

static const char *const statements[] = {
        [STORE_PUT_USER] =
                "INSERT INTO users (id, tailnet_id, name, display_name, email, provider_identifier, provider,"
                " profile_pic_url, created_at) VALUES (?,?,?,?,?,?,?,?,?)"
                " ON CONFLICT (id) DO UPDATE SET name=excluded.name, display_name=excluded.display_name,"
                " email=excluded.email, provider_identifier=excluded.provider_identifier, "
                "provider=excluded.provider,"
                " profile_pic_url=excluded.profile_pic_url",
        [STORE_DELETE_USER] = "DELETE FROM users WHERE id = ?",
        [STORE_PUT_AUTH_KEY] =
                "INSERT INTO pre_auth_keys (id, tailnet_id, user_id, prefix, hash, description, reusable, "
                "ephemeral,"
                " used, tags, expiration, revoked, created_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
                " ON CONFLICT (id) DO UPDATE SET used=excluded.used, expiration=excluded.expiration,"
                " revoked=excluded.revoked",
        [STORE_DELETE_AUTH_KEY] = "DELETE FROM pre_auth_keys WHERE id = ?",
        [STORE_USE_AUTH_KEY] = "UPDATE pre_auth_keys SET used = 1 WHERE id = ? AND used = 0",
        [STORE_PUT_API_KEY] = "INSERT INTO api_keys (id, tailnet_id, user_id, prefix, hash, expiration, "
                              "last_seen, created_at)"
                              " VALUES (?,?,?,?,?,?,?,?)"
                              " ON CONFLICT (id) DO UPDATE SET expiration=excluded.expiration, "
                              "last_seen=excluded.last_seen",
        [STORE_DELETE_API_KEY] = "DELETE FROM api_keys WHERE id = ?",
        [STORE_PUT_NODE] =
                "INSERT INTO nodes (id, tailnet_id, machine_key, node_key, disco_key, endpoints, host_info, "
                "ipv4, ipv6,"
                " hostname, given_name, user_id, register_method, tags, auth_key_id, ephemeral, cap_version,"
                " approved_routes, last_seen, expiry, created_at) VALUES "
                "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
                " ON CONFLICT (id) DO UPDATE SET machine_key=excluded.machine_key, "
                "node_key=excluded.node_key,"
                " disco_key=excluded.disco_key, endpoints=excluded.endpoints, host_info=excluded.host_info,"
                " ipv4=excluded.ipv4, ipv6=excluded.ipv6, hostname=excluded.hostname, "
                "given_name=excluded.given_name,"
                " user_id=excluded.user_id, register_method=excluded.register_method, tags=excluded.tags,"
                " auth_key_id=excluded.auth_key_id, ephemeral=excluded.ephemeral, "
                "cap_version=excluded.cap_version,"
                " approved_routes=excluded.approved_routes, last_seen=excluded.last_seen, "
                "expiry=excluded.expiry",
        [STORE_DELETE_NODE] = "DELETE FROM nodes WHERE id = ?",
        [STORE_PUT_POLICY] = "INSERT INTO policies (id, tailnet_id, data, created_at) VALUES (?,?,?,?)",
};

/* Binds columns from left to right. */
struct binder {
        sqlite3_stmt *stmt;
        int next;
        bool failed;
};

static void bind_check(struct binder *b, int rc)
{
        b->failed = b->failed || rc != SQLITE_OK;
        b->next++;
}

static void bind_int(struct binder *b, int64_t v) { bind_check(b, sqlite3_bind_int64(b->stmt, b->next, v)); }

/* 0 stands for "none". */
static void bind_optional(struct binder *b, int64_t v)
{
        bind_check(b, v ? sqlite3_bind_int64(b->stmt, b->next, v) : sqlite3_bind_null(b->stmt, b->next));
}

static void bind_text(struct binder *b, struct slice s)
{
        bind_check(b, sqlite3_bind_text64(b->stmt, b->next, s.ptr ? (const char *)s.ptr : "", s.len,
                              SQLITE_TRANSIENT, SQLITE_UTF8));
}

static void bind_blob(struct binder *b, struct slice s)
{
        bind_check(b, sqlite3_bind_blob64(b->stmt, b->next, s.ptr, s.len, SQLITE_TRANSIENT));
}

static void bind_key(struct binder *b, const char *prefix, const struct public_key *key)
{
        char text[KEY_TEXT_MAX];

        bind_text(b, slice_make(text, key_format(prefix, key, text)));
}

static void bind_ip(struct binder *b, const struct ip_addr *ip)
{
        char text[IP_TEXT_MAX];

        if (ip_valid(ip))
                bind_text(b, slice_make(text, ip_format(ip, text)));
        else
                bind_check(b, sqlite3_bind_null(b->stmt, b->next));
}

static void bind_user(struct binder *b, const struct store_user *row)
{
        bind_int(b, row->id);
        bind_int(b, row->tailnet);
        bind_text(b, row->name);
        bind_text(b, row->display_name);
        bind_text(b, row->email);
        if (row->provider_id.len)
                bind_text(b, row->provider_id);
        else
                bind_check(b, sqlite3_bind_null(b->stmt, b->next));
        bind_text(b, row->provider);
        bind_text(b, row->picture_url);
        bind_int(b, row->created_us);
}

static void bind_auth_key(struct binder *b, const struct store_auth_key *row)
{
        bind_int(b, row->id);
        bind_int(b, row->tailnet);
        bind_optional(b, row->user_id);
        bind_text(b, row->prefix);
        bind_blob(b, row->hash);
        bind_text(b, row->description);
        bind_int(b, row->reusable);
        bind_int(b, row->ephemeral);
        bind_int(b, row->used);
        bind_text(b, row->tags);
        bind_optional(b, row->expires_us);
        bind_optional(b, row->revoked_us);
        bind_int(b, row->created_us);
}

static void bind_api_key(struct binder *b, const struct store_api_key *row)
{
        bind_int(b, row->id);
        bind_int(b, row->tailnet);
        bind_optional(b, row->user_id);
        bind_text(b, row->prefix);
        bind_blob(b, row->hash);
        bind_optional(b, row->expires_us);
        bind_optional(b, row->last_seen_us);
        bind_int(b, row->created_us);
}

static const char *method_text(enum store_register_method method)
{
        switch (method) {
        case STORE_REGISTER_AUTH_KEY:
                return "authkey";
        case STORE_REGISTER_CLI:
                return "cli";
        case STORE_REGISTER_OIDC:
                break;
        }
        return "oidc";
}

static void bind_node(struct binder *b, const struct store_node *row)
{
        struct buf list = BUF_INIT(1 << 20);

        bind_int(b, row->id);
        bind_int(b, row->tailnet);
        bind_key(b, "mkey:", &row->machine_key);
        bind_key(b, "nodekey:", &row->node_key);
        bind_key(b, "discokey:", &row->disco_key);
        encode_endpoints(&list, row->endpoints, row->n_endpoints);
        bind_text(b, buf_slice(&list));
        bind_text(b, row->hostinfo);
        bind_ip(b, &row->ipv4);
        bind_ip(b, &row->ipv6);
        bind_text(b, row->hostname);
        bind_text(b, row->given_name);
        bind_optional(b, row->user_id);
        bind_text(b, slice_str(method_text(row->method)));
        bind_text(b, row->tags);
        bind_optional(b, row->auth_key_id);
        bind_int(b, row->ephemeral);
        bind_int(b, row->cap_version);
        buf_clear(&list);
        encode_prefixes(&list, row->approved_routes, row->n_approved_routes);
        bind_text(b, buf_slice(&list));
        bind_optional(b, row->last_seen_us);
        bind_optional(b, row->expires_us);
        bind_int(b, row->created_us);
        if (buf_status(&list) != OK)
                b->failed = true;
        buf_fini(&list);
}

static void bind_policy(struct binder *b, const struct store_policy *row)
{
        bind_int(b, row->id);
        bind_int(b, row->tailnet);
        bind_text(b, row->data);
        bind_int(b, row->created_us);
}

static void bind_op(struct binder *b, const struct store_op *op)
{
        switch (op->kind) {
        case STORE_PUT_USER:
                bind_user(b, op->row);
                return;
        case STORE_PUT_AUTH_KEY:
                bind_auth_key(b, op->row);
                return;
        case STORE_PUT_API_KEY:
                bind_api_key(b, op->row);
                return;
        case STORE_PUT_NODE:
                bind_node(b, op->row);
                return;
        case STORE_PUT_POLICY:
                bind_policy(b, op->row);
                return;
        case STORE_DELETE_USER:
        case STORE_DELETE_AUTH_KEY:
        case STORE_DELETE_API_KEY:
        case STORE_DELETE_NODE:
        case STORE_USE_AUTH_KEY:
                bind_int(b, op->id);
                return;
        }
}

static enum err write_op(struct sqlite_writer *w, const struct store_op *op)
{
        struct binder b = { w->stmt[op->kind], 1, false };
        enum err e = OK;

        bind_op(&b, op);
        if (b.failed || sqlite3_step(b.stmt) != SQLITE_DONE)
                e = ERR_SYS;
        else if (op->kind == STORE_USE_AUTH_KEY && sqlite3_changes(w->db) != 1)
                e = ERR_EXISTS;
        sqlite3_reset(b.stmt);
        sqlite3_clear_bindings(b.stmt);
        return e;
}

enum err sqlite_write_tx(struct sqlite_writer *w, const struct store_tx *tx)
{
        enum err e = tx->failed ? ERR_NOMEM : OK;

        for (size_t i = 0; i < tx->n_ops && e == OK; i++)
                e = write_op(w, &tx->ops[i]);
        return e;
}

static bool prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out)
{
        return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) == SQLITE_OK;
}

enum err sqlite_writer_init(struct sqlite_writer *w, sqlite3 *db, struct diag *diag)
{
        bool ok = true;

        *w = (struct sqlite_writer){ .db = db };
        for (size_t i = 0; i <= STORE_PUT_POLICY; i++)
                ok = ok && prepare(db, statements[i], &w->stmt[i]);
        ok = ok && prepare(db, "BEGIN IMMEDIATE", &w->begin) && prepare(db, "COMMIT", &w->commit) &&
             prepare(db, "ROLLBACK", &w->rollback);
        if (!ok) {
                sqlite_writer_fini(w);
                return diag_set(
                        diag, ERR_SYS, "the database does not accept our statements: %s", sqlite3_errmsg(db));
        }
        return OK;
}

void sqlite_writer_fini(struct sqlite_writer *w)
{
        for (size_t i = 0; i <= STORE_PUT_POLICY; i++)
                sqlite3_finalize(w->stmt[i]);
        sqlite3_finalize(w->begin);
        sqlite3_finalize(w->commit);
        sqlite3_finalize(w->rollback);
}
