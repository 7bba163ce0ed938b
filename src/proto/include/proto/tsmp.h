/*
 * TSMP, IP protocol 99: small messages between nodes inside the tunnel that never
 * reach a TUN (spec/node.md 2.5, spec/paths.md 1.5, spec/policy.md 22).
 */
#ifndef PROTO_TSMP_H
#define PROTO_TSMP_H

#include "crypto/key.h"
#include "ip/addr.h"

enum tsmp_kind {
        TSMP_PING = 'p',
        TSMP_PONG = 'o',
        TSMP_REJECT = '!',    /* your TCP SYN was refused */
        TSMP_DISCO_KEY = 'a', /* my disco key of now */
};

enum { TSMP_TOKEN_LEN = 8, TSMP_PACKET_MAX = 40 + 33 };

struct tsmp {
        enum tsmp_kind kind;
        uint8_t token[TSMP_TOKEN_LEN]; /* ping, pong */
        uint16_t peerapi_port;         /* pong; 0: not told */
        uint8_t proto;                 /* reject: of the refused packet */
        uint8_t reason;                /* reject: 'A' rules, 'S' shields up */
        uint16_t src_port, dst_port;   /* reject: of the refused packet */
        struct public_key disco_key;
};

/* Reads the bytes after the IP header. Extra bytes are later versions' matter.
 * ERR_SHORT; ERR_FORMAT for other kinds. */
enum err MUST_USE tsmp_parse(struct slice body, struct tsmp *out);
/* The whole IP packet. src and dst are of one family. Returns its length. */
size_t tsmp_packet_write(const struct tsmp *m, const struct ip_addr *src, const struct ip_addr *dst,
                         uint8_t out[static TSMP_PACKET_MAX]);

#endif
