/* Which connection a packet goes to, and who is told when a node has gone. */
#include "relay_internal.h"

#include <stdlib.h>

enum {
        GONE_TOKENS_MAX = 3,
        GONE_REFILL_S = 1,
};

struct flow_key {
        const struct relay_peer *peer;
        struct relay_conn *conn;
};

struct flow {
        struct flow_key key;
        struct list of_peer, of_conn;
};

/* ---- Peers -------------------------------------------------------------- */

struct relay_peer *relay_peer_find(const struct relay *r, const struct public_key *key)
{
        return table_get(&r->peers, key_slice(key));
}

struct relay_peer *relay_peer_obtain(struct relay *r, const struct public_key *key)
{
        struct relay_peer *p = relay_peer_find(r, key);

        if (p)
                return p;
        p = calloc(1, sizeof(*p));
        if (!p)
                return NULL;
        p->key = *key;
        list_init(&p->conns);
        list_init(&p->routes);
        list_init(&p->flows);
        if (table_put(&r->peers, key_slice(&p->key), p, NULL) != OK) {
                free(p);
                return NULL;
        }
        return p;
}

/* ---- Flows -------------------------------------------------------------- */

static struct slice flow_slice(const struct flow_key *key)
{
        return slice_make(key, sizeof(*key));
}

static void flow_free(struct flow *f)
{
        struct relay_conn *c = f->key.conn;

        if (c->last_from == f->key.peer)
                c->last_from = NULL;
        c->flow_count--;
        table_remove(&c->relay->flows, flow_slice(&f->key));
        list_remove(&f->of_peer);
        list_remove(&f->of_conn);
        free(f);
}

void relay_flows_clear(struct relay_conn *c)
{
        while (!list_empty(&c->flows))
                flow_free(container_of(c->flows.next, struct flow, of_conn));
}

/* Remembers that c gets packets from p. Without memory, or at the bound, somebody
 * is not told when somebody leaves: a client finds that out by itself. */
static void note_flow(struct relay_conn *c, struct relay_peer *p)
{
        if (c->last_from == p)
                return;
        struct flow_key key = { p, c };
        if (!table_get(&c->relay->flows, flow_slice(&key))) {
                if (c->flow_count >= RELAY_FLOWS_MAX)
                        flow_free(container_of(c->flows.next, struct flow, of_conn));
                struct flow *f = calloc(1, sizeof(*f));
                if (!f)
                        return;
                f->key = key;
                if (table_put(&c->relay->flows, flow_slice(&f->key), f, NULL) != OK) {
                        free(f);
                        return;
                }
                list_push_back(&p->flows, &f->of_peer);
                list_push_back(&c->flows, &f->of_conn);
                c->flow_count++;
        }
        c->last_from = p;
}

static void send_peer_gone(struct relay_conn *to, const struct now *now, const struct public_key *peer,
                           enum derp_gone_reason reason)
{
        uint8_t frame[DERP_HEADER_LEN + KEY_LEN + 1];
        struct writer w = writer_of(frame, sizeof(frame));

        derp_peer_gone_write(&w, peer, reason);
        relay_output_control(to, now, SLICE_ARRAY(frame));
}

void relay_peer_release(struct relay *r, const struct now *now, struct relay_peer *p)
{
        struct list *it;

        if (!list_empty(&p->conns) || !list_empty(&p->routes))
                return;
        table_remove(&r->peers, key_slice(&p->key)); /* first: nobody may find it any more */
        while (!list_empty(&p->flows)) {
                it = p->flows.next;
                struct relay_conn *c = container_of(it, struct flow, of_peer)->key.conn;
                flow_free(container_of(it, struct flow, of_peer));
                r->stats.peer_gone_disconnected++;
                send_peer_gone(c, now, &p->key, DERP_GONE_DISCONNECTED);
        }
        free(p);
}

/* ---- Packets ------------------------------------------------------------ */

static int kind_of(struct slice packet)
{
        return derp_looks_like_disco(packet) ? RELAY_DISCO : RELAY_OTHER;
}

/* One PeerGone a second, three at once (3.5). */
static bool may_tell_gone(struct relay_conn *c, const struct now *now)
{
        uint64_t earned = (now->mono_us - c->gone_at_us) / TIME_S(GONE_REFILL_S);

        if (earned) {
                c->gone_at_us += earned * TIME_S(GONE_REFILL_S);
                c->gone_tokens = earned >= GONE_TOKENS_MAX ? GONE_TOKENS_MAX : c->gone_tokens + (unsigned)earned;
        }
        if (c->gone_tokens > GONE_TOKENS_MAX)
                c->gone_tokens = GONE_TOKENS_MAX;
        if (c->gone_tokens == 0)
                return false;
        c->gone_tokens--;
        return true;
}

/* Only senders of disco are told: a busy tunnel would be told a thousand times. */
static void unknown_destination(struct relay_conn *from, const struct now *now, const struct public_key *dst,
                                struct slice packet)
{
        int kind = kind_of(packet);

        from->relay->stats.dropped[RELAY_DROP_UNKNOWN_DEST][kind]++;
        if (kind == RELAY_DISCO && may_tell_gone(from, now)) {
                from->relay->stats.peer_gone_not_here++;
                send_peer_gone(from, now, dst, DERP_GONE_NOT_HERE);
        }
}

void relay_route_send(struct relay_conn *from, const struct now *now, struct slice payload)
{
        struct relay *r = from->relay;
        struct public_key dst;
        struct slice packet;

        if (derp_packet_parse(payload, &dst, &packet) != OK)
                return relay_conn_close(from, now, RELAY_END_PROTOCOL);
        r->stats.packets_in[kind_of(packet)]++;
        r->stats.bytes_in += packet.len;

        struct relay_peer *p = relay_peer_find(r, &dst);
        if (!p)
                return unknown_destination(from, now, &dst, packet);
        struct relay_conn *to = relay_peer_active(p);
        if (to) {
                note_flow(to, from->peer);
                return relay_output_packet(to, now, &from->key, packet);
        }
        struct relay_forwarder *f = relay_mesh_forwarder(p);
        r->stats.forwarded_out++;
        f->forward(f, &from->key, &dst, packet);
}

void relay_route_forwarded(struct relay_conn *from, const struct now *now, struct slice payload)
{
        struct relay *r = from->relay;
        struct public_key src, dst;
        struct slice packet;

        if (derp_forward_parse(payload, &src, &dst, &packet) != OK)
                return relay_conn_close(from, now, RELAY_END_PROTOCOL);
        r->stats.packets_in[kind_of(packet)]++;
        r->stats.bytes_in += packet.len;
        r->stats.forwarded_in++;

        struct relay_peer *p = relay_peer_find(r, &dst);
        struct relay_conn *to = p ? relay_peer_active(p) : NULL;
        if (!to) {
                r->stats.dropped[RELAY_DROP_UNKNOWN_DEST_ON_FWD][kind_of(packet)]++;
                return;
        }
        struct relay_peer *sender = relay_peer_find(r, &src); /* unknown if our watch of it lags behind */
        if (sender)
                note_flow(to, sender);
        relay_output_packet(to, now, &src, packet);
}
