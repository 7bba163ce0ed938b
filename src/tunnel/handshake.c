/*
 * Messages 1 to 3. Our own initiation is kept until its response comes; answering
 * somebody else's needs no memory, because it is done in one go. So when both ends
 * begin at once, both handshakes complete and the slots sort them out.
 */
#include "tunnel_internal.h"

#include <stdlib.h>

/*
 * Timestamps (TAI64N) must rise from one initiation to the next, for ever, or the
 * peer takes them for replays. We count in slots of 2^24 ns, sixty begun in each
 * second, which also hides the exact clock. The clock is never let go back: a
 * reading earlier than one used before counts as that one, and a peer that has
 * already seen the slot gets the next.
 */
enum { SLOTS_PER_SECOND = 60, SLOT_SHIFT = 24 };
#define TAI64_EPOCH UINT64_C(0x400000000000000a)

uint64_t clock_slot_of(int64_t unix_us)
{
        uint64_t us = unix_us > 0 ? (uint64_t)unix_us : 0;

        return us / TIME_S(1) * SLOTS_PER_SECOND + ((us % TIME_S(1) * 1000) >> SLOT_SHIFT);
}

int64_t clock_slot_unix_us(uint64_t slot)
{
        uint64_t second = slot / SLOTS_PER_SECOND;
        uint64_t ns = slot % SLOTS_PER_SECOND << SLOT_SHIFT;

        /* rounded up, so that the same slot comes out again */
        return (int64_t)(TIME_S(second) + (ns + 999) / 1000);
}

static void next_timestamp(struct tunnel_peer *p, const struct now *now, uint8_t out[static TAI64N_LEN])
{
        struct tunnel *t = p->tunnel;
        struct writer w = writer_of(out, TAI64N_LEN);
        uint64_t slot = clock_slot_of(now->unix_us);

        if (t->clock_slot < slot)
                t->clock_slot = slot;
        p->sent_slot = t->clock_slot > p->sent_slot ? t->clock_slot : p->sent_slot + 1;
        if (t->highest_slot < p->sent_slot)
                t->highest_slot = p->sent_slot;
        wr_be64(&w, TAI64_EPOCH + p->sent_slot / SLOTS_PER_SECOND);
        wr_be32(&w, (uint32_t)(p->sent_slot % SLOTS_PER_SECOND << SLOT_SHIFT));
}

/* Signs a message 1 or 2 and sends it to the peer. */
static void send_signed(struct tunnel_peer *p, const struct tunnel_source *reply_to, void *msg, size_t len,
        const struct now *now)
{
        struct tunnel *t = p->tunnel;

        cookie_jar_sign(&p->jar, &p->key, msg, len, now->mono_us);
        p->handshake_sent_us = now->mono_us;
        p->handshake_tx_bytes += len;
        stamp_set(&p->activity->sent_us, now->mono_us);
        t->ops->send(t->ctx, p, reply_to, slice_make(msg, len));
}

static void heard(struct tunnel_peer *p, const struct tunnel_source *from, size_t len, const struct now *now)
{
        struct tunnel *t = p->tunnel;

        p->handshake_rx_bytes += len;
        stamp_set(&p->activity->heard_us, now->mono_us);
        t->ops->authenticated(t->ctx, p, from);
}

static void initiation_send(struct tunnel_peer *p, const struct now *now)
{
        struct tunnel *t = p->tunnel;
        uint8_t timestamp[TAI64N_LEN];
        struct msg_initiation msg;
        struct handshake *h;

        peer_handshake_drop(p);
        if (peer_agree(p) != OK)
                return; /* a degenerate key: there is nobody to talk to */
        h = calloc(1, sizeof *h);
        if (!h)
                return;
        h->index.value = index_unused(t);
        next_timestamp(p, now, timestamp);
        if (noise_initiation_write(&t->self, &p->key, &p->static_static, h->index.value, timestamp, t->rng,
                    &h->noise, &msg) != OK ||
                index_add(p, &h->index) != OK) {
                key_wipe(h, sizeof *h);
                free(h);
                return;
        }
        p->handshake = h;
        t->stats.initiations_sent++;
        send_signed(p, NULL, &msg, sizeof msg, now);
}

