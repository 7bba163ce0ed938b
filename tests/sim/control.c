/*
 * The control server's host: its engine, a disk that is slow and can lose what was
 * not synced, and requests that come as messages on streams.
 *
 * A request is one message: a byte of kind, the machine key, the body. An answer is
 * one message with the status (16 bits), then any number with pieces of the body.
 */
#include <stdio.h>
#include <stdlib.h>

#include "server/server.h"
#include "sim.h"
#include "sim_request.h"
#include "store/memory.h"

enum { SYNC_MIN_US = 200, SYNC_MAX_US = 20000 };

struct sim_control {
        struct world *w;
        struct rng_seeded rng;
        struct server_settings settings;
        struct store *disk;
        struct server *server;
        struct list calls;
        uint64_t sync_at_us; /* when the disk has caught up next */
};

/* One request being answered. */
struct call {
        struct server_call base;
        struct list link;
        struct sim_control *control;
        struct stream *stream;
        bool is_known; /* the engine has it */
};

static const char derp_map[] =
        "{\"Regions\":{\"900\":{\"RegionID\":900,\"RegionCode\":\"sim\",\"RegionName\":\"Simulated\",\"Nodes\":[{\"Name\":\"900a\","
        "\"RegionID\":900,\"HostName\":\"relay.sim\",\"IPv4\":\"203.0.113.13\",\"IPv6\":\"none\",\"STUNPort\":3478}]}}}";

static struct call *call_of(struct server_call *base)
{
        return container_of(base, struct call, base);
}

static void call_free(struct call *call)
{
        list_remove(&call->link);
        free(call);
}

static void put_status(struct call *call, unsigned status)
{
        uint8_t head[2];

        put_be16(head, (uint16_t)status);
        stream_write(call->control->w, call->stream, HOST_CONTROL, SLICE_ARRAY(head));
}

static void finish(struct call *call)
{
        stream_close(call->control->w, call->stream, HOST_CONTROL);
        call_free(call);
}

static void on_reply(struct server_call *base, const struct server_reply *reply)
{
        struct call *call = call_of(base);

        put_status(call, (unsigned)reply->status);
        stream_write(call->control->w, call->stream, HOST_CONTROL, reply->body);
        finish(call);
}

static void on_begin(struct server_call *base)
{
        put_status(call_of(base), 200);
}

static bool on_send(struct server_call *base, struct server_message *m)
{
        struct call *call = call_of(base);

        stream_write(call->control->w, call->stream, HOST_CONTROL, slice_make(m->bytes, m->len));
        return true;
}

static void on_end(struct server_call *base)
{
        finish(call_of(base));
}

static const struct server_call_ops call_ops = { on_reply, on_begin, on_send, on_end };

/* The administrator's answers stay at home. */
struct admin_call {
        struct server_call base;
        struct buf body;
};

static void on_admin_reply(struct server_call *base, const struct server_reply *reply)
{
        buf_append_slice(&container_of(base, struct admin_call, base)->body, reply->body);
}

static const struct server_call_ops admin_ops = { .reply = on_admin_reply };

static struct now control_now(const struct sim_control *c)
{
        return world_now(c->w, HOST_CONTROL);
}

/* A request of the administrator, whom the disk does not keep waiting. */
static void administer(struct sim_control *c, const char *path, const char *body, struct buf *out)
{
        struct now now = control_now(c);
        struct admin_call call = { .base.ops = &admin_ops, .body = BUF_INIT(1 << 16) };

        server_api(c->server, &now, SLICE_LIT("POST"), slice_str(path), (struct slice){ 0 }, slice_str(body), &call.base);
        store_memory_sync(c->disk, SIZE_MAX);
        server_store_ready(c->server, &now);
        buf_append_slice(out, buf_slice(&call.body));
        buf_fini(&call.body);
}

void sim_control_make_key(struct sim_control *c, char *out, size_t size)
{
        struct buf reply = BUF_INIT(1 << 16);
        const char *key;

        administer(c, "/api/v1/preauthkey", "{\"user\":\"1\",\"expiration\":\"2036-01-01T00:00:00Z\"}", &reply);
        key = strstr(buf_cstr(&reply), "\"key\":\"");
        snprintf(out, size, "%.*s", key ? (int)strcspn(key + 7, "\"") : 0, key ? key + 7 : "");
        buf_fini(&reply);
}

bool sim_control_visit(struct sim_control *c, struct slice url)
{
        struct slice page = SLICE_LIT("https://control.sim/register/");
        struct buf reply = BUF_INIT(1 << 16), body = BUF_INIT(1000);

        if (!c->server)
                return false;
        if (!slice_has_prefix(url, page))
                world_fail(c->w, "a login page of no known form: %.*s", SLICE_ARGS(url));
        buf_printf(&body, "{\"user\":\"alice\",\"authId\":\"%.*s\"}", SLICE_ARGS(slice_after(url, page.len)));
        administer(c, "/api/v1/auth/register", buf_cstr(&body), &reply);
        buf_fini(&body);
        buf_fini(&reply);
        return true;
}

void sim_control_expire(struct sim_control *c, int64_t node_id)
{
        struct buf reply = BUF_INIT(1 << 16);
        char path[64];

        snprintf(path, sizeof(path), "/api/v1/node/%lld/expire", (long long)node_id);
        administer(c, path, "", &reply);
        buf_fini(&reply);
}

