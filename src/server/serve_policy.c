/* The policy file: read at start, on SIGHUP, and when it changes. */
#include "policy_file.h"
#include "serve.h"

static bool has_file(const struct serve *sv)
{
        return !sv->settings.policy_in_store && *sv->config->policy_path;
}

static void log_errors(const struct policy_errors *errors, const char *path)
{
        for (size_t i = 0; i < errors->count; i++) {
                const struct policy_error *e = &errors->items[i];
                if (e->line)
                        log_error(&serve_log, "policy", "at=%s:%u:%u why=\"%.*s\"", path, e->line, e->column,
                                SLICE_ARGS(e->text));
                else /* of the policy as a whole: its tests */
                        log_error(&serve_log, "policy", "at=%s why=\"%.*s\"", path, SLICE_ARGS(e->text));
        }
}

/* Reads the file and puts it in force, unless it is in force already. */
static enum err take_file(struct serve *sv, bool tests_must_pass, struct diag *diag)
{
        const char *path = sv->config->policy_path;
        struct buf text = BUF_INIT(POLICY_TEXT_MAX);
        struct policy_errors errors;
        struct now now = net_loop_now(sv->loop);

        policy_errors_init(&errors);
        enum err e = policy_file_read(path, &text, diag);
        if (e == OK && !server_policy_is(sv->server, buf_slice(&text))) {
                e = server_set_policy(sv->server, &now, buf_slice(&text), tests_must_pass, &errors);
                log_errors(&errors, path);
                if (e != OK)
                        (void)diag_set(diag, e,
                                "policy.path: %s is not valid (`weft-control policy check -f` shows where)", path);
                else
                        log_info(&serve_log, "the policy is in force", "file=%s", path);
        }
        policy_errors_fini(&errors);
        buf_fini(&text);
        return e;
}

void serve_policy_reload(struct serve *sv)
{
        struct diag diag;

        if (!has_file(sv))
                return;
        if (take_file(sv, true, &diag) != OK)
                log_error(&serve_log, "the old policy stays in force", "why=\"%s\"", diag.text);
        serve_rearm(sv);
}

static void changed(void *ctx) { serve_policy_reload(ctx); }

enum err serve_policy_start(struct serve *sv, struct diag *diag)
{
        if (!has_file(sv))
                return OK;
        enum err e = take_file(sv, false, diag);
        if (e == OK)
                serve_file_watch(&sv->policy_watch, sv->loop, sv->config->policy_path, changed, sv);
        return e;
}