void handshake_retry(struct tunnel_peer *p, const struct now *now)
{
        if (p->handshake_sent_us != 0 && age_us(p->handshake_sent_us, now->mono_us) < REKEY_TIMEOUT) {
                timers_initiation_due(p, p->handshake_sent_us + REKEY_TIMEOUT);
                return;
        }
        initiation_send(p, now);
        timers_initiation_sent(p, now); /* also when it failed: memory may come back */
}

void handshake_start(struct tunnel_peer *p, const struct now *now)
{
        p->attempts = 0;
        handshake_retry(p, now);
}

/*
 * The gate every message 1 and 2 must pass before any key agreement is computed:
 * mac1 always, and under load a mac2 and a place in the sender's bucket.
 */
static bool may_compute(struct tunnel *t, struct slice msg, uint32_t sender, const struct tunnel_source *from,
        const struct now *now)
{
        const struct macs macs = macs_of(msg);
        struct msg_cookie reply;

        if (!cookie_mac1_fits(&t->checker, &macs)) {
                t->stats.bad_mac1++;
                return false;
        }
        if (!load_is_heavy(&t->load, now->mono_us))
                return true;
        if (cookie_mac2_fits(&t->checker, &macs, from, now->mono_us)) {
                if (load_admits(&t->load, from, now->mono_us))
                        return true;
                t->stats.flooded++;
                return false;
        }
        cookie_reply_write(&t->checker, &macs, sender, from, t->rng, now->mono_us, &reply);
        t->stats.cookies_sent++;
        t->ops->send(t->ctx, NULL, from, MSG_SLICE(&reply));
        return false;
}

/*
 * Whose key agreement opens the timestamp. A known peer's is at hand; a stranger's
 * is computed, and only if its timestamp opens, which proves that it owns the key
 * it claims, is the owner asked whether to let it in. NULL: not authentic, or
 * nobody we talk to.
 */
static struct tunnel_peer *initiation_authenticate(struct tunnel *t, const struct msg_initiation *msg,
        struct noise_state *state, uint8_t timestamp[static TAI64N_LEN])
{
        struct public_key sender;
        struct tunnel_peer *p;
        struct shared_key shared;
        bool is_authentic;

        if (noise_initiation_read_sender(&t->self, msg, state, &sender) != OK) {
                t->stats.bad_handshake++;
                return NULL;
        }
        p = tunnel_peer_find(t, &sender);
        if (!p && !t->ops->stranger) {
                t->stats.unknown_peer++;
                return NULL;
        }
        if (p ? peer_agree(p) != OK : key_agree(&t->self.secret, &sender, &shared) != OK) {
                t->stats.bad_handshake++;
                return NULL;
        }
        is_authentic = noise_initiation_read_timestamp(msg, p ? &p->static_static : &shared, state, timestamp) == OK;
        key_wipe(&shared, sizeof shared);
        if (!is_authentic) {
                t->stats.bad_handshake++;
                return NULL;
        }
        if (!p)
                p = t->ops->stranger(t->ctx, &sender);
        if (!p)
                t->stats.unknown_peer++;
        return p;
}

static bool initiation_is_fresh(struct tunnel_peer *p, const uint8_t timestamp[static TAI64N_LEN],
        const struct now *now)
{
        struct tunnel *t = p->tunnel;

        if (p->has_heard_timestamp && memcmp(timestamp, p->heard_timestamp, TAI64N_LEN) <= 0) {
                t->stats.replayed_initiation++;
                return false;
        }
        if (p->accepted_us != 0 && age_us(p->accepted_us, now->mono_us) < INITIATION_MIN_GAP) {
                t->stats.flooded++;
                return false;
        }
        memcpy(p->heard_timestamp, timestamp, TAI64N_LEN);
        p->has_heard_timestamp = true;
        p->accepted_us = now->mono_us;
        return true;
}

