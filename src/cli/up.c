/* `weft up` and `weft login`: connect, and log in if that is needed (spec/node.md 2.2). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "os/file.h"
#include "settings.h"

enum { UP_FLAGS = SETTING_COUNT + 16, KEY_FILE_MAX = 4096 };

struct up {
        struct cli *cli;
        const struct cli_verb *verb;
        bool is_login;
        struct settings settings;
        enum setting ids[SETTING_COUNT];
        struct flag flags[UP_FLAGS];
        size_t setting_flags, flag_count;
        const char *auth_key, *accept_risk;
        int64_t timeout_ns;
        const char *qr_format, *identity;
        bool json, reset, force_reauth, qr, host_routes;

        struct arena arena;
        struct status st;
        struct prefs current, wanted;
        bool is_done, has_printed;
        int status; /* exit status */
};

static bool add_flag(struct up *u, const char *name, enum flag_kind kind, void *value, const char *help)
{
        u->flags[u->flag_count++] = (struct flag){ name, kind, value, help, false };
        return true;
}

/* Workload identity, by a token of the cloud that the machine runs in. */
static const char *const identity_flags[] = { "audience", "client-id", "client-secret", "id-token" };
enum { IDENTITY_FLAGS = sizeof identity_flags / sizeof *identity_flags };

static void make_flags(struct up *u)
{
        settings_init(&u->settings);
        u->setting_flags = u->flag_count = settings_flags(&u->settings, u->is_login ? SETTINGS_LOGIN : SETTINGS_UP, u->flags, u->ids);
        u->auth_key = u->accept_risk = u->qr_format = "";
        u->host_routes = true;
        add_flag(u, "auth-key", FLAG_TEXT, &u->auth_key, "key to log in with, or file:PATH that holds it");
        add_flag(u, "timeout", FLAG_DURATION, &u->timeout_ns, "longest wait, e.g. 30s; 0: for ever");
        add_flag(u, "qr", FLAG_BOOL, &u->qr, NULL);
        add_flag(u, "qr-format", FLAG_TEXT, &u->qr_format, NULL);
        add_flag(u, "host-routes", FLAG_BOOL, &u->host_routes, NULL);
        for (size_t i = 0; i < IDENTITY_FLAGS; i++)
                add_flag(u, identity_flags[i], FLAG_TEXT, &u->identity, NULL);
        if (u->is_login)
                return;
        add_flag(u, "json", FLAG_BOOL, &u->json, "tell what happens as JSON");
        add_flag(u, "reset", FLAG_BOOL, &u->reset, "set what is not mentioned back to its default");
        add_flag(u, "force-reauth", FLAG_BOOL, &u->force_reauth, "log in anew");
        add_flag(u, "accept-risk", FLAG_TEXT, &u->accept_risk, NULL);
}

static bool is_given(const struct up *u, enum setting id)
{
        for (size_t i = 0; i < u->setting_flags; i++)
                if (u->ids[i] == id)
                        return u->flags[i].is_given;
        return false;
}

/* ---- the preferences that the flags ask for ---- */

/* given: the fields of the flags that were given; all: of every flag. */
static bool make_wanted(struct up *u, uint64_t *given, uint64_t *all)
{
        struct diag diag = { "" };

        prefs_init(&u->wanted);
        u->wanted.want_running = true;
        u->wanted.logged_out = false;
        enum err e = prefs_set_text(&u->wanted, &u->wanted.profile_name, u->current.profile_name);
        const char *user = getenv("USER");
        if (!e && user && slice_is(u->current.operator_user, user) && !u->reset && !is_given(u, SETTING_OPERATOR))
                u->settings.text[SETTING_OPERATOR] = user;
        *given = *all = prefs_mask_bit("WantRunning");
        for (size_t i = 0; i < u->setting_flags && !e; i++)
                e = settings_apply(&u->settings, u->ids[i], &u->st, &u->wanted, u->flags[i].is_given ? given : all, &diag);
        *all |= *given;
        if (!e && u->settings.on[SETTING_EXIT_NODE_LAN] && !*u->settings.text[SETTING_EXIT_NODE])
                e = diag_set(&diag, ERR_FORMAT, "--exit-node-allow-lan-access needs --exit-node");
        if (e)
                u->status = cli_fail(u->cli, "%s", diag.text[0] ? diag.text : err_str(e));
        return e == OK;
}

