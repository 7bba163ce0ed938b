#include "session_internal.h"

#include <stdlib.h>

#include "base/cursor.h"
#include "limits.h"
#include "tunnel/tunnel.h"

enum { CHUNK = 64 }; /* packets handed to the bulk AEAD at a time */

struct tunnel_session *session_new(const struct tunnel_session_keys *keys, bool is_initiator,
        uint32_t local_index, uint32_t remote_index, struct activity *activity, uint64_t now_us)
{
        struct tunnel_session *s = aligned_alloc(_Alignof(struct tunnel_session), sizeof *s);

        if (!s)
                return NULL;
        memset(s, 0, sizeof *s);
        atomic_init(&s->refs, 1);
        s->is_initiator = is_initiator;
        atomic_init(&s->is_confirmed, is_initiator); /* by the response */
        s->index.value = local_index;
        s->index.session = s;
        s->remote_index = remote_index;
        s->born_us = now_us;
        s->activity = activity_ref(activity);
        bulk_key_init(&s->tx.key, &keys->send);
        bulk_key_init(&s->rx.key, &keys->receive);
        return s;
}

struct tunnel_session *tunnel_session_ref(struct tunnel_session *s)
{
        atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
        return s;
}

void tunnel_session_unref(struct tunnel_session *s)
{
        if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
                return;
        bulk_key_fini(&s->tx.key);
        bulk_key_fini(&s->rx.key);
        activity_unref(s->activity);
        free(s);
}

uint32_t tunnel_session_index(const struct tunnel_session *s)
{
        return s->index.value;
}

void session_revoke(struct tunnel_session *s)
{
        atomic_store_explicit(&s->is_revoked, true, memory_order_relaxed);
}

bool session_can_send(const struct tunnel_session *s, uint64_t now_us)
{
        return !atomic_load_explicit(&s->is_revoked, memory_order_relaxed) &&
                age_us(s->born_us, now_us) < REJECT_AFTER_TIME;
}

enum err tunnel_session_reserve(struct tunnel_session *s, size_t n, uint64_t mono_us, uint64_t *first_counter)
{
        if (!session_can_send(s, mono_us))
                return ERR_STATE;
        if (n > REJECT_AFTER_MESSAGES - s->tx.next_counter) {
                session_revoke(s);
                return ERR_STATE;
        }
        *first_counter = s->tx.next_counter;
        s->tx.next_counter += n;
        return OK;
}

static void seal_chunk(struct tunnel_session *s, struct bulk *bulk, uint64_t counter,
        struct tunnel_packet *packets, size_t n)
{
        struct bulk_packet work[CHUNK];

        for (size_t i = 0; i < n; i++) {
                uint8_t *msg = packets[i].msg;

                put_le32(msg, TUNNEL_TRANSPORT);
                put_le32(msg + 4, s->remote_index);
                put_le64(msg + 8, counter + i);
                work[i] = (struct bulk_packet){
                        .text = msg + TUNNEL_HEADER_LEN, .len = packets[i].plain_len, .counter = counter + i
                };
        }
        bulk_seal(bulk, &s->tx.key, work, n);
        for (size_t i = 0; i < n; i++)
                packets[i].status = work[i].is_ok ? OK : ERR_NOMEM;
}

/* Only the initiator renews an old session, or both ends would (paper, 6.2). */
static bool sender_wants_rekey(struct tunnel_session *s, uint64_t now_us)
{
        bool is_worn = s->tx.next_counter > REKEY_AFTER_MESSAGES ||
                (s->is_initiator && age_us(s->born_us, now_us) > REKEY_AFTER_TIME);

        if (!is_worn || now_us < s->tx.next_rekey_us)
                return false;
        s->tx.next_rekey_us = now_us + REKEY_TIMEOUT;
        return true;
}

unsigned tunnel_session_seal(struct tunnel_session *s, struct bulk *bulk, uint64_t first_counter,
        struct tunnel_packet *packets, size_t n, uint64_t mono_us)
{
        uint64_t bytes = 0;
        bool has_data = false;
        unsigned events = 0;

