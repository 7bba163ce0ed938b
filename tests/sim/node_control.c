/* Backend and control client of a node, joined; its requests as streams; its disk. */
#include <stdio.h>
#include <stdlib.h>

#include "node_internal.h"
#include "sim_request.h"

/* ---- requests ---- */

struct request {
        struct list link;
        struct sim_node *node;
        uint64_t id;
        struct stream *stream;
        struct buf message;
        bool has_status;
};

static void request_free(struct request *r)
{
        list_remove(&r->link);
        buf_fini(&r->message);
        free(r);
}

static void on_open(struct world *w, struct stream *s, void *ctx)
{
        struct request *r = ctx;

        stream_write(w, s, r->node->host, buf_slice(&r->message));
}

static void on_data(struct world *w, struct stream *s, void *ctx, struct slice bytes)
{
        struct request *r = ctx;
        struct sim_node *n = r->node;
        struct now now = node_now(n);

        (void)w;
        (void)s;
        if (r->has_status) {
                control_client_body(n->control, &now, r->id, bytes);
        } else {
                r->has_status = true;
                control_client_response(n->control, &now, r->id, get_be16(bytes.ptr), (struct slice){ 0 });
        }
        node_settle(n);
}

static void on_end(struct world *w, struct stream *s, void *ctx, enum stream_end why)
{
        struct request *r = ctx;
        struct sim_node *n = r->node;
        struct now now = node_now(n);
        uint64_t id = r->id;
        bool is_whole = why == STREAM_CLOSED && r->has_status;

        (void)w;
        (void)s;
        request_free(r);
        control_client_end(n->control, &now, id, is_whole ? OK : ERR_CLOSED, NULL);
        node_settle(n);
}

static uint8_t kind_of(struct slice url)
{
        if (slice_is(url, "/machine/register"))
                return SIM_REQUEST_REGISTER;
        return slice_is(url, "/machine/map") ? SIM_REQUEST_MAP : SIM_REQUEST_KEY;
}

static void wire_request(void *ctx, const struct control_request *rq)
{
        static const struct stream_handler handler = { on_open, on_data, on_end };
        struct sim_node *n = ctx;
        struct request *r = calloc(1, sizeof(*r));
        struct public_key machine;

        if (!r)
                abort();
        r->node = n;
        r->id = rq->id;
        buf_init(&r->message, 1 << 21);
        key_public(backend_machine_key(n->backend), &machine);
        buf_append_byte(&r->message, kind_of(rq->url));
        buf_append_slice(&r->message, key_slice(&machine));
        buf_append_slice(&r->message, rq->body);
        list_push_back(&n->requests, &r->link);
        r->stream = stream_dial(n->w, n->host, HOST_CONTROL, &handler, r);
}

static void wire_cancel(void *ctx, uint64_t id)
{
        struct sim_node *n = ctx;

        list_each_safe(it, &n->requests) {
                struct request *r = container_of(it, struct request, link);

                if (r->id != id)
                        continue;
                stream_close(n->w, r->stream, n->host);
                request_free(r);
        }
}

static const struct control_wire wire = { wire_request, wire_cancel };

/* ---- what control tells ---- */

static void on_login_changed(void *ctx, enum control_login_state state)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);

        backend_control_login_changed(n->backend, state, &now);
}

static void on_auth_url(void *ctx, struct slice url)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);

        backend_control_auth_url(n->backend, url, &now);
}

static void on_keys(void *ctx, const struct control_keys *keys)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);

        backend_control_keys(n->backend, keys, &now);
}

static void on_registered(void *ctx, const struct tailcfg_register_response *r)
{
        struct sim_node *n = ctx;

        backend_control_registered(n->backend, r);
}

static void on_problem(void *ctx, const char *text)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);

        if (text[0])
                world_say(n->w, "%s: %s", n->name, text);
        backend_control_problem(n->backend, text, &now);
}

static void on_netmap(void *ctx, const struct netmap_changes *changes)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);

        backend_control_netmap(n->backend, changes, &now);
}

static void on_poll(void *ctx, bool is_up)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);

        backend_control_poll(n->backend, is_up, &now);
        path_set_control_online(n->path, is_up, &now);
}

static const struct control_calls calls = {
        .login_changed = on_login_changed,
        .auth_url = on_auth_url,
        .keys_changed = on_keys,
        .registered = on_registered,
        .problem = on_problem,
        .netmap_changed = on_netmap,
        .poll_changed = on_poll,
};

/* ---- what the backend asks for ---- */

static void control_start(void *ctx, const struct backend_control *c)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);
        const struct control_config config = {
                .server_url = c->server_url,
                .calls = &calls,
                .ctx = n,
                .wire = &wire,
                .wire_ctx = n,
                .rng = &n->rng.rng,
                .netmap = c->netmap,
                .keys = c->keys,
        };

        n->control = control_client_new(&config);
        if (!n->control)
                abort();
        control_client_set_disco_key(n->control, &now, path_disco_key(n->path));
        node_tell_endpoints(n);
}

