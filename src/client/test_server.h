/*
 * For tests: a control client on virtual time against a server that is a few lines of
 * this file. Requests are kept as they are sent; a test answers them by URL.
 */
#ifndef CLIENT_TEST_SERVER_H
#define CLIENT_TEST_SERVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "client/control.h"
#include "proto/map_frame.h"

#define HEX64(d) d d d d d d d d d d d d d d d d /* d: four digits */
#define SERVER_KEY "{\"legacyPublicKey\":\"mkey:" HEX64("0000") "\",\"publicKey\":\"mkey:" HEX64("5e01") "\"}"
#define SELF "\"Node\":{\"ID\":1,\"Name\":\"a.b.\",\"Key\":\"nodekey:" HEX64("0001") "\",\"Addresses\":[\"100.64.0.1/32\"]}"
#define ANSWER(members) "{\"User\":{},\"Login\":{\"LoginName\":\"alice\"},\"MachineAuthorized\":true" members "}"

struct sent {
        uint64_t id;
        enum control_transport transport;
        char method[8], url[100], body[2000];
        bool cancelled;
};

static struct sent sent[200]; /* every request, in order */
static size_t sent_count;
static struct control_client *c;
static struct netmap *netmap;
static struct rng_seeded rng;
static struct now now;

static enum control_login_state login_state;
static char auth_url[100], problem[300], user[50], popped[50];
static struct control_keys stored;
static unsigned stores, netmaps, polls_up, polls_down;
static struct netmap_changes last_changes;
static uint64_t asked_ping;

static inline void wire_request(void *ctx, const struct control_request *rq)
{
        struct sent *s = &sent[sent_count++ % 200];

        (void)ctx;
        s->id = rq->id;
        s->transport = rq->transport;
        s->cancelled = false;
        snprintf(s->method, sizeof(s->method), "%s", rq->method);
        snprintf(s->url, sizeof(s->url), "%.*s", SLICE_ARGS(rq->url));
        snprintf(s->body, sizeof(s->body), "%.*s", SLICE_ARGS(rq->body));
}

static inline void wire_cancel(void *ctx, uint64_t id)
{
        (void)ctx;
        for (size_t i = 0; i < sent_count; i++) {
                if (sent[i].id == id)
                        sent[i].cancelled = true;
        }
}

static const struct control_wire wire = { wire_request, wire_cancel };

static inline void on_login(void *ctx, enum control_login_state state)
{
        (void)ctx;
        login_state = state;
}

static inline void on_auth_url(void *ctx, struct slice url)
{
        (void)ctx;
        snprintf(auth_url, sizeof(auth_url), "%.*s", SLICE_ARGS(url));
}

static inline void on_keys(void *ctx, const struct control_keys *keys)
{
        (void)ctx;
        stored = *keys;
        stores++;
}

static inline void on_registered(void *ctx, const struct tailcfg_register_response *r)
{
        (void)ctx;
        snprintf(user, sizeof(user), "%.*s", SLICE_ARGS(r->login.login_name));
}

static inline void on_problem(void *ctx, const char *text)
{
        (void)ctx;
        snprintf(problem, sizeof(problem), "%s", text);
}

static inline void on_netmap(void *ctx, const struct netmap_changes *changes)
{
        (void)ctx;
        last_changes = *changes;
        netmaps++;
}

static inline void on_poll(void *ctx, bool is_up)
{
        (void)ctx;
        polls_up += is_up;
        polls_down += !is_up;
}

static inline void on_pop(void *ctx, struct slice url)
{
        (void)ctx;
        snprintf(popped, sizeof(popped), "%.*s", SLICE_ARGS(url));
}

static inline void on_ping(void *ctx, uint64_t id, struct slice type, const struct ip_addr *ip)
{
        (void)ctx;
        (void)ip;
        assert_true(slice_is(type, "disco") || slice_is(type, "TSMP"));
        asked_ping = id;
}

static const struct control_calls calls = {
        .login_changed = on_login,
        .auth_url = on_auth_url,
        .keys_changed = on_keys,
        .registered = on_registered,
        .problem = on_problem,
        .netmap_changed = on_netmap,
        .poll_changed = on_poll,
        .pop_browser = on_pop,
        .ping = on_ping,
};

