/*
 * The Noise IK handshake of the control protocol and its records (spec/control.md,
 * section 2), without I/O: the caller moves the bytes.
 *
 *   client                                        server
 *   noise_client_start()    -- initiation 101 -->
 *                                                 noise_server_respond()
 *   noise_client_finish()   <-- response 51 ----
 *   noise_seal(&send) ...        records          noise_open(&recv) ...
 */
#ifndef PROTO_NOISE_H
#define PROTO_NOISE_H

#include "base/err.h"
#include "base/random.h"
#include "base/slice.h"
#include "crypto/key.h"

enum {
        NOISE_INITIATION_LEN = 101,
        NOISE_RESPONSE_LEN = 51,
        NOISE_RECORD_HEADER_LEN = 3,
        NOISE_TAG_LEN = 16,
        NOISE_RECORD_MAX = 4096, /* header and tag included */
        NOISE_PLAIN_MAX = 4077,
        NOISE_HASH_LEN = 32,
};

enum noise_type {
        NOISE_INITIATION = 1,
        NOISE_RESPONSE = 2,
        NOISE_ERROR = 3,
        NOISE_RECORD = 4,
};

/* One direction of a connection: its key and the number of the next record. */
struct noise_cipher {
        struct shared_key key;
        uint64_t counter;
        bool failed; /* nothing more may be sealed or opened */
};

/* What a handshake yields. */
struct noise_session {
        struct noise_cipher send, recv;
        uint8_t hash[NOISE_HASH_LEN]; /* channel binding; not sent */
        struct public_key peer;       /* the other side's static key */
        uint16_t version;             /* capability version the client announced */
};
void noise_session_wipe(struct noise_session *s);

/* A handshake under way on the client. Wiped by noise_client_finish(). */
struct noise_client {
        uint8_t h[NOISE_HASH_LEN], ck[NOISE_HASH_LEN];
        struct secret_key machine, ephemeral;
        struct public_key server;
        uint16_t version;
};
/* ERR_AUTH if the server's key is degenerate. */
enum err MUST_USE noise_client_start(struct noise_client *hs, const struct secret_key *machine,
        const struct public_key *server, uint16_t version, struct rng *rng,
        uint8_t initiation[static NOISE_INITIATION_LEN]);
/* ERR_SHORT, ERR_FORMAT (length, type), ERR_AUTH. hs is wiped in any case. */
enum err MUST_USE noise_client_finish(struct noise_client *hs, struct slice response, struct noise_session *out);
void noise_client_wipe(struct noise_client *hs);

/* The server's whole handshake. ERR_SHORT, ERR_FORMAT (size, type, length), ERR_AUTH. */
enum err MUST_USE noise_server_respond(const struct secret_key *server, struct slice initiation, struct rng *rng,
        uint8_t response[static NOISE_RESPONSE_LEN], struct noise_session *out);

/* One record of plain (at most NOISE_PLAIN_MAX bytes); out has room for plain.len + 19.
 * Returns its length. ERR_STATE once the counter is exhausted, ERR_RANGE. */
enum err MUST_USE noise_seal(struct noise_cipher *c, struct slice plain, uint8_t *out, size_t *len);

/* How long the record at the head of bytes is. ERR_SHORT: fewer than three bytes so far;
 * ERR_FORMAT: another type than want, or a length no such message may have. */
enum err MUST_USE noise_frame_len(struct slice bytes, enum noise_type want, size_t *len);
/* Opens one whole record; plain (room for record.len - 19) receives *len bytes, none for an empty
 * record. ERR_FORMAT, ERR_AUTH; after either nothing more can be opened. */
enum err MUST_USE noise_open(struct noise_cipher *c, struct slice record, uint8_t *plain, size_t *len);

/* Early payload, section 3: a 9-byte head and JSON, from server to client. */
enum { NOISE_EARLY_HEAD_LEN = 9, NOISE_EARLY_JSON_MAX = 10 << 20 };
void noise_early_head(uint32_t json_len, uint8_t out[static NOISE_EARLY_HEAD_LEN]);
/* OK and the length of the JSON; ERR_NOTFOUND if these are the first bytes of HTTP/2
 * instead; ERR_LIMIT if the JSON is too long; ERR_SHORT below nine bytes. */
enum err MUST_USE noise_early_parse(struct slice head, uint32_t *json_len);

#endif
