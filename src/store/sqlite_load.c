/* Everything that is stored, once, at start. */
#include "sqlite_internal.h"

static enum err give_user(const struct store_visitor *v, const void *row) { return v->user(v->ctx, row); }
static enum err give_auth_key(const struct store_visitor *v, const void *row) { return v->auth_key(v->ctx, row); }
static enum err give_api_key(const struct store_visitor *v, const void *row) { return v->api_key(v->ctx, row); }
static enum err give_node(const struct store_visitor *v, const void *row) { return v->node(v->ctx, row); }
static enum err give_policy(const struct store_visitor *v, const void *row) { return v->policy(v->ctx, row); }

static const struct source {
        const struct sqlite_table *table;
        enum err (*give)(const struct store_visitor *v, const void *row);
} sources[] = {
        { &sqlite_users, give_user },
        { &sqlite_auth_keys, give_auth_key },
        { &sqlite_api_keys, give_api_key },
        { &sqlite_nodes, give_node },
        { &sqlite_policies, give_policy },
};

static enum err load_row(sqlite3_stmt *stmt, const struct source *s, const struct store_visitor *v)
{
        union {
                struct store_user user;
                struct store_auth_key auth_key;
                struct store_api_key api_key;
                struct store_node node;
                struct store_policy policy;
        } row;
        struct arena a = ARENA_INIT(1 << 20);

        memset(&row, 0, sizeof row);
        enum err e = sqlite_read_row(stmt, s->table, &a, &row);
        if (e == OK)
                e = s->give(v, &row);
        arena_fini(&a);
        return e;
}

static enum err load_table(sqlite3 *db, const struct source *s, const struct store_visitor *v, struct diag *diag)
{
        struct buf sql = BUF_INIT(4096);
        sqlite3_stmt *stmt = NULL;
        enum err e = OK;
        int rc;

        sqlite_select_sql(s->table, &sql);
        rc = sqlite3_prepare_v2(db, buf_cstr(&sql), -1, &stmt, NULL);
        buf_fini(&sql);
        if (rc != SQLITE_OK)
                return diag_set(diag, ERR_SYS, "cannot read the database: %s", sqlite3_errmsg(db));
        while (e == OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
                e = load_row(stmt, s, v);
                if (e != OK)
                        (void)diag_set(diag, e, "the database holds a row that cannot be used: %s", err_str(e));
        }
        if (e == OK && rc != SQLITE_DONE)
                e = diag_set(diag, ERR_SYS, "cannot read the database: %s", sqlite3_errmsg(db));
        sqlite3_finalize(stmt);
        return e;
}

/* The highest id a table ever gave out, deleted rows included. */
static int64_t last_id(sqlite3 *db, const struct sqlite_table *table)
{
        sqlite3_stmt *stmt = NULL;
        int64_t id = 0;

        if (sqlite3_prepare_v2(db, "SELECT seq FROM sqlite_sequence WHERE name = ?", -1, &stmt, NULL) == SQLITE_OK &&
                sqlite3_bind_text(stmt, 1, table->name, -1, SQLITE_STATIC) == SQLITE_OK &&
                sqlite3_step(stmt) == SQLITE_ROW)
                id = sqlite3_column_int64(stmt, 0);
        sqlite3_finalize(stmt);
        return id;
}

enum err sqlite_load_all(sqlite3 *db, const struct store_visitor *v, struct diag *diag)
{
        for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
                enum err e = load_table(db, &sources[i], v, diag);
                if (e != OK)
                        return e;
        }
        v->last_ids(v->ctx, last_id(db, &sqlite_users), last_id(db, &sqlite_auth_keys), last_id(db, &sqlite_api_keys),
                last_id(db, &sqlite_nodes));
        return OK;
}
