/* Shared by the files of the SQLite backend. */
#ifndef STORE_SQLITE_INTERNAL_H
#define STORE_SQLITE_INTERNAL_H

#include <sqlite3.h>

#include "base/arena.h"
#include "base/buf.h"
#include "store/store.h"

/* sqlite_schema.c: creates or migrates the tables; a sentence on failure. */
enum err MUST_USE sqlite_schema_ensure(sqlite3 *db, const char *path, struct diag *diag);

/* sqlite_table.c: what stands where; see there. */
struct sqlite_table {
        const char *name;
        const struct sqlite_column *columns;
        size_t n_columns;
};
extern const struct sqlite_table sqlite_users, sqlite_auth_keys, sqlite_api_keys, sqlite_nodes, sqlite_policies;
/* All rows by id. */
void sqlite_select_sql(const struct sqlite_table *t, struct buf *sql);
/* Inserts a row, or changes what may change in the one that has its id. */
void sqlite_put_sql(const struct sqlite_table *t, struct buf *sql);
/* row is the table's struct of store.h. ERR_SYS. */
enum err MUST_USE sqlite_bind_row(sqlite3_stmt *stmt, const struct sqlite_table *t, const void *row);
/* Texts are borrowed from the statement until its next step; arrays are the arena's. ERR_NOMEM. */
enum err MUST_USE sqlite_read_row(sqlite3_stmt *stmt, const struct sqlite_table *t, struct arena *a, void *row);

/* sqlite_load.c */
enum err MUST_USE sqlite_load_all(sqlite3 *db, const struct store_visitor *v, struct diag *diag);

/* sqlite_write.c: prepared statements of the writer, and one transaction's rows
 * (inside BEGIN ... COMMIT of the caller). */
struct sqlite_writer {
        sqlite3 *db;
        sqlite3_stmt *stmt[STORE_OP_KINDS];
        sqlite3_stmt *begin, *commit, *rollback;
};
enum err MUST_USE sqlite_writer_init(struct sqlite_writer *w, sqlite3 *db, struct diag *diag);
void sqlite_writer_fini(struct sqlite_writer *w);
enum err MUST_USE sqlite_write_tx(struct sqlite_writer *w, const struct store_tx *tx);

/* What to tell a person about the connection's last error on the file `path`. */
enum err sqlite_explain(sqlite3 *db, const char *path, struct diag *diag);

/* encode.c: lists as text, items separated by one space. */
void encode_endpoints(struct buf *out, const struct ip_port *items, size_t n);
void encode_prefixes(struct buf *out, const struct ip_prefix *items, size_t n);
/* Items that do not parse are left out. ERR_NOMEM. */
enum err MUST_USE decode_endpoints(
        struct arena *a, struct slice text, const struct ip_port **items, size_t *n);
enum err MUST_USE decode_prefixes(
        struct arena *a, struct slice text, const struct ip_prefix **items, size_t *n);

#endif
