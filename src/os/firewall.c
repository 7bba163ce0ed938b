/*
 * Speaking to nftables. A short-lived child does it: the library costs several megabytes,
 * which a router should not carry for the few moments a year it is needed.
 */
#include "os/firewall.h"

#include <dlfcn.h>
#include <errno.h>
#include <nftables/libnftables.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "netlink.h"

enum { SCRIPT_MAX = 64 << 10 };

/* Where our chains hang. */
static const struct hook {
        const char *table, *base, *chain;
} hooks[] = {
        { "filter", "INPUT", "ts-input" },
        { "filter", "FORWARD", "ts-forward" },
        { "nat", "POSTROUTING", "ts-postrouting" },
};
enum { HOOKS = sizeof(hooks) / sizeof(*hooks) };

struct nft {
        struct nft_ctx *ctx;
        int (*run)(struct nft_ctx *, const char *);
        const char *(*output)(struct nft_ctx *);
        const char *(*error)(struct nft_ctx *);
};

static bool nft_open(struct nft *n, struct diag *d)
{
        void *lib = dlopen("libnftables.so.1", RTLD_NOW | RTLD_LOCAL);

        if (!lib)
                return diag_set(d, ERR_NOTFOUND, "firewall rules need the library libnftables: install libnftables1, or "
                        "use weft set --netfilter-mode=off") == OK;
        __typeof__(nft_ctx_new) *new = (__typeof__(nft_ctx_new) *)dlsym(lib, "nft_ctx_new");
        __typeof__(nft_ctx_output_set_flags) *set_flags =
                (__typeof__(nft_ctx_output_set_flags) *)dlsym(lib, "nft_ctx_output_set_flags");
        __typeof__(nft_ctx_buffer_output) *buffer_output =
                (__typeof__(nft_ctx_buffer_output) *)dlsym(lib, "nft_ctx_buffer_output");
        __typeof__(nft_ctx_buffer_error) *buffer_error = (__typeof__(nft_ctx_buffer_error) *)dlsym(lib, "nft_ctx_buffer_error");
        n->run = (__typeof__(nft_run_cmd_from_buffer) *)dlsym(lib, "nft_run_cmd_from_buffer");
        n->output = (__typeof__(nft_ctx_get_output_buffer) *)dlsym(lib, "nft_ctx_get_output_buffer");
        n->error = (__typeof__(nft_ctx_get_error_buffer) *)dlsym(lib, "nft_ctx_get_error_buffer");
        if (new && set_flags && buffer_output && buffer_error && n->run && n->output && n->error)
                n->ctx = new(NFT_CTX_DEFAULT);
        if (!n->ctx)
                return diag_set(d, ERR_UNSUPPORTED, "the library libnftables is of no use here") == OK;
        set_flags(n->ctx, NFT_CTX_OUTPUT_HANDLE);
        buffer_output(n->ctx);
        buffer_error(n->ctx);
        return true;
}

static bool nft_try(const struct nft *n, struct buf *script)
{
        return buf_status(script) == OK && n->run(n->ctx, buf_cstr(script)) == 0;
}

/* Commands that delete the rules of a base chain that jump to ours. A chain that is not
 * there has none. */
static void unhook(const struct nft *n, const char *family, const struct hook *h, struct buf *out)
{
        struct buf ask = BUF_INIT(256);
        struct slice rest, line;
        char jump[64];

        buf_printf(&ask, "list chain %s %s %s\n", family, h->table, h->base);
        snprintf(jump, sizeof(jump), "jump %s ", h->chain);
        if (nft_try(n, &ask)) {
                rest = slice_str(n->output(n->ctx));
                while (slice_split(&rest, '\n', &line)) {
                        const char *handle = memmem(line.ptr, line.len, "# handle ", 9);
                        if (handle && memmem(line.ptr, line.len, jump, strlen(jump)))
                                buf_printf(out, "delete rule %s %s %s handle %lu\n", family, h->table, h->base,
                                        strtoul(handle + 9, NULL, 10));
                }
        }
        buf_fini(&ask);
}

static bool replace(const struct nft *n, const struct firewall_config *c, bool v6, struct diag *d)
{
        const char *family = v6 ? "ip6" : "ip";
        struct buf script = BUF_INIT(SCRIPT_MAX);

        for (size_t i = 0; i < HOOKS; i++)
                unhook(n, family, &hooks[i], &script);
        firewall_script(c, v6, &script);
        for (size_t i = 0; i < HOOKS && c->mode == FIREWALL_ON; i++)
                buf_printf(&script, "insert rule %s %s %s jump %s\n", family, hooks[i].table, hooks[i].base, hooks[i].chain);
        bool ok = nft_try(n, &script);
        if (!ok) {
                struct slice why = slice_str(n->error(n->ctx));
                diag_set(d, ERR_SYS, "cannot set the firewall rules: %.*s",
                        SLICE_ARGS(slice_first(why, slice_find(why, '\n'))));
        }
        buf_fini(&script);
        return ok;
}

/* Piece by piece: of some there may be nothing. */
static void take_away(const struct nft *n, bool v6)
{
        const char *family = v6 ? "ip6" : "ip";

        for (size_t i = 0; i < HOOKS; i++) {
                struct buf script = BUF_INIT(SCRIPT_MAX);
                unhook(n, family, &hooks[i], &script);
                buf_printf(&script, "flush chain %s %s %s\ndelete chain %s %s %s\n", family, hooks[i].table, hooks[i].chain,
                        family, hooks[i].table, hooks[i].chain);
                (void)nft_try(n, &script);
                buf_fini(&script);
        }
}

static enum err in_child(const struct firewall_config *c, struct diag *d)
{
        struct nft n = { 0 };

        if (!nft_open(&n, d))
                return ERR_NOTFOUND;
        for (int v6 = 0; v6 <= netlink_has_ipv6(); v6++) {
                if (c->mode == FIREWALL_OFF)
                        take_away(&n, v6);
                else if (!replace(&n, c, v6, d))
                        return ERR_SYS;
        }
        return OK;
}

enum err firewall_apply(const struct firewall_config *c, struct diag *d)
{
        struct diag told = { "" };
        int status, ends[2];

        if (pipe(ends) != 0)
                return diag_set(d, err_from_errno(errno), "cannot set the firewall rules: %s", strerror(errno));
        pid_t pid = fork();
        if (pid == 0) {
                enum err e = in_child(c, &told);
                if (write(ends[1], told.text, sizeof(told.text)) < 0)
                        e = ERR_SYS;
                _exit(e ? 1 : 0);
        }
        close(ends[1]);
        ssize_t n = pid > 0 ? read(ends[0], told.text, sizeof(told.text)) : -1;
        close(ends[0]);
        if (pid < 0 || waitpid(pid, &status, 0) != pid || n != (ssize_t)sizeof(told.text))
                return diag_set(d, ERR_SYS, "cannot set the firewall rules: %s", strerror(errno));
        told.text[sizeof(told.text) - 1] = '\0';
        return status ? diag_set(d, ERR_SYS, "%s", told.text) : OK;
}

void firewall_cleanup(void)
{
        const struct firewall_config none = { .mode = FIREWALL_OFF };
        struct diag d;

        if (firewall_apply(&none, &d) != OK)
                return; /* without the library there is nothing of ours */
}
