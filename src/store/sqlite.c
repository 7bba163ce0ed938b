/*
 * The SQLite backend: the connection, its lock, and the writer's thread.
 *
 * The state thread and the writer share one small box under a mutex: the queue of
 * commits going one way, the result going the other. The writer takes the whole
 * queue at once and syncs it as one SQLite transaction: the more commits arrive
 * while a sync runs, the more ride on the next one.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "sqlite_internal.h"
#include "store/sqlite.h"

static const struct log lg = { "store" };

enum { BUSY_TIMEOUT_MS = 10000 };

struct sqlite_store {
        struct store store;
        sqlite3 *db;
        struct sqlite_writer writer;
        char path[PATH_MAX];
        int lock_fd;
        void (*notify)(void *ctx);
        void *ctx;
        pthread_t thread;
        bool thread_runs;

        pthread_mutex_t mutex; /* guards everything below */
        pthread_cond_t wake;
        struct store_tx *head, **tail;
        struct store_result result;
        bool has_news, stopping;
};

static struct sqlite_store *sqlite_of(struct store *st)
{
        return container_of(st, struct sqlite_store, store);
}

enum err sqlite_explain(sqlite3 *db, const char *path, struct diag *diag)
{
        switch (sqlite3_errcode(db)) {
        case SQLITE_FULL:
                return diag_set(diag, ERR_LIMIT, "the disk that holds %s is full; free some space", path);
        case SQLITE_READONLY:
                return diag_set(
                        diag, ERR_DENIED, "%s cannot be written; check its permissions and the mount", path);
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
                return diag_set(diag, ERR_DENIED,
                        "cannot open %s; check that its folder exists and that this user may write there",
                        path);
        case SQLITE_NOTADB:
        case SQLITE_CORRUPT:
                return diag_set(
                        diag, ERR_FORMAT, "%s is damaged or no SQLite database; restore a backup", path);
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return diag_set(diag, ERR_STATE, "another process holds a lock on %s; stop it", path);
        default:
                return diag_set(diag, ERR_SYS, "database %s: %s", path, sqlite3_errmsg(db));
        }
}

static void free_queue(struct store_tx *tx)
{
        while (tx) {
                struct store_tx *next = tx->next;
                store_tx_free(tx);
                tx = next;
        }
}

static void step_reset(sqlite3_stmt *stmt)
{
        (void)sqlite3_step(stmt);
        sqlite3_reset(stmt);
}

/* Writes all of a queue in one transaction. */
static enum err write_group(
        struct sqlite_store *ss, const struct store_tx *queue, uint64_t *durable, struct diag *diag)
{
        struct sqlite_writer *w = &ss->writer;
        uint64_t last = *durable;
        enum err e = OK;

        int rc = sqlite3_step(w->begin);
        sqlite3_reset(w->begin);
        if (rc != SQLITE_DONE)
                return sqlite_explain(ss->db, ss->path, diag);
        for (const struct store_tx *tx = queue; tx && e == OK; tx = tx->next) {
                e = sqlite_write_tx(w, tx);
                last = tx->number;
        }
        if (e == OK) {
                rc = sqlite3_step(w->commit);
                if (rc == SQLITE_DONE) {
                        sqlite3_reset(w->commit);
                        *durable = last;
                        return OK;
                }
                e = ERR_SYS;
        }
        if (e == ERR_SYS)
                e = sqlite_explain(ss->db, ss->path, diag);
        else
                (void)diag_set(diag, e, "the database refused a change: %s", err_str(e));
        sqlite3_reset(w->commit);
        if (!sqlite3_get_autocommit(ss->db))
                step_reset(w->rollback);
        return e;
}

static void *writer_main(void *arg)
{
        struct sqlite_store *ss = arg;

        pthread_mutex_lock(&ss->mutex);
        for (;;) {
                bool refusing = ss->result.error != OK;
                if (!ss->head || refusing) {
                        if (ss->stopping)
                                break;
                        pthread_cond_wait(&ss->wake, &ss->mutex);
                        continue;
                }
                struct store_tx *queue = ss->head;
                uint64_t durable = ss->result.durable;
                struct diag diag = { "" };
                ss->head = NULL;
                ss->tail = &ss->head;
                pthread_mutex_unlock(&ss->mutex);

                enum err e = write_group(ss, queue, &durable, &diag);
                free_queue(queue);

                pthread_mutex_lock(&ss->mutex);
                ss->result = (struct store_result){ durable, e, diag };
                ss->has_news = true;
                if (ss->notify)
                        ss->notify(ss->ctx);
        }
        pthread_mutex_unlock(&ss->mutex);
        return NULL;
}

static enum err backend_load(struct store *st, const struct store_visitor *v, struct diag *diag)
{
        return sqlite_load_all(sqlite_of(st)->db, v, diag);
}

static void backend_commit(struct store *st, struct store_tx *tx)
{
        struct sqlite_store *ss = sqlite_of(st);

        tx->next = NULL;
        pthread_mutex_lock(&ss->mutex);
        *ss->tail = tx;
        ss->tail = &tx->next;
        pthread_cond_signal(&ss->wake);
        pthread_mutex_unlock(&ss->mutex);
}

static bool backend_poll(struct store *st, struct store_result *out)
{
        struct sqlite_store *ss = sqlite_of(st);

        pthread_mutex_lock(&ss->mutex);
        bool news = ss->has_news;
        ss->has_news = false;
        *out = ss->result;
        pthread_mutex_unlock(&ss->mutex);
        return news;
}

