#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

static const struct log disk_log = { "disk" };

enum { CACHE_ITEM_MAX = 32 << 20, ITEM_NAME_MAX = 160 };

/* ---- whole files --------------------------------------------------------------- */

static enum err read_file(int dir, const char *name, size_t max, struct buf *out)
{
        int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
        struct stat st;

        if (fd < 0)
                return errno == ENOENT ? ERR_NOTFOUND : ERR_SYS;
        enum err err = OK;
        if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
                err = ERR_FORMAT;
        } else if ((uint64_t)st.st_size > max) {
                err = ERR_LIMIT;
        }
        while (!err && out->len < (size_t)st.st_size) {
                size_t want = (size_t)st.st_size - out->len;
                uint8_t *room = buf_extend(out, want);
                ssize_t got = room ? read(fd, room, want) : -1;
                if (got <= 0) {
                        err = room ? ERR_SYS : ERR_NOMEM;
                        break;
                }
                out->len -= want - (size_t)got;
        }
        close(fd);
        return err;
}

static bool write_all(int fd, struct slice bytes)
{
        while (bytes.len) {
                ssize_t n = write(fd, bytes.ptr, bytes.len);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return false;
                bytes = slice_after(bytes, (size_t)n);
        }
        return true;
}

/* errno tells why it failed; the old file is then as it was. */
static enum err replace_file(int dir, const char *name, struct slice bytes, bool durable)
{
        char temp[ITEM_NAME_MAX + 8];

        snprintf(temp, sizeof temp, "%s.tmp", name);
        int fd = openat(dir, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return ERR_SYS;
        bool ok = fchmod(fd, 0600) == 0 && write_all(fd, bytes) && (!durable || fsync(fd) == 0);
        int why = errno;
        close(fd);
        if (ok && renameat(dir, temp, dir, name) == 0) {
                if (durable)
                        (void)fsync(dir); /* not every file system can; the rename is atomic anyway */
                return OK;
        }
        if (ok)
                why = errno;
        unlinkat(dir, temp, 0);
        errno = why;
        return ERR_SYS;
}

/* ---- the state file --------------------------------------------------------------- */

/* Folder and file name of a path; both point into copy. */
static enum err split_path(const char *path, char copy[static PATH_MAX], char **dir, char **name)
{
        static char here[] = ".";
        size_t len = strlen(path);

        if (len == 0 || len >= PATH_MAX - 1)
                return ERR_RANGE;
        memcpy(copy, path, len + 1);
        char *slash = strrchr(copy, '/');
        *name = slash ? slash + 1 : copy;
        *dir = slash ? copy : here;
        if (slash == copy) {
                static char root[] = "/";
                *dir = root;
        } else if (slash) {
                *slash = 0;
        }
        return **name && strlen(*name) < ITEM_NAME_MAX ? OK : ERR_RANGE;
}

/* mkdir -p, the last folder private. */
static void make_folders(const char *dir)
{
        char path[PATH_MAX];

        for (const char *p = dir; *p; p++) {
                const char *end = strchr(p + 1, '/');
                size_t len = end ? (size_t)(end - dir) : strlen(dir);
                if (len >= sizeof path)
                        return;
                memcpy(path, dir, len);
                path[len] = 0;
                mkdir(path, end ? 0755 : 0700);
                if (!end)
                        return;
                p = end - 1;
        }
}

enum err disk_load_state(const char *path, struct state_map *m, struct diag *diag)
{
        char copy[PATH_MAX], *dir, *name;
        struct buf text = BUF_INIT(STATE_FILE_MAX);

        if (split_path(path, copy, &dir, &name) != OK)
                return diag_set(diag, ERR_RANGE, "--state: \"%s\" is not the path of a file", path);
        make_folders(dir);
        int fd = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return diag_set(diag, ERR_SYS, "cannot use the folder %s of the state file: %s; choose another with --state",
                        dir, strerror(errno));
        enum err err = read_file(fd, name, STATE_FILE_MAX, &text);
        int why = errno;
        close(fd);
        if (err == ERR_NOTFOUND)
                err = OK;
        else if (err == ERR_FORMAT)
                diag_set(diag, err, "%s is a folder or a device, not a state file; choose another with --state", path);
        else if (err == ERR_LIMIT)
                diag_set(diag, err, "%s is larger than any state file of a node; is it one?", path);
        else if (err)
                diag_set(diag, err, "cannot read the state file %s: %s; choose another with --state", path, strerror(why));
        else {
                struct diag inner;
                err = state_map_parse(m, buf_slice(&text), &inner);
                if (err)
                        diag_set(diag, err, "%s: %s", path, inner.text);
        }
        buf_wipe(&text);
        return err;
}

enum err disk_save_state(const char *path, const struct state_map *m, struct diag *diag)
{
        char copy[PATH_MAX], *dir, *name;
        struct buf text = BUF_INIT(2 * STATE_FILE_MAX);

