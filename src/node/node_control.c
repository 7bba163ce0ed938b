/* Backend and control client, joined; and what the backend keeps on disk. */
#include <stdlib.h>

#include "disk.h"
#include "node_internal.h"

/* ---- from control to the backend -------------------------------------------------- */

static void on_login_changed(void *ctx, enum control_login_state state)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        backend_control_login_changed(n->backend, state, &now);
        node_touch(n);
}

static void on_auth_url(void *ctx, struct slice url)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        backend_control_auth_url(n->backend, url, &now);
}

static void on_keys(void *ctx, const struct control_keys *keys)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        backend_control_keys(n->backend, keys, &now);
}

static void on_registered(void *ctx, const struct tailcfg_register_response *r)
{
        struct node *n = ctx;

        backend_control_registered(n->backend, r);
}

static void on_problem(void *ctx, const char *text)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        backend_control_problem(n->backend, text, &now);
}

static void on_refused(void *ctx, const char *text)
{
        struct node *n = ctx;

        backend_control_refused(n->backend, text);
}

static void on_netmap(void *ctx, const struct netmap_changes *changes)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        backend_control_netmap(n->backend, changes, &now);
        node_touch(n);
}

static void on_poll(void *ctx, bool is_up)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        backend_control_poll(n->backend, is_up, &now);
        path_set_control_online(n->path, is_up, &now);
        node_touch(n);
}

static void on_ping(void *ctx, uint64_t ping_id, struct slice type, const struct ip_addr *ip)
{
        node_ping_for_control(ctx, ping_id, type, ip);
}

static const struct control_calls control_calls = {
        .login_changed = on_login_changed,
        .auth_url = on_auth_url,
        .keys_changed = on_keys,
        .registered = on_registered,
        .problem = on_problem,
        .refused = on_refused,
        .netmap_changed = on_netmap,
        .poll_changed = on_poll,
        .ping = on_ping,
};

/* ---- from the backend to control ---------------------------------------------------- */

static void send_endpoints(struct node *n, const struct now *now)
{
        struct path_endpoint list[PATH_ENDPOINTS_MAX];
        struct ip_port addrs[PATH_ENDPOINTS_MAX];
        int64_t types[PATH_ENDPOINTS_MAX];
        size_t count = path_endpoints(n->path, list, PATH_ENDPOINTS_MAX);

        if (count > PATH_ENDPOINTS_MAX)
                count = PATH_ENDPOINTS_MAX;
        for (size_t i = 0; i < count; i++) {
                addrs[i] = list[i].addr;
                types[i] = list[i].type;
        }
        control_client_set_endpoints(control_io_client(n->control), now, addrs, types, count);
}

static void control_start(void *ctx, const struct backend_control *c)
{
        struct node *n = ctx;
        const struct now now = node_now(n);
        struct diag diag;
        const struct control_config client = {
                .server_url = c->server_url,
                .calls = &control_calls,
                .ctx = n,
                .netmap = c->netmap,
                .keys = c->keys,
                .is_ephemeral = c->is_ephemeral,
        };
        const struct control_io_options options = {
                .server_url = c->server_url,
                .machine_key = c->machine_key,
                .client = &client,
                .mark = ROUTER_MARK,
        };

        if (control_io_new(n->loop, &options, &n->control, &diag) != OK) {
                n->control = NULL;
                backend_set_warning(n->backend, WARN_CONTROL, diag.text);
                backend_control_refused(n->backend, diag.text);
                return;
        }
        control_client_set_disco_key(control_io_client(n->control), &now, path_disco_key(n->path));
        send_endpoints(n, &now);
        if (n->has_netinfo)
                control_client_set_netinfo(control_io_client(n->control), &now, &n->netinfo);
}

void node_control_free_now(struct node *n)
{
        control_io_free(n->old_control);
        n->old_control = NULL;
        net_task_cancel(&n->free_control);
}

/* The stop may come from within a call of the client, which may then not be freed:
 * it is silenced here and freed from the loop. */
static void control_stop(void *ctx)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        if (!n->control)
                return;
        control_client_pause(control_io_client(n->control), &now, true);
        node_control_free_now(n);
        n->old_control = n->control;
        n->control = NULL;
        net_loop_defer(n->loop, &n->free_control);
        path_set_control_online(n->path, false, &now);
}

static void control_login(void *ctx, unsigned flags, const char *auth_key)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        if (!n->control)
                return;
        control_client_login(control_io_client(n->control), &now, flags, auth_key);
        node_touch(n);
}

static void control_logout(void *ctx)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        if (n->control)
                control_client_logout(control_io_client(n->control), &now);
        node_touch(n);
}

static void control_pause(void *ctx, bool paused)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        if (n->control)
                control_client_pause(control_io_client(n->control), &now, paused);
        node_touch(n);
}

static void hostinfo_changed(void *ctx)
{
        struct node *n = ctx;
        const struct now now = node_now(n);
        struct arena arena = ARENA_INIT(1 << 20);
        struct tailcfg_hostinfo info;

        if (n->control) {
                backend_hostinfo(n->backend, &arena, &info);
                control_client_set_hostinfo(control_io_client(n->control), &now, &info);
                node_touch(n);
        }
        arena_fini(&arena);
}

/* ---- the rest of what the backend wants -------------------------------------------------- */

static void apply(void *ctx, const struct netmap_changes *changes)
{
        struct node *n = ctx;

        if (!changes || changes->parts & NETMAP_DERP_MAP)
                n->relay_map_dirty = true;
        net_loop_defer(n->loop, &n->apply_task);
}

static void save_state(void *ctx)
{
        struct node *n = ctx;
        struct diag diag;

        if (!n->options.state_path) {
                n->state.dirty = false;
                return;
        }
        if (disk_save_state(n->options.state_path, &n->state, &diag) != OK) {
                if (n->backend)
                        backend_set_warning(n->backend, WARN_STATE, diag.text);
                return; /* dirty still: the next change tries again */
        }
        n->state.dirty = false;
        if (n->backend)
                backend_set_warning(n->backend, WARN_STATE, NULL);
}

static bool load_cache(void *ctx, const char *profile, struct netmap *nm)
{
        struct node *n = ctx;

        return disk_load_cache(n->options.state_dir, profile, nm);
}

static void save_cache(void *ctx, const char *profile, const struct netmap *nm, const struct netmap_changes *changes)
{
        struct node *n = ctx;

        if (nm)
                disk_save_cache(n->options.state_dir, profile, nm, changes);
        else
                disk_remove_cache(n->options.state_dir, profile);
}

static void notify(void *ctx, const struct notify *what)
{
        struct node *n = ctx;

        if (n->api)
                localapi_server_notify(n->api, what);
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
        .fill_peer = node_fill_peer,
        .fill_self = node_fill_self,
};
