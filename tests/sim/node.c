/* The life of a node: boot, crash, and the order in which its parts get their turn. */
#include "node_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { PING_EVERY_S = 1 };

struct now node_now(const struct sim_node *n)
{
        return world_now(n->w, n->host);
}

struct sim_node *sim_node_new(struct world *w, enum host_id host, const char *name)
{
        struct sim_node *n = calloc(1, sizeof(*n));

        if (!n)
                abort();
        n->w = w;
        n->host = host;
        n->name = name;
        rng_seed(&n->rng, rng_u64(&w->rng.rng));
        buf_init(&n->disk_state, STATE_FILE_MAX);
        for (size_t i = 0; i < CACHE_ITEMS_MAX; i++)
                buf_init(&n->cache[i].bytes, STATE_FILE_MAX);
        list_init(&n->requests);
        sim_node_boot(n);
        return n;
}

void sim_node_boot(struct sim_node *n)
{
        struct backend_config config = {
                .ops = &node_backend_ops,
                .ctx = n,
                .rng = &n->rng.rng,
                .state = &n->state,
                .host = { .hostname = n->name, .has_tun = true },
        };
        struct now now = node_now(n);
        struct diag d;

        n->w->hosts[n->host].is_up = true;
        n->boots++;
        state_map_init(&n->state);
        if (n->disk_state.len && state_map_parse(&n->state, buf_slice(&n->disk_state), &d)) {
                world_fail(n->w, "%s cannot read its own state: %s", n->name, d.text);
                return;
        }
        node_path_start(n);
        if (backend_new(&config, &n->backend, &d)) {
                world_fail(n->w, "%s does not start: %s", n->name, d.text);
                return;
        }
        n->next_ping_us = n->w->now_us + TIME_S(PING_EVERY_S);
        backend_run_first(n->backend, &now);
        node_settle(n);
}

void sim_node_crash(struct sim_node *n)
{
        n->w->hosts[n->host].is_up = false;
        streams_break(n->w, n->host);
        node_control_free(&n->control);
        node_control_free(&n->old_control);
        node_path_stop(n);
        backend_free(n->backend);
        n->backend = NULL;
        state_map_fini(&n->state);
        n->needs_apply = false;
        n->live_peers = n->live_derps = 0;
}

void sim_node_free(struct sim_node *n)
{
        if (n->backend)
                sim_node_crash(n);
        buf_fini(&n->disk_state);
        for (size_t i = 0; i < CACHE_ITEMS_MAX; i++)
                buf_fini(&n->cache[i].bytes);
        free(n);
}

void sim_node_up(struct sim_node *n, const char *auth_key)
{
        struct now now = node_now(n);
        struct prefs p;
        struct diag d;

        snprintf(n->auth_key, sizeof(n->auth_key), "%s", auth_key);
        prefs_init(&p);
        p.want_running = true;
        if (prefs_set_text(&p, &p.control_url, SLICE_LIT("https://control.sim")) ||
            backend_start(n->backend, &p, slice_str(auth_key), &now, &d))
                world_fail(n->w, "%s refuses `up`", n->name);
        prefs_fini(&p);
        if (!backend_has_node_key(n->backend))
                backend_login_interactive(n->backend, &now);
        node_settle(n);
}

void sim_node_up_again(struct sim_node *n)
{
        char key[sizeof(n->auth_key)];

        if (backend_state(n->backend) != IPN_NEEDS_LOGIN)
                return;
        memcpy(key, n->auth_key, sizeof(key));
        sim_node_up(n, key);
}

static unsigned peers_with_session(const struct sim_node *n, const struct now *now)
{
        unsigned count = 0;

        for (size_t i = 0; i < LINKS_MAX; i++) {
                struct tunnel_peer_status status;

                if (!n->links[i].tunnel)
                        continue;
                tunnel_peer_status(tunnel_link_peer(n->links[i].tunnel), now, &status);
                count += status.has_session;
        }
        return count;
}

