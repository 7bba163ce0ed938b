/* Finding and reading the config file (spec/server.md 1.1). */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "config_internal.h"
#include "os/file.h"

enum { CONFIG_MAX = 1 << 20 };

/* ERR_NOTFOUND if there is no such file. */
static enum err read_file(const char *path, struct buf *out, struct diag *diag)
{
        enum err e = file_read(path, out);

        if (e != OK)
                return diag_set(diag, errno == ENOTDIR ? ERR_NOTFOUND : e, "cannot read the config file %s: %s", path, strerror(errno));
        return OK;
}

static const char *env_value(char *const *env, const char *name)
{
        size_t len = strlen(name);

        for (; env && *env; env++) {
                if (strncmp(*env, name, len) == 0 && (*env)[len] == '=' && (*env)[len + 1])
                        return *env + len + 1;
        }
        return NULL;
}

/* The first of the usual places that has a file. */
static enum err search(char *const *env, char path[static PATH_MAX], struct buf *out, struct diag *diag)
{
        const char *home = env_value(env, "HOME");
        const char *const folders[] = { "/etc/headscale", home, "." };

        for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
                if (!folders[i])
                        continue;
                snprintf(path, PATH_MAX, "%s%s/config.yaml", folders[i],
                        folders[i] == home ? "/.headscale" : "");
                enum err e = read_file(path, out, diag);
                if (e != ERR_NOTFOUND)
                        return e;
        }
        path[0] = '\0';
        return ERR_NOTFOUND;
}

enum err config_load(struct config *c, const char *path, char *const *env, struct diag *diag)
{
        struct buf text = BUF_INIT(CONFIG_MAX);
        char found[PATH_MAX];
        enum err e;

        if (!path)
                path = env_value(env, "HEADSCALE_CONFIG");
        if (path) {
                snprintf(found, sizeof(found), "%s", path);
                e = read_file(path, &text, diag);
        } else {
                e = search(env, found, &text, diag);
                if (e == ERR_NOTFOUND)
                        e = OK; /* the environment alone may do */
        }
        if (e == OK)
                e = config_parse(c, buf_slice(&text), found, env, diag);
        if (e == OK && !*found)
                config_warn(c, "no config file was found; give one with -c FILE");
        buf_wipe(&text); /* it may hold secrets */
        return e;
}
