#include "backend_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/text.h"

const struct log backend_log = { "backend" };

static const char machine_key_name[] = "_machinekey";

enum { TEXTS_MAX = 256 << 10, AUTH_KEY_MAX = 4096, AUTH_URL_MAX = 8192 };

/* ---- birth and death --------------------------------------------------------- */

static enum err load_machine_key(struct backend *b, struct diag *diag)
{
        struct slice text = state_map_get(b->state, machine_key_name);
        char fresh[KEY_TEXT_MAX];

        if (text.len) {
                if (secret_parse(slice_trim(text), &b->machine_key) == OK)
                        return OK;
                return diag_set(diag, ERR_FORMAT, "the machine key is none");
        }
        key_generate(b->rng, &b->machine_key);
        secret_format(&b->machine_key, fresh);
        enum err err = state_map_put(b->state, machine_key_name, slice_str(fresh));
        key_wipe(fresh, sizeof fresh);
        return err;
}

enum err backend_new(const struct backend_config *config, struct backend **out, struct diag *diag)
{
        struct backend *b = calloc(1, sizeof *b);

        *out = NULL;
        if (!b)
                return diag_set(diag, ERR_NOMEM, "out of memory");
        b->ops = config->ops;
        b->ctx = config->ctx;
        b->rng = config->rng;
        b->state = config->state;
        b->host = config->host;
        b->is_ephemeral = config->is_ephemeral;
        b->auth_key = BUF_INIT(AUTH_KEY_MAX);
        b->auth_url = BUF_INIT(AUTH_URL_MAX);
        b->texts = ARENA_INIT(TEXTS_MAX);
        b->next_unix_us = INT64_MAX;
        b->netmap = netmap_new();
        enum err err = b->netmap ? OK : diag_set(diag, ERR_NOMEM, "out of memory");
        if (!err)
                err = load_machine_key(b, diag);
        if (!err)
                err = profiles_init(&b->profiles, b->state, diag);
        if (err) {
                backend_free(b);
                return err;
        }
        *out = b;
        return OK;
}

void backend_free(struct backend *b)
{
        if (!b)
                return;
        if (b->profiles.state)
                profiles_fini(&b->profiles);
        netmap_free(b->netmap);
        buf_wipe(&b->auth_key);
        buf_fini(&b->auth_url);
        arena_fini(&b->texts);
        for (size_t i = 0; i < WARN_COUNT; i++)
                free(b->warnings[i]);
        key_wipe(b, sizeof *b);
        free(b);
}

/* ---- small services ------------------------------------------------------------ */

void backend_say(struct backend *b, const struct notify *n)
{
        b->ops->notify(b->ctx, n);
}

void backend_save(struct backend *b)
{
        if (b->state->dirty)
                b->ops->save_state(b->ctx);
}

/* Only memory can be short, or there are too many profiles: the change is lost. */
void backend_report(const struct backend *b, const char *what, enum err err)
{
        (void)b;
        if (err)
                log_error(&backend_log, what, "why=\"%s\"", err_str(err));
}

static void say_prefs(struct backend *b)
{
        backend_say(b, &(struct notify){ .prefs = prefs_of(b) });
}

bool backend_has_node_key(const struct backend *b)
{
        return !secret_is_zero(&prefs_of(b)->persist.node_key);
}

bool backend_wants_engine(const struct backend *b)
{
        return netmap_self(b->netmap) && prefs_of(b)->want_running && backend_has_node_key(b) &&
               (b->ipn == IPN_STARTING || b->ipn == IPN_RUNNING);
}

/* ---- states (spec/node.md 1.10; spec/control.md 10) -------------------------------- */

static enum ipn_state next_state(const struct backend *b)
{
        const struct prefs *p = prefs_of(b);
        const struct tailcfg_node *self = netmap_self(b->netmap);

        if (!p->want_running && !p->logged_out && backend_has_node_key(b) && !b->wants_login)
                return IPN_STOPPED;
        if (!self) {
                if (p->logged_out || b->login == CONTROL_WAITS_FOR_URL || !backend_has_node_key(b))
                        return IPN_NEEDS_LOGIN;
                return b->ipn == IPN_STOPPED ? IPN_STARTING : b->ipn;
        }
        if (p->logged_out || b->login == CONTROL_WAITS_FOR_URL)
                return IPN_NEEDS_LOGIN;
        if (!p->want_running)
                return IPN_STOPPED;
        if (b->key_expired)
                return IPN_NEEDS_LOGIN;
        if (!self->machine_authorized)
                return IPN_NEEDS_MACHINE_AUTH;
        if (b->ipn == IPN_RUNNING)
                return IPN_RUNNING;
        return b->live_peers || b->live_derps ? IPN_RUNNING : IPN_STARTING;
}

