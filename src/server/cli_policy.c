/* The policy verbs. What is wrong with a file is shown where it stands. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "policy/policy.h"
#include "policy_file.h"

static bool is_direct(const struct cli *cli) { return cli_flag(cli, "bypass-server-and-access-database-directly"); }

static const struct value *ask(struct cli *cli, const char *method, const char *path, struct slice body)
{
        return is_direct(cli) ? cli_direct(cli, method, path, body) : cli_call(cli, method, path, body);
}

/* The text of -f, if it is a policy as far as can be said without a tailnet. False after
 * the errors were told. */
static bool read_policy(struct cli *cli, struct buf *text)
{
        const char *path = cli_flag(cli, "file");
        struct buf shown = BUF_INIT(4 << 20);
        struct policy_errors errors;
        struct diag diag;

        if (!path) {
                (void)cli_fail(cli, "name the policy file with -f FILE");
                return false;
        }
        if (policy_file_read(path, text, &diag) != OK) {
                (void)cli_fail(cli, "%s", diag.text);
                return false;
        }
        policy_errors_init(&errors);
        struct policy *p = policy_parse(buf_slice(text), &(struct policy_settings){ 0 }, &errors);
        if (!p) {
                policy_errors_show(&errors, buf_slice(text), path, &shown);
                fputs(buf_cstr(&shown), stderr);
        }
        bool ok = p != NULL;
        policy_free(p);
        policy_errors_fini(&errors);
        buf_fini(&shown);
        return ok;
}

static struct slice body_of(struct cli *cli, struct slice text)
{
        struct json_writer w = cli_json_begin(cli);

        json_field_slice(&w, "policy", text);
        return cli_json_end(cli, &w);
}

int cli_policy_get(struct cli *cli)
{
        const struct value *v = ask(cli, "GET", "/api/v1/policy", (struct slice){ 0 });

        if (!v)
                return 1;
        struct slice text = value_text(v, "policy");
        fwrite(text.ptr, 1, text.len, stdout);
        if (text.len && text.ptr[text.len - 1] != '\n')
                putchar('\n');
        return 0;
}

int cli_policy_set(struct cli *cli)
{
        struct buf text = BUF_INIT(POLICY_TEXT_MAX);
        int status = 1;

        if (read_policy(cli, &text)) {
                const struct value *v = ask(cli, "PUT", "/api/v1/policy", body_of(cli, buf_slice(&text)));
                if (v)
                        status = cli_done(cli, v, "Policy updated.");
        }
        buf_fini(&text);
        return status;
}

int cli_policy_check(struct cli *cli)
{
        struct buf text = BUF_INIT(POLICY_TEXT_MAX);
        int status = 1;

        if (read_policy(cli, &text)) {
                if (!is_direct(cli) && !cli_has_server(cli)) {
                        puts("Policy is valid. No server is running here, so its tests were not run.");
                        status = 0;
                } else {
                        const struct value *v =
                                ask(cli, "POST", "/api/v1/policy/check", body_of(cli, buf_slice(&text)));
                        if (v)
                                status = cli_done(cli, v, "Policy is valid");
                }
        }
        buf_fini(&text);
        return status;
}

int cli_policy_test(struct cli *cli)
{
        const struct value *v = cli_call(cli, "POST", "/api/v1/policy/test", (struct slice){ 0 });

        return v ? cli_done(cli, v, "All tests of the policy pass.") : 1;
}
