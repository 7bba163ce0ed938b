#include "demux.h"

#include "base/cursor.h"

enum {
        STUN_HEADER = 20,
        STUN_MAGIC = 0x2112a442,
        DISCO_KEY_END = 38, /* magic and sender key */
        WG_MIN = 32,        /* also keeps out the 1-byte sentinels of official peers */
        WG_INITIATION = 1,
        WG_RESPONSE = 2,
        WG_COOKIE = 3,
        WG_TRANSPORT = 4,
        WG_INITIATION_LEN = 148,
        WG_RESPONSE_LEN = 92,
        WG_COOKIE_LEN = 64,
};

static const uint8_t disco_magic[6] = { 0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac };

static enum datagram_kind classify_wireguard(struct slice b)
{
        if (b.len < WG_MIN)
                return DATAGRAM_JUNK;
        switch (get_le32(b.ptr)) { /* the reserved bytes must be zero */
        case WG_TRANSPORT:
                return DATAGRAM_TRANSPORT;
        case WG_INITIATION:
                return b.len == WG_INITIATION_LEN ? DATAGRAM_HANDSHAKE : DATAGRAM_JUNK;
        case WG_RESPONSE:
                return b.len == WG_RESPONSE_LEN ? DATAGRAM_HANDSHAKE : DATAGRAM_JUNK;
        case WG_COOKIE:
                return b.len == WG_COOKIE_LEN ? DATAGRAM_HANDSHAKE : DATAGRAM_JUNK;
        default:
                return DATAGRAM_JUNK;
        }
}

enum datagram_kind datagram_classify(struct slice b)
{
        if (b.len >= STUN_HEADER && (b.ptr[0] & 0xc0) == 0 && b.ptr[1] == 0x01 &&
                get_be32(b.ptr + 4) == STUN_MAGIC)
                return DATAGRAM_STUN;
        if (b.len >= DISCO_KEY_END && memcmp(b.ptr, disco_magic, sizeof(disco_magic)) == 0)
                return DATAGRAM_DISCO;
        return classify_wireguard(b);
}