/* Stopped with a netmap: nothing is to be said to control (spec/control.md 10). Nor if
 * the user wants to go on without it. A logout is said in any case. */
static void update_pause(struct backend *b)
{
        bool paused = prefs_of(b)->sync == TRI_FALSE || (b->ipn == IPN_STOPPED && netmap_self(b->netmap));

        if (b->logout_until_us || !b->has_control || paused == b->is_paused)
                return;
        b->is_paused = paused;
        b->ops->control_pause(b->ctx, paused);
}

/* Preferences that make the node do less than somebody may expect. */
static void warn_of_prefs(struct backend *b)
{
        const char *feature = prefs_unsupported(prefs_of(b));
        char text[128];

        snprintf(text, sizeof text, "%s is on, but not supported by this version of weftd", feature ? feature : "");
        backend_set_warning(b, WARN_UNSUPPORTED, feature ? text : NULL);
        backend_set_warning(b, WARN_SYNC, prefs_of(b)->sync != TRI_FALSE ? NULL
                : "changes from the control server are not taken; 'weft set --sync' takes them again");
}

void backend_update_state(struct backend *b)
{
        enum ipn_state next = next_state(b), old = b->ipn;

        if (next != old) {
                b->ipn = next;
                log_info(&backend_log, "state changed", "from=%s to=%s", ipn_state_name(old), ipn_state_name(next));
                if (next == IPN_RUNNING) {
                        b->wants_login = false;
                        buf_clear(&b->auth_url);
                }
                b->ops->apply(b->ctx, NULL);
                backend_say(b, &(struct notify){ .has_state = true, .state = next });
        }
        update_pause(b);
        warn_of_prefs(b);
}

void backend_update_expiry(struct backend *b, const struct now *now)
{
        const struct netmap_changes *changes = NULL;
        const struct tailcfg_node *self = netmap_self(b->netmap);

        b->next_unix_us = INT64_MAX;
        netmap_expire_peers(b->netmap, now, &b->next_unix_us, &changes);
        self = netmap_self(b->netmap);
        b->key_expired = false;
        if (self && self->key_expiry.set && self->key_expiry.unix_ns != UNIX_ZERO_DATE) {
                int64_t at_us = self->key_expiry.unix_ns / 1000; /* by our own clock, not the server's: spec/control.md 10 */
                b->key_expired = at_us <= now->unix_us;
                if (!b->key_expired && at_us < b->next_unix_us)
                        b->next_unix_us = at_us;
        }
        if (changes && changes->parts)
                b->ops->apply(b->ctx, changes);
}

/* ---- the control client -------------------------------------------------------------- */

static void stop_control(struct backend *b)
{
        if (!b->has_control)
                return;
        b->ops->control_stop(b->ctx);
        b->has_control = b->is_paused = b->in_poll = false;
        b->login = CONTROL_LOGGED_OUT;
}

static void start_control(struct backend *b)
{
        const struct prefs *p = prefs_of(b);
        struct buf url = BUF_INIT(4096);

        stop_control(b);
        buf_append_slice(&url, prefs_control_url(p));
        struct backend_control config = {
                .server_url = buf_cstr(&url),
                .machine_key = &b->machine_key,
                .keys = { p->persist.node_key, p->persist.old_node_key, p->persist.pending_node_key },
                .netmap = b->netmap,
                .is_ephemeral = b->is_ephemeral,
        };
        b->has_control = true;
        b->ops->control_start(b->ctx, &config);
        key_wipe(&config.keys, sizeof config.keys);
        buf_fini(&url);
        b->ops->hostinfo_changed(b->ctx);
}

static void login(struct backend *b, unsigned flags)
{
        if (!b->has_control)
                start_control(b);
        b->ops->control_login(b->ctx, flags, buf_cstr(&b->auth_key));
}