        if (split_path(path, copy, &dir, &name) != OK)
                return diag_set(diag, ERR_RANGE, "\"%s\" is not the path of a file", path);
        enum err err = state_map_write(m, &text);
        int fd = err ? -1 : open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        if (!err && fd < 0)
                err = ERR_SYS;
        if (!err)
                err = replace_file(fd, name, buf_slice(&text), true);
        if (err)
                diag_set(diag, err, "cannot write the state file %s: %s; make room for it or choose another with --state, or "
                        "logins are lost at the next restart", path, err == ERR_SYS ? strerror(errno) : err_str(err));
        if (fd >= 0)
                close(fd);
        buf_wipe(&text);
        return err;
}

/* ---- the cache ----------------------------------------------------------------------- */

/* The folder of a profile's cache, or -1. A profile id is four hex digits. */
static int open_cache(const char *state_dir, const char *id, bool make)
{
        char path[PATH_MAX];

        if (!state_dir || !*id ||
            snprintf(path, sizeof path, "%s/profile-data/%s/netmap-cache", state_dir, id) >= (int)sizeof path)
                return -1;
        if (make)
                make_folders(path);
        return open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
}

static bool item_name(struct slice key, char out[static ITEM_NAME_MAX])
{
        if (key.len == 0 || 2 * key.len + 1 > ITEM_NAME_MAX)
                return false;
        hex_encode(key, out);
        return true;
}

struct cache_writer {
        int dir;
        bool failed;
};

static void put_item(void *ctx, struct slice key, struct slice bytes)
{
        struct cache_writer *w = ctx;
        char name[ITEM_NAME_MAX];

        if (item_name(key, name) && replace_file(w->dir, name, bytes, false) != OK)
                w->failed = true;
}

static void remove_item(void *ctx, struct slice key)
{
        struct cache_writer *w = ctx;
        char name[ITEM_NAME_MAX];

        if (item_name(key, name))
                unlinkat(w->dir, name, 0);
}

static void remove_items(int dir)
{
        DIR *d = fdopendir(dup(dir));
        struct dirent *e;

        while (d && (e = readdir(d)))
                if (e->d_name[0] != '.')
                        unlinkat(dir, e->d_name, 0);
        if (d)
                closedir(d);
}

void disk_save_cache(const char *state_dir, const char *id, const struct netmap *nm,
        const struct netmap_changes *changes)
{
        struct cache_writer w = { open_cache(state_dir, id, true), false };
        const struct netmap_store to = { put_item, remove_item, &w };

        if (w.dir < 0)
                return;
        if (netmap_save(nm, changes, &to) != OK || w.failed)
                log_debug(&disk_log, "the netmap cache is incomplete", "why=\"%s\"", strerror(errno));
        close(w.dir);
}

static enum err load_item(int dir, const char *name, struct netmap *nm)
{
        struct buf bytes = BUF_INIT(CACHE_ITEM_MAX);
        uint8_t key[ITEM_NAME_MAX / 2];
        size_t len = strlen(name) / 2;

        if (len == 0 || len > sizeof key || hex_decode(slice_make(name, 2 * len), key, len) != OK)
                return OK; /* none of ours: a temporary file */
        enum err err = read_file(dir, name, CACHE_ITEM_MAX, &bytes);
        if (!err)
                err = netmap_load(nm, slice_make(key, len), buf_slice(&bytes));
        buf_fini(&bytes);
        return err;
}

bool disk_load_cache(const char *state_dir, const char *id, struct netmap *nm)
{
        int dir = open_cache(state_dir, id, false);
        DIR *d = dir >= 0 ? fdopendir(dup(dir)) : NULL;
        struct dirent *e;
        enum err err = OK;

        while (d && !err && (e = readdir(d)))
                if (e->d_name[0] != '.' && !strchr(e->d_name, '.'))
                        err = load_item(dir, e->d_name, nm);
        if (d)
                closedir(d);
        if (err) {
                log_warn(&disk_log, "the cached network map is damaged and thrown away", NULL);
                remove_items(dir);
        }
        if (dir >= 0)
                close(dir);
        return err == OK;
}

void disk_remove_cache(const char *state_dir, const char *id)
{
        int dir = open_cache(state_dir, id, false);

        if (dir < 0)
                return;
        remove_items(dir);
        close(dir);
}
