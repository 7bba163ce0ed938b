/*
 * For tests: tunnels joined by a network on virtual time. Each datagram sent to a
 * link goes to the node that link stands for, after a delay, if `fate` lets it.
 */
#ifndef TUNNEL_TEST_NET_H
#define TUNNEL_TEST_NET_H

#include <assert.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "base/list.h"
#include "tunnel/direct.h"

enum { NET_NODES = 3, NET_MTU = 1280 };

struct net;
struct node {
        struct net *net;
        int id;
        struct tunnel_direct *direct;
        struct public_key key;
        struct tunnel_link *links[NET_NODES]; /* by the id of the other end */
        struct rng_seeded rng;
        /* what happened */
        unsigned sent[5]; /* by message type */
        uint64_t last_sent_us[5];
        unsigned delivered;
        uint32_t last_tag; /* of the packet delivered last, see net_packet() */
        void (*on_deliver)(struct node *, struct slice packet);
};

struct flight {
        struct list in_net;
        uint64_t at_us;
        int from, to;
        size_t len;
        uint8_t bytes[];
};

struct net {
        struct now now;
        struct node nodes[NET_NODES];
        struct list flights; /* by time of arrival */
        uint64_t delay_us;
        /* How many copies arrive and how much later each; NULL: one, on time. */
        int (*fate)(struct net *, int from, int to, struct slice datagram, uint64_t extra_us[static 2]);
        struct rng_seeded rng;
        int stranger_from; /* the node that lets strangers in, or -1 */
        bool all_from_one_source; /* as behind one relay that hides its senders */
        void (*on_send)(struct net *, int from, int to, struct slice datagram);
};

static inline struct tunnel_source net_source(const struct net *n, int id)
{
        return (struct tunnel_source){ .via = TUNNEL_VIA_UDP,
                .addr = { ip_v4(10, 0, 0, (uint8_t)(n->all_from_one_source ? 1 : id + 1)), 41641 } };
}

static inline void net_inject(struct net *n, int from, int to, struct slice bytes, uint64_t at_us)
{
        struct flight *f = malloc(sizeof *f + bytes.len);
        struct list *at = n->flights.prev;

        assert(f);
        f->at_us = at_us;
        f->from = from;
        f->to = to;
        f->len = bytes.len;
        memcpy(f->bytes, bytes.ptr, bytes.len);
        while (at != &n->flights && container_of(at, struct flight, in_net)->at_us > at_us)
                at = at->prev;
        list_insert_after(at, &f->in_net);
}

static inline void net_send(void *ctx, struct tunnel_link *link, const struct tunnel_source *reply_to,
        struct slice datagram)
{
        struct node *from = ctx;
        struct net *n = from->net;
        const unsigned type = tunnel_message_type(datagram);
        const int to = link ? (int)(intptr_t)tunnel_link_user(link) : reply_to->addr.ip.b[3] - 1;
        uint64_t extra_us[2] = { 0 };
        int copies = n->fate ? n->fate(n, from->id, to, datagram, extra_us) : 1;

        assert(type != 0);
        from->sent[type]++;
        from->last_sent_us[type] = n->now.mono_us;
        if (n->on_send)
                n->on_send(n, from->id, to, datagram);
        for (int i = 0; i < copies; i++)
                net_inject(n, from->id, to, datagram, n->now.mono_us + n->delay_us + extra_us[i]);
}

static inline void net_deliver(void *ctx, struct tunnel_link *link, struct slice packet)
{
        struct node *node = ctx;

        (void)link;
        node->delivered++;
        node->last_tag = get_be32(packet.ptr + 20);
        if (node->on_deliver)
                node->on_deliver(node, packet);
}

static inline struct ip_addr net_address(int id)
{
        return ip_v4(100, 64, 0, (uint8_t)(id + 1));
}

static inline struct tunnel_link *net_link(struct net *n, int from, int to)
{
        struct node *node = &n->nodes[from];
        const struct tunnel_peer_config config = { .key = n->nodes[to].key, .user = (void *)(intptr_t)to };
        const struct ip_prefix address = ip_host_prefix(net_address(to));
        enum err e;

        e = tunnel_link_add(node->direct, &config, &node->links[to]);
        assert(e == OK);
        e = tunnel_link_allow(node->direct, node->links[to], &address);
        assert(e == OK);
        (void)e;
        return node->links[to];
}

static inline struct tunnel_link *net_stranger(void *ctx, const struct public_key *key)
{
        struct node *node = ctx;

        for (int i = 0; i < NET_NODES; i++)
                if (node->net->stranger_from == node->id && key_equal(key, &node->net->nodes[i].key))
                        return net_link(node->net, node->id, i);
        return NULL;
}

