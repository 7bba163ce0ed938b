/*
 * The auth loop (spec/control.md 10): until control knows our node key.
 *
 *   IDLE --goal--> FETCHES_KEY --server key--> REGISTERS --accepted--> IDLE
 *                       |                       |   ^
 *                       |        new key wanted +---+ URL to visit: register again,
 *                       v                       |     held by the server until visited
 *                   BACKS_OFF <----failure------+
 */
#include "control_internal.h"

static const char *state_name(enum auth_state s)
{
        switch (s) {
        case AUTH_IDLE: return "idle";
        case AUTH_FETCHES_KEY: return "fetches server key";
        case AUTH_REGISTERS: return "registers";
        case AUTH_BACKS_OFF: return "backs off";
        }
        return "";
}

static void enter(struct control_client *c, enum auth_state s)
{
        if (c->auth.state != s)
                log_debug(&control_log, "auth state changed", "from=\"%s\" to=\"%s\"", state_name(c->auth.state), state_name(s));
        c->auth.state = s;
}

static void set_login_state(struct control_client *c, enum control_login_state s)
{
        if (c->login_state == s)
                return;
        c->login_state = s;
        if (c->calls->login_changed)
                c->calls->login_changed(c->ctx, s);
}

static void keys_changed(struct control_client *c)
{
        if (c->calls->keys_changed)
                c->calls->keys_changed(c->ctx, &c->keys);
}

static void try_later(struct control_client *c, const struct now *now, const char *why)
{
        log_at(&control_log, c->auth.backoff.failures ? LOG_DEBUG : LOG_INFO, "login failed, will try again", "why=\"%s\"", why);
        enter(c, AUTH_BACKS_OFF);
        backoff_wait(c, &c->auth.backoff, now);
        control_problem(c, why);
}

static void refused(struct control_client *c, const struct now *now, const char *why)
{
        if (c->calls->refused)
                c->calls->refused(c->ctx, why);
        try_later(c, now, why);
}

static void fetch_key(struct control_client *c, const struct now *now)
{
        struct buf url = BUF_INIT(64);
        struct request_text rq = { .transport = CONTROL_PLAIN, .method = "GET" };

        enter(c, AUTH_FETCHES_KEY);
        buf_printf(&url, "/key?v=%d", TAILCFG_CAPVER);
        rq.url = buf_slice(&url);
        exchange_start(&c->auth.x, now, &rq, CONTROL_KEY_TIMEOUT_S);
        buf_fini(&url);
}

static bool self_key_is_out_of_time(const struct control_client *c, const struct now *now)
{
        const struct tailcfg_node *self = netmap_self(c->netmap);

        return self && self->key_expiry.set && self->key_expiry.unix_ns / 1000 <= now->unix_us;
}

static bool wants_pending_key(const struct control_client *c, const struct now *now)
{
        if (c->auth.goal != GOAL_LOGIN)
                return false;
        if (c->auth.followup.len || c->auth.needs_new_key)
                return true;
        return secret_is_zero(&c->keys.node) || self_key_is_out_of_time(c, now);
}

/* The key to register with. A new one is stored before control can hear of it. */
static const struct secret_key *choose_key(struct control_client *c, const struct now *now)
{
        c->auth.used_pending = wants_pending_key(c, now);
        if (!c->auth.used_pending)
                return &c->keys.node;
        if (secret_is_zero(&c->keys.pending)) {
                key_generate(c->rng, &c->keys.pending);
                keys_changed(c);
        }
        return &c->keys.pending;
}

enum { UNIX_LOGOUT_S = 123 }; /* the date that means "now" (spec/control.md 6.2) */

static void send_register(struct control_client *c, const struct now *now)
{
        struct auth_loop *a = &c->auth;
        struct tailcfg_hostinfo hostinfo = control_hostinfo(c);
        struct tailcfg_register_auth auth = { buf_slice(&a->auth_key) };
        struct tailcfg_register_request m = {
                .version = TAILCFG_CAPVER,
                .nl_key = c->nl_key,
                .auth = a->auth_key.len ? &auth : NULL,
                .followup = buf_slice(&a->followup),
                .hostinfo = &hostinfo,
                .ephemeral = c->is_ephemeral,
        };
        struct buf json = BUF_INIT(CONTROL_REQUEST_MAX);
        struct json_writer w;
        struct request_text rq = { .transport = CONTROL_NOISE, .method = "POST", .url = SLICE_LIT("/machine/register") };

        key_public(choose_key(c, now), &m.node_key);
        if (a->used_pending ? !secret_is_zero(&c->keys.node) : !secret_is_zero(&c->keys.old_node))
                key_public(a->used_pending ? &c->keys.node : &c->keys.old_node, &m.old_node_key);
        if (a->goal == GOAL_LOGOUT)
                m.expiry = tailcfg_time_ns(UNIX_LOGOUT_S * INT64_C(1000000000));
        else if (a->goal == GOAL_EXPIRE)
                m.expiry = tailcfg_time_ns(a->expire_at_ns);
        enter(c, AUTH_REGISTERS);
        json_writer_init(&w, &json, NULL);
        tailcfg_register_request_write(&w, &m);
        rq.body = buf_slice(&json);
        rq.node_key = &m.node_key;
        rq.old_node_key = &m.old_node_key;
        /* A followup is held by the server until somebody has visited the URL. */
        exchange_start(&a->x, now, &rq, a->followup.len ? 0 : CONTROL_REGISTER_TIMEOUT_S);
        buf_wipe(&json);
}