static void tell_what_lives(struct sim_node *n)
{
        struct now now = node_now(n);
        unsigned peers = peers_with_session(n, &now), derps = n->derp_is_ready;

        if (peers == n->live_peers && derps == n->live_derps)
                return;
        n->live_peers = peers;
        n->live_derps = derps;
        backend_set_live(n->backend, peers, derps, &now);
}

void node_settle(struct sim_node *n)
{
        if (!n->backend)
                return;
        do {
                if (n->needs_apply) {
                        n->needs_apply = false;
                        node_path_apply(n);
                }
                node_derp_settle(n);
                tell_what_lives(n);
        } while (n->needs_apply);
        node_control_free(&n->old_control);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

uint64_t sim_node_deadline(const struct sim_node *n)
{
        struct now now = node_now(n);
        uint64_t at;

        if (!n->backend)
                return TIME_NEVER;
        at = sooner(backend_deadline(n->backend, &now), n->next_ping_us);
        if (n->control)
                at = sooner(at, control_client_next(n->control));
        return sooner(at, node_path_deadline(n));
}

void sim_node_run(struct sim_node *n)
{
        struct now now = node_now(n);

        if (backend_deadline(n->backend, &now) <= n->w->now_us)
                backend_tick(n->backend, &now);
        if (n->control && control_client_next(n->control) <= n->w->now_us)
                control_client_run(n->control, &now);
        node_path_run(n);
        if (n->next_ping_us <= n->w->now_us) {
                n->next_ping_us = n->w->now_us + TIME_S(PING_EVERY_S);
                node_send_ping(n);
        }
        node_settle(n);
}

int64_t sim_node_id(const struct sim_node *n)
{
        const struct tailcfg_node *self = netmap_self(backend_netmap(n->backend));

        return self ? self->id : 0;
}

bool sim_node_needs_login(const struct sim_node *n)
{
        return n->backend && backend_state(n->backend) == IPN_NEEDS_LOGIN;
}

bool sim_node_is_running(const struct sim_node *n)
{
        return n->backend && backend_state(n->backend) == IPN_RUNNING;
}

uint64_t sim_node_pings(const struct sim_node *n)
{
        return n->pings;
}

uint64_t sim_node_pongs(const struct sim_node *n)
{
        return n->pongs;
}

/* The first peer, who is the only one. */
static bool best_path(const struct sim_node *n, struct path_best *out)
{
        for (size_t i = 0; n->backend && i < LINKS_MAX; i++) {
                if (n->links[i].tunnel && path_peer_best(n->path, &n->links[i].key, out) == OK)
                        return true;
        }
        return false;
}

bool sim_node_is_direct(const struct sim_node *n)
{
        struct path_best best;

        return best_path(n, &best) && path_best_use(&best, n->w->now_us) == PATH_USE_UDP;
}

void sim_node_describe(const struct sim_node *n, struct buf *out)
{
        struct path_best best = { 0 };
        const struct host *h = &n->w->hosts[n->host];
        char udp[IP_TEXT_MAX] = "none";

        if (best_path(n, &best) && ip_valid(&best.udp.ip))
                ip_port_format(&best.udp, udp);
        buf_printf(out, "\n  %s: state=%s poll=%d relay=%d peers=%zu sessions=%u pings=%llu/%llu udp=%s trusted=%d home=%u heard=%u nat=%d hard=%d keeps-port=%d boots=%llu",
                   n->name, n->backend ? ipn_state_name(backend_state(n->backend)) : "down",
                   n->backend && backend_in_poll(n->backend), n->derp_is_ready,
                   n->backend ? netmap_peer_count(backend_netmap(n->backend)) : 0, n->live_peers,
                   (unsigned long long)n->pongs, (unsigned long long)n->pings, udp,
                   best.trusted_until_us >= n->w->now_us, best.derp_home, best.derp_heard, (int)h->filter, h->is_hard, h->keeps_port, (unsigned long long)n->boots);
}
