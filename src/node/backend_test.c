/* The backend with a control server played by the test. */
#include "test_util.h"

#include "node/localapi.h"

struct world {
        struct rng_seeded rng;
        struct state_map state;
        struct backend *b;
        struct now now;
        unsigned started, stopped, logins, logouts, saved, applied;
        unsigned flags;
        char auth_key[64];
        bool paused;
        struct netmap *netmap;
        struct control_keys keys;
        struct buf bus;
        unsigned mask;
};

static void on_start(void *ctx, const struct backend_control *c)
{
        struct world *w = ctx;
        w->started++;
        w->netmap = c->netmap;
        w->keys = c->keys;
}
static void on_stop(void *ctx) { ((struct world *)ctx)->stopped++; }
static void on_login(void *ctx, unsigned flags, const char *auth_key)
{
        struct world *w = ctx;
        w->logins++;
        w->flags = flags;
        snprintf(w->auth_key, sizeof w->auth_key, "%s", auth_key);
}
static void on_logout(void *ctx) { ((struct world *)ctx)->logouts++; }
static void on_pause(void *ctx, bool paused) { ((struct world *)ctx)->paused = paused; }
static void on_hostinfo(void *ctx) { (void)ctx; }
static void on_apply(void *ctx, const struct netmap_changes *c) { (void)c; ((struct world *)ctx)->applied++; }
static void on_save(void *ctx)
{
        struct world *w = ctx;
        w->saved++;
        w->state.dirty = false;
}
static bool on_load_cache(void *ctx, const char *id, struct netmap *nm)
{
        (void)ctx; (void)id; (void)nm;
        return true;
}
static void on_save_cache(void *ctx, const char *id, const struct netmap *nm, const struct netmap_changes *c)
{
        (void)ctx; (void)id; (void)nm; (void)c;
}
static void on_notify(void *ctx, const struct notify *n)
{
        struct world *w = ctx;
        localapi_message(n, w->mask, &w->bus);
}
static void on_fill_peer(void *ctx, const struct tailcfg_node *n, struct arena *a, struct status_peer *p)
{
        (void)ctx; (void)n; (void)a; (void)p;
}
static void on_fill_self(void *ctx, struct arena *a, struct status_peer *p) { (void)ctx; (void)a; (void)p; }

static const struct backend_ops ops = {
        on_start, on_stop, on_login, on_logout, on_pause, on_hostinfo, on_apply, on_save, on_load_cache, on_save_cache,
        on_notify, on_fill_peer, on_fill_self,
};

static void open_backend(struct world *w)
{
        const struct backend_config config = {
                .ops = &ops, .ctx = w, .rng = &w->rng.rng, .state = &w->state, .host = { .hostname = "box" },
        };
        struct diag diag;
        assert_int_equal(backend_new(&config, &w->b, &diag), OK);
        backend_run_first(w->b, &w->now);
}

static int setup(void **state)
{
        struct world *w = test_calloc(1, sizeof *w);
        rng_seed(&w->rng, 7);
        state_map_init(&w->state);
        w->bus = BUF_INIT(1 << 20);
        w->now = (struct now){ TIME_S(100), 1790000000000000 };
        open_backend(w);
        *state = w;
        return 0;
}

static int teardown(void **state)
{
        struct world *w = *state;
        backend_free(w->b);
        state_map_fini(&w->state);
        buf_fini(&w->bus);
        test_free(w);
        return 0;
}

/* `weft up --auth-key`, up to the answer of control. */
static void up(struct world *w)
{
        struct prefs p;
        struct diag diag;
        struct control_keys keys = { 0 };

        prefs_init(&p);
        p.want_running = true;
        assert_int_equal(backend_start(w->b, &p, SLICE_LIT("hskey-1"), &w->now, &diag), OK);
        prefs_fini(&p);
        assert_int_equal(w->logins, 0); /* no key yet: login-interactive follows */
        backend_login_interactive(w->b, &w->now);
        assert_int_equal(w->logins, 1);
        assert_string_equal(w->auth_key, "hskey-1");
        key_generate(&w->rng.rng, &keys.node);
        backend_control_keys(w->b, &keys, &w->now);
        backend_control_login_changed(w->b, CONTROL_LOGGED_IN, &w->now);
}

