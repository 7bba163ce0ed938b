#include "tunnel/direct.h"

#include <stdlib.h>

#include "base/cursor.h"
#include "base/list.h"
#include "base/table.h"
#include "ip/packet.h"
#include "ip/trie.h"

struct staged {
        struct list in_queue;
        size_t len;
        uint8_t bytes[];
};

struct tunnel_link {
        struct list in_all;
        struct tunnel_direct *direct;
        struct tunnel_peer *peer;
        void *user;
        struct tunnel_session *session; /* to send on; NULL: none yet */
        struct list queue;              /* of struct staged, oldest first */
        size_t staged_packets, staged_bytes;
        struct ip_prefix *allowed;
        size_t allowed_count;
};

/* A session that may be received on, found by its index. */
struct receiver {
        uint32_t index;
        struct tunnel_session *session;
        struct tunnel_link *link;
};

struct tunnel_direct {
        struct tunnel *engine;
        const struct tunnel_direct_ops *ops;
        void *ctx;
        struct bulk *bulk;
        struct ip_trie *owners; /* prefix -> struct tunnel_link */
        struct table receivers;
        struct list links;
        size_t mtu;
        struct now now; /* of the call we are in, for what the engine calls back */
        struct tunnel_direct_stats stats;
        uint8_t msg[TUNNEL_PACKET_MAX + TUNNEL_PADDING + TUNNEL_OVERHEAD];
};

/* ---- sending --- */

static void stage_drop_oldest(struct tunnel_link *link)
{
        struct staged *s = container_of(list_pop_front(&link->queue), struct staged, in_queue);

        link->staged_packets--;
        link->staged_bytes -= s->len;
        free(s);
}

static void stage_clear(struct tunnel_link *link)
{
        while (link->staged_packets > 0)
                stage_drop_oldest(link);
}

static enum err stage(struct tunnel_link *link, struct slice packet)
{
        struct staged *s = malloc(sizeof *s + packet.len);

        if (!s)
                return ERR_NOMEM;
        s->in_queue = (struct list){ 0 };
        s->len = packet.len;
        memcpy(s->bytes, packet.ptr, packet.len);
        list_push_back(&link->queue, &s->in_queue);
        link->staged_packets++;
        link->staged_bytes += packet.len;
        while (link->staged_packets > TUNNEL_STAGED_PACKETS || link->staged_bytes > TUNNEL_STAGED_BYTES) {
                link->direct->stats.staged_dropped++;
                stage_drop_oldest(link);
        }
        return OK;
}

/* Seals and sends one packet, or with the empty slice a keepalive. ERR_STATE if
 * there is no session that may be sent on. */
static enum err seal_and_send(struct tunnel_link *link, struct slice packet)
{
        struct tunnel_direct *d = link->direct;
        struct tunnel_packet p = { .msg = d->msg };
        uint64_t counter;
        unsigned events;

        if (!link->session || tunnel_session_reserve(link->session, 1, d->now.mono_us, &counter) != OK)
                return ERR_STATE;
        p.plain_len = (uint32_t)tunnel_padded_len(packet.len, d->mtu);
        memset(d->msg + TUNNEL_HEADER_LEN, 0, p.plain_len);
        if (packet.len > 0)
                memcpy(d->msg + TUNNEL_HEADER_LEN, packet.ptr, packet.len);
        events = tunnel_session_seal(link->session, d->bulk, counter, &p, 1, d->now.mono_us);
        if (p.status == OK) {
                d->stats.sent++;
                d->ops->send(d->ctx, link, NULL, slice_make(d->msg, TUNNEL_OVERHEAD + p.plain_len));
        }
        if (events)
                tunnel_event(d->engine, tunnel_session_index(link->session), events, &d->now);
        return p.status;
}

static void flush(struct tunnel_link *link)
{
        while (link->staged_packets > 0) {
                struct staged *s = container_of(link->queue.next, struct staged, in_queue);

                if (seal_and_send(link, slice_make(s->bytes, s->len)) == ERR_STATE)
                        return;
                stage_drop_oldest(link);
        }
}

enum err tunnel_send_packet(struct tunnel_direct *d, struct slice packet, const struct now *now)
{
        struct tunnel_link *link;
        struct packet view;
        enum err e;

        d->now = *now;
        if (packet.len > TUNNEL_PACKET_MAX || packet_decode(packet, &view) != OK)
                return ERR_FORMAT;
        link = ip_trie_lookup(d->owners, &view.dst.ip);
        if (!link)
                return ERR_NOTFOUND;
        e = seal_and_send(link, view.bytes);
        if (e != ERR_STATE)
                return e;
        e = stage(link, view.bytes);
        tunnel_want_session(d->engine, link->peer, now);
        return e;
}