size_t sim_control_nodes(const struct sim_control *c)
{
        struct server_counts counts;

        server_count(c->server, &counts);
        return counts.nodes;
}

struct sim_control *sim_control_new(struct world *w)
{
        struct sim_control *c = calloc(1, sizeof(*c));
        struct buf reply = BUF_INIT(1 << 16);

        if (!c)
                abort();
        c->w = w;
        c->settings = SERVER_SETTINGS_DEFAULT;
        c->settings.server_url = SLICE_LIT("https://control.sim");
        c->settings.base_domain = SLICE_LIT("sim.example");
        if (ip_prefix_parse(SLICE_LIT("100.64.0.0/10"), &c->settings.prefix_v4))
                abort();
        rng_seed(&c->rng, rng_u64(&w->rng.rng));
        c->disk = store_memory_new();
        list_init(&c->calls);
        sim_control_boot(c);
        administer(c, "/api/v1/user", "{\"name\":\"alice\"}", &reply);
        buf_fini(&reply);
        return c;
}

void sim_control_boot(struct sim_control *c)
{
        struct now now = control_now(c);
        struct diag d;

        c->server = server_new(&c->settings, c->disk, &c->rng.rng, &now, &d);
        if (!c->server) {
                world_fail(c->w, "the control server does not start: %s", d.text);
                return;
        }
        c->sync_at_us = TIME_NEVER;
        if (server_set_derp_map(c->server, &now, SLICE_LIT(derp_map)))
                world_fail(c->w, "the control server refuses its relay map");
        c->w->hosts[HOST_CONTROL].is_up = true;
}

void sim_control_crash(struct sim_control *c)
{
        c->w->hosts[HOST_CONTROL].is_up = false;
        streams_break(c->w, HOST_CONTROL);
        store_memory_crash(c->disk);
        server_free(c->server);
        c->server = NULL;
        store_memory_crash(c->disk); /* nor does the way down write anything */
        list_each_safe(it, &c->calls)
                call_free(container_of(it, struct call, link));
}

void sim_control_free(struct sim_control *c)
{
        if (c->server)
                sim_control_crash(c);
        store_close(c->disk);
        free(c);
}

/* Whoever waits for the disk hears of it when the disk is done. */
static void plan_sync(struct sim_control *c)
{
        if (c->sync_at_us == TIME_NEVER && store_memory_pending(c->disk))
                c->sync_at_us = c->w->now_us + rng_between(&c->rng.rng, SYNC_MIN_US, SYNC_MAX_US);
}

uint64_t sim_control_deadline(const struct sim_control *c)
{
        uint64_t engine;

        if (!c->server)
                return TIME_NEVER;
        engine = server_deadline(c->server);
        return engine < c->sync_at_us ? engine : c->sync_at_us;
}

void sim_control_run(struct sim_control *c)
{
        struct now now = control_now(c);

        if (c->sync_at_us <= c->w->now_us) {
                c->sync_at_us = TIME_NEVER;
                store_memory_sync(c->disk, SIZE_MAX);
                server_store_ready(c->server, &now);
        }
        if (server_deadline(c->server) <= c->w->now_us)
                server_run(c->server, &now);
        plan_sync(c);
}

static void answer_key(struct call *call)
{
        struct public_key key = { { SIM_SERVER_KEY } };
        char text[KEY_TEXT_MAX], json[200];
        int n;

        key_format("mkey:", &key, text);
        n = snprintf(json, sizeof(json), "{\"publicKey\":\"%s\"}", text);
        put_status(call, 200);
        stream_write(call->control->w, call->stream, HOST_CONTROL, slice_make(json, (size_t)n));
        finish(call);
}

static void on_request(struct world *w, struct stream *s, void *ctx, struct slice bytes)
{
        struct call *call = ctx;
        struct sim_control *c = call->control;
        struct now now = control_now(c);
        struct sim_request rq;

        (void)s;
        if (sim_request_parse(bytes, &rq)) {
                world_fail(w, "a request to control that is none");
                return;
        }
        call->is_known = rq.kind != SIM_REQUEST_KEY;
        if (rq.kind == SIM_REQUEST_KEY)
                answer_key(call);
        else if (rq.kind == SIM_REQUEST_REGISTER)
                server_register(c->server, &now, &rq.machine, rq.body, &call->base);
        else
                server_map(c->server, &now, &rq.machine, rq.body, &call->base);
        plan_sync(c);
}

static void on_hang_up(struct world *w, struct stream *s, void *ctx, enum stream_end why)
{
        struct call *call = ctx;
        struct sim_control *c = call->control;
        struct now now = control_now(c);

        (void)w;
        (void)s;
        (void)why;
        if (call->is_known)
                server_call_closed(c->server, &now, &call->base);
        call_free(call);
        plan_sync(c);
}

void sim_control_accept(struct world *w, struct stream *s)
{
        static const struct stream_handler handler = { .on_data = on_request, .on_end = on_hang_up };
        struct call *call = calloc(1, sizeof(*call));

        if (!call)
                abort();
        call->base.ops = &call_ops;
        call->control = w->control;
        call->stream = s;
        list_push_back(&w->control->calls, &call->link);
        stream_accept(s, &handler, call);
}
