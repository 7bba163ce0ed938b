/* What the tests of the engine share: virtual time, a store whose disk obeys, fake
 * clients that register and poll, and an administrator. Included once per test. */
#ifndef SERVER_TEST_WORLD_H
#define SERVER_TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/server.h"
#include "state.h"
#include "store/memory.h"

struct world {
        struct server_settings settings;
        struct store *store;
        struct rng_seeded rng;
        struct now now;
        struct server *server;
};

struct client {
        struct server_call call;
        struct public_key machine, node_key;
        struct world *world;
        const char *hostinfo;
        int status;        /* of the last reply, 0: none yet */
        struct buf body;   /* of the last reply */
        struct buf stream; /* JSON of all messages, one a line */
        unsigned messages, keepalives;
        bool open, ended, full; /* full: refuses to take more */
};

static void on_reply(struct server_call *call, const struct server_reply *reply)
{
        struct client *c = container_of(call, struct client, call);

        c->status = reply->status;
        buf_clear(&c->body);
        buf_append_slice(&c->body, reply->body);
}

static void on_begin(struct server_call *call) { container_of(call, struct client, call)->open = true; }

static bool on_send(struct server_call *call, struct server_message *m)
{
        struct client *c = container_of(call, struct client, call);

        assert_true(m->len >= 4);
        assert_int_equal(get_le32(m->bytes), m->len - 4);
        if (slice_is(slice_make(m->bytes + 4, m->len - 4), "{\"KeepAlive\":true}")) {
                c->keepalives++;
                return !c->full;
        }
        buf_append(&c->stream, m->bytes + 4, m->len - 4);
        buf_append_byte(&c->stream, '\n');
        c->messages++;
        return !c->full;
}

static void on_end(struct server_call *call)
{
        struct client *c = container_of(call, struct client, call);

        c->open = false;
        c->ended = true;
}

static const struct server_call_ops client_ops = { on_reply, on_begin, on_send, on_end };

static inline void world_boot(struct world *w)
{
        struct diag diag;

        w->server = server_new(&w->settings, w->store, &w->rng.rng, &w->now, &diag);
        assert_non_null(w->server);
}

static inline void world_init(struct world *w)
{
        *w = (struct world){ .settings = SERVER_SETTINGS_DEFAULT, .now = { TIME_S(100), 1767225600000000 } };
        w->settings.server_url = SLICE_LIT("http://control.test:8080");
        w->settings.base_domain = SLICE_LIT("example.net");
        assert_int_equal(ip_prefix_parse(SLICE_LIT("100.64.0.0/10"), &w->settings.prefix_v4), OK);
        assert_int_equal(ip_prefix_parse(SLICE_LIT("fd7a:115c:a1e0::/48"), &w->settings.prefix_v6), OK);
        rng_seed(&w->rng, 1);
        w->store = store_memory_new();
        world_boot(w);
}

static inline void world_fini(struct world *w)
{
        server_free(w->server);
        store_close(w->store);
}

/* The disk catches up. */
static inline void world_sync(struct world *w)
{
        store_memory_sync(w->store, SIZE_MAX);
        server_store_ready(w->server, &w->now);
}

/* Time passes; the disk is quick. */
static inline void world_pass(struct world *w, uint64_t us)
{
        uint64_t end = w->now.mono_us + us;

        world_sync(w);
        for (uint64_t at; (at = server_deadline(w->server)) <= end;) {
                if (at > w->now.mono_us) {
                        w->now.unix_us += (int64_t)(at - w->now.mono_us);
                        w->now.mono_us = at;
                }
                server_run(w->server, &w->now);
                world_sync(w);
        }
        w->now.unix_us += (int64_t)(end - w->now.mono_us);
        w->now.mono_us = end;
}

/* Power off before the disk caught up, then start again. */
static inline void world_crash(struct world *w)
{
        store_memory_crash(w->store);
        server_free(w->server);
        store_memory_crash(w->store); /* nor does the way down write anything */
        world_boot(w);
}

static inline void client_init(struct client *c, struct world *w, uint8_t number)
{
        *c = (struct client){ .call = { .ops = &client_ops },
                .world = w,
                .hostinfo = "{\"OS\":\"linux\",\"Hostname\":\"pc\"}",
                .body = BUF_INIT(1 << 20),
                .stream = BUF_INIT(8 << 20) };
        c->machine.b[0] = number;
        c->node_key.b[0] = number;
        c->node_key.b[1] = 1;
}

static inline void client_fini(struct client *c)
{
        buf_fini(&c->body);
        buf_fini(&c->stream);
}