/* ---- receiving --- */

static void deliver(struct tunnel_link *link, struct slice text)
{
        struct tunnel_direct *d = link->direct;
        struct packet view;
        struct slice packet;

        if (text.len == 0) {
                d->stats.keepalives_received++;
        } else if (tunnel_inner_packet(text, &packet) != OK || packet_decode(packet, &view) != OK) {
                d->stats.bad_inner++;
        } else if (ip_trie_lookup(d->owners, &view.src.ip) != link) {
                d->stats.bad_source++;
        } else {
                d->stats.delivered++;
                d->ops->deliver(d->ctx, link, packet);
        }
}

static void transport_receive(struct tunnel_direct *d, uint8_t *msg, size_t len, const struct tunnel_source *from)
{
        const uint32_t index = get_le32(msg + 4);
        struct receiver *r = table_get(&d->receivers, slice_make(&index, sizeof index));
        struct tunnel_packet p = { .msg = msg, .plain_len = (uint32_t)(len - TUNNEL_OVERHEAD) };
        struct tunnel_link *link;
        unsigned events;

        if (!r) {
                d->stats.unknown_index++;
                return;
        }
        link = r->link;
        events = tunnel_session_open(r->session, d->bulk, &p, 1, d->now.mono_us);
        if (events) /* may end sessions: r is not to be used any more */
                tunnel_event(d->engine, index, events, &d->now);
        if (p.status == ERR_REPLAY)
                d->stats.replayed++;
        else if (p.status != OK)
                d->stats.bad_auth++;
        if (p.status != OK)
                return;
        if (d->ops->authenticated)
                d->ops->authenticated(d->ctx, link, from);
        deliver(link, slice_make(msg + TUNNEL_HEADER_LEN, p.plain_len));
}

void tunnel_direct_receive(struct tunnel_direct *d, uint8_t *datagram, size_t len,
        const struct tunnel_source *from, const struct now *now)
{
        const struct slice bytes = slice_make(datagram, len);

        d->now = *now;
        if (tunnel_message_type(bytes) == TUNNEL_TRANSPORT)
                transport_receive(d, datagram, len, from);
        else
                tunnel_receive(d->engine, bytes, from, now);
}

/* ---- what the engine tells us --- */

static struct tunnel_link *link_of(const struct tunnel_peer *p)
{
        return p ? tunnel_peer_user(p) : NULL;
}

static void on_send(void *ctx, struct tunnel_peer *peer, const struct tunnel_source *reply_to, struct slice datagram)
{
        struct tunnel_direct *d = ctx;

        d->ops->send(d->ctx, link_of(peer), reply_to, datagram);
}

static void on_session_added(void *ctx, struct tunnel_peer *peer, struct tunnel_session *s)
{
        struct tunnel_direct *d = ctx;
        struct receiver *r = calloc(1, sizeof *r);

        if (!r)
                return; /* its packets will be unknown */
        r->index = tunnel_session_index(s);
        r->session = tunnel_session_ref(s);
        r->link = link_of(peer);
        if (table_put(&d->receivers, slice_make(&r->index, sizeof r->index), r, NULL) != OK) {
                tunnel_session_unref(s);
                free(r);
        }
}

static void on_session_use(void *ctx, struct tunnel_peer *peer, struct tunnel_session *s, bool confirm)
{
        struct tunnel_link *link = link_of(peer);

        (void)ctx;
        tunnel_session_unref(link->session);
        link->session = tunnel_session_ref(s);
        if (link->staged_packets > 0)
                flush(link);
        else if (confirm)
                (void)!seal_and_send(link, (struct slice){ 0 });
}

static void on_session_removed(void *ctx, struct tunnel_peer *peer, struct tunnel_session *s)
{
        struct tunnel_direct *d = ctx;
        struct tunnel_link *link = link_of(peer);
        const uint32_t index = tunnel_session_index(s);
        struct receiver *r = table_remove(&d->receivers, slice_make(&index, sizeof index));

        if (r) {
                tunnel_session_unref(r->session);
                free(r);
        }
        if (link->session == s) {
                tunnel_session_unref(s);
                link->session = NULL;
        }
}

static void on_keepalive(void *ctx, struct tunnel_peer *peer)
{
        (void)ctx;
        (void)!seal_and_send(link_of(peer), (struct slice){ 0 });
}