static void feed_map(struct world *w, const char *json)
{
        struct arena arena = ARENA_INIT(1 << 20);
        const struct netmap_changes *changes;
        struct tailcfg_map_response m;

        assert_int_equal(tailcfg_map_response_decode(slice_str(json), &arena, &m), OK);
        assert_int_equal(netmap_apply(w->netmap, &m, &w->now, &changes), OK);
        backend_control_netmap(w->b, changes, &w->now);
        arena_fini(&arena);
}

static const char first_map[] =
        "{\"Node\":{\"ID\":1,\"StableID\":\"n1\",\"Name\":\"box.example.net.\",\"User\":5,"
        "\"Key\":\"nodekey:2222222222222222222222222222222222222222222222222222222222222222\","
        "\"Addresses\":[\"100.64.0.1/32\"],\"AllowedIPs\":[\"100.64.0.1/32\"],\"MachineAuthorized\":true,"
        "\"KeyExpiry\":\"2026-12-01T00:00:00Z\"},"
        "\"Peers\":[{\"ID\":2,\"StableID\":\"n2\",\"Name\":\"other.example.net.\",\"User\":5,"
        "\"Key\":\"nodekey:3333333333333333333333333333333333333333333333333333333333333333\","
        "\"Addresses\":[\"100.64.0.2/32\"],\"AllowedIPs\":[\"100.64.0.2/32\"],\"MachineAuthorized\":true,\"Online\":true}],"
        "\"Domain\":\"example.net\",\"UserProfiles\":[{\"ID\":5,\"LoginName\":\"ann@example.net\",\"DisplayName\":\"Ann\"}]}";

static void a_fresh_node_needs_login(void **state)
{
        struct world *w = *state;

        assert_int_equal(backend_state(w->b), IPN_NEEDS_LOGIN);
        assert_int_equal(w->started, 0);
        assert_true(w->saved > 0); /* the machine key is on disk */
        assert_true(state_map_has(&w->state, "_machinekey"));
}

static void login_goes_through_starting_to_running(void **state)
{
        struct world *w = *state;

        up(w);
        assert_true(state_map_has(&w->state, "_profiles")); /* the key is kept at once */
        feed_map(w, first_map);
        assert_int_equal(backend_state(w->b), IPN_STARTING);
        backend_set_live(w->b, 0, 1, &w->now);
        assert_int_equal(backend_state(w->b), IPN_RUNNING);
        assert_slice(backend_profiles(w->b)->current.login_name, "ann@example.net");
        assert_non_null(strstr(buf_cstr(&w->bus), "\"State\":6"));
        assert_non_null(strstr(buf_cstr(&w->bus), "\"LoginFinished\":{}"));
        assert_null(strstr(buf_cstr(&w->bus), "PeersChanged"));
}

static void a_restart_goes_on_with_the_same_key(void **state)
{
        struct world *w = *state;
        struct public_key before, after;

        up(w);
        feed_map(w, first_map);
        key_public(&backend_prefs(w->b)->persist.node_key, &before);
        backend_free(w->b);
        w->logins = 0;
        open_backend(w);
        key_public(&backend_prefs(w->b)->persist.node_key, &after);
        assert_true(key_equal(&before, &after));
        assert_int_equal(w->logins, 1);
        assert_int_equal(w->flags, 0);
        assert_true(backend_prefs(w->b)->want_running);
}

/* Killed between register and its answer: the key may be known to control already. */
static void a_key_that_waits_for_its_answer_is_kept(void **state)
{
        struct world *w = *state;
        struct control_keys keys = { 0 };
        struct prefs p;
        struct diag diag;

        prefs_init(&p);
        p.want_running = true;
        assert_int_equal(backend_start(w->b, &p, SLICE_LIT("hskey-1"), &w->now, &diag), OK);
        prefs_fini(&p);
        backend_login_interactive(w->b, &w->now);
        key_generate(&w->rng.rng, &keys.pending);
        backend_control_keys(w->b, &keys, &w->now);
        backend_free(w->b);
        w->logins = 0;
        open_backend(w);
        assert_int_equal(w->logins, 1);
        assert_memory_equal(&w->keys.pending, &keys.pending, sizeof keys.pending);
}

