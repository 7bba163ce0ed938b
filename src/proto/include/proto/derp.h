/*
 * DERP frames (spec/paths.md 3.3): `type u8 || length u32 big-endian || payload`
 * on a byte stream, and the sealed JSON of the greeting. Pure functions and one
 * incremental decoder; the engines on top are derp_client.h and relay/.
 */
#ifndef PROTO_DERP_H
#define PROTO_DERP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/slice.h"
#include "crypto/box.h"
#include "crypto/key.h"
#include "ip/addr.h"

enum derp_type {
        DERP_SERVER_KEY = 0x01,
        DERP_CLIENT_INFO = 0x02,
        DERP_SERVER_INFO = 0x03,
        DERP_SEND_PACKET = 0x04,
        DERP_RECV_PACKET = 0x05,
        DERP_KEEP_ALIVE = 0x06,
        DERP_NOTE_PREFERRED = 0x07,
        DERP_PEER_GONE = 0x08,
        DERP_PEER_PRESENT = 0x09,
        DERP_FORWARD_PACKET = 0x0a,
        DERP_WATCH_CONNS = 0x10,
        DERP_CLOSE_PEER = 0x11,
        DERP_PING = 0x12,
        DERP_PONG = 0x13,
        DERP_HEALTH = 0x14,
        DERP_RESTARTING = 0x15,
};
/* "SendPacket" ..., or "unknown". */
const char *derp_type_name(uint8_t type);

enum {
        DERP_VERSION = 2,
        DERP_HEADER_LEN = 5,
        DERP_PACKET_MAX = 65536,       /* payload of one relayed packet */
        DERP_FRAME_MAX = 1 << 20,      /* longest frame a client takes */
        DERP_CLIENT_INFO_MAX = 16384,  /* ours: real ones are under 300 bytes, upstream takes 256 KiB */
        DERP_PING_LEN = 8,
        DERP_PING_MAX = 1000,          /* longest Ping payload a server takes */
        DERP_SERVER_KEY_FRAME_LEN = DERP_HEADER_LEN + 8 + KEY_LEN,
        /* Room for the header and keys in front of a relayed packet. */
        DERP_PACKET_HEAD_MAX = DERP_HEADER_LEN + 2 * KEY_LEN,
};

enum derp_gone_reason {
        DERP_GONE_DISCONNECTED = 0x00,
        DERP_GONE_NOT_HERE = 0x01,
        DERP_GONE_MESH_BROKE = 0xf0, /* never on the wire: what a mesh client tells itself */
};

enum derp_present_flag {
        DERP_PRESENT_REGULAR = 1, /* only when no other bit is set */
        DERP_PRESENT_MESH = 2,
        DERP_PRESENT_PROBER = 4,
        DERP_PRESENT_NOT_IDEAL = 8,
};

/* ---- Decoding --------------------------------------------------------- */

struct derp_frame {
        uint8_t type;         /* enum derp_type */
        struct slice payload; /* borrowed: from the input, or from the decoder */
};

enum derp_side { DERP_AT_CLIENT, DERP_AT_SERVER };

/*
 * Cuts a byte stream into frames. It holds memory only while a frame that has
 * begun is not complete, and that grows with what came, not with what was
 * announced. Frames of types this side does not know are skipped unseen.
 */
struct derp_decoder {
        enum derp_side side;
        struct buf part;                  /* payload so far */
        uint8_t header[DERP_HEADER_LEN];
        uint8_t header_len;
        bool part_is_spent;               /* part was handed out by the last call */
        uint32_t skip;                    /* bytes of an unknown frame still to come */
};

void derp_decoder_init(struct derp_decoder *d, enum derp_side side);
void derp_decoder_fini(struct derp_decoder *d);
/*
 * Takes bytes off *in until a frame is complete. OK: *out holds until the next
 * call and no longer than the input. ERR_SHORT: *in is used up, come back with
 * more. ERR_RANGE: longer than this side takes (3.3, limits); ERR_NOMEM. After
 * those two the connection has to be closed.
 */
enum err MUST_USE derp_decode(struct derp_decoder *d, struct slice *in, struct derp_frame *out);

/* ---- Frames, both directions ------------------------------------------- */

/* The five bytes in front of a payload of len bytes. */
void derp_header_write(struct writer *w, enum derp_type type, size_t len);
/* A frame whose whole payload is at hand (at most 64 bytes: pings, keys, flags). */
void derp_frame_write(struct writer *w, enum derp_type type, struct slice payload);

