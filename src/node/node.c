#include "node/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/text.h"
#include "disk.h"
#include "node_internal.h"

const struct log node_log = { "node" };

enum {
        TICK_MS = 5000,
        PEERS_MAX = PATH_PEERS_MAX,
        REBIND_GAP_US = 5000000,          /* between attempts for failing sockets */
        JUMP_US = 22500000,               /* a step of the wall clock worth a look (spec/paths.md 7) */
        CLOCK_STEP_US = 10 * 60 * 1000000,
        SLEEP_US = 10 * 60 * 1000000,   /* a gap after which every address may be another */
};

/* ---- deadlines --------------------------------------------------------------------- */

void node_touch(struct node *n)
{
        net_loop_defer(n->loop, &n->arm_task);
}

static void arm(struct node *n, struct timer *t, uint64_t at_us)
{
        if (at_us == TIME_NEVER)
                net_timer_stop(n->loop, t);
        else if (!timer_armed(t) || t->at_us != at_us)
                net_timer_start_at(n->loop, t, at_us);
}

static void arm_all(struct net_task *task)
{
        struct node *n = container_of(task, struct node, arm_task);
        const struct now now = node_now(n);

        arm(n, &n->backend_timer, backend_deadline(n->backend, &now));
        if (!n->path)
                return;
        arm(n, &n->path_timer, path_next_deadline_us(n->path));
        arm(n, &n->tunnel_timer, tunnel_deadline(n->tunnel));
        if (n->control)
                control_io_poke(n->control);
}

static void backend_due(struct timer *t, const struct now *now)
{
        struct node *n = container_of(t, struct node, backend_timer);

        backend_tick(n->backend, now);
        node_touch(n);
}

static void path_due(struct timer *t, const struct now *now)
{
        struct node *n = container_of(t, struct node, path_timer);

        path_run(n->path, now);
        node_touch(n);
}

static void tunnel_due(struct timer *t, const struct now *now)
{
        struct node *n = container_of(t, struct node, tunnel_timer);

        tunnel_run(n->tunnel, now);
        node_touch(n);
}

/* Sleep shows as a gap of the monotonic clock, which counts it; a set clock as the
 * two clocks drifting apart. */
static void look_at_clocks(struct node *n, const struct now *now)
{
        int64_t mono = (int64_t)(now->mono_us - n->last_tick_us), wall = now->unix_us - n->last_tick_unix_us;
        int64_t step = wall - mono;

        if (n->last_tick_us && mono > SLEEP_US)
                node_rebind(n, "the machine has slept");
        else if (n->last_tick_us && (step > JUMP_US || step < -JUMP_US))
                log_info(&node_log, "the clock was set", "by_s=%lld", (long long)(step / 1000000));
        if (n->last_tick_us && (step > JUMP_US || step < -JUMP_US))
                backend_tick(n->backend, now);
        n->last_tick_us = now->mono_us;
        n->last_tick_unix_us = now->unix_us;
}

/* Peers refuse handshakes older than the last: the latest time used is kept, so that a
 * machine whose clock starts in the past is heard again (spec/dataplane.md 1.12). */
static const char clock_key[] = "_weft-handshake-clock";

static int64_t load_clock(const struct node *n)
{
        int64_t us;

        return parse_i64(state_map_get(&n->state, clock_key), &us) == OK ? us : 0;
}

static void save_clock(struct node *n, int64_t step_us)
{
        int64_t us = tunnel_clock(n->tunnel);
        char text[24];

        if (us < n->saved_clock_us + step_us || us == n->saved_clock_us)
                return;
        n->saved_clock_us = us;
        snprintf(text, sizeof text, "%lld", (long long)us);
        if (state_map_put(&n->state, clock_key, slice_str(text)) == OK)
                node_backend_ops.save_state(n);
}

static void tick(struct timer *t, const struct now *now)
{
        struct node *n = container_of(t, struct node, tick_timer);

        look_at_clocks(n, now);
        if (n->engine_on) {
                node_update_live(n);
                node_check_forwarding(n, true);
                node_names_tick(n);
                backend_set_warning(n->backend, WARN_RELAY, derp_pool_trouble(n->relays));
        }
        save_clock(n, CLOCK_STEP_US);
        node_tsmp_expire(n, now);
        net_timer_start(n->loop, t, TICK_MS);
        node_touch(n);
}

static void apply_due(struct net_task *task)
{
        node_apply(container_of(task, struct node, apply_task));
}

static void rebind_due(struct net_task *task)
{
        struct node *n = container_of(task, struct node, rebind_task);
        const struct now now = node_now(n);

        /* A socket that fails again and again is not cured by opening it faster. */
        if (n->packets && (!n->rebound_us || now.mono_us - n->rebound_us >= REBIND_GAP_US))
                node_rebind(n, "a socket failed");
}

static void want_due(struct net_task *task)
{
        node_want_sessions(container_of(task, struct node, want_task));
}

static void free_control_due(struct net_task *task)
{
        node_control_free_now(container_of(task, struct node, free_control));
}

/* ---- facts about the machine ------------------------------------------------------------ */

