/* `policy check`: what is wrong with a policy file, all of it, where it stands. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "policy/policy.h"

/* False after the error was told. */
static bool read_file(const struct cli *cli, const char *path, struct buf *out)
{
        FILE *f = fopen(path, "r");
        uint8_t piece[16384];
        size_t n;

        if (!f) {
                (void)cli_fail(cli, "cannot open %s: %s", path, strerror(errno));
                return false;
        }
        while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
                buf_append(out, piece, n);
        bool ok = !ferror(f) && buf_status(out) == OK;
        if (!ok)
                (void)cli_fail(cli, "cannot read %s: %s", path,
                        ferror(f) ? strerror(errno) : "it is longer than a policy may be");
        fclose(f);
        return ok;
}

int cli_policy_check(struct cli *cli)
{
        const char *path = cli_flag(cli, "file");
        struct buf text = BUF_INIT(POLICY_TEXT_MAX), shown = BUF_INIT(4 << 20);
        struct policy_errors errors;
        int status = 1;

        if (!path)
                return cli_fail(cli, "name the policy file: policy check -f FILE");
        policy_errors_init(&errors);
        if (read_file(cli, path, &text)) {
                struct policy *p = policy_parse(buf_slice(&text), &(struct policy_settings){ 0 }, &errors);
                if (p) {
                        printf("%s: the policy is valid; its tests run against the nodes of a server, not "
                               "here\n",
                                path);
                        status = 0;
                } else {
                        policy_errors_show(&errors, buf_slice(&text), path, &shown);
                        fputs(buf_cstr(&shown), stderr);
                }
                policy_free(p);
        }
        policy_errors_fini(&errors);
        buf_fini(&shown);
        buf_fini(&text);
        return status;
}
