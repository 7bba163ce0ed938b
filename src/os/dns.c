#include "os/dns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/file.h"

static const char backup_name[] = "resolv.pre-tailscale-backup.conf";

enum { PATH_SPACE = 512, FILE_MAX = 64 << 10 };

void os_dns_config_write(struct writer *w, const struct os_dns_config *c)
{
        wr_bytes(w, c->link, sizeof(c->link));
        wr_u8(w, c->kind);
        wr_slice(w, c->text);
}

void os_dns_config_read(struct reader *r, struct os_dns_config *out)
{
        *out = (struct os_dns_config){ 0 };
        rd_copy(r, out->link, sizeof(out->link));
        out->link[sizeof(out->link) - 1] = '\0';
        out->kind = rd_u8(r);
        out->text = rd_rest(r);
        if (out->kind > OS_DNS_RESOLVED || out->text.len > OS_DNS_TEXT_MAX || out->link[0] == '-')
                r->failed = true;
}

/* ---- files ---- */

static const char *file_path(void)
{
        const char *path = getenv("WEFT_RESOLV_CONF");

        return path && *path ? path : "/etc/resolv.conf";
}

static void beside(const char *name, char out[static PATH_SPACE])
{
        const char *path = file_path(), *slash = strrchr(path, '/');

        snprintf(out, PATH_SPACE, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, name);
}

static bool write_at(int fd, struct slice text)
{
        bool ok = fd >= 0 && file_write_fd(fd, text) == OK && fsync(fd) == 0;

        if (fd >= 0)
                close(fd);
        return ok;
}

/* At once, or in place where the file is a mount of its own, as in containers. */
static bool write_file(const char *path, struct slice text)
{
        char fresh[PATH_SPACE];

        beside(".resolv.weft-new", fresh);
        unlink(fresh);
        bool ok = write_at(open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), text) && rename(fresh, path) == 0;
        if (!ok) {
                unlink(fresh);
                ok = write_at(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), text);
        }
        return ok;
}

static bool is_marked(struct slice text, const char *mark)
{
        return text.len && memmem(text.ptr, text.len, mark, strlen(mark));
}

bool os_dns_is_ours(void)
{
        struct buf text = BUF_INIT(FILE_MAX);
        bool has = file_read(file_path(), &text) == OK && is_marked(buf_slice(&text), OS_DNS_MARK);

        buf_fini(&text);
        return has;
}

void os_dns_read(struct buf *out)
{
        char backup[PATH_SPACE];
        struct buf before = BUF_INIT(FILE_MAX);

        beside(backup_name, backup);
        if (file_read(file_path(), out) != OK)
                buf_clear(out);
        if (!out->len || is_marked(buf_slice(out), OS_DNS_MARK)) { /* nothing: it may be changing just now */
                buf_clear(out);
                if (file_read(backup, &before) == OK)
                        buf_append_slice(out, buf_slice(&before));
        }
        buf_fini(&before);
}

/* A second name for the same file, where there can be one (it may be a symbolic link), so
 * that the machine is never without the first. */
static bool keep_backup(void)
{
        struct buf text = BUF_INIT(FILE_MAX);
        char backup[PATH_SPACE];

        if (os_dns_is_ours() || access(file_path(), F_OK) != 0)
                return true;
        beside(backup_name, backup);
        unlink(backup);
        bool ok = link(file_path(), backup) == 0 || (file_read(file_path(), &text) == OK && write_file(backup, buf_slice(&text)));
        buf_fini(&text);
        return ok;
}

void os_dns_cleanup(void)
{
        struct buf text = BUF_INIT(FILE_MAX);
        char backup[PATH_SPACE];

        beside(backup_name, backup);
        if (!os_dns_is_ours()) {
                unlink(backup); /* somebody else has taken over */
                return;
        }
        if (rename(backup, file_path()) == 0)
                return;
        if (file_read(backup, &text) != OK)
                buf_clear(&text);
        bool was_none = !text.len && unlink(file_path()) == 0;
        if (!was_none && write_file(file_path(), buf_slice(&text)))
                unlink(backup);
        buf_fini(&text);
}

/* ---- systemd-resolved ---- */

static bool is_link_to_resolved(void)
{
        char target[PATH_SPACE];
        ssize_t n = readlink(file_path(), target, sizeof(target) - 1);

        return n > 0 && memmem(target, (size_t)n, "systemd/resolve/", 16);
}

enum os_dns_kind os_dns_detect(void)
{
        struct buf text = BUF_INIT(FILE_MAX);
        bool resolved = is_link_to_resolved() ||
                        (file_read(file_path(), &text) == OK && is_marked(buf_slice(&text), "nameserver 127.0.0.53"));

        buf_fini(&text);
        return resolved ? OS_DNS_RESOLVED : OS_DNS_FILE;
}

static bool run(char *const *words)
{
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
                int null = open("/dev/null", O_RDWR);
                dup2(null, 0);
                dup2(null, 1);
                dup2(null, 2);
                execvp(words[0], words);
                _exit(127);
        }
        return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

enum { WORDS_MAX = 256 };

static bool set_domains(const char *link, struct slice text)
{
        char *words[WORDS_MAX + 4] = { "resolvectl", "domain", (char *)(uintptr_t)link };
        char space[OS_DNS_TEXT_MAX + 1];
        size_t n = 3;

        snprintf(space, sizeof(space), "%.*s", SLICE_ARGS(text));
        for (char *rest = space, *word; n < WORDS_MAX && (word = strtok_r(rest, " ", &rest));)
                if (word[0] != '-')
                        words[n++] = word;
        return run(words);
}

static enum err set_resolved(const struct os_dns_config *c, struct diag *d)
{
        char *link = (char *)(uintptr_t)c->link;
        bool all = is_marked(c->text, "~. ");

        if (run((char *[]){ "resolvectl", "dns", link, "100.100.100.100", NULL }) && set_domains(link, c->text) &&
                run((char *[]){ "resolvectl", "default-route", link, all ? "true" : "false", NULL }))
                return OK;
        return diag_set(d, ERR_SYS, "systemd-resolved does not take the tailnet's DNS settings; try resolvectl status, or "
                "weft set --accept-dns=false");
}

/* ---- both ---- */

enum err os_dns_apply(const struct os_dns_config *c, struct diag *d)
{
        switch ((enum os_dns_kind)c->kind) {
        case OS_DNS_NONE:
                if (os_dns_detect() == OS_DNS_RESOLVED)
                        run((char *[]){ "resolvectl", "revert", (char *)(uintptr_t)c->link, NULL });
                os_dns_cleanup();
                return OK;
        case OS_DNS_RESOLVED:
                return set_resolved(c, d);
        case OS_DNS_FILE:
                if (keep_backup() && write_file(file_path(), c->text))
                        return OK;
                return diag_set(d, ERR_SYS, "cannot write %s: %s; the tailnet's names work only by asking 100.100.100.100",
                        file_path(), strerror(errno));
        }
        return ERR_UNSUPPORTED;
}