/* A value as a shell takes it. */
static void put_quoted(struct buf *out, const char *text)
{
        if (*text && text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,@+=")] == '\0') {
                buf_append_str(out, text);
                return;
        }
        buf_append_byte(out, '\'');
        for (; *text; text++)
                if (*text == '\'')
                        buf_append_str(out, "'\\''");
                else
                        buf_append_byte(out, (uint8_t)*text);
        buf_append_byte(out, '\'');
}

static void put_flag(struct buf *out, enum setting id, const char *value)
{
        if (setting_is_bool(id) && strcmp(value, "true") == 0) {
                buf_printf(out, " --%s", setting_flag(id));
                return;
        }
        buf_printf(out, " --%s=", setting_flag(id));
        if (*value)
                put_quoted(out, value);
}

/* Settings that differ from the default and that nobody mentioned would be lost: they
 * are listed instead, in the official words that scripts look for. */
static bool would_revert(struct up *u)
{
        struct buf missing = BUF_INIT(1 << 16), given = BUF_INIT(1 << 16), was = BUF_INIT(1 << 16), is = BUF_INIT(1 << 16);

        for (size_t i = 0; i < u->setting_flags; i++) {
                buf_clear(&was);
                buf_clear(&is);
                settings_text(&u->current, u->ids[i], &u->st, &was);
                settings_text(&u->wanted, u->ids[i], &u->st, &is);
                if (u->flags[i].is_given)
                        put_flag(&given, u->ids[i], buf_cstr(&is));
                else if (!slice_equal(buf_slice(&was), buf_slice(&is)))
                        put_flag(&missing, u->ids[i], buf_cstr(&was));
        }
        bool reverts = missing.len > 0;
        if (reverts)
                fprintf(stderr,
                        "Error: changing settings via 'tailscale up' requires mentioning all\n"
                        "non-default flags. To proceed, either re-run your command with --reset or\n"
                        "use the command below to explicitly mention the current value of\n"
                        "all non-default settings:\n\n\ttailscale up%s%s\n\n",
                        buf_cstr(&given), buf_cstr(&missing));
        buf_fini(&missing);
        buf_fini(&given);
        buf_fini(&was);
        buf_fini(&is);
        return reverts;
}

/* ---- asking the daemon ---- */

static bool patch_prefs(struct up *u, uint64_t mask)
{
        struct buf body = BUF_INIT(1 << 20);
        struct json_writer w;
        struct cli_reply reply;

        json_writer_init(&w, &body, NULL);
        prefs_write_masked(&w, &u->wanted, mask);
        bool ok = cli_call(u->cli, "PATCH", "prefs", buf_slice(&body), &reply);
        if (ok)
                cli_reply_fini(&reply);
        buf_fini(&body);
        return ok;
}

/* check-prefs answers 200 with an Error inside (spec/node.md 13.8). */
static bool check_prefs(struct up *u, struct slice prefs)
{
        struct cli_reply reply;
        struct json_reader r;
        struct slice name, error = { 0 };

        if (!cli_call(u->cli, "POST", "check-prefs", prefs, &reply))
                return false;
        struct slice text = arena_copy(&u->arena, buf_slice(&reply.body));
        cli_reply_fini(&reply);
        json_reader_init(&r, text, &u->arena);
        json_object_begin(&r);
        while (json_member(&r, &name)) {
                if (slice_is(name, "Error"))
                        error = json_string(&r);
                else
                        json_skip(&r);
        }
        if (error.len)
                cli_fail(u->cli, "%.*s", SLICE_ARGS(error));
        return error.len == 0;
}

static bool post(struct up *u, const char *path, struct slice body)
{
        struct cli_reply reply;
        bool ok = cli_call(u->cli, "POST", path, body, &reply);

        if (ok)
                cli_reply_fini(&reply);
        return ok;
}