static void down_and_up_again(void **state)
{
        struct world *w = *state;
        struct prefs edit;
        struct diag diag;

        up(w);
        feed_map(w, first_map);
        prefs_init(&edit);
        assert_int_equal(backend_edit_prefs(w->b, &edit, prefs_mask_bit("WantRunning"), &w->now, &diag), OK);
        assert_int_equal(backend_state(w->b), IPN_STOPPED);
        assert_true(w->paused);
        assert_false(backend_wants_engine(w->b));
        edit.want_running = true;
        assert_int_equal(backend_edit_prefs(w->b, &edit, prefs_mask_bit("WantRunning"), &w->now, &diag), OK);
        assert_false(w->paused);
        assert_int_equal(backend_state(w->b), IPN_STARTING);
        prefs_fini(&edit);
}

static void without_sync_control_is_left_alone_until_the_logout(void **state)
{
        struct world *w = *state;
        struct prefs edit;
        struct diag diag;

        up(w);
        feed_map(w, first_map);
        prefs_init(&edit);
        edit.sync = TRI_FALSE;
        assert_int_equal(backend_edit_prefs(w->b, &edit, prefs_mask_bit("Sync"), &w->now, &diag), OK);
        assert_true(w->paused);
        assert_true(backend_wants_engine(w->b));
        assert_non_null(strstr(backend_warning(w->b, WARN_SYNC), "--sync"));
        edit.sync = TRI_TRUE;
        assert_int_equal(backend_edit_prefs(w->b, &edit, prefs_mask_bit("Sync"), &w->now, &diag), OK);
        assert_false(w->paused);
        assert_null(backend_warning(w->b, WARN_SYNC));
        edit.sync = TRI_FALSE;
        assert_int_equal(backend_edit_prefs(w->b, &edit, prefs_mask_bit("Sync"), &w->now, &diag), OK);
        backend_logout(w->b, &w->now);
        backend_tick(w->b, &w->now);
        assert_false(w->paused);
        assert_int_equal(w->logouts, 1);
        prefs_fini(&edit);
}

static void an_expired_key_asks_for_login(void **state)
{
        struct world *w = *state;

        up(w);
        feed_map(w, first_map);
        feed_map(w, "{\"ControlTime\":\"2020-08-03T00:00:01Z\"}"); /* the official server for tests says so */
        assert_true(backend_deadline(w->b, &w->now) != TIME_NEVER);
        w->now.unix_us += 365ll * 86400 * 1000000;
        backend_tick(w->b, &w->now);
        assert_int_equal(backend_state(w->b), IPN_NEEDS_LOGIN);
        assert_false(backend_wants_engine(w->b));
}

static void an_auth_url_reaches_the_bus(void **state)
{
        struct world *w = *state;

        backend_login_interactive(w->b, &w->now);
        assert_int_equal(w->flags, CONTROL_LOGIN_INTERACTIVE);
        backend_control_login_changed(w->b, CONTROL_WAITS_FOR_URL, &w->now);
        backend_control_auth_url(w->b, SLICE_LIT("https://c/register/x"), &w->now);
        assert_non_null(strstr(buf_cstr(&w->bus), "\"BrowseToURL\":\"https://c/register/x\""));
        buf_clear(&w->bus);
        backend_login_interactive(w->b, &w->now); /* asked again: told again */
        assert_non_null(strstr(buf_cstr(&w->bus), "https://c/register/x"));
        assert_int_equal(w->logins, 1);
        backend_control_problem(w->b, "no route", &w->now); /* it may pass */
        assert_null(strstr(buf_cstr(&w->bus), "ErrMessage\":\"no route"));
        w->now.mono_us += TIME_S(TROUBLE_PATIENCE_S);
        backend_control_problem(w->b, "no route", &w->now);
        assert_non_null(strstr(buf_cstr(&w->bus), "\"ErrMessage\":\"no route; is https://"));
        backend_control_refused(w->b, "auth key is used up");
        assert_non_null(strstr(buf_cstr(&w->bus), "\"ErrMessage\":\"auth key is used up\""));
}