/* All before the packet itself; src only for ForwardPacket, else NULL. */
void derp_packet_head_write(struct writer *w, enum derp_type type, const struct public_key *src,
                            const struct public_key *key, size_t packet_len);

enum err MUST_USE derp_server_key_parse(struct slice payload, struct public_key *out);
void derp_server_key_write(const struct public_key *key, uint8_t out[static DERP_SERVER_KEY_FRAME_LEN]);

struct derp_mesh_key {
        uint8_t b[32];
};

/* What a client says about itself, sealed for the server. */
struct derp_client_info {
        bool has_mesh_key;
        struct derp_mesh_key mesh_key; /* a secret: wipe it */
        int64_t version;
        bool can_ack_pings, is_prober;
        struct slice app_name; /* empty: none */
};

/*
 * The whole frame to *out. nonce is random and used once. ERR_AUTH for an
 * impossible server key, ERR_LIMIT, ERR_NOMEM from the buffer.
 */
enum err MUST_USE derp_client_info_write(const struct derp_client_info *info, const struct secret_key *client,
                                         const struct public_key *server,
                                         const uint8_t nonce[static BOX_NONCE_LEN], struct buf *out);
/* Texts of *info live in the arena. ERR_SHORT, ERR_AUTH (the box does not open),
 * ERR_FORMAT (the JSON is none, or its meshKey is not 64 hex digits). */
enum err MUST_USE derp_client_info_parse(struct slice payload, const struct secret_key *server, struct arena *arena,
                                         struct public_key *client, struct derp_client_info *info);

struct derp_server_info {
        int64_t version;
        uint64_t bytes_per_second, bytes_burst; /* what clients may send; 0: no limit */
};

enum err MUST_USE derp_server_info_write(const struct derp_server_info *info, const struct secret_key *server,
                                         const struct public_key *client,
                                         const uint8_t nonce[static BOX_NONCE_LEN], struct buf *out);
enum err MUST_USE derp_server_info_parse(struct slice payload, const struct secret_key *client,
                                         const struct public_key *server, struct arena *arena,
                                         struct derp_server_info *info);

/* RecvPacket and SendPacket: the key, then the packet. ERR_SHORT, ERR_RANGE. */
enum err MUST_USE derp_packet_parse(struct slice payload, struct public_key *key, struct slice *packet);
enum err MUST_USE derp_forward_parse(struct slice payload, struct public_key *src, struct public_key *dst,
                                     struct slice *packet);

struct derp_peer_gone {
        struct public_key peer;
        uint8_t reason; /* enum derp_gone_reason */
};
enum err MUST_USE derp_peer_gone_parse(struct slice payload, struct derp_peer_gone *out);
void derp_peer_gone_write(struct writer *w, const struct public_key *peer, enum derp_gone_reason reason);

struct derp_peer_present {
        struct public_key peer;
        struct ip_port remote; /* IP_NONE from servers that do not tell */
        uint8_t flags;         /* enum derp_present_flag; 0 from servers that do not tell */
};
enum err MUST_USE derp_peer_present_parse(struct slice payload, struct derp_peer_present *out);
void derp_peer_present_write(struct writer *w, const struct derp_peer_present *p);

struct derp_restarting {
        uint32_t reconnect_in_ms, try_for_ms;
};
enum err MUST_USE derp_restarting_parse(struct slice payload, struct derp_restarting *out);

/* Whether a relayed packet looks like disco (1.1): only its sender learns that
 * the destination is not here, and it has a queue of its own. */
bool derp_looks_like_disco(struct slice packet);

/* ---- The key in the TLS chain (3.2) ------------------------------------- */

enum { DERP_METACERT_NAME_LEN = 7 + 2 * KEY_LEN };

/* "derpkey<64 hex>", the common name of the certificate that carries the key. */
void derp_metacert_name(const struct public_key *key, char out[static DERP_METACERT_NAME_LEN + 1]);
/* The key in a presented certificate's common name; serial is the protocol
 * version. ERR_NOTFOUND when the certificate is an ordinary one. */
enum err MUST_USE derp_metacert_parse(struct slice common_name, uint64_t serial, struct public_key *out);

/* ---- Mesh keys ---------------------------------------------------------- */

/* 64 hex digits, white space around them allowed. ERR_FORMAT. */
enum err MUST_USE derp_mesh_key_parse(struct slice text, struct derp_mesh_key *out);

#endif
