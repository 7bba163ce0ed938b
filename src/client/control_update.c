/*
 * The update loop (spec/control.md 4.3, 10): what is new about this node, as lite map
 * requests. While one is under way changes only mark the client dirty, so that the
 * next request carries the latest state and nothing in between.
 */
#include "control_internal.h"

#include <stdlib.h>

struct tailcfg_hostinfo control_hostinfo(const struct control_client *c)
{
        struct tailcfg_hostinfo h = c->hostinfo;

        if (c->has_netinfo)
                h.net_info = &c->netinfo;
        return h;
}

void control_send_map(struct control_client *c, const struct now *now, struct exchange *x, enum map_kind kind, uint64_t timeout_s)
{
        const struct tailcfg_hostinfo hostinfo = control_hostinfo(c);
        struct public_key node_key;
        struct buf json = BUF_INIT(CONTROL_REQUEST_MAX);
        struct json_writer w;

        key_public(&c->keys.node, &node_key);
        const struct tailcfg_map_request m = {
                .version = TAILCFG_CAPVER,
                .node_key = node_key,
                .disco_key = c->disco_key,
                .hostinfo = &hostinfo,
                .endpoints = { c->endpoint_count ? c->endpoints : NULL, c->endpoint_count },
                .endpoint_types = { c->endpoint_count ? c->endpoint_types : NULL, c->endpoint_count },
                .compress = SLICE_LIT("zstd"),
                .stream = kind == MAP_POLL,
                .keep_alive = kind == MAP_POLL,
                .omit_peers = kind == MAP_UPDATE,
        };
        json_writer_init(&w, &json, NULL);
        tailcfg_map_request_write(&w, &m);
        const struct request_text rq = {
                .transport = CONTROL_NOISE, .method = "POST", .url = SLICE_LIT("/machine/map"), .body = buf_slice(&json), .node_key = &node_key,
        };
        exchange_start(x, now, &rq, timeout_s);
        buf_fini(&json);
}

static void send_update(struct control_client *c, const struct now *now)
{
        c->update.is_dirty = false;
        control_send_map(c, now, &c->update.x, MAP_UPDATE, CONTROL_UPDATE_TIMEOUT_S);
}

void update_continue(struct control_client *c, const struct now *now)
{
        if (!c->update.is_dirty || !c->is_logged_in || c->is_paused)
                return;
        if (exchange_is_idle(&c->update.x) && !timer_armed(&c->update.backoff.timer))
                send_update(c, now);
}

static void on_end(struct exchange *x, const struct now *now, enum err e, const char *why)
{
        struct control_client *c = x->client;
        struct diag d;

        if (!e && x->status != 200) {
                exchange_refusal(x, &d);
                why = d.text;
        }
        if (e || x->status != 200) {
                log_debug(&control_log, "update failed", "why=\"%s\"", why);
                c->update.is_dirty = true;
                backoff_wait(c, &c->update.backoff, now);
                return;
        }
        backoff_reset(c, &c->update.backoff);
        update_continue(c, now);
}

static void backoff_over(struct timer *t, const struct now *now)
{
        update_continue(container_of(t, struct control_client, update.backoff.timer), now);
}

void update_init(struct control_client *c)
{
        control_exchange_init(&c->update.x, c, on_end);
        backoff_init(&c->update.backoff, backoff_over);
}

/* What was cut off has to be sent again. */
void update_stop(struct control_client *c)
{
        if (!exchange_is_idle(&c->update.x))
                c->update.is_dirty = true;
        exchange_cancel(&c->update.x);
        backoff_reset(c, &c->update.backoff);
}

void update_fini(struct control_client *c)
{
        update_stop(c);
        control_exchange_fini(&c->update.x);
}

static void changed(struct control_client *c, const struct now *now)
{
        c->update.is_dirty = true;
        update_continue(c, now);
}

void control_client_set_hostinfo(struct control_client *c, const struct now *now, const struct tailcfg_hostinfo *h)
{
        struct arena arena = ARENA_INIT(CONTROL_REQUEST_MAX);
        struct tailcfg_hostinfo copy;

        if (tailcfg_hostinfo_equal(h, &c->hostinfo))
                return;
        if (tailcfg_hostinfo_copy(&arena, &copy, h)) {
                log_warn(&control_log, "out of memory: control is not told what is new here", NULL);
                arena_fini(&arena);
                return;
        }
        arena_fini(&c->hostinfo_arena);
        c->hostinfo_arena = arena;
        c->hostinfo = copy;
        changed(c, now);
}

void control_client_set_netinfo(struct control_client *c, const struct now *now, const struct tailcfg_netinfo *n)
{
        struct arena arena = ARENA_INIT(CONTROL_REQUEST_MAX);
        struct tailcfg_netinfo copy;

        if (c->has_netinfo && tailcfg_netinfo_equal(n, &c->netinfo))
                return;
        if (tailcfg_netinfo_copy(&arena, &copy, n)) {
                log_warn(&control_log, "out of memory: control is not told of the network", NULL);
                arena_fini(&arena);
                return;
        }
        arena_fini(&c->netinfo_arena);
        c->netinfo_arena = arena;
        c->netinfo = copy;
        c->has_netinfo = true;
        changed(c, now);
}

static bool same_endpoints(const struct control_client *c, const struct ip_port *endpoints, const int64_t *types, size_t count)
{
        if (count != c->endpoint_count)
                return false;
        for (size_t i = 0; i < count; i++) {
                if (!ip_port_equal(&endpoints[i], &c->endpoints[i]) || types[i] != c->endpoint_types[i])
                        return false;
        }
        return true;
}

void control_client_set_endpoints(struct control_client *c, const struct now *now, const struct ip_port *endpoints,
                                  const int64_t *types, size_t count)
{
        struct ip_port *own;
        int64_t *own_types;

        if (same_endpoints(c, endpoints, types, count))
                return;
        own = calloc(count + 1, sizeof(*own));
        own_types = calloc(count + 1, sizeof(*own_types));
        if (!own || !own_types) {
                log_warn(&control_log, "out of memory: control is not told of new endpoints", NULL);
                free(own);
                free(own_types);
                return;
        }
        for (size_t i = 0; i < count; i++) {
                own[i] = endpoints[i];
                own_types[i] = types[i];
        }
        free(c->endpoints);
        free(c->endpoint_types);
        c->endpoints = own;
        c->endpoint_types = own_types;
        c->endpoint_count = count;
        changed(c, now);
}

void control_client_set_disco_key(struct control_client *c, const struct now *now, const struct public_key *key)
{
        if (key_equal(key, &c->disco_key))
                return;
        c->disco_key = *key;
        changed(c, now);
}
