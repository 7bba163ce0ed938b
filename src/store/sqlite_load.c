/* Columns into rows, once, at start. */
#include "sqlite_internal.h"

/* Reads columns from left to right; text is borrowed until the next step. */
struct columns {
        sqlite3_stmt *stmt;
        int next;
};

static int64_t column_int(struct columns *c)
{
        return sqlite3_column_int64(c->stmt, c->next++); /* NULL reads as 0: none */
}

static struct slice column_bytes(struct columns *c)
{
        int i = c->next++;
        const void *at = sqlite3_column_blob(c->stmt, i);

        return slice_make(at, at ? (size_t)sqlite3_column_bytes(c->stmt, i) : 0);
}

/* A key or address that is damaged reads as zero. */
static struct public_key column_key(struct columns *c, const char *prefix)
{
        struct public_key key = { 0 };

        if (key_parse(prefix, column_bytes(c), &key) != OK)
                key = (struct public_key){ 0 };
        return key;
}

static struct ip_addr column_ip(struct columns *c)
{
        struct ip_addr ip = { 0 };

        if (ip_parse(column_bytes(c), &ip) != OK)
                ip = (struct ip_addr){ 0 };
        return ip;
}

static enum err load_user(struct columns *c, const struct store_visitor *v, struct arena *a)
{
        struct store_user row = { 0 };

        (void)a;
        row.id = column_int(c);
        row.tailnet = column_int(c);
        row.name = column_bytes(c);
        row.display_name = column_bytes(c);
        row.email = column_bytes(c);
        row.provider_id = column_bytes(c);
        row.provider = column_bytes(c);
        row.picture_url = column_bytes(c);
        row.created_us = column_int(c);
        return v->user(v->ctx, &row);
}

static enum err load_auth_key(struct columns *c, const struct store_visitor *v, struct arena *a)
{
        struct store_auth_key row = { 0 };

        (void)a;
        row.id = column_int(c);
        row.tailnet = column_int(c);
        row.user_id = column_int(c);
        row.prefix = column_bytes(c);
        row.hash = column_bytes(c);
        row.description = column_bytes(c);
        row.reusable = column_int(c) != 0;
        row.ephemeral = column_int(c) != 0;
        row.used = column_int(c) != 0;
        row.tags = column_bytes(c);
        row.expires_us = column_int(c);
        row.revoked_us = column_int(c);
        row.created_us = column_int(c);
        return v->auth_key(v->ctx, &row);
}

static enum err load_api_key(struct columns *c, const struct store_visitor *v, struct arena *a)
{
        struct store_api_key row = { 0 };

        (void)a;
        row.id = column_int(c);
        row.tailnet = column_int(c);
        row.user_id = column_int(c);
        row.prefix = column_bytes(c);
        row.hash = column_bytes(c);
        row.expires_us = column_int(c);
        row.last_seen_us = column_int(c);
        row.created_us = column_int(c);
        return v->api_key(v->ctx, &row);
}

static enum store_register_method method_of(struct slice text)
{
        if (slice_is(text, "authkey"))
                return STORE_REGISTER_AUTH_KEY;
        return slice_is(text, "oidc") ? STORE_REGISTER_OIDC : STORE_REGISTER_CLI;
}

static enum err load_node(struct columns *c, const struct store_visitor *v, struct arena *a)
{
        struct store_node row = { 0 };
        enum err e;

        row.id = column_int(c);
        row.tailnet = column_int(c);
        row.machine_key = column_key(c, "mkey:");
        row.node_key = column_key(c, "nodekey:");
        row.disco_key = column_key(c, "discokey:");
        e = decode_endpoints(a, column_bytes(c), &row.endpoints, &row.n_endpoints);
        row.hostinfo = column_bytes(c);
        row.ipv4 = column_ip(c);
        row.ipv6 = column_ip(c);
        row.hostname = column_bytes(c);
        row.given_name = column_bytes(c);
        row.user_id = column_int(c);
        row.method = method_of(column_bytes(c));
        row.tags = column_bytes(c);
        row.auth_key_id = column_int(c);
        row.ephemeral = column_int(c) != 0;
        row.cap_version = (int)column_int(c);
        if (e == OK)
                e = decode_prefixes(a, column_bytes(c), &row.approved_routes, &row.n_approved_routes);
        row.last_seen_us = column_int(c);
        row.expires_us = column_int(c);
        row.created_us = column_int(c);
        return e == OK ? v->node(v->ctx, &row) : e;
}

