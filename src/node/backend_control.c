/* What control and engine tell the backend. */
#include <stdlib.h>

#include "backend_internal.h"
#include "base/log.h"

void backend_control_keys(struct backend *b, const struct control_keys *keys, const struct now *now)
{
        struct persist *c = &b->profiles.prefs.persist;

        c->present = true;
        c->node_key = keys->node;
        c->old_node_key = keys->old_node;
        c->pending_node_key = keys->pending;
        backend_report(b, "the node key cannot be kept", profiles_keep(&b->profiles, b->rng, now));
        backend_save(b);
        b->ops->apply(b->ctx, NULL);
}

static void edit_login_state(struct backend *b)
{
        struct prefs *p = &b->profiles.prefs;
        bool changed = p->logged_out || (b->wants_login && !p->want_running);

        p->logged_out = false;
        p->want_running |= b->wants_login;
        if (!changed)
                return;
        struct prefs copy;
        enum err err = prefs_copy(&copy, p);
        if (!err) {
                err = profiles_set_prefs(&b->profiles, &copy);
                prefs_fini(&copy);
        }
        backend_report(b, "the preferences cannot be stored", err);
}

void backend_control_login_changed(struct backend *b, enum control_login_state state, const struct now *now)
{
        enum control_login_state old = b->login;

        (void)now;
        b->login = state;
        if (state == CONTROL_LOGGED_IN && old != CONTROL_LOGGED_IN) {
                edit_login_state(b);
                b->wants_login = false;
                buf_wipe(&b->auth_key);
                buf_clear(&b->auth_url);
                backend_set_warning(b, WARN_CONTROL, NULL);
                backend_save(b);
                log_info(&backend_log, "logged in", "server=%.*s", SLICE_ARGS(prefs_control_url(prefs_of(b))));
                backend_say(b, &(struct notify){ .login_finished = true, .prefs = prefs_of(b) });
        }
        if (state == CONTROL_LOGGED_OUT && b->logout_until_us)
                backend_finish_logout(b);
        else
                backend_update_state(b);
}

void backend_control_auth_url(struct backend *b, struct slice url, const struct now *now)
{
        (void)now;
        buf_clear(&b->auth_url);
        buf_append_slice(&b->auth_url, url);
        if (buf_status(&b->auth_url) != OK) {
                backend_report(b, "the login URL is too long", buf_status(&b->auth_url));
                buf_clear(&b->auth_url);
                return;
        }
        if (url.len)
                log_info(&backend_log, "a person has to log in", "url=%.*s", SLICE_ARGS(url));
        backend_update_state(b);
        if (url.len)
                backend_say(b, &(struct notify){ .browse_to_url = buf_slice(&b->auth_url) });
}

void backend_control_registered(struct backend *b, const struct tailcfg_register_response *r)
{
        arena_fini(&b->texts);
        b->registered = (struct tailcfg_user_profile){
                .id = r->user.id ? r->user.id : r->login.id,
                .login_name = arena_copy(&b->texts, r->login.login_name),
                .display_name = arena_copy(&b->texts, r->user.display_name.len ? r->user.display_name
                                                                                : r->login.display_name),
                .profile_pic_url = arena_copy(&b->texts, r->user.profile_pic_url),
        };
}

static bool somebody_waits(const struct backend *b)
{
        return b->login != CONTROL_LOGGED_IN && (b->wants_login || !netmap_self(b->netmap));
}

void backend_control_refused(struct backend *b, const char *text)
{
        if (somebody_waits(b))
                backend_say(b, &(struct notify){ .err_message = slice_str(text) });
}

/* A person may have to do something about it; the attempts go on meanwhile. */
static void say_trouble(struct backend *b, const char *text)
{
        struct buf line = BUF_INIT(4096);

        buf_printf(&line, "%s; is %.*s the right server? The daemon keeps trying", text, SLICE_ARGS(prefs_control_url(prefs_of(b))));
        backend_say(b, &(struct notify){ .err_message = buf_status(&line) ? slice_str(text) : buf_slice(&line) });
        buf_fini(&line);
}

void backend_control_problem(struct backend *b, const char *text, const struct now *now)
{
        backend_set_warning(b, WARN_CONTROL, text);
        if (!text || !*text || !somebody_waits(b)) {
                b->trouble_since_us = 0;
                return;
        }
        if (!b->trouble_since_us)
                b->trouble_since_us = now->mono_us;
        if (now->mono_us - b->trouble_since_us >= TIME_S(TROUBLE_PATIENCE_S)) {
                b->trouble_since_us = now->mono_us; /* once a while, not with every attempt */
                say_trouble(b, text);
        }
}