static void backend_resume(struct store *st, uint64_t next)
{
        struct sqlite_store *ss = sqlite_of(st);

        pthread_mutex_lock(&ss->mutex);
        free_queue(ss->head);
        ss->head = NULL;
        ss->tail = &ss->head;
        ss->result = (struct store_result){ .durable = next - 1 };
        pthread_mutex_unlock(&ss->mutex);
}

static enum err backend_check(struct store *st)
{
        struct sqlite_store *ss = sqlite_of(st);

        pthread_mutex_lock(&ss->mutex);
        enum err e = ss->result.error;
        pthread_mutex_unlock(&ss->mutex);
        return e;
}

static void backend_close(struct store *st)
{
        struct sqlite_store *ss = sqlite_of(st);

        if (ss->thread_runs) {
                pthread_mutex_lock(&ss->mutex);
                ss->stopping = true;
                pthread_cond_signal(&ss->wake);
                pthread_mutex_unlock(&ss->mutex);
                pthread_join(ss->thread, NULL);
                pthread_cond_destroy(&ss->wake);
                pthread_mutex_destroy(&ss->mutex);
        }
        free_queue(ss->head);
        sqlite_writer_fini(&ss->writer);
        if (sqlite3_close(ss->db) != SQLITE_OK)
                log_warn(&lg, "the database did not close cleanly", "error=%s", sqlite3_errmsg(ss->db));
        if (ss->lock_fd >= 0)
                close(ss->lock_fd);
        free(ss);
}

static const struct store_backend sqlite_backend = {
        "sqlite",
        backend_load,
        backend_commit,
        backend_poll,
        backend_resume,
        backend_check,
        backend_close,
};

/* Creates the last folder of the path if it is missing. */
static enum err ensure_folder(const char *path, struct diag *diag)
{
        char folder[PATH_MAX];

        snprintf(folder, sizeof(folder), "%s", path);
        char *slash = strrchr(folder, '/');
        if (!slash || slash == folder)
                return OK;
        *slash = '\0';
        if (mkdir(folder, 0700) == 0 || errno == EEXIST)
                return OK;
        return diag_set(diag, err_from_errno(errno), "cannot create %s for the database: %s", folder,
                strerror(errno));
}

/* A lock beside the database: two servers on one file would each hold half the truth. */
static enum err take_lock(struct sqlite_store *ss, struct diag *diag)
{
        char path[PATH_MAX + 8];

        snprintf(path, sizeof(path), "%s-lock", ss->path);
        ss->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (ss->lock_fd < 0)
                return diag_set(diag, err_from_errno(errno),
                        "cannot create %s: %s; check permissions and free space", path, strerror(errno));
        if (flock(ss->lock_fd, LOCK_EX | LOCK_NB) != 0)
                return diag_set(diag, ERR_STATE, "%s is in use by another weft-control; stop that one first",
                        ss->path);
        return OK;
}

static enum err open_database(struct sqlite_store *ss, int wal_autocheckpoint, struct diag *diag)
{
        mode_t mask = umask(0077);
        int rc = sqlite3_open_v2(
                ss->path, &ss->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, NULL);
        umask(mask);
        if (!ss->db)
                return diag_set(diag, ERR_NOMEM, "out of memory while opening %s", ss->path);
        if (rc != SQLITE_OK)
                return sqlite_explain(ss->db, ss->path, diag);

        sqlite3_busy_timeout(ss->db, BUSY_TIMEOUT_MS);
        /* FULL: in WAL mode NORMAL would lose the last commits with the power. */
        rc = sqlite3_exec(ss->db,
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;", NULL, NULL,
                NULL);
        if (rc != SQLITE_OK)
                return sqlite_explain(ss->db, ss->path, diag);
        sqlite3_wal_autocheckpoint(ss->db, wal_autocheckpoint);
        return OK;
}

static enum err start_writer(struct sqlite_store *ss, struct diag *diag)
{
        pthread_mutex_init(&ss->mutex, NULL);
        pthread_cond_init(&ss->wake, NULL);
        if (pthread_create(&ss->thread, NULL, writer_main, ss) != 0) {
                pthread_cond_destroy(&ss->wake);
                pthread_mutex_destroy(&ss->mutex);
                return diag_set(diag, ERR_SYS, "cannot start the database thread: %s", strerror(errno));
        }
        ss->thread_runs = true;
        return OK;
}

struct store *store_sqlite_open(const struct store_sqlite_options *opt, struct diag *diag)
{
        struct sqlite_store *ss = calloc(1, sizeof(*ss));
        enum err e;

        if (!ss) {
                (void)diag_set(diag, ERR_NOMEM, "out of memory");
                return NULL;
        }
        ss->store.backend = &sqlite_backend;
        ss->tail = &ss->head;
        ss->lock_fd = -1;
        ss->notify = opt->notify;
        ss->ctx = opt->ctx;
        if ((size_t)snprintf(ss->path, sizeof(ss->path), "%s", opt->path) >= sizeof(ss->path))
                e = diag_set(diag, ERR_RANGE, "database.sqlite.path is too long");
        else
                e = ensure_folder(ss->path, diag);
        if (e == OK)
                e = take_lock(ss, diag);
        if (e == OK)
                e = open_database(ss, opt->wal_autocheckpoint, diag);
        if (e == OK)
                e = sqlite_schema_ensure(ss->db, ss->path, diag);
        if (e == OK)
                e = sqlite_writer_init(&ss->writer, ss->db, diag);
        if (e == OK)
                e = start_writer(ss, diag);
        if (e != OK) {
                backend_close(&ss->store);
                return NULL;
        }
        return &ss->store;
}
