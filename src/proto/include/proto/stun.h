/*
 * STUN binding requests and responses as DERP nodes and their clients speak them
 * (RFC 8489 narrowed by spec/paths.md 4). Pure functions; the transaction id comes
 * from the caller, who also matches responses to requests by it alone.
 */
#ifndef PROTO_STUN_H
#define PROTO_STUN_H

#include "base/err.h"
#include "base/slice.h"
#include "ip/addr.h"

enum {
        STUN_PORT = 3478,
        STUN_TXID_LEN = 12,
        STUN_REQUEST_LEN = 40,
        STUN_RESPONSE_MAX = 44, /* with an IPv6 address */
};

struct stun_txid {
        uint8_t b[STUN_TXID_LEN];
};

/* Whether a datagram is STUN: 20 bytes, two zero bits, the magic cookie. Neither
 * WireGuard nor disco ever is. Nothing more is promised about the content. */
bool stun_is(struct slice datagram);

/* The request, always the same two attributes in the same order: hardware
 * responders match this layout byte by byte. */
void stun_request_write(const struct stun_txid *txid, uint8_t out[static STUN_REQUEST_LEN]);
/*
 * A request we answer: SOFTWARE "tailnode" present, FINGERPRINT last and right.
 * Being this strict keeps the server useless for reflecting other protocols.
 * ERR_SHORT, ERR_FORMAT, ERR_AUTH (fingerprint).
 */
enum err MUST_USE stun_request_parse(struct slice datagram, struct stun_txid *out);

/* The answer that tells `seen`, the source of the request; a v4-mapped address is
 * told as IPv4. Returns the length. */
size_t stun_response_write(const struct stun_txid *txid, const struct ip_port *seen,
                           uint8_t out[static STUN_RESPONSE_MAX]);
/*
 * A success response: the last XOR-MAPPED-ADDRESS (0x0020 or the historic 0x8020),
 * else MAPPED-ADDRESS; v4-mapped addresses come out as IPv4. Unknown attributes
 * are skipped. ERR_SHORT, ERR_FORMAT, ERR_NOTFOUND (no address in it).
 */
enum err MUST_USE stun_response_parse(struct slice datagram, struct stun_txid *txid, struct ip_port *mapped);

#endif