/* Another identity or another server: what was learned from the old one goes. */
static void forget_netmap(struct backend *b)
{
        struct netmap *fresh = netmap_new();

        if (!fresh) {
                log_error(&backend_log, "out of memory", NULL);
                abort();
        }
        stop_control(b);
        netmap_free(b->netmap);
        b->netmap = fresh;
        b->live_peers = b->live_derps = 0;
        b->key_expired = false;
        b->next_unix_us = INT64_MAX;
        buf_clear(&b->auth_url);
        b->ops->apply(b->ctx, NULL);
}

/* The current profile as it was left: its cached netmap, and a login with the key
 * it has (spec/control.md 10.2). */
static void resume(struct backend *b, const struct now *now)
{
        const struct prefs *p = prefs_of(b);

        b->ipn = IPN_NO_STATE;
        if (b->profiles.current.id[0] && backend_has_node_key(b) && !p->logged_out &&
            !b->ops->load_cache(b->ctx, b->profiles.current.id, b->netmap))
                forget_netmap(b);
        if (netmap_self(b->netmap))
                log_info(&backend_log, "starting from the cached network map", "peers=%zu",
                        netmap_peer_count(b->netmap));
        backend_update_expiry(b, now);
        /* A pending key may be registered already: the crash came before the answer. */
        if (!p->logged_out && (backend_has_node_key(b) || !secret_is_zero(&p->persist.pending_node_key)) && p->want_running)
                login(b, 0);
        backend_update_state(b);
}

void backend_run_first(struct backend *b, const struct now *now)
{
        backend_save(b); /* a fresh machine key is kept before anybody hears of it */
        resume(b, now);
}

/* ---- what users ask for ------------------------------------------------------------------ */

enum err backend_check_prefs(const struct backend *b, const struct prefs *p, struct diag *diag)
{
        for (size_t i = 0; p->profile_name.len && i < b->profiles.count; i++) {
                const struct profile *other = &b->profiles.list[i];
                if (strcmp(other->id, b->profiles.current.id) != 0 && slice_equal(other->name, p->profile_name))
                        return diag_set(diag, ERR_EXISTS, "another profile is named \"%.*s\" already",
                                SLICE_ARGS(p->profile_name));
        }
        return prefs_check(p, prefs_of(b), diag);
}

static uint64_t hostinfo_fields(void)
{
        return prefs_mask_bit("Hostname") | prefs_mask_bit("AdvertiseRoutes") | prefs_mask_bit("AdvertiseTags") |
               prefs_mask_bit("ShieldsUp") | prefs_mask_bit("ExitNodeID");
}

/* Takes over checked preferences and tells everybody. */
static enum err install_prefs(struct backend *b, const struct prefs *fresh, struct diag *diag)
{
        bool hostinfo = !prefs_equal(fresh, prefs_of(b), hostinfo_fields());
        enum err err = profiles_set_prefs(&b->profiles, fresh);

        if (err)
                return diag_set(diag, err, "the preferences cannot be stored: %s", err_str(err));
        backend_save(b);
        if (hostinfo && b->has_control)
                b->ops->hostinfo_changed(b->ctx);
        b->ops->apply(b->ctx, NULL);
        say_prefs(b);
        return OK;
}

enum err backend_edit_prefs(struct backend *b, const struct prefs *edit, uint64_t mask, const struct now *now,
        struct diag *diag)
{
        struct prefs fresh;
        bool wanted = prefs_of(b)->want_running;

        if (mask & prefs_mask_bit("InternalExitNodePrior"))
                return diag_set(diag, ERR_DENIED, "InternalExitNodePrior is set by the daemon alone");
        if (prefs_copy(&fresh, prefs_of(b)) != OK)
                return diag_set(diag, ERR_NOMEM, "out of memory");
        /* The server changes only through start: a running session belongs to it. */
        enum err err = prefs_apply(&fresh, edit, mask & ~prefs_mask_bit("ControlURL"));
        if (err)
                diag_set(diag, err, "the preferences are too large");
        else
                err = backend_check_prefs(b, &fresh, diag);
        if (!err)
                err = install_prefs(b, &fresh, diag);
        prefs_fini(&fresh);
        if (err)
                return err;
        if (!wanted && prefs_of(b)->want_running && !prefs_of(b)->logged_out && backend_has_node_key(b) &&
            b->login != CONTROL_LOGGED_IN)
                login(b, 0);
        backend_update_expiry(b, now);
        backend_update_state(b);
        return OK;
}

