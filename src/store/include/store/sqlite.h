/*
 * The SQLite backend: one file in WAL mode with full sync, a schema version, and
 * one writer thread. A second process on the same file is refused.
 */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include "store/store.h"

struct store_sqlite_options {
        const char *path;
        int wal_autocheckpoint; /* pages; 0: only at close */
        /* Called from the writer's thread when store_poll() has news. It must only
         * wake the state thread. */
        void (*notify)(void *ctx);
        void *ctx;
};

/* Opens or creates the file (0600, its folder 0700) and brings the schema up to
 * date. NULL with a sentence in diag: no permission, read-only, full, locked by
 * another process, made by a newer release, or not ours. */
struct store *store_sqlite_open(const struct store_sqlite_options *opt, struct diag *diag);

#endif