static enum err load_policy(struct columns *c, const struct store_visitor *v, struct arena *a)
{
        struct store_policy row = { 0 };

        (void)a;
        row.id = column_int(c);
        row.tailnet = column_int(c);
        row.data = column_bytes(c);
        row.created_us = column_int(c);
        return v->policy(v->ctx, &row);
}

static enum err load_table(sqlite3 *db, const char *sql, const struct store_visitor *v,
        enum err (*load)(struct columns *, const struct store_visitor *, struct arena *), struct diag *diag)
{
        sqlite3_stmt *stmt = NULL;
        enum err e = OK;
        int rc;

        if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
                return diag_set(diag, ERR_SYS, "cannot read the database: %s", sqlite3_errmsg(db));
        while (e == OK && (rc = sqlite3_step(stmt)) != SQLITE_DONE) {
                struct columns c = { stmt, 0 };
                struct arena a = ARENA_INIT(1 << 20);
                if (rc != SQLITE_ROW)
                        e = diag_set(diag, ERR_SYS, "cannot read the database: %s", sqlite3_errmsg(db));
                else if ((e = load(&c, v, &a)) != OK)
                        (void)diag_set(
                                diag, e, "the database holds a row that cannot be used: %s", err_str(e));
                arena_fini(&a);
        }
        sqlite3_finalize(stmt);
        return e;
}

/* The highest id a table ever gave out, deleted rows included. */
static int64_t last_id(sqlite3 *db, const char *table)
{
        sqlite3_stmt *stmt = NULL;
        int64_t id = 0;

        if (sqlite3_prepare_v2(db, "SELECT seq FROM sqlite_sequence WHERE name = ?", -1, &stmt, NULL) ==
                        SQLITE_OK &&
                sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC) == SQLITE_OK &&
                sqlite3_step(stmt) == SQLITE_ROW)
                id = sqlite3_column_int64(stmt, 0);
        sqlite3_finalize(stmt);
        return id;
}

enum err sqlite_load_all(sqlite3 *db, const struct store_visitor *v, struct diag *diag)
{
        enum err e;

        e = load_table(db,
                "SELECT id, tailnet_id, name, display_name, email, provider_identifier, provider, "
                "profile_pic_url,"
                " created_at FROM users ORDER BY id",
                v, load_user, diag);
        if (e == OK)
                e = load_table(db,
                        "SELECT id, tailnet_id, user_id, prefix, hash, description, reusable, ephemeral, "
                        "used, tags,"
                        " expiration, revoked, created_at FROM pre_auth_keys ORDER BY id",
                        v, load_auth_key, diag);
        if (e == OK)
                e = load_table(db,
                        "SELECT id, tailnet_id, user_id, prefix, hash, expiration, last_seen, created_at "
                        "FROM api_keys"
                        " ORDER BY id",
                        v, load_api_key, diag);
        if (e == OK)
                e = load_table(db,
                        "SELECT id, tailnet_id, machine_key, node_key, disco_key, endpoints, host_info, "
                        "ipv4, ipv6,"
                        " hostname, given_name, user_id, register_method, tags, auth_key_id, ephemeral, "
                        "cap_version,"
                        " approved_routes, last_seen, expiry, created_at FROM nodes ORDER BY id",
                        v, load_node, diag);
        if (e == OK)
                e = load_table(db, "SELECT id, tailnet_id, data, created_at FROM policies ORDER BY id", v,
                        load_policy, diag);
        if (e == OK)
                v->last_ids(v->ctx, last_id(db, "users"), last_id(db, "pre_auth_keys"),
                        last_id(db, "api_keys"), last_id(db, "nodes"));
        return e;
}