static void finish_logout(struct control_client *c)
{
        key_wipe(&c->keys, sizeof(c->keys));
        c->is_logged_in = false;
        c->auth.goal = GOAL_NONE;
        enter(c, AUTH_IDLE);
        backoff_reset(c, &c->auth.backoff);
        map_stop(c);
        update_stop(c);
        keys_changed(c);
        control_problem(c, "");
        set_login_state(c, CONTROL_LOGGED_OUT);
}

void auth_continue(struct control_client *c, const struct now *now)
{
        if (c->is_paused || c->auth.goal == GOAL_NONE || c->auth.state != AUTH_IDLE)
                return;
        if (c->auth.goal != GOAL_LOGIN && secret_is_zero(&c->keys.node))
                finish_logout(c); /* there is no key that control could know */
        else if (!c->has_server_key)
                fetch_key(c, now);
        else
                send_register(c, now);
}

static void key_arrived(struct control_client *c, const struct now *now)
{
        struct arena arena = ARENA_INIT(CONTROL_ANSWER_MAX);
        struct tailcfg_key_response m;
        struct diag d;
        enum err e = tailcfg_key_response_decode(buf_slice(&c->auth.x.body), &arena, &m);

        arena_fini(&arena);
        if (c->auth.x.status != 200) {
                exchange_refusal(&c->auth.x, &d);
                try_later(c, now, d.text);
        } else if (e || key_is_zero(&m.public_key)) {
                try_later(c, now, "this is no control server: its /key has no usable key");
        } else {
                c->server_key = m.public_key;
                c->has_server_key = true;
                send_register(c, now);
        }
}

/* Anything else could make the user's browser do more than open a page. */
static bool is_url_to_visit(const struct control_client *c, struct slice url)
{
        return slice_has_prefix(url, SLICE_LIT("https://")) ||
               (c->server_is_plain && slice_has_prefix(url, SLICE_LIT("http://")));
}

static void visit(struct control_client *c, const struct now *now, struct slice url)
{
        struct buf *known = &c->auth.followup;

        if (!is_url_to_visit(c, url)) {
                try_later(c, now, "the control server wants a page visited that is not https");
                return;
        }
        if (slice_equal(buf_slice(known), url)) { /* nobody has been there yet */
                enter(c, AUTH_BACKS_OFF);
                backoff_wait(c, &c->auth.backoff, now);
                return;
        }
        buf_clear(known);
        buf_append_slice(known, url);
        if (buf_status(known)) {
                buf_fini(known);
                try_later(c, now, "out of memory");
                return;
        }
        control_problem(c, "");
        set_login_state(c, CONTROL_WAITS_FOR_URL);
        if (c->calls->auth_url)
                c->calls->auth_url(c->ctx, url);
        if (exchange_is_idle(&c->auth.x) && c->auth.goal == GOAL_LOGIN && !c->is_paused)
                send_register(c, now);
}

static void new_key_wanted(struct control_client *c, const struct now *now)
{
        if (c->auth.used_pending) {
                key_wipe(&c->keys.pending, sizeof(c->keys.pending));
                try_later(c, now, "the control server calls a brand-new key expired");
                return;
        }
        c->auth.needs_new_key = true;
        send_register(c, now);
}

static void promote_pending_key(struct control_client *c)
{
        c->keys.old_node = c->keys.node;
        c->keys.node = c->keys.pending;
        key_wipe(&c->keys.pending, sizeof(c->keys.pending));
        keys_changed(c);
}

static void accepted(struct control_client *c, const struct now *now, const struct tailcfg_register_response *m)
{
        struct auth_loop *a = &c->auth;
        bool is_login = a->goal == GOAL_LOGIN;

        backoff_reset(c, &a->backoff);
        enter(c, AUTH_IDLE);
        control_problem(c, "");
        a->goal = GOAL_NONE;
        if (!is_login)
                return; /* the expiry was changed; news of it comes with the map */
        if (a->used_pending)
                promote_pending_key(c);
        a->needs_new_key = false;
        buf_fini(&a->followup);
        c->is_logged_in = true;
        c->update.is_dirty = true;
        log_info(&control_log, "logged in", "user=%.*s", SLICE_ARGS(m->login.login_name));
        if (c->calls->registered)
                c->calls->registered(c->ctx, m);
        set_login_state(c, CONTROL_LOGGED_IN);
        map_start(c, now);
        update_continue(c, now);
}

