/*
 * A session: the two transport keys that one WireGuard handshake yields, as the
 * packet path uses them (spec/dataplane.md 1.4, 1.6, 1.8).
 *
 * The engine (tunnel/tunnel.h) makes sessions on the control thread and hands
 * them out; holders keep a reference. Then, without a lock:
 *  - one thread, the sender, calls tunnel_session_reserve() and _seal();
 *  - one thread, the receiver, calls tunnel_session_open();
 *  - when these return events, they are passed on to tunnel_event() on the
 *    control thread. Those that matter are said again if one gets lost.
 * Both threads leave stamps that the engine's timers read later. All sessions of
 * a peer must have the same sender and the same receiver thread.
 */
#ifndef TUNNEL_SESSION_H
#define TUNNEL_SESSION_H

#include "base/err.h"
#include "crypto/aead.h"
#include "crypto/bulk.h"

enum {
        TUNNEL_HEADER_LEN = 16, /* type, receiver index, counter */
        TUNNEL_TAG_LEN = AEAD_TAG_LEN,
        TUNNEL_OVERHEAD = TUNNEL_HEADER_LEN + TUNNEL_TAG_LEN,
        TUNNEL_PADDING = 16,
};

struct tunnel_session;

/* Safe from any thread; the last reference wipes and frees. */
struct tunnel_session *tunnel_session_ref(struct tunnel_session *s);
void tunnel_session_unref(struct tunnel_session *s); /* NULL is fine */

/* The index our peer writes into its messages to us: the key of a receiver's table. */
uint32_t tunnel_session_index(const struct tunnel_session *s);

/* One transport message. Both directions work in place. */
struct tunnel_packet {
        uint8_t *msg;       /* header, text, tag: TUNNEL_OVERHEAD + plain_len bytes */
        uint32_t plain_len;
        enum err status;    /* of opening: OK, ERR_AUTH, ERR_REPLAY, ERR_STATE (session too old) */
};

/* What sealing or opening wants the engine to know; pass it to tunnel_event(). */
enum tunnel_event {
        TUNNEL_ACTIVITY = 1,      /* timers that slept must look at the stamps */
        TUNNEL_FIRST_RECEIVE = 2, /* an authentic packet confirms a session we did not initiate */
        TUNNEL_WANT_REKEY = 4,    /* the session is old or worn: shake hands again */
};

/* Sender: takes n counters in a row. ERR_STATE if the session may not send (any
 * more): too old, worn out or revoked; then stage and call tunnel_want_session(). */
enum err MUST_USE tunnel_session_reserve(struct tunnel_session *s, size_t n, uint64_t mono_us,
        uint64_t *first_counter);

/* Sender: writes headers with the counters first_counter, +1, ..., encrypts and
 * appends tags. The text lies at msg + TUNNEL_HEADER_LEN and is padded already
 * (tunnel_padded_len()); plain_len 0 is a keepalive. Status becomes OK, or
 * ERR_NOMEM: do not send that one. Returns enum tunnel_event bits. */
unsigned tunnel_session_seal(struct tunnel_session *s, struct bulk *bulk, uint64_t first_counter,
        struct tunnel_packet *packets, size_t n, uint64_t mono_us);

/* Receiver: authenticates, decrypts, and drops replays, in order. The caller has
 * checked type and index, and that each message has TUNNEL_OVERHEAD bytes or more
 * (plain_len is what exceeds it). Sets each status. Returns enum tunnel_event bits. */
unsigned tunnel_session_open(struct tunnel_session *s, struct bulk *bulk, struct tunnel_packet *packets,
        size_t n, uint64_t mono_us);

/* The length to seal for an inner packet of len bytes: the next multiple of 16,
 * but no more than mtu (0: no bound). */
size_t tunnel_padded_len(size_t len, size_t mtu);

/* Cuts decrypted text to the IP packet in it. ERR_FORMAT if there is none; the
 * empty text of a keepalive is ERR_SHORT. */
enum err MUST_USE tunnel_inner_packet(struct slice text, struct slice *packet);

#endif