static bool start_backend(struct up *u)
{
        struct buf prefs = BUF_INIT(1 << 20), body = BUF_INIT(1 << 20);
        struct json_writer w;

        json_writer_init(&w, &prefs, NULL);
        prefs_write(&w, &u->wanted, PREFS_HIDE_SECRETS);
        json_writer_init(&w, &body, NULL);
        json_object_open(&w);
        json_name(&w, "UpdatePrefs");
        json_put_raw(&w, buf_slice(&prefs));
        json_field_str(&w, "AuthKey", u->auth_key);
        json_object_close(&w);
        bool ok = check_prefs(u, buf_slice(&prefs)) && post(u, "start", buf_slice(&body));
        if (ok && (u->force_reauth || !u->st.have_node_key))
                ok = post(u, "login-interactive", (struct slice){ 0 });
        buf_fini(&prefs);
        buf_wipe(&body);
        return ok;
}

/* ---- what happens then ---- */

static void print_event(const char *name, struct slice value, const char *state)
{
        struct buf out = BUF_INIT(1 << 16);
        struct json_writer w;

        json_writer_init(&w, &out, "  ");
        json_object_open(&w);
        if (value.len)
                json_field_slice(&w, name, value);
        if (state)
                json_field_str(&w, "BackendState", state);
        json_object_close(&w);
        printf("%s\n", buf_cstr(&out));
        fflush(stdout);
        buf_fini(&out);
}

static bool finish(struct up *u, int status)
{
        u->is_done = true;
        u->status = status;
        return false;
}

static bool succeed(struct up *u)
{
        if (u->json)
                print_event("", (struct slice){ 0 }, "Running");
        else if (u->has_printed)
                fprintf(stderr, "Success.\n");
        return finish(u, 0);
}

static bool on_opened(void *ctx)
{
        struct up *u = ctx;
        struct status now;

        if (!start_backend(u))
                return finish(u, 1);
        /* It may be running already: then no change of state will come. */
        if (u->force_reauth || !cli_get_status(u->cli, false, &u->arena, &now) || !slice_is(now.backend_state, "Running"))
                return true;
        return succeed(u);
}

/* Servers say what is wrong with a key and not what to do about it. */
static const char *advice(const struct up *u, struct slice message)
{
        bool is_of_key = memmem(message.ptr, message.len, "key", 3) && !memmem(message.ptr, message.len, "://", 3);

        return *u->auth_key && is_of_key ? "; make a new key on the control server" : "";
}

static bool on_line(void *ctx, struct slice json)
{
        struct up *u = ctx;
        struct arena arena = ARENA_INIT(16 << 20);
        struct notify n;
        bool more = true;

        if (notify_decode(json, &arena, &n) != OK)
                goto out;
        if (n.err_message.len) {
                if (u->json)
                        print_event("Error", n.err_message, NULL);
                else
                        cli_fail(u->cli, "%.*s%s", SLICE_ARGS(n.err_message), advice(u, n.err_message));
                more = finish(u, 1);
        } else if (n.browse_to_url.len && u->json) {
                print_event("AuthURL", n.browse_to_url, "NeedsLogin");
        } else if (n.browse_to_url.len) {
                cli_say(stderr, "\nTo authenticate, visit:\n\n\t%.*s\n\n", SLICE_ARGS(n.browse_to_url));
                u->has_printed = true;
        }
        if (more && n.has_state && n.state == IPN_NEEDS_MACHINE_AUTH && !u->has_printed) {
                struct slice url = prefs_control_url(&u->wanted);
                cli_say(stderr, "\nTo approve your machine, visit (as admin):\n\n\t%.*s/admin\n\n", SLICE_ARGS(url));
                u->has_printed = true;
        }
        bool is_new = !key_is_zero(&n.self_key) && !key_equal(&n.self_key, &u->st.self.key);
        if (more && u->force_reauth ? is_new : more && n.has_state && n.state == IPN_RUNNING)
                more = succeed(u);
out:
        arena_fini(&arena);
        return more;
}

static int watch(struct up *u)
{
        static const struct cli_watch calls = { on_opened, on_line };
        struct diag diag = { "" };
        enum err e = cli_watch_bus(u->cli, 0, &calls, u, u->timeout_ns, &diag);

        if (u->is_done)
                return u->status;
        if (e == ERR_TIMEOUT)
                return cli_fail(u->cli, "timed out before the node was running; '%s status' tells what it waits for",
                        u->cli->program);
        return cli_fail(u->cli, "%s", diag.text);
}

