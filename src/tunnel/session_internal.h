/* The inside of a session, for session.c and the engine. */
#ifndef TUNNEL_SESSION_INTERNAL_H
#define TUNNEL_SESSION_INTERNAL_H

#include "activity.h"
#include "replay.h"
#include "tunnel/session.h"

struct tunnel_peer;

/* Who a local index stands for: a session, or (session NULL) the peer's own
 * handshake that waits for its response. A value of the engine's index table. */
struct tunnel_index {
        uint32_t value;
        struct tunnel_peer *peer;
        struct tunnel_session *session;
};

struct tunnel_session {
        atomic_uint refs;
        atomic_bool is_revoked; /* may not send any more */
        atomic_bool is_confirmed; /* the peer is known to have the keys */
        bool is_initiator;      /* we sent the first message of its handshake */
        uint32_t remote_index;
        uint64_t born_us;
        struct activity *activity;
        struct tunnel_index index; /* the control thread's */

        /* the sender's, apart from what other threads write */
        _Alignas(64) struct {
                uint64_t next_counter;
                uint64_t next_rekey_us; /* not before then is a handshake asked for again */
                struct bulk_key key;
        } tx;
        /* the receiver's */
        _Alignas(64) struct {
                struct bulk_key key;
                bool has_asked_rekey;
                uint64_t next_confirm_us; /* not before then is it reported again */
                struct replay_window window;
        } rx;
};

struct tunnel_session_keys {
        struct shared_key send, receive;
};

/* With one reference. NULL: out of memory. */
struct tunnel_session *session_new(const struct tunnel_session_keys *keys, bool is_initiator,
        uint32_t local_index, uint32_t remote_index, struct activity *activity, uint64_t now_us);
void session_revoke(struct tunnel_session *s);
bool session_can_send(const struct tunnel_session *s, uint64_t now_us);

#endif