/* In the order of spec/control.md 6.3. */
static void judge(struct control_client *c, const struct now *now, const struct tailcfg_register_response *m)
{
        struct diag d;

        if (m->error.len) {
                diag_set(&d, ERR_DENIED, "%.*s", SLICE_ARGS(slice_first(m->error, sizeof(d.text) - 1)));
                refused(c, now, d.text);
        } else if (c->auth.goal == GOAL_LOGOUT) {
                finish_logout(c);
        } else if (c->auth.goal == GOAL_EXPIRE) {
                accepted(c, now, m);
        } else if (m->node_key_signature.len) {
                try_later(c, now, "this tailnet is locked, and signing a new key for it is not supported");
        } else if (m->node_key_expired) {
                new_key_wanted(c, now);
        } else if (m->auth_url.len) {
                visit(c, now, m->auth_url);
        } else {
                accepted(c, now, m);
        }
}

enum { RETRY_MIN_MS = 5000, RETRY_MAX_MS = 10000 };

static void too_many_requests(struct control_client *c, const struct now *now)
{
        uint64_t ms = c->auth.x.retry_after_s * 1000;

        if (!ms)
                ms = rng_between(c->rng, RETRY_MIN_MS, RETRY_MAX_MS);
        enter(c, AUTH_BACKS_OFF);
        timer_arm(&c->timers, &c->auth.backoff.timer, now->mono_us + TIME_MS(ms));
        control_problem(c, "the control server is busy and asks to wait");
}

static void register_answered(struct control_client *c, const struct now *now)
{
        struct arena arena = ARENA_INIT(4 * CONTROL_ANSWER_MAX);
        struct tailcfg_register_response m;
        struct diag d;

        if (c->auth.x.status == 429) {
                too_many_requests(c, now);
        } else if (c->auth.x.status != 200) {
                exchange_refusal(&c->auth.x, &d);
                if (c->auth.x.status / 100 == 4)
                        refused(c, now, d.text);
                else
                        try_later(c, now, d.text);
        } else if (tailcfg_register_response_decode(buf_slice(&c->auth.x.body), &arena, &m)) {
                try_later(c, now, "the control server's answer to the login makes no sense");
        } else {
                judge(c, now, &m);
        }
        arena_fini(&arena);
}

static void on_end(struct exchange *x, const struct now *now, enum err e, const char *why)
{
        struct control_client *c = x->client;

        if (e)
                try_later(c, now, why);
        else if (c->auth.state == AUTH_FETCHES_KEY)
                key_arrived(c, now);
        else
                register_answered(c, now);
}

static void backoff_over(struct timer *t, const struct now *now)
{
        struct control_client *c = container_of(t, struct control_client, auth.backoff.timer);

        enter(c, AUTH_IDLE);
        auth_continue(c, now);
}

void auth_init(struct control_client *c)
{
        control_exchange_init(&c->auth.x, c, on_end);
        backoff_init(&c->auth.backoff, backoff_over);
        buf_init(&c->auth.followup, CONTROL_ANSWER_MAX);
        buf_init(&c->auth.auth_key, CONTROL_ANSWER_MAX);
}

void auth_stop(struct control_client *c)
{
        exchange_cancel(&c->auth.x);
        timer_cancel(&c->timers, &c->auth.backoff.timer);
        enter(c, AUTH_IDLE);
}

void auth_fini(struct control_client *c)
{
        auth_stop(c);
        control_exchange_fini(&c->auth.x);
        buf_fini(&c->auth.followup);
        buf_wipe(&c->auth.auth_key);
}

/* A new goal ends whatever the three loops are doing. */
static void set_goal(struct control_client *c, const struct now *now, enum auth_goal goal)
{
        auth_stop(c);
        backoff_reset(c, &c->auth.backoff);
        buf_fini(&c->auth.followup);
        c->auth.goal = goal;
        auth_continue(c, now);
}

void control_client_login(struct control_client *c, const struct now *now, unsigned flags, const char *auth_key)
{
        struct slice key = slice_str(auth_key);
        struct slice lock_suffix = SLICE_LIT("--TL");

        for (size_t i = 0; i + lock_suffix.len <= key.len; i++) {
                if (slice_has_prefix(slice_after(key, i), lock_suffix))
                        key = slice_first(key, i);
        }
        buf_wipe(&c->auth.auth_key);
        buf_append_slice(&c->auth.auth_key, slice_trim(key));
        c->auth.needs_new_key = (flags & CONTROL_LOGIN_INTERACTIVE) != 0;
        c->is_logged_in = false;
        map_stop(c);
        update_stop(c);
        set_login_state(c, CONTROL_LOGGING_IN);
        set_goal(c, now, GOAL_LOGIN);
}

void control_client_logout(struct control_client *c, const struct now *now)
{
        set_goal(c, now, GOAL_LOGOUT);
}

void control_client_expire_at(struct control_client *c, const struct now *now, int64_t unix_ns)
{
        c->auth.expire_at_ns = unix_ns;
        set_goal(c, now, GOAL_EXPIRE);
}