/* The profile follows what control says of us: whose node it is, and in which network. */
static void update_profile(struct backend *b, const struct now *now)
{
        const struct tailcfg_node *self = netmap_self(b->netmap);
        const struct tailcfg_user_profile *user = netmap_user(b->netmap, self->user);
        const struct tailcfg_user_profile *owner = user ? user : &b->registered;
        const struct profile_login login = {
                .login_name = owner->login_name,
                .display_name = owner->display_name,
                .profile_pic_url = owner->profile_pic_url,
                .user_id = self->user,
                .node_id = self->stable_id,
                .network_name = netmap_domain(b->netmap),
                .domain_name = netmap_domain(b->netmap),
                .magic_dns_name = netmap_magic_dns_suffix(b->netmap),
        };

        backend_report(b, "the profile cannot be stored", profiles_logged_in(&b->profiles, &login, b->rng, now));
        backend_save(b);
}

/* A map may bring thousands of changes; watchers get those of one message together. */
static void say_changes(struct backend *b, const struct netmap_changes *changes)
{
        struct arena arena = ARENA_INIT(64 << 20);
        struct tailcfg_node *nodes = ARENA_ARRAY(&arena, changes->peer_count + 1, struct tailcfg_node);
        int64_t *gone = ARENA_ARRAY(&arena, changes->peer_count + 1, int64_t);
        struct notify n = { .peers_changed = nodes, .peers_removed = gone };

        for (size_t i = 0; nodes && gone && i < changes->peer_count; i++) {
                if (changes->peers[i].node)
                        nodes[n.peers_changed_count++] = *changes->peers[i].node;
                else
                        gone[n.peers_removed_count++] = changes->peers[i].id;
        }
        if (changes->parts & NETMAP_SELF)
                n.self = netmap_self(b->netmap);
        if (n.self || n.peers_changed_count || n.peers_removed_count)
                backend_say(b, &n);
        arena_fini(&arena);
}

void backend_control_netmap(struct backend *b, const struct netmap_changes *changes, const struct now *now)
{
        const struct tailcfg_node *self = netmap_self(b->netmap);

        if (!self || b->logout_until_us)
                return;
        if (changes->parts & (NETMAP_SELF | NETMAP_USERS | NETMAP_MISC))
                update_profile(b, now);
        if (tailcfg_node_has_cap(self, SLICE_LIT("disable-cache-network-maps")))
                b->ops->save_cache(b->ctx, b->profiles.current.id, NULL, NULL);
        else
                b->ops->save_cache(b->ctx, b->profiles.current.id, b->netmap, changes);
        b->ops->apply(b->ctx, changes);
        say_changes(b, changes); /* before the expiry below changes the netmap again */
        backend_update_expiry(b, now);
        backend_update_state(b);
}

void backend_control_poll(struct backend *b, bool is_up, const struct now *now)
{
        (void)now;
        b->in_poll = is_up;
        if (is_up)
                backend_set_warning(b, WARN_CONTROL, NULL);
}

void backend_set_live(struct backend *b, unsigned peers, unsigned derps, const struct now *now)
{
        (void)now;
        b->live_peers = peers;
        b->live_derps = derps;
        if (b->ipn == IPN_STARTING)
                backend_update_state(b);
}

const char *backend_warning(const struct backend *b, enum backend_warning which)
{
        return b->warnings[which];
}

void backend_set_warning(struct backend *b, enum backend_warning which, const char *text)
{
        const char *old = b->warnings[which] ? b->warnings[which] : "";

        if (!text)
                text = "";
        if (strcmp(old, text) == 0)
                return;
        if (*text)
                log_warn(&backend_log, text, NULL);
        free(b->warnings[which]);
        b->warnings[which] = *text ? strdup(text) : NULL;
        struct arena arena = ARENA_INIT(64 << 10);
        const struct tailcfg_strings health = backend_health(b, &arena);
        backend_say(b, &(struct notify){ .health = &health });
        arena_fini(&arena);
}

enum { CLOCK_CHECK_S = 60 };

uint64_t backend_deadline(const struct backend *b, const struct now *now)
{
        uint64_t at = b->logout_until_us ? b->logout_until_us : TIME_NEVER;

        if (b->next_unix_us == INT64_MAX)
                return at;
        /* The wall clock may jump meanwhile: look again every minute. */
        int64_t left = b->next_unix_us - now->unix_us;
        uint64_t wait = left <= 0 ? TIME_MS(1) : left > (int64_t)TIME_S(CLOCK_CHECK_S) ? TIME_S(CLOCK_CHECK_S) : (uint64_t)left;
        return now->mono_us + wait < at ? now->mono_us + wait : at;
}

void backend_tick(struct backend *b, const struct now *now)
{
        if (b->logout_until_us && now->mono_us >= b->logout_until_us)
                backend_finish_logout(b);
        backend_update_expiry(b, now);
        backend_update_state(b);
}