static void logout_waits_for_control_but_not_for_ever(void **state)
{
        struct world *w = *state;

        up(w);
        feed_map(w, first_map);
        backend_logout(w->b, &w->now);
        assert_int_equal(w->logouts, 1);
        assert_true(backend_is_logging_out(w->b));
        w->now.mono_us = backend_deadline(w->b, &w->now);
        backend_tick(w->b, &w->now);
        assert_false(backend_is_logging_out(w->b));
        assert_int_equal(backend_state(w->b), IPN_NEEDS_LOGIN);
        assert_false(backend_has_node_key(w->b));
        assert_int_equal(backend_profiles(w->b)->count, 0);
        assert_true(state_map_has(&w->state, "_machinekey"));
}

/* ---- LocalAPI on top --------------------------------------------------------------- */

struct ask {
        const char *method, *path, *query_name, *query_value, *body;
        bool read_only, no_rights;
};

static bool query(void *ctx, const char *name, struct slice *value)
{
        const struct ask *a = ctx;

        if (!a->query_name || strcmp(a->query_name, name) != 0)
                return false;
        *value = slice_str(a->query_value);
        return true;
}

static void ask(struct world *w, const struct ask *a, struct localapi_reply *out)
{
        const struct localapi_request rq = {
                .method = slice_str(a->method), .path = slice_str(a->path), .host = SLICE_LIT("local-tailscaled.sock"),
                .body = slice_str(a->body), .may_read = !a->no_rights, .may_write = !a->read_only && !a->no_rights,
                .query = query, .query_ctx = (void *)(uintptr_t)a,
        };
        localapi_handle(w->b, &rq, &w->now, out);
}

static void endpoints_answer_as_they_should(void **state)
{
        static const struct {
                struct ask a;
                unsigned status;
                const char *says;
        } cases[] = {
                { { .method = "GET", .path = "/localapi/v0/status" }, 200, "\"BackendState\": \"Starting\"" },
                { { .method = "GET", .path = "/localapi/v0/status" }, 200, "\"LoginName\": \"ann@example.net\"" },
                { { .method = "POST", .path = "/localapi/v0/status" }, 405, "" },
                { { .method = "GET", .path = "/localapi/v0/nothing" }, 404, "" },
                { { .method = "GET", .path = "/" }, 404, "" },
                { { .method = "GET", .path = "/server-status" }, 200, "{}" },
                { { .method = "GET", .path = "/localapi/v0/prefs" }, 200, "privkey:0000" },
                { { .method = "PATCH", .path = "/localapi/v0/prefs", .body = "{\"ShieldsUp\":true,\"ShieldsUpSet\":true}" },
                  200, "\"ShieldsUp\": true" },
                { { .method = "PATCH", .path = "/localapi/v0/prefs", .body = "{", .read_only = true }, 403, "access denied" },
                { { .method = "PATCH", .path = "/localapi/v0/prefs", .body = "{" }, 400, "\"Error\"" },
                { { .method = "POST", .path = "/localapi/v0/check-prefs", .body = "{\"RunSSH\":true}" }, 200, "\"Error\"" },
                { { .method = "POST", .path = "/localapi/v0/check-prefs", .body = "{}" }, 200, "{}" },
                { { .method = "POST", .path = "/localapi/v0/start", .body = "[]" }, 400, "invalid JSON" },
                { { .method = "GET", .path = "/localapi/v0/whois", .query_name = "addr", .query_value = "100.64.0.2:443" },
                  200, "other.example.net." },
                { { .method = "GET", .path = "/localapi/v0/whois", .query_name = "addr", .query_value = "100.64.0.9" }, 404, "" },
                { { .method = "GET", .path = "/localapi/v0/whois", .query_name = "addr", .query_value = "x" }, 400, "" },
                { { .method = "GET", .path = "/localapi/v0/whois", .no_rights = true }, 403, "" },
                { { .method = "GET", .path = "/localapi/v0/watch-ipn-bus", .query_name = "mask", .query_value = "4352" }, 400, "" },
                { { .method = "GET", .path = "/localapi/v0/profiles/" }, 200, "\"NodeID\":\"n1\"" },
                { { .method = "GET", .path = "/localapi/v0/profiles/current" }, 200, "\"NodeID\":\"n1\"" },
                { { .method = "GET", .path = "/localapi/v0/profiles/zzzz" }, 404, "" },
                { { .method = "GET", .path = "/localapi/v0/derpmap" }, 200, "null" },
                { { .method = "POST", .path = "/localapi/v0/ping", .query_name = "ip", .query_value = "nonsense" }, 400, "" },
        };
        struct world *w = *state;
        struct localapi_reply reply;

        up(w);
        feed_map(w, first_map);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                ask(w, &cases[i].a, &reply);
                if (reply.status != cases[i].status || !strstr(buf_cstr(&reply.body), cases[i].says))
                        fail_msg("case %zu: %u %s", i, reply.status, buf_cstr(&reply.body));
                localapi_reply_fini(&reply);
        }
}

