/*
 * The tables, and how an older file becomes a newer one. PRAGMA user_version is
 * the number of migrations a file has seen; application_id marks it as ours.
 * Every row belongs to a tailnet from the first version on.
 */
#include <stdio.h>

#include "sqlite_internal.h"

enum { APPLICATION_ID = 0x57656674 }; /* "Weft" */

static const char *const migrations[] = {
        "CREATE TABLE tailnets ("
        " id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);"
        "INSERT INTO tailnets (id, name) VALUES (1, 'default');"

        "CREATE TABLE users ("
        " id INTEGER PRIMARY KEY AUTOINCREMENT, tailnet_id INTEGER NOT NULL REFERENCES tailnets (id),"
        " name TEXT NOT NULL, display_name TEXT NOT NULL DEFAULT '', email TEXT NOT NULL DEFAULT '',"
        " provider_identifier TEXT, provider TEXT NOT NULL DEFAULT '', profile_pic_url TEXT NOT NULL DEFAULT "
        "'',"
        " created_at INTEGER NOT NULL);"
        "CREATE UNIQUE INDEX users_provider ON users (tailnet_id, provider_identifier)"
        " WHERE provider_identifier IS NOT NULL;"
        "CREATE UNIQUE INDEX users_name ON users (tailnet_id, name) WHERE provider_identifier IS NULL;"

        "CREATE TABLE pre_auth_keys ("
        " id INTEGER PRIMARY KEY AUTOINCREMENT, tailnet_id INTEGER NOT NULL REFERENCES tailnets (id),"
        " user_id INTEGER REFERENCES users (id), prefix TEXT NOT NULL, hash BLOB NOT NULL,"
        " description TEXT NOT NULL DEFAULT '', reusable INTEGER NOT NULL, ephemeral INTEGER NOT NULL,"
        " used INTEGER NOT NULL, tags TEXT NOT NULL DEFAULT '', expiration INTEGER, revoked INTEGER,"
        " created_at INTEGER NOT NULL);"
        "CREATE UNIQUE INDEX pre_auth_keys_prefix ON pre_auth_keys (prefix);"

        "CREATE TABLE api_keys ("
        " id INTEGER PRIMARY KEY AUTOINCREMENT, tailnet_id INTEGER NOT NULL REFERENCES tailnets (id),"
        " user_id INTEGER, prefix TEXT NOT NULL, hash BLOB NOT NULL, expiration INTEGER, last_seen INTEGER,"
        " created_at INTEGER NOT NULL);"
        "CREATE UNIQUE INDEX api_keys_prefix ON api_keys (prefix);"

        "CREATE TABLE nodes ("
        " id INTEGER PRIMARY KEY AUTOINCREMENT, tailnet_id INTEGER NOT NULL REFERENCES tailnets (id),"
        " machine_key TEXT NOT NULL, node_key TEXT NOT NULL, disco_key TEXT NOT NULL,"
        " endpoints TEXT NOT NULL, host_info TEXT NOT NULL, ipv4 TEXT, ipv6 TEXT,"
        " hostname TEXT NOT NULL, given_name TEXT NOT NULL, user_id INTEGER REFERENCES users (id),"
        " register_method TEXT NOT NULL, tags TEXT NOT NULL DEFAULT '',"
        " auth_key_id INTEGER REFERENCES pre_auth_keys (id) ON DELETE SET NULL, ephemeral INTEGER NOT NULL,"
        " cap_version INTEGER NOT NULL, approved_routes TEXT NOT NULL DEFAULT '',"
        " last_seen INTEGER, expiry INTEGER, created_at INTEGER NOT NULL);"
        "CREATE UNIQUE INDEX nodes_node_key ON nodes (node_key);"
        "CREATE UNIQUE INDEX nodes_ipv4 ON nodes (tailnet_id, ipv4);"
        "CREATE UNIQUE INDEX nodes_ipv6 ON nodes (tailnet_id, ipv6);"
        "CREATE INDEX nodes_machine_key ON nodes (machine_key);"

        "CREATE TABLE policies ("
        " id INTEGER PRIMARY KEY AUTOINCREMENT, tailnet_id INTEGER NOT NULL REFERENCES tailnets (id),"
        " data TEXT NOT NULL, created_at INTEGER NOT NULL);",
};
enum { N_MIGRATIONS = sizeof(migrations) / sizeof(migrations[0]) };

static enum err query_int(sqlite3 *db, const char *sql, int *out)
{
        sqlite3_stmt *stmt = NULL;
        enum err e = ERR_SYS;

        if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
                *out = sqlite3_column_int(stmt, 0);
                e = OK;
        }
        sqlite3_finalize(stmt);
        return e;
}

static enum err migrate_one(sqlite3 *db, int version)
{
        char mark[96];

        snprintf(mark, sizeof(mark), "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;",
                APPLICATION_ID, version + 1);
        if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
                return ERR_SYS;
        if (sqlite3_exec(db, migrations[version], NULL, NULL, NULL) == SQLITE_OK &&
                sqlite3_exec(db, mark, NULL, NULL, NULL) == SQLITE_OK)
                return OK;
        return ERR_SYS;
}

enum err sqlite_schema_ensure(sqlite3 *db, const char *path, struct diag *diag)
{
        int version = 0, application = 0, tables = 0;

        if (query_int(db, "PRAGMA user_version", &version) != OK ||
                query_int(db, "PRAGMA application_id", &application) != OK ||
                query_int(db, "SELECT count(*) FROM sqlite_master WHERE type = 'table'", &tables) != OK)
                return sqlite_explain(db, path, diag);
        if (application != APPLICATION_ID && tables > 0)
                return diag_set(diag, ERR_UNSUPPORTED,
                        "%s was made by another program (headscale?), whose databases this release cannot "
                        "import yet; give database.sqlite.path a new file name",
                        path);
        if (version > N_MIGRATIONS)
                return diag_set(diag, ERR_UNSUPPORTED,
                        "%s was written by a newer weft-control (schema %d, this one knows %d); install that "
                        "release or restore a backup",
                        path, version, N_MIGRATIONS);
        while (version < N_MIGRATIONS) {
                if (migrate_one(db, version) != OK) {
                        enum err e = sqlite_explain(db, path, diag);
                        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
                        return e;
                }
                version++;
        }
        return OK;
}
