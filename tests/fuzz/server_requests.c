/*
 * Bodies of requests to the control server. The first line says which: "register",
 * "map", or "METHOD /api/v1/path?query"; the rest is the body. The server has a user, a
 * registered node with a map session, and a disk that is quick.
 */
#include <assert.h>
#include <stdlib.h>

#include "server/server.h"
#include "store/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct caller {
        struct server_call call;
        unsigned answers;
        bool streams;
};

static void on_reply(struct server_call *call, const struct server_reply *reply)
{
        struct caller *c = container_of(call, struct caller, call);

        assert(reply->status >= 200 && reply->status < 600 && !c->streams);
        c->answers++;
}

static void on_begin(struct server_call *call) { container_of(call, struct caller, call)->streams = true; }

static bool on_send(struct server_call *call, struct server_message *m)
{
        (void)call;
        assert(m->len >= 4);
        return true;
}

static void on_end(struct server_call *call) { container_of(call, struct caller, call)->answers++; }

static const struct server_call_ops ops = { on_reply, on_begin, on_send, on_end };

static const struct public_key machine = { { 1 } };

static void settle(struct server *s, struct store *store, struct now *now)
{
        store_memory_sync(store, SIZE_MAX);
        server_store_ready(s, now);
        now->mono_us += TIME_S(1);
        server_run(s, now);
        store_memory_sync(store, SIZE_MAX);
        server_store_ready(s, now);
}

static void ask(
        struct server *s, const struct now *now, struct slice what, struct slice body, struct caller *c)
{
        size_t space = slice_find(what, ' ');
        struct slice target = slice_after(what, space + 1 < what.len ? space + 1 : what.len);
        size_t mark = slice_find(target, '?');

        c->call.ops = &ops;
        if (slice_is(what, "register"))
                server_register(s, now, &machine, body, &c->call);
        else if (slice_is(what, "map"))
                server_map(s, now, &machine, body, &c->call);
        else
                server_api(s, now, slice_first(what, space), slice_first(target, mark),
                        slice_after(target, mark < target.len ? mark + 1 : mark), body, &c->call);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct server_settings settings = SERVER_SETTINGS_DEFAULT;
        struct slice input = slice_make(data, len), what;
        struct now now = { TIME_S(1), 1767225600000000 };
        struct store *store = store_memory_new();
        struct caller user = { .answers = 0 }, tested = { .answers = 0 };
        struct rng_seeded rng;
        struct diag diag;

        rng_seed(&rng, 1);
        settings.server_url = SLICE_LIT("http://c");
        settings.prefix_v4 = (struct ip_prefix){ ip_v4(100, 64, 0, 0), 10 };
        struct server *s =
                store ? server_new(&settings, store, &rng.rng, &now, &diag) : NULL;
        assert(s);
        ask(s, &now, SLICE_LIT("POST /api/v1/user"), SLICE_LIT("{\"name\":\"alice\"}"), &user);
        settle(s, store, &now);
        assert(user.answers == 1);

        size_t line = slice_find(input, '\n');
        what = slice_first(input, line);
        ask(s, &now, what, slice_after(input, line < input.len ? line + 1 : line), &tested);
        settle(s, store, &now);
        server_free(s);
        assert(tested.answers == 1);
        store_close(store);
        return 0;
}