static void browsers_are_refused(void **state)
{
        struct world *w = *state;
        struct localapi_request rq = { .method = SLICE_LIT("GET"), .path = SLICE_LIT("/localapi/v0/status"),
                .may_read = true, .may_write = true, .host = SLICE_LIT("evil.example") };
        struct localapi_reply reply;

        localapi_handle(w->b, &rq, &w->now, &reply);
        assert_int_equal(reply.status, 403);
        localapi_reply_fini(&reply);
        rq.host = (struct slice){ 0 };
        rq.has_origin = true;
        localapi_handle(w->b, &rq, &w->now, &reply);
        assert_int_equal(reply.status, 403);
        localapi_reply_fini(&reply);
}

static void the_first_message_follows_the_mask(void **state)
{
        struct world *w = *state;
        struct buf out = BUF_INIT(1 << 20);

        assert_false(localapi_first_message(w->b, 0, "s", &w->now, &out));
        assert_true(localapi_first_message(w->b, WATCH_INITIAL_STATE | WATCH_INITIAL_PREFS, "s", &w->now, &out));
        assert_non_null(strstr(buf_cstr(&out), "\"SessionID\":\"s\",\"ErrMessage\":null,\"LoginFinished\":null,\"State\":2"));
        assert_non_null(strstr(buf_cstr(&out), "\"NetMap\":null,\"Engine\":null,\"BrowseToURL\":null"));
        buf_fini(&out);
}

static void a_status_reads_back(void **state)
{
        static const struct ask a = { .method = "GET", .path = "/localapi/v0/status" };
        struct arena arena = ARENA_INIT(1 << 20);
        struct world *w = *state;
        struct localapi_reply reply;
        struct status s;

        up(w);
        feed_map(w, first_map);
        ask(w, &a, &reply);
        assert_int_equal(status_decode(buf_slice(&reply.body), &arena, &s), OK);
        assert_int_equal(s.peers.count, 1);
        assert_slice(s.peers.items[0].dns_name, "other.example.net.");
        assert_true(s.peers.items[0].online);
        assert_int_equal(s.self.ips.count, 1);
        assert_slice(s.magic_dns_suffix, "example.net");
        assert_int_equal(s.users.count, 1);
        struct buf again = BUF_INIT(1 << 20);
        struct json_writer writer;
        json_writer_init(&writer, &again, "\t");
        status_write(&writer, &s);
        assert_slice(slice_trim(buf_slice(&reply.body)), buf_cstr(&again));
        buf_fini(&again);
        localapi_reply_fini(&reply);
        arena_fini(&arena);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(a_fresh_node_needs_login),
                CASE(login_goes_through_starting_to_running),
                CASE(a_restart_goes_on_with_the_same_key),
                CASE(a_key_that_waits_for_its_answer_is_kept),
                CASE(down_and_up_again),
                CASE(without_sync_control_is_left_alone_until_the_logout),
                CASE(an_expired_key_asks_for_login),
                CASE(an_auth_url_reaches_the_bus),
                CASE(logout_waits_for_control_but_not_for_ever),
                CASE(endpoints_answer_as_they_should),
                CASE(browsers_are_refused),
                CASE(the_first_message_follows_the_mask),
                CASE(a_status_reads_back),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
