/* Files that the configuration names: read whole, and watched for changes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/file.h"
#include "serve.h"

/* Editors and configuration tools write in several steps; they are over by then. */
enum { QUIET_MS = 200 };

enum err serve_file_read(const char *key, const char *path, struct buf *out, struct diag *diag)
{
        enum err e = file_read(path, out);

        return e == OK ? OK : diag_set(diag, e, "%s: cannot read %s: %s", key, path, strerror(errno));
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