static inline void net_node_start_with(struct net *n, int id, const struct tunnel_config *config)
{
        static const struct tunnel_direct_ops ops = {
                .send = net_send, .deliver = net_deliver, .stranger = net_stranger
        };
        struct node *node = &n->nodes[id];

        node->net = n;
        node->id = id;
        memset(node->links, 0, sizeof node->links);
        node->direct = tunnel_direct_new(config, NET_MTU, &ops, node, &node->rng.rng);
        assert(node->direct);
        node->key = *tunnel_public_key(tunnel_direct_engine(node->direct));
}

static inline void net_node_start(struct net *n, int id, const struct secret_key *secret)
{
        const struct tunnel_config config = { .secret = *secret };

        net_node_start_with(n, id, &config);
}

static inline struct secret_key net_secret(int id)
{
        struct secret_key sk = { { 8, (uint8_t)(id + 1), [31] = 64 } };

        return sk;
}

/* Nodes without links. */
static inline void net_init(struct net *n, uint64_t seed)
{
        *n = (struct net){ .now = { TIME_S(1000), 1700000000000000 }, .delay_us = TIME_MS(10), .stranger_from = -1 };
        list_init(&n->flights);
        rng_seed(&n->rng, seed);
        for (int i = 0; i < NET_NODES; i++) {
                struct secret_key secret = net_secret(i);

                rng_seed(&n->nodes[i].rng, seed * NET_NODES + (uint64_t)i + 1);
                net_node_start(n, i, &secret);
        }
}

static inline void net_fini(struct net *n)
{
        struct list *f;

        while ((f = list_pop_front(&n->flights)))
                free(container_of(f, struct flight, in_net));
        for (int i = 0; i < NET_NODES; i++)
                tunnel_direct_free(n->nodes[i].direct);
}

static inline struct tunnel *net_engine(struct net *n, int id)
{
        return tunnel_direct_engine(n->nodes[id].direct);
}

static inline uint64_t net_next(const struct net *n)
{
        uint64_t at_us = TIME_NEVER;

        if (!list_empty(&n->flights))
                at_us = container_of(n->flights.next, struct flight, in_net)->at_us;
        for (int i = 0; i < NET_NODES; i++) {
                uint64_t d = tunnel_deadline(tunnel_direct_engine(n->nodes[i].direct));

                if (d < at_us)
                        at_us = d;
        }
        return at_us;
}

static inline void net_advance(struct net *n, uint64_t to_us)
{
        if (to_us > n->now.mono_us) {
                n->now.unix_us += (int64_t)(to_us - n->now.mono_us);
                n->now.mono_us = to_us;
        }
}

static inline void net_step(struct net *n)
{
        for (int i = 0; i < NET_NODES; i++)
                tunnel_direct_run(n->nodes[i].direct, &n->now);
        while (!list_empty(&n->flights)) {
                struct flight *f = container_of(n->flights.next, struct flight, in_net);
                struct tunnel_source from = net_source(n, f->from);

                if (f->at_us > n->now.mono_us)
                        break;
                list_remove(&f->in_net);
                tunnel_direct_receive(n->nodes[f->to].direct, f->bytes, f->len, &from, &n->now);
                free(f);
        }
}

/* Lets everything happen that is due within the time. */
static inline void net_run(struct net *n, uint64_t for_us)
{
        const uint64_t end_us = n->now.mono_us + for_us;

        while (net_next(n) <= end_us) {
                net_advance(n, net_next(n));
                net_step(n);
        }
        net_advance(n, end_us);
}

/* An IPv4 packet of len >= 24 bytes between two nodes' addresses, with a tag. */
static inline struct slice net_packet(int from, int to, uint32_t tag, size_t len, uint8_t out[static 1500])
{
        const struct ip_addr src = net_address(from), dst = net_address(to);

        memset(out, 0, len);
        out[0] = 0x45;
        put_be16(out + 2, (uint16_t)len);
        out[8] = 64;
        out[9] = 17;
        memcpy(out + 12, src.b, 4);
        memcpy(out + 16, dst.b, 4);
        put_be32(out + 20, tag);
        return slice_make(out, len);
}

static inline enum err net_say(struct net *n, int from, int to, uint32_t tag)
{
        uint8_t bytes[1500];

        return tunnel_send_packet(n->nodes[from].direct, net_packet(from, to, tag, 60, bytes), &n->now);
}

#endif
