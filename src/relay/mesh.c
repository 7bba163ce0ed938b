/*
 * Relays of one region that share a key (spec/paths.md 3.7). Inwards: neighbours
 * that watch who is connected here. Outwards: forwarders, the way to nodes that
 * are connected to a neighbour.
 */
#include "relay_internal.h"

#include <stdlib.h>

struct route {
        struct relay_peer *peer;
        struct relay_forwarder *forwarder;
        struct list of_peer, of_forwarder;
};

/* ---- Watchers ----------------------------------------------------------- */

static void send_present(struct relay_conn *to, const struct now *now, const struct relay_conn *about)
{
        struct derp_peer_present present = { .peer = about->key, .remote = about->remote };
        uint8_t frame[DERP_HEADER_LEN + KEY_LEN + 19];
        struct writer w = writer_of(frame, sizeof(frame));

        if (about->is_mesh)
                present.flags |= DERP_PRESENT_MESH;
        if (about->is_prober)
                present.flags |= DERP_PRESENT_PROBER;
        if (about->is_not_ideal)
                present.flags |= DERP_PRESENT_NOT_IDEAL;
        if (present.flags == 0)
                present.flags = DERP_PRESENT_REGULAR;
        derp_peer_present_write(&w, &present);
        relay_output_control(to, now, SLICE_ARRAY(frame));
}

void relay_mesh_watch(struct relay_conn *c, const struct now *now)
{
        struct relay *r = c->relay;
        struct relay_peer *p;

        if (list_linked(&c->watching))
                return;
        list_push_back(&r->watchers, &c->watching);
        r->stats.watchers++;
        for (size_t i = 0; (p = table_next(&r->peers, &i));) {
                const struct relay_conn *active = relay_peer_active(p);
                if (active)
                        send_present(c, now, active);
        }
}

void relay_mesh_present(struct relay *r, const struct now *now, const struct relay_conn *c)
{
        list_each(it, &r->watchers)
                send_present(container_of(it, struct relay_conn, watching), now, c);
}

void relay_mesh_gone(struct relay *r, const struct now *now, const struct public_key *key)
{
        uint8_t frame[DERP_HEADER_LEN + KEY_LEN + 1];
        struct writer w = writer_of(frame, sizeof(frame));

        derp_peer_gone_write(&w, key, DERP_GONE_DISCONNECTED);
        list_each(it, &r->watchers)
                relay_output_control(container_of(it, struct relay_conn, watching), now, SLICE_ARRAY(frame));
}

void relay_mesh_close_peer(struct relay *r, const struct now *now, const struct public_key *key)
{
        struct relay_peer *p;

        /* Looked up each time: the last connection takes the peer with it. */
        while ((p = relay_peer_find(r, key)) && relay_peer_active(p))
                relay_conn_close(relay_peer_active(p), now, RELAY_END_CLOSE_PEER);
}

/* ---- Routes ------------------------------------------------------------- */

struct relay_forwarder *relay_mesh_forwarder(const struct relay_peer *p)
{
        return container_of(p->routes.next, struct route, of_peer)->forwarder;
}

static struct route *route_find(const struct relay_peer *p, const struct relay_forwarder *f)
{
        list_each(it, &p->routes) {
                struct route *route = container_of(it, struct route, of_peer);
                if (route->forwarder == f)
                        return route;
        }
        return NULL;
}

static void route_free(struct relay *r, const struct now *now, struct route *route)
{
        struct relay_peer *p = route->peer;

        list_remove(&route->of_peer);
        list_remove(&route->of_forwarder);
        free(route);
        r->stats.routes--;
        relay_peer_release(r, now, p);
}

enum err relay_route_add(struct relay *r, const struct now *now, struct relay_forwarder *f,
                         const struct public_key *node)
{
        if (key_equal(node, &r->public_key)) /* the neighbour sees us as one of its clients */
                return OK;
        if (!f->routes.next)
                list_init(&f->routes);
        struct relay_peer *p = relay_peer_obtain(r, node);
        if (!p)
                return ERR_NOMEM;
        if (route_find(p, f))
                return OK;
        struct route *route = calloc(1, sizeof(*route));
        if (!route) {
                relay_peer_release(r, now, p);
                return ERR_NOMEM;
        }
        route->peer = p;
        route->forwarder = f;
        list_push_back(&p->routes, &route->of_peer);
        list_push_back(&f->routes, &route->of_forwarder);
        r->stats.routes++;
        return OK;
}

void relay_route_remove(struct relay *r, const struct now *now, struct relay_forwarder *f,
                        const struct public_key *node)
{
        struct relay_peer *p = relay_peer_find(r, node);
        struct route *route = p ? route_find(p, f) : NULL;

        if (route)
                route_free(r, now, route);
}

void relay_routes_clear(struct relay *r, const struct now *now, struct relay_forwarder *f)
{
        while (!list_empty(&f->routes))
                route_free(r, now, container_of(f->routes.next, struct route, of_forwarder));
}