static inline void client_reset(struct client *c)
{
        c->call = (struct server_call){ .ops = &client_ops };
        c->status = 0;
        c->ended = false;
}

static inline bool has(struct buf *b, const char *text) { return strstr(buf_cstr(b), text) != NULL; }

/* extra: members of the request, each followed by a comma, or "". */
static inline void client_register(struct client *c, const char *extra)
{
        char key[KEY_TEXT_MAX], body[2048];

        client_reset(c);
        key_format("nodekey:", &c->node_key, key);
        snprintf(body, sizeof(body), "{\"Version\":131,\"NodeKey\":\"%s\",%s\"Hostinfo\":%s}", key, extra,
                c->hostinfo);
        server_register(c->world->server, &c->world->now, &c->machine, slice_str(body), &c->call);
}

static inline void client_register_with(struct client *c, const char *auth_key)
{
        char extra[256];

        snprintf(extra, sizeof(extra), "\"Auth\":{\"AuthKey\":\"%s\"},", auth_key);
        client_register(c, extra);
}

static inline void client_map(struct client *c, const char *members)
{
        char key[KEY_TEXT_MAX], body[2048];

        client_reset(c);
        key_format("nodekey:", &c->node_key, key);
        snprintf(body, sizeof(body), "{\"Version\":131,\"NodeKey\":\"%s\",%s\"Hostinfo\":%s}", key, members,
                c->hostinfo);
        server_map(c->world->server, &c->world->now, &c->machine, slice_str(body), &c->call);
}

static inline void client_poll(struct client *c) { client_map(c, "\"Stream\":true,"); }

static inline void client_hang_up(struct client *c)
{
        server_call_closed(c->world->server, &c->world->now, &c->call);
        c->open = false;
}

/* An API request that the disk does not delay. Returns the status; text is in *out. */
static inline int admin(
        struct world *w, const char *method, const char *target, const char *body, struct buf *out)
{
        struct client c;
        struct slice path = slice_str(target), query = { 0 };
        size_t mark = slice_find(path, '?');
        int status;

        client_init(&c, w, 0);
        if (mark < path.len)
                query = slice_after(path, mark + 1);
        server_api(w->server, &w->now, slice_str(method), slice_first(path, mark), query, slice_str(body),
                &c.call);
        world_sync(w);
        if (out) {
                buf_clear(out);
                buf_append_slice(out, buf_slice(&c.body));
        }
        status = c.status;
        client_fini(&c);
        return status;
}

/* The text of a member of the form "name":"value". */
static inline void member(struct buf *json, const char *name, char *out, size_t size)
{
        char quoted[64];
        const char *at;

        snprintf(quoted, sizeof(quoted), "\"%s\":\"", name);
        at = strstr(buf_cstr(json), quoted);
        assert_non_null(at);
        at += strlen(quoted);
        snprintf(out, size, "%.*s", (int)strcspn(at, "\""), at);
}

/* User 1 is "alice"; a key of hers with the members given. */
static inline void make_key(struct world *w, const char *members, char *out, size_t size)
{
        struct buf reply = BUF_INIT(1 << 16);
        char body[512];

        if (!tailnet_user(&w->server->tailnet, 1))
                assert_int_equal(admin(w, "POST", "/api/v1/user", "{\"name\":\"alice\"}", NULL), 200);
        snprintf(body, sizeof(body), "{\"user\":\"1\"%s}", members);
        assert_int_equal(admin(w, "POST", "/api/v1/preauthkey", body, &reply), 200);
        member(&reply, "key", out, size);
        buf_fini(&reply);
}

/* Two machines that may register. */
static inline void two_clients(struct world *w, struct client *a, struct client *b)
{
        world_init(w);
        client_init(a, w, 1);
        client_init(b, w, 2);
}

static inline void two_clients_end(struct world *w, struct client *a, struct client *b)
{
        world_fini(w);
        client_fini(a);
        client_fini(b);
}

/* Two nodes of alice, both polling, everything told. */
static inline void two_nodes(struct world *w, struct client *a, struct client *b)
{
        char key[128];

        two_clients(w, a, b);
        make_key(w, ",\"reusable\":true", key, sizeof(key));
        client_register_with(a, key);
        client_register_with(b, key);
        world_sync(w);
        client_poll(a);
        client_poll(b);
        world_pass(w, TIME_S(1));
        buf_clear(&a->stream);
        buf_clear(&b->stream);
        a->messages = b->messages = 0;
}

#endif