        for (size_t at = 0; at < n; at += CHUNK)
                seal_chunk(s, bulk, first_counter + at, packets + at, n - at < CHUNK ? n - at : CHUNK);
        for (size_t i = 0; i < n; i++) {
                bytes += TUNNEL_OVERHEAD + packets[i].plain_len;
                has_data |= packets[i].plain_len > 0;
        }
        if (activity_sent(s->activity, has_data, bytes, mono_us))
                events |= TUNNEL_ACTIVITY;
        if (sender_wants_rekey(s, mono_us))
                events |= TUNNEL_WANT_REKEY;
        return events;
}

static void open_chunk(struct tunnel_session *s, struct bulk *bulk, struct tunnel_packet *packets, size_t n)
{
        struct bulk_packet work[CHUNK];

        for (size_t i = 0; i < n; i++)
                work[i] = (struct bulk_packet){
                        .text = packets[i].msg + TUNNEL_HEADER_LEN,
                        .len = packets[i].plain_len,
                        .counter = get_le64(packets[i].msg + 8),
                };
        bulk_open(bulk, &s->rx.key, work, n);
        for (size_t i = 0; i < n; i++) {
                if (!work[i].is_ok)
                        packets[i].status = ERR_AUTH;
                else
                        packets[i].status = replay_accept(&s->rx.window, work[i].counter) ? OK : ERR_REPLAY;
        }
}

/* The last chance to renew a session that sends little: once, while the answer
 * can still arrive in its lifetime. */
static bool receiver_wants_rekey(struct tunnel_session *s, uint64_t now_us)
{
        if (!s->is_initiator || s->rx.has_asked_rekey ||
                age_us(s->born_us, now_us) <= REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT)
                return false;
        s->rx.has_asked_rekey = true;
        return true;
}

/* Said again until the engine has heard it: without it, it never sends. */
static bool receiver_confirms(struct tunnel_session *s, uint64_t now_us)
{
        if (atomic_load_explicit(&s->is_confirmed, memory_order_relaxed) || now_us < s->rx.next_confirm_us)
                return false;
        s->rx.next_confirm_us = now_us + REPORT_AGAIN;
        return true;
}

unsigned tunnel_session_open(struct tunnel_session *s, struct bulk *bulk, struct tunnel_packet *packets,
        size_t n, uint64_t mono_us)
{
        uint64_t bytes = 0;
        bool has_data = false;
        unsigned events = 0;

        if (age_us(s->born_us, mono_us) >= REJECT_AFTER_TIME) {
                for (size_t i = 0; i < n; i++)
                        packets[i].status = ERR_STATE;
                return 0;
        }
        for (size_t at = 0; at < n; at += CHUNK)
                open_chunk(s, bulk, packets + at, n - at < CHUNK ? n - at : CHUNK);
        for (size_t i = 0; i < n; i++) {
                if (packets[i].status != OK)
                        continue;
                bytes += TUNNEL_OVERHEAD + packets[i].plain_len;
                has_data |= packets[i].plain_len > 0;
        }
        if (bytes == 0)
                return 0; /* nothing authentic */
        if (activity_heard(s->activity, has_data, bytes, mono_us))
                events |= TUNNEL_ACTIVITY;
        if (receiver_confirms(s, mono_us))
                events |= TUNNEL_FIRST_RECEIVE;
        if (receiver_wants_rekey(s, mono_us))
                events |= TUNNEL_WANT_REKEY;
        return events;
}

size_t tunnel_padded_len(size_t len, size_t mtu)
{
        size_t padded = (len + TUNNEL_PADDING - 1) & ~(size_t)(TUNNEL_PADDING - 1);

        if (mtu == 0 || padded <= mtu)
                return padded;
        return len > mtu ? len : mtu;
}

enum err tunnel_inner_packet(struct slice text, struct slice *packet)
{
        size_t header_len, total_len;

        if (text.len == 0)
                return ERR_SHORT;
        if (text.ptr[0] >> 4 == 4) {
                header_len = 20;
                if (text.len < header_len)
                        return ERR_FORMAT;
                total_len = get_be16(text.ptr + 2);
        } else if (text.ptr[0] >> 4 == 6) {
                header_len = 40;
                if (text.len < header_len)
                        return ERR_FORMAT;
                total_len = header_len + get_be16(text.ptr + 4);
        } else {
                return ERR_FORMAT;
        }
        if (total_len < header_len || total_len > text.len)
                return ERR_FORMAT;
        *packet = slice_first(text, total_len);
        return OK;
}