/* The key itself, or the file that holds it. */
static bool read_auth_key(struct up *u)
{
        const char *path = u->auth_key + 5;
        struct buf text = BUF_INIT(KEY_FILE_MAX);

        if (strncmp(u->auth_key, "file:", 5) != 0)
                return true;
        enum err err = file_read(path, &text);
        struct slice key = slice_trim(buf_slice(&text));
        bool is_key = !err && key.len > 0;
        for (size_t i = 0; i < key.len; i++)
                is_key &= key.ptr[i] > ' ' && key.ptr[i] < 0x7f;
        if (err && err != ERR_LIMIT)
                cli_fail(u->cli, "cannot read the key file %s: %s", path, strerror(errno));
        else if (!is_key)
                cli_fail(u->cli, "the file %s holds no key: it should be one line, as the control server printed it", path);
        u->auth_key = is_key ? arena_cstr(&u->arena, key) : NULL;
        buf_wipe(&text);
        return u->auth_key != NULL;
}

static bool is_state(const struct up *u, const char *name)
{
        return slice_is(u->st.backend_state, name);
}

static int connect(struct up *u, bool any_flag)
{
        uint64_t given, all;
        bool had_control = u->current.control_url.len > 0;

        if (!u->is_login && !u->reset && had_control && !any_flag && u->current.persist.user_profile.len && !is_state(u, "NeedsLogin")) {
                prefs_init(&u->wanted); /* simply up: nothing else changes */
                u->wanted.want_running = true;
                return patch_prefs(u, prefs_mask_bit("WantRunning")) ? 0 : 1;
        }
        if (!make_wanted(u, &given, &all))
                return 1;
        if (!u->is_login && !u->reset && had_control && would_revert(u))
                return 1;
        bool same_control = slice_equal(prefs_control_url(&u->wanted), prefs_control_url(&u->current));
        bool is_running = is_state(u, "Running");
        if (is_running && !same_control && !u->force_reauth && !u->is_login)
                return cli_fail(u->cli, "changing --login-server of a connected node needs --force-reauth");
        bool same_tags = prefs_equal(&u->wanted, &u->current, prefs_mask_bit("AdvertiseTags"));
        if (is_running && !*u->auth_key && same_control && same_tags && !u->force_reauth && !u->is_login)
                return patch_prefs(u, u->reset ? all : given) ? 0 : 1;
        return watch(u);
}

static int run(struct cli *cli, const struct cli_verb *verb, bool is_login, int argc, char **argv)
{
        struct up u = { .cli = cli, .verb = verb, .is_login = is_login, .status = 1 };
        struct cli_reply reply;
        int rest, status;
        bool any_flag = false;

        make_flags(&u);
        if (!cli_flags(cli, verb, u.flags, u.flag_count, argc, argv, 0, &rest, &status))
                return status;
        for (size_t i = 0; i < IDENTITY_FLAGS; i++)
                if (flags_given(u.flags, u.flag_count, identity_flags[i]))
                        return cli_fail(cli, "logging in by workload identity (--%s) is not supported by this version of weft; "
                                "use --auth-key", identity_flags[i]);
        for (size_t i = 0; i < u.flag_count; i++)
                any_flag |= u.flags[i].is_given;
        arena_init(&u.arena, 64 << 20);
        if (!read_auth_key(&u))
                goto out;
        if (is_login) {
                if (!cli_call(cli, "PUT", "profiles/", (struct slice){ 0 }, &reply))
                        goto out;
                cli_reply_fini(&reply);
        }
        if (!cli_get_status(cli, true, &u.arena, &u.st) || !cli_get_prefs(cli, &u.current))
                goto out;
        u.status = connect(&u, any_flag);
        if (u.status == 0)
                settings_warn(cli, u.flags, u.ids, u.setting_flags, &u.wanted);
        prefs_fini(&u.current);
        prefs_fini(&u.wanted);
out:
        arena_fini(&u.arena);
        return u.status;
}

static int run_up(struct cli *cli, int argc, char **argv) { return run(cli, &cli_verb_up, false, argc, argv); }
static int run_login(struct cli *cli, int argc, char **argv) { return run(cli, &cli_verb_login, true, argc, argv); }

const struct cli_verb cli_verb_up = { "up", "up [flags]", "Connect to the tailnet, logging in if needed", run_up };
const struct cli_verb cli_verb_login = { "login", "login [flags]", "Log in to another account", run_login };