void node_control_free(struct control_client **c)
{
        control_client_free(*c);
        *c = NULL;
}

/* It may be the client's own call that ends it: silenced now, freed when all is settled. */
static void control_stop(void *ctx)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);

        control_client_pause(n->control, &now, true);
        node_control_free(&n->old_control);
        n->old_control = n->control;
        n->control = NULL;
}

static void control_login(void *ctx, unsigned flags, const char *auth_key)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);

        control_client_login(n->control, &now, flags, auth_key);
}

static void control_logout(void *ctx)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);

        control_client_logout(n->control, &now);
}

static void control_pause(void *ctx, bool paused)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);

        control_client_pause(n->control, &now, paused);
}

static void hostinfo_changed(void *ctx)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);
        struct arena arena = ARENA_INIT(1 << 20);
        struct tailcfg_hostinfo info;

        if (n->control) {
                backend_hostinfo(n->backend, &arena, &info);
                control_client_set_hostinfo(n->control, &now, &info);
        }
        arena_fini(&arena);
}

static void apply(void *ctx, const struct netmap_changes *changes)
{
        struct sim_node *n = ctx;

        (void)changes;
        n->needs_apply = true;
}

static void save_state(void *ctx)
{
        struct sim_node *n = ctx;

        buf_fini(&n->disk_state);
        if (state_map_write(&n->state, &n->disk_state))
                abort();
        n->state.dirty = false;
}

static struct cache_item *find_item(struct sim_node *n, struct slice key)
{
        struct cache_item *unused = NULL;

        for (size_t i = 0; i < CACHE_ITEMS_MAX; i++) {
                if (slice_is(key, n->cache[i].key))
                        return &n->cache[i];
                if (!n->cache[i].key[0])
                        unused = &n->cache[i];
        }
        return unused;
}

static void put_item(void *ctx, struct slice key, struct slice bytes)
{
        struct cache_item *item = find_item(ctx, key);

        if (!item)
                abort();
        snprintf(item->key, sizeof(item->key), "%.*s", SLICE_ARGS(key));
        buf_clear(&item->bytes);
        buf_append_slice(&item->bytes, bytes);
}

static void remove_item(void *ctx, struct slice key)
{
        struct cache_item *item = find_item(ctx, key);

        if (item)
                item->key[0] = '\0';
}

static bool load_cache(void *ctx, const char *profile_id, struct netmap *nm)
{
        struct sim_node *n = ctx;

        (void)profile_id;
        for (size_t i = 0; i < CACHE_ITEMS_MAX; i++) {
                struct cache_item *item = &n->cache[i];

                if (item->key[0] && netmap_load(nm, slice_str(item->key), buf_slice(&item->bytes)))
                        world_fail(n->w, "%s cannot read its own cache", n->name);
        }
        return netmap_self(nm) != NULL;
}

static void save_cache(void *ctx, const char *profile_id, const struct netmap *nm, const struct netmap_changes *changes)
{
        struct sim_node *n = ctx;
        const struct netmap_store store = { put_item, remove_item, n };

        (void)profile_id;
        for (size_t i = 0; !nm && i < CACHE_ITEMS_MAX; i++)
                n->cache[i].key[0] = '\0';
        if (nm && netmap_save(nm, changes, &store))
                abort();
}

enum { VISIT_MIN_MS = 300, VISIT_MAX_MS = 5000 };

/* A person visits the page some seconds later, and again while the server is down. */
static void visit(struct world *w, struct event *e)
{
        if (!sim_control_visit(w->control, slice_make(e->bytes, e->len)))
                event_add(w, w->now_us + TIME_MS(VISIT_MAX_MS), visit, slice_make(e->bytes, e->len));
}

static void notify(void *ctx, const struct notify *what)
{
        struct sim_node *n = ctx;

        if (what->browse_to_url.len) {
                world_say(n->w, "%s: visit %.*s", n->name, SLICE_ARGS(what->browse_to_url));
                event_add(n->w, n->w->now_us + TIME_MS(rng_between(&n->rng.rng, VISIT_MIN_MS, VISIT_MAX_MS)), visit, what->browse_to_url);
        }
        if (what->has_state)
                world_say(n->w, "%s is %s", n->name, ipn_state_name(what->state));
}

static void fill_peer(void *ctx, const struct tailcfg_node *node, struct arena *arena, struct status_peer *out)
{
        (void)ctx;
        (void)node;
        (void)arena;
        (void)out;
}

static void fill_self(void *ctx, struct arena *arena, struct status_peer *out)
{
        (void)ctx;
        (void)arena;
        (void)out;
}

const struct backend_ops node_backend_ops = {
        .control_start = control_start,
        .control_stop = control_stop,
        .control_login = control_login,
        .control_logout = control_logout,
        .control_pause = control_pause,
        .hostinfo_changed = hostinfo_changed,
        .apply = apply,
        .save_state = save_state,
        .load_cache = load_cache,
        .save_cache = save_cache,
        .notify = notify,
        .fill_peer = fill_peer,
        .fill_self = fill_self,
};
