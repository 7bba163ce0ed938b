/* A transaction's rows: one prepared statement per kind of operation. */
#include "sqlite_internal.h"

static const struct sqlite_table *table_of(enum store_op_kind kind)
{
        switch (kind) {
        case STORE_PUT_USER:
        case STORE_DELETE_USER:
                return &sqlite_users;
        case STORE_PUT_AUTH_KEY:
        case STORE_DELETE_AUTH_KEY:
        case STORE_USE_AUTH_KEY:
                return &sqlite_auth_keys;
        case STORE_PUT_API_KEY:
        case STORE_DELETE_API_KEY:
                return &sqlite_api_keys;
        case STORE_PUT_NODE:
        case STORE_DELETE_NODE:
                return &sqlite_nodes;
        case STORE_PUT_POLICY:
                break;
        }
        return &sqlite_policies;
}

static void put_statement(enum store_op_kind kind, struct buf *sql)
{
        const struct sqlite_table *table = table_of(kind);

        switch (kind) {
        case STORE_PUT_USER:
        case STORE_PUT_AUTH_KEY:
        case STORE_PUT_API_KEY:
        case STORE_PUT_NODE:
        case STORE_PUT_POLICY:
                sqlite_put_sql(table, sql);
                return;
        case STORE_DELETE_USER:
        case STORE_DELETE_AUTH_KEY:
        case STORE_DELETE_API_KEY:
        case STORE_DELETE_NODE:
                buf_printf(sql, "DELETE FROM %s WHERE id = ?", table->name);
                return;
        case STORE_USE_AUTH_KEY:
                buf_printf(sql, "UPDATE %s SET used = 1 WHERE id = ? AND used = 0", table->name);
                return;
        }
}

static enum err write_op(struct sqlite_writer *w, const struct store_op *op)
{
        sqlite3_stmt *stmt = w->stmt[op->kind];
        enum err e = OK;

        if (op->row)
                e = sqlite_bind_row(stmt, table_of(op->kind), op->row);
        else if (sqlite3_bind_int64(stmt, 1, op->id) != SQLITE_OK)
                e = ERR_SYS;
        if (e == OK && sqlite3_step(stmt) != SQLITE_DONE)
                e = ERR_SYS;
        else if (e == OK && op->kind == STORE_USE_AUTH_KEY && sqlite3_changes(w->db) != 1)
                e = ERR_EXISTS;
        sqlite3_reset(stmt);
        sqlite3_clear_bindings(stmt);
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
        struct buf sql = BUF_INIT(4096);
        bool ok = true;

        *w = (struct sqlite_writer){ .db = db };
        for (size_t i = 0; i < STORE_OP_KINDS && ok; i++) {
                buf_clear(&sql);
                put_statement((enum store_op_kind)i, &sql);
                ok = prepare(db, buf_cstr(&sql), &w->stmt[i]);
        }
        buf_fini(&sql);
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
        for (size_t i = 0; i < STORE_OP_KINDS; i++)
                sqlite3_finalize(w->stmt[i]);
        sqlite3_finalize(w->begin);
        sqlite3_finalize(w->commit);
        sqlite3_finalize(w->rollback);
}