/* A value of /etc/os-release without its quotes. */
static void os_release(const char *name, char *out, size_t cap)
{
        FILE *f = fopen("/etc/os-release", "re");
        size_t len = strlen(name);
        char line[256];

        out[0] = 0;
        while (f && fgets(line, sizeof line, f)) {
                if (strncmp(line, name, len) != 0 || line[len] != '=')
                        continue;
                const char *value = line + len + 1;
                value += *value == '"';
                snprintf(out, cap, "%.*s", (int)strcspn(value, "\"\n"), value);
        }
        if (f)
                fclose(f);
}

struct machine_texts {
        char hostname[256], release[256], distro[64], version[64], machine[256];
};

static enum err describe_machine(struct node *n, struct backend_host *out)
{
        struct machine_texts *t = calloc(1, sizeof *t);
        struct utsname u;

        if (!t)
                return ERR_NOMEM;
        n->host_texts = (char *)t;
        if (uname(&u) == 0) {
                snprintf(t->hostname, sizeof t->hostname, "%s", u.nodename);
                snprintf(t->release, sizeof t->release, "%s", u.release);
                snprintf(t->machine, sizeof t->machine, "%s", u.machine);
        }
        os_release("ID", t->distro, sizeof t->distro);
        os_release("VERSION_ID", t->version, sizeof t->version);
        *out = (struct backend_host){
                .hostname = t->hostname,
                .os_version = t->release,
                .distro = t->distro,
                .distro_version = t->version,
                .machine = t->machine,
                .has_tun = true,
                .is_container = access("/.dockerenv", F_OK) == 0 || access("/run/.containerenv", F_OK) == 0,
        };
        return OK;
}

/* ---- the packet path comes up ---------------------------------------------------------------- */

static enum err start_engines(struct node *n, struct diag *diag)
{
        const struct now now = node_now(n);
        const struct path_config path = { .ops = &node_path_ops, .ctx = n, .rng = net_rng() };
        const struct dataplane_options packets = {
                .tun_fd = n->tun.fd,
                .tun_mtu = n->options.mtu,
                .udp = { .ports = { n->options.port, 0 }, .port_count = 2, .mark = ROUTER_MARK },
        };
        struct tunnel_config tunnel = { .clock_floor_unix_us = load_clock(n) };

        n->saved_clock_us = tunnel.clock_floor_unix_us;
        enum err err = dataplane_start(&packets, &n->packets, diag);
        if (err) {
                close(n->tun.fd);
                n->packets = NULL;
                return err;
        }
        key_generate(net_rng(), &tunnel.secret); /* replaced by the node key at login */
        n->tunnel = tunnel_new(&tunnel, &node_tunnel_ops, n, net_rng());
        key_wipe(&tunnel, sizeof tunnel);
        n->path = path_manager_new(&path, &now);
        n->relays = derp_pool_new(n->loop, ROUTER_MARK, &node_relay_events, n);
        if (!n->tunnel || !n->path || !n->relays || node_portmap_start(n) != OK || node_names_start(n) != OK)
                return diag_set(diag, ERR_NOMEM, "out of memory");
        err = net_poll_start(n->loop, dataplane_event_fd(n->packets), NET_POLL_READ, node_packets_ready, n,
                &n->packets_poll);
        if (err)
                return diag_set(diag, err, "cannot wait for packets: %s", err_str(err));
        return node_network_start(n, diag);
}

static void tun_opened(void *ctx, enum err e, const struct tun_device *dev, const struct diag *d)
{
        struct node *n = ctx;
        const struct now now = node_now(n);
        uint16_t v4, v6;
        struct diag diag;

        if (n->is_stopping) {
                if (!e)
                        close(dev->fd);
                return;
        }
        if (e) {
                n->options.failed(n->options.ctx, d->text);
                return;
        }
        n->tun = *dev;
        n->has_tun = true;
        if (start_engines(n, &diag) != OK) {
                n->options.failed(n->options.ctx, diag.text);
                return;
        }
        dataplane_ports(n->packets, &v4, &v6);
        log_info(&node_log, "packet path ready", "tun=%s mtu=%u udp4=%u udp6=%u", n->tun.name, n->options.mtu, v4, v6);
        if (n->options.port && v4 != n->options.port)
                log_warn(&node_log, "the UDP port asked for is taken; another is used", "asked=%u used=%u", n->options.port, v4);
        localapi_server_set_backend(n->api, n->backend);
        backend_run_first(n->backend, &now);
        net_timer_start(n->loop, &n->tick_timer, TICK_MS);
        node_touch(n);
}

static void priv_answered(void *ctx, int events)
{
        struct node *n = ctx;

        (void)events;
        if (priv_ready(n->options.priv) == OK)
                return;
        net_poll_stop(n->priv_poll);
        n->priv_poll = NULL;
        n->options.failed(n->options.ctx, "the privileged process has died; see the lines above");
}

static enum err open_tun(struct node *n, struct diag *diag)
{
        struct tun_options o = {
                .mtu = n->options.mtu,
                .gso_max_bytes = dataplane_gso_max_bytes(n->options.mtu),
                .gso_max_segs = DATAPLANE_BATCH,
        };