static void on_unreachable(void *ctx, struct tunnel_peer *peer)
{
        (void)ctx;
        stage_clear(link_of(peer));
}

static void on_authenticated(void *ctx, struct tunnel_peer *peer, const struct tunnel_source *from)
{
        struct tunnel_direct *d = ctx;

        if (d->ops->authenticated)
                d->ops->authenticated(d->ctx, link_of(peer), from);
}

static struct tunnel_peer *on_stranger(void *ctx, const struct public_key *key)
{
        struct tunnel_direct *d = ctx;
        struct tunnel_link *link = d->ops->stranger ? d->ops->stranger(d->ctx, key) : NULL;

        return link ? link->peer : NULL;
}

static const struct tunnel_ops engine_ops = {
        .send = on_send,
        .session_added = on_session_added,
        .session_use = on_session_use,
        .session_removed = on_session_removed,
        .keepalive = on_keepalive,
        .unreachable = on_unreachable,
        .authenticated = on_authenticated,
        .stranger = on_stranger,
        .dormant = on_unreachable,
};

/* ---- making and ending --- */

struct tunnel_direct *tunnel_direct_new(const struct tunnel_config *config, size_t mtu,
        const struct tunnel_direct_ops *ops, void *ctx, struct rng *rng)
{
        struct tunnel_direct *d = calloc(1, sizeof *d);

        if (!d)
                return NULL;
        d->ops = ops;
        d->ctx = ctx;
        d->mtu = mtu;
        list_init(&d->links);
        table_init(&d->receivers, 0);
        d->bulk = bulk_new(BULK_OPENSSL);
        d->owners = ip_trie_new();
        d->engine = tunnel_new(config, &engine_ops, d, rng);
        if (d->bulk && d->owners && d->engine)
                return d;
        tunnel_direct_free(d);
        return NULL;
}

void tunnel_direct_free(struct tunnel_direct *d)
{
        if (!d)
                return;
        list_each_safe(it, &d->links)
                tunnel_link_remove(d, container_of(it, struct tunnel_link, in_all));
        tunnel_free(d->engine);
        table_fini(&d->receivers);
        ip_trie_free(d->owners);
        bulk_free(d->bulk);
        free(d);
}

struct tunnel *tunnel_direct_engine(struct tunnel_direct *d)
{
        return d->engine;
}

void tunnel_direct_run(struct tunnel_direct *d, const struct now *now)
{
        d->now = *now;
        tunnel_run(d->engine, now);
}

enum err tunnel_link_add(struct tunnel_direct *d, const struct tunnel_peer_config *config, struct tunnel_link **out)
{
        struct tunnel_peer_config with_link = *config;
        struct tunnel_link *link = calloc(1, sizeof *link);
        enum err e;

        if (!link)
                return ERR_NOMEM;
        link->direct = d;
        link->user = config->user;
        list_init(&link->queue);
        with_link.user = link;
        with_link.is_lazy = false; /* links are removed by their owner */
        e = tunnel_peer_add(d->engine, &with_link, &link->peer);
        if (e != OK) {
                free(link);
                return e;
        }
        list_push_back(&d->links, &link->in_all);
        *out = link;
        return OK;
}

void tunnel_link_remove(struct tunnel_direct *d, struct tunnel_link *link)
{
        tunnel_peer_remove(d->engine, link->peer);
        for (size_t i = 0; i < link->allowed_count; i++) {
                struct tunnel_link *owner = ip_trie_remove(d->owners, &link->allowed[i]);

                if (owner && owner != link) /* somebody else has it by now */
                        (void)!ip_trie_insert(d->owners, &link->allowed[i], owner);
        }
        list_remove(&link->in_all);
        stage_clear(link);
        free(link->allowed);
        free(link);
}

struct tunnel_peer *tunnel_link_peer(const struct tunnel_link *link)
{
        return link->peer;
}

void *tunnel_link_user(const struct tunnel_link *link)
{
        return link->user;
}

enum err tunnel_link_allow(struct tunnel_direct *d, struct tunnel_link *link, const struct ip_prefix *prefix)
{
        struct ip_prefix *more = realloc(link->allowed, (link->allowed_count + 1) * sizeof *more);

        if (!more)
                return ERR_NOMEM;
        link->allowed = more;
        link->allowed[link->allowed_count++] = *prefix;
        return ip_trie_insert(d->owners, prefix, link);
}

const struct tunnel_direct_stats *tunnel_direct_stats(const struct tunnel_direct *d)
{
        return &d->stats;
}