static void response_send(struct tunnel_peer *p, const struct msg_initiation *initiation, struct noise_state *state,
        const struct tunnel_source *from, const struct now *now)
{
        struct tunnel *t = p->tunnel;
        const uint32_t index = index_unused(t);
        struct tunnel_session_keys keys;
        struct tunnel_session *s;
        struct msg_response msg;

        if (noise_response_write(initiation, &p->key, &p->psk, index, t->rng, state, &msg, &keys) != OK) {
                t->stats.bad_handshake++;
                return;
        }
        s = session_new(&keys, false, index, get_le32(initiation->sender), p->activity, now->mono_us);
        key_wipe(&keys, sizeof keys);
        if (!s || peer_session_made(p, s, now) != OK)
                return; /* no memory: the initiator tries again */
        t->stats.responses_sent++;
        send_signed(p, from, &msg, sizeof msg, now);
}

static void initiation_receive(struct tunnel *t, struct slice datagram, const struct tunnel_source *from,
        const struct now *now)
{
        uint8_t timestamp[TAI64N_LEN];
        struct msg_initiation msg;
        struct noise_state state;
        struct tunnel_peer *p;

        if (msg_initiation_parse(datagram, &msg) != OK) {
                t->stats.malformed++;
                return;
        }
        if (!may_compute(t, datagram, get_le32(msg.sender), from, now))
                return;
        p = initiation_authenticate(t, &msg, &state, timestamp);
        if (p && initiation_is_fresh(p, timestamp, now)) {
                heard(p, from, datagram.len, now);
                response_send(p, &msg, &state, from, now);
        }
        key_wipe(&state, sizeof state);
}

static void response_receive(struct tunnel *t, struct slice datagram, const struct tunnel_source *from,
        const struct now *now)
{
        struct msg_response msg;
        struct tunnel_index *index;
        struct tunnel_session_keys keys;
        struct tunnel_session *s;
        struct tunnel_peer *p;
        uint32_t local_index;

        if (msg_response_parse(datagram, &msg) != OK) {
                t->stats.malformed++;
                return;
        }
        if (!may_compute(t, datagram, get_le32(msg.sender), from, now))
                return;
        local_index = get_le32(msg.receiver);
        index = index_find(t, local_index);
        if (!index || index->session) { /* none, or answered before */
                t->stats.bad_handshake++;
                return;
        }
        p = index->peer;
        if (noise_response_read(&t->self, &p->handshake->noise, &p->psk, &msg, &keys) != OK) {
                t->stats.bad_handshake++;
                return;
        }
        peer_handshake_drop(p);
        heard(p, from, datagram.len, now);
        s = session_new(&keys, true, local_index, get_le32(msg.sender), p->activity, now->mono_us);
        key_wipe(&keys, sizeof keys);
        if (!s || peer_session_made(p, s, now) != OK)
                return; /* no memory: the retransmission tries again */
}

/* A cookie refers to our last message 1 or, by its session, message 2. It is kept
 * for the next message; the timers decide when that is. */
static void cookie_receive(struct tunnel *t, struct slice datagram, const struct now *now)
{
        struct msg_cookie msg;
        struct tunnel_index *index;

        if (msg_cookie_parse(datagram, &msg) != OK) {
                t->stats.malformed++;
                return;
        }
        index = index_find(t, get_le32(msg.receiver));
        if (!index || cookie_jar_fill(&index->peer->jar, &index->peer->key, &msg, now->mono_us) != OK) {
                t->stats.bad_handshake++;
                return;
        }
        t->stats.cookies_received++;
}

void handshake_receive(struct tunnel *t, unsigned type, struct slice datagram, const struct tunnel_source *from,
        const struct now *now)
{
        switch (type) {
        case TUNNEL_INITIATION:
                initiation_receive(t, datagram, from, now);
                break;
        case TUNNEL_RESPONSE:
                response_receive(t, datagram, from, now);
                break;
        case TUNNEL_COOKIE:
                cookie_receive(t, datagram, now);
                break;
        default:
                t->stats.malformed++;
        }
}