static inline struct control_client *create(const struct control_keys *keys)
{
        const struct control_config config = {
                .server_url = "https://control.example",
                .calls = &calls,
                .wire = &wire,
                .rng = &rng.rng,
                .netmap = netmap,
                .keys = *keys,
        };

        return control_client_new(&config);
}

static inline int set_up(void **state)
{
        const struct control_keys none = { 0 };

        (void)state;
        sent_count = 0;
        stores = netmaps = polls_up = polls_down = 0;
        login_state = CONTROL_LOGGED_OUT;
        auth_url[0] = problem[0] = user[0] = popped[0] = '\0';
        stored = none;
        now = (struct now){ .mono_us = TIME_S(1000), .unix_us = INT64_C(1767225600000000) };
        rng_seed(&rng, 7);
        netmap = netmap_new();
        c = create(&none);
        return 0;
}

static inline int tear_down(void **state)
{
        (void)state;
        control_client_free(c);
        netmap_free(netmap);
        return 0;
}

/* The last request to that URL that is still open; fails the test if there is none. */
static inline struct sent *open_request(const char *url)
{
        for (size_t i = sent_count; i-- > 0;) {
                if (!strcmp(sent[i].url, url) && !sent[i].cancelled && sent[i].id)
                        return &sent[i];
        }
        print_error("no open request to %s\n", url);
        fail();
        return NULL;
}

static inline bool is_open(const char *url)
{
        for (size_t i = 0; i < sent_count; i++) {
                if (!strcmp(sent[i].url, url) && !sent[i].cancelled && sent[i].id)
                        return true;
        }
        return false;
}

static inline size_t count(const char *url)
{
        size_t n = 0;

        for (size_t i = 0; i < sent_count; i++)
                n += !strcmp(sent[i].url, url);
        return n;
}

static inline void answer_with(const char *url, unsigned status, const char *retry_after, const char *body)
{
        struct sent *s = open_request(url);
        uint64_t id = s->id;

        s->id = 0;
        control_client_response(c, &now, id, status, slice_str(retry_after));
        control_client_body(c, &now, id, slice_str(body));
        control_client_end(c, &now, id, OK, NULL);
}

static inline void answer(const char *url, const char *body)
{
        answer_with(url, 200, NULL, body);
}

static inline void fail_request(const char *url, enum err e)
{
        struct sent *s = open_request(url);
        uint64_t id = s->id;

        s->id = 0;
        control_client_end(c, &now, id, e, "no way");
}

static inline struct sent *open_poll(void)
{
        for (size_t i = sent_count; i-- > 0;) {
                if (sent[i].id && !sent[i].cancelled && strstr(sent[i].body, "\"Stream\":true"))
                        return &sent[i];
        }
        return NULL;
}

static inline struct sent *open_update(void)
{
        for (size_t i = sent_count; i-- > 0;) {
                if (sent[i].id && !sent[i].cancelled && strstr(sent[i].body, "\"OmitPeers\":true"))
                        return &sent[i];
        }
        return NULL;
}

static inline bool says(const struct sent *s, const char *text)
{
        return s && strstr(s->body, text);
}

/* A map message on the open poll. */
static inline void tell(const char *json)
{
        struct buf frame = BUF_INIT(1 << 16);
        uint64_t id = open_poll()->id;

        assert_int_equal(map_frame_write(slice_str(json), &frame), OK);
        control_client_body(c, &now, id, buf_slice(&frame));
        buf_fini(&frame);
}

static inline void begin_poll(void)
{
        assert_non_null(open_poll());
        control_client_response(c, &now, open_poll()->id, 200, slice_str(NULL));
}

/* Lets time pass up to the client's next deadline; returns how long. */
static inline uint64_t wait_for_deadline(void)
{
        uint64_t at = control_client_next(c), waited;

        assert_true(at != TIME_NEVER);
        waited = at > now.mono_us ? at - now.mono_us : 0;
        now.mono_us += waited;
        now.unix_us += (int64_t)waited;
        control_client_run(c, &now);
        return waited;
}

static inline void log_in(void)
{
        control_client_login(c, &now, 0, "tskey-1--TLsuffix");
        answer("/key?v=119", SERVER_KEY);
        answer("/machine/register", ANSWER(""));
        assert_int_equal(login_state, CONTROL_LOGGED_IN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
