/*
 * The contexts that client connections share. Reading the system's roots takes tens of
 * milliseconds, so it is done once, and again when their file or folder has changed.
 * Shared by all loops: each caller gets a reference of its own.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tls_internal.h"

/* Enough of a file's or folder's state to notice another one in its place. */
struct stamp {
        ino_t inode;
        off_t size;
        struct timespec changed;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static SSL_CTX *without_roots, *with_roots;
static struct stamp roots_stamp[2]; /* of the file and the folder behind with_roots */

static struct stamp stamp_of(const char *env_name, const char *fallback)
{
        const char *path = getenv(env_name);
        struct stat st;

        if (stat(path ? path : fallback, &st) != 0)
                return (struct stamp){ 0 };
        return (struct stamp){ st.st_ino, st.st_size, st.st_mtim };
}

static bool is_same(const struct stamp *a, const struct stamp *b)
{
        return a->inode == b->inode && a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
               a->changed.tv_nsec == b->changed.tv_nsec;
}

static SSL_CTX *roots(void)
{
        struct stamp file = stamp_of(X509_get_default_cert_file_env(), X509_get_default_cert_file());
        struct stamp dir = stamp_of(X509_get_default_cert_dir_env(), X509_get_default_cert_dir());

        if (with_roots && is_same(&file, &roots_stamp[0]) && is_same(&dir, &roots_stamp[1]))
                return with_roots;
        SSL_CTX *fresh = tls_context_new(TLS_client_method());
        if (!fresh)
                return with_roots;
        (void)SSL_CTX_set_default_verify_paths(fresh); /* none: verification will fail and say so */
        SSL_CTX_free(with_roots);
        with_roots = fresh;
        roots_stamp[0] = file;
        roots_stamp[1] = dir;
        return with_roots;
}

SSL_CTX *tls_client_context(bool needs_roots)
{
        pthread_mutex_lock(&lock);
        if (!needs_roots && !without_roots)
                without_roots = tls_context_new(TLS_client_method());
        SSL_CTX *ctx = needs_roots ? roots() : without_roots;
        if (ctx)
                SSL_CTX_up_ref(ctx);
        pthread_mutex_unlock(&lock);
        return ctx;
}
