/*
 * The handshake messages, byte by byte (spec/dataplane.md 1.2). Every member is an
 * array of bytes, so the structs are the wire format; integers are little-endian.
 */
#ifndef TUNNEL_MESSAGES_H
#define TUNNEL_MESSAGES_H

#include <assert.h>

#include "base/cursor.h"
#include "crypto/aead.h"
#include "crypto/hash.h"

enum { TAI64N_LEN = 12 };

struct msg_initiation {
        uint8_t type[4];
        uint8_t sender[4];
        uint8_t ephemeral[KEY_LEN];
        uint8_t enc_static[KEY_LEN + AEAD_TAG_LEN];
        uint8_t enc_timestamp[TAI64N_LEN + AEAD_TAG_LEN];
        uint8_t mac1[MAC_LEN];
        uint8_t mac2[MAC_LEN];
};

struct msg_response {
        uint8_t type[4];
        uint8_t sender[4];
        uint8_t receiver[4];
        uint8_t ephemeral[KEY_LEN];
        uint8_t enc_empty[AEAD_TAG_LEN];
        uint8_t mac1[MAC_LEN];
        uint8_t mac2[MAC_LEN];
};

struct msg_cookie {
        uint8_t type[4];
        uint8_t receiver[4];
        uint8_t nonce[XAEAD_NONCE_LEN];
        uint8_t enc_cookie[MAC_LEN + AEAD_TAG_LEN];
};

static_assert(sizeof(struct msg_initiation) == 148, "no padding");
static_assert(sizeof(struct msg_response) == 92, "no padding");
static_assert(sizeof(struct msg_cookie) == 64, "no padding");

/* A datagram of exactly the message's size and type. ERR_SHORT, ERR_FORMAT. */
enum err MUST_USE msg_initiation_parse(struct slice datagram, struct msg_initiation *out);
enum err MUST_USE msg_response_parse(struct slice datagram, struct msg_response *out);
enum err MUST_USE msg_cookie_parse(struct slice datagram, struct msg_cookie *out);

static inline struct slice msg_slice(const void *msg, size_t len)
{
        return (struct slice){ msg, len };
}
#define MSG_SLICE(m) msg_slice((m), sizeof *(m))

#endif
