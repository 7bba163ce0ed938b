/* Files that the configuration names: read whole, and watched for changes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "serve.h"

/* Editors and configuration tools write in several steps; they are over by then. */
enum { QUIET_MS = 200 };

enum err serve_file_read(const char *key, const char *path, struct buf *out, struct diag *diag)
{
        uint8_t piece[16384];
        size_t n;
        FILE *f = fopen(path, "rbe");

        if (!f)
                return diag_set(diag, err_from_errno(errno), "%s: cannot read %s: %s", key, path, strerror(errno));
        while (buf_status(out) == OK && (n = fread(piece, 1, sizeof(piece), f)) > 0)
                buf_append(out, piece, n);
        bool failed = ferror(f);
        fclose(f);
        if (failed)
                return diag_set(diag, ERR_SYS, "%s: cannot read %s", key, path);
        if (buf_status(out) != OK)
                return diag_set(diag, ERR_LIMIT, "%s: %s is too long", key, path);
        return OK;
}

static void quiet(struct timer *timer, const struct now *now)
{
        struct file_watch *w = container_of(timer, struct file_watch, quiet);

        (void)now;
        w->changed(w->ctx);
}

static void touched(void *ctx)
{
        struct file_watch *w = ctx;

        net_timer_start(w->loop, &w->quiet, QUIET_MS);
}

void serve_file_watch(struct file_watch *w, struct net_loop *loop, const char *path, void (*changed)(void *ctx),
        void *ctx)
{
        char *folder = strdup(path);

        w->loop = loop;
        w->changed = changed;
        w->ctx = ctx;
        w->quiet.fire = quiet;
        if (!folder)
                abort();
        char *slash = strrchr(folder, '/');
        if (slash)
                slash[slash == folder] = '\0';
        if (net_watch_start(loop, slash ? folder : ".", touched, w, &w->watch) != OK)
                log_warn(&serve_log, "a file cannot be watched; send SIGHUP when it has changed", "file=%s", path);
        free(folder);
}

void serve_file_unwatch(struct file_watch *w)
{
        if (!w->loop)
                return;
        net_watch_stop(w->watch);
        net_timer_stop(w->loop, &w->quiet);
}