        snprintf(o.name, sizeof o.name, "%s", n->options.tun_name);
        enum err err = net_poll_start(n->loop, priv_fd(n->options.priv), NET_POLL_READ, priv_answered, n, &n->priv_poll);
        if (!err)
                err = priv_tun_open(n->options.priv, &o, tun_opened, n);
        return err ? diag_set(diag, err, "cannot ask the privileged process for a TUN device: %s", err_str(err)) : OK;
}

/* ---- birth and death --------------------------------------------------------------------------- */

/* What the state holds may be damaged inside a file that is whole. */
static enum err new_backend(struct node *n, struct backend_config *config, struct diag *diag)
{
        struct diag inner = { "" };
        enum err err = backend_new(config, &n->backend, &inner);

        if (!err)
                return OK;
        if (err == ERR_NOMEM || !n->options.state_path)
                return diag_set(diag, err, "%s", inner.text[0] ? inner.text : err_str(err));
        return diag_set(diag, err, "the state file %s is damaged (%s): restore it from a backup, or move it away to start "
                        "as a new node", n->options.state_path, inner.text[0] ? inner.text : err_str(err));
}

enum err node_start(struct net_loop *loop, const struct node_options *options, struct node **out, struct diag *diag)
{
        struct node *n = calloc(1, sizeof *n);
        struct backend_config backend = { .ops = &node_backend_ops, .ctx = n, .rng = net_rng() };
        enum err err;

        *out = NULL;
        if (!n) {
                priv_stop(options->priv);
                return diag_set(diag, ERR_NOMEM, "out of memory");
        }
        n->loop = loop;
        n->options = *options;
        list_init(&n->resolves);
        table_init(&n->peers, PEERS_MAX);
        state_map_init(&n->state);
        n->relay_map_dirty = true;
        n->arm_task.run = arm_all;
        n->apply_task.run = apply_due;
        n->rebind_task.run = rebind_due;
        n->want_task.run = want_due;
        n->netinfo_memory = ARENA_INIT(64 << 10);
        n->free_control.run = free_control_due;
        n->backend_timer.fire = backend_due;
        n->path_timer.fire = path_due;
        n->tunnel_timer.fire = tunnel_due;
        n->tick_timer.fire = tick;

        /* The socket is first: where a daemon answers already, its routing and its state
         * file stay as they are. */
        err = localapi_server_start(loop, options->socket_path, &node_api_ops, n, &n->api, diag);
        if (!err) { /* after a crash, and at every start (spec/node.md 1.10) */
                os_dns_cleanup();
                firewall_cleanup();
                router_cleanup();
        }
        if (!err && options->state_path)
                err = disk_load_state(options->state_path, &n->state, diag);
        if (!err && describe_machine(n, &backend.host) != OK)
                err = diag_set(diag, ERR_NOMEM, "out of memory");
        backend.state = &n->state;
        backend.is_ephemeral = !options->state_path;
        if (!err)
                err = new_backend(n, &backend, diag);
        /* A state that cannot be kept is worth a refusal at start, not a surprise later. */
        if (!err && options->state_path)
                err = disk_save_state(options->state_path, &n->state, diag);
        if (!err) {
                options->ready(options->ctx);
                err = open_tun(n, diag);
        }
        if (err) {
                node_stop(n);
                return err;
        }
        *out = n;
        return OK;
}

static void stop_timers(struct node *n)
{
        struct timer *const timers[] = { &n->backend_timer, &n->path_timer, &n->tunnel_timer, &n->tick_timer };

        for (size_t i = 0; i < sizeof timers / sizeof *timers; i++)
                net_timer_stop(n->loop, timers[i]);
        net_task_cancel(&n->arm_task);
        net_task_cancel(&n->apply_task);
        net_task_cancel(&n->rebind_task);
        net_task_cancel(&n->want_task);
}

void node_stop(struct node *n)
{
        if (!n)
                return;
        /* First, while there is a node for its last answers to go to. It undoes all
         * routing, so that nothing below has to ask for that. */
        net_poll_stop(n->priv_poll);
        n->priv_poll = NULL;
        n->is_stopping = true;
        priv_stop(n->options.priv);
        localapi_server_stop(n->api);
        n->api = NULL;
        control_io_free(n->control);
        n->control = NULL;
        node_control_free_now(n);
        if (n->path)
                node_engine_off(n);
        node_names_stop(n);
        node_network_stop(n);
        derp_pool_free(n->relays);
        if (n->tunnel) {
                save_clock(n, 0);
                tunnel_free(n->tunnel);
        }
        if (n->path)
                path_manager_free(n->path); /* gives a mapped port back: one last datagram */
        node_portmap_stop(n);
        net_poll_stop(n->packets_poll);
        if (n->packets)
                dataplane_stop(n->packets);
        stop_timers(n);
        backend_free(n->backend);
        table_fini(&n->peers);
        arena_fini(&n->netinfo_memory);
        state_map_fini(&n->state);
        node_routes_fini(n);
        free(n->host_texts);
        key_wipe(&n->engine_key, sizeof n->engine_key);
        free(n);
}