enum err backend_start(struct backend *b, const struct prefs *update, struct slice auth_key, const struct now *now,
        struct diag *diag)
{
        struct prefs fresh;
        bool other_server = false;

        if (b->logout_until_us)
                backend_finish_logout(b);
        if (update) {
                if (prefs_copy(&fresh, prefs_of(b)) != OK)
                        return diag_set(diag, ERR_NOMEM, "out of memory");
                enum err err = prefs_apply(&fresh, update, UINT64_MAX);
                if (err)
                        diag_set(diag, err, "the preferences are too large");
                else
                        err = backend_check_prefs(b, &fresh, diag);
                other_server = !slice_equal(prefs_control_url(&fresh), prefs_control_url(prefs_of(b)));
                if (!err)
                        err = install_prefs(b, &fresh, diag);
                prefs_fini(&fresh);
                if (err)
                        return err;
        }
        buf_wipe(&b->auth_key);
        buf_append_slice(&b->auth_key, auth_key);
        if (buf_status(&b->auth_key) != OK)
                return diag_set(diag, ERR_RANGE, "the auth key is longer than %d bytes", AUTH_KEY_MAX);
        buf_clear(&b->auth_url);
        b->trouble_since_us = 0;
        if (other_server)
                forget_netmap(b);
        start_control(b);
        if (!prefs_of(b)->logged_out && backend_has_node_key(b))
                login(b, 0);
        backend_update_expiry(b, now);
        backend_update_state(b);
        return OK;
}

void backend_login_interactive(struct backend *b, const struct now *now)
{
        (void)now;
        b->wants_login = true;
        if (b->auth_url.len) {
                backend_say(b, &(struct notify){ .browse_to_url = buf_slice(&b->auth_url) });
                return;
        }
        login(b, CONTROL_LOGIN_INTERACTIVE);
        backend_update_state(b);
}

void backend_finish_logout(struct backend *b)
{
        b->logout_until_us = 0;
        b->wants_login = false;
        if (b->profiles.current.id[0])
                b->ops->save_cache(b->ctx, b->profiles.current.id, NULL, NULL);
        forget_netmap(b);
        backend_report(b, "the profile cannot be removed", profiles_delete_current(&b->profiles));
        backend_save(b);
        log_info(&backend_log, "logged out", NULL);
        say_prefs(b);
        backend_update_state(b);
}

void backend_logout(struct backend *b, const struct now *now)
{
        if (b->logout_until_us)
                return;
        if (!backend_has_node_key(b)) {
                backend_finish_logout(b);
                return;
        }
        if (!b->has_control)
                start_control(b);
        b->logout_until_us = now->mono_us + TIME_S(LOGOUT_PATIENCE_S);
        if (b->is_paused) {
                b->is_paused = false;
                b->ops->control_pause(b->ctx, false);
        }
        b->ops->control_logout(b->ctx);
}

bool backend_is_logging_out(const struct backend *b)
{
        return b->logout_until_us != 0;
}

/* ---- profiles ------------------------------------------------------------------------------ */

static void change_profile(struct backend *b, const struct now *now)
{
        b->wants_login = false;
        backend_save(b);
        forget_netmap(b);
        say_prefs(b);
        resume(b, now);
}

enum err backend_new_profile(struct backend *b, const struct now *now)
{
        enum err err = profiles_switch_new(&b->profiles);

        if (!err)
                change_profile(b, now);
        return err;
}

enum err backend_switch_profile(struct backend *b, struct slice id, const struct now *now, struct diag *diag)
{
        if (slice_is(id, b->profiles.current.id) && id.len)
                return OK;
        enum err err = profiles_switch(&b->profiles, id, diag);
        if (!err)
                change_profile(b, now);
        return err;
}

enum err backend_delete_profile(struct backend *b, struct slice id, const struct now *now)
{
        const struct profile *p = profiles_find(&b->profiles, id);
        bool is_current = slice_is(id, b->profiles.current.id);

        if (!p)
                return ERR_NOTFOUND;
        b->ops->save_cache(b->ctx, p->id, NULL, NULL);
        enum err err = profiles_delete(&b->profiles, id);
        if (!err && is_current)
                change_profile(b, now);
        else if (!err)
                backend_save(b);
        return err;
}
