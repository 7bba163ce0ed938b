#include "proto/stun.h"

#include "base/cursor.h"

enum {
        HEADER_LEN = 20,
        BINDING_REQUEST = 0x0001,
        BINDING_SUCCESS = 0x0101,
        ATTR_MAPPED_ADDRESS = 0x0001,
        ATTR_XOR_MAPPED_ADDRESS = 0x0020,
        ATTR_XOR_MAPPED_ADDRESS_OLD = 0x8020,
        ATTR_SOFTWARE = 0x8022,
        ATTR_FINGERPRINT = 0x8028,
        FINGERPRINT_ATTR_LEN = 8,
        FAMILY_V4 = 1,
        FAMILY_V6 = 2,
};
#define COOKIE UINT32_C(0x2112a442)
#define FINGERPRINT_XOR UINT32_C(0x5354554e)
#define SOFTWARE_NAME "tailnode"

/* CRC-32/IEEE four bits at a time: requests are 40 bytes, a bigger table buys nothing. */
static uint32_t crc32(struct slice s)
{
        static const uint32_t nibble[16] = {
                0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
        };
        uint32_t crc = ~UINT32_C(0);

        for (size_t i = 0; i < s.len; i++) {
                crc ^= s.ptr[i];
                crc = crc >> 4 ^ nibble[crc & 15];
                crc = crc >> 4 ^ nibble[crc & 15];
        }
        return ~crc;
}

bool stun_is(struct slice datagram)
{
        return datagram.len >= HEADER_LEN && (datagram.ptr[0] & 0xc0) == 0 && get_be32(datagram.ptr + 4) == COOKIE;
}

void stun_request_write(const struct stun_txid *txid, uint8_t out[static STUN_REQUEST_LEN])
{
        struct writer w = writer_of(out, STUN_REQUEST_LEN);

        wr_be16(&w, BINDING_REQUEST);
        wr_be16(&w, STUN_REQUEST_LEN - HEADER_LEN);
        wr_be32(&w, COOKIE);
        wr_bytes(&w, txid->b, STUN_TXID_LEN);
        wr_be16(&w, ATTR_SOFTWARE);
        wr_be16(&w, sizeof(SOFTWARE_NAME) - 1);
        wr_slice(&w, SLICE_LIT(SOFTWARE_NAME));
        uint32_t crc = crc32(slice_make(out, STUN_REQUEST_LEN - FINGERPRINT_ATTR_LEN));
        wr_be16(&w, ATTR_FINGERPRINT);
        wr_be16(&w, 4);
        wr_be32(&w, crc ^ FINGERPRINT_XOR);
}

struct attr {
        uint16_t type;
        struct slice value;
};

/* The next attribute; its padding to four bytes is consumed where there is any.
 * False at the end and, with the reader failed, on an overrun. */
static bool next_attr(struct reader *r, struct attr *out)
{
        if (rd_left(r) == 0)
                return false;
        out->type = rd_be16(r);
        size_t len = rd_be16(r);
        out->value = rd_take(r, len);
        rd_skip(r, -len & 3);
        return !r->failed;
}

/* The fixed part. *attrs covers what the length field declares. */
static enum err header_parse(struct slice datagram, uint16_t *type, struct stun_txid *txid, struct reader *attrs)
{
        struct reader r = reader_of(datagram);

        *type = rd_be16(&r);
        size_t len = rd_be16(&r);
        uint32_t cookie = rd_be32(&r);
        rd_copy(&r, txid->b, STUN_TXID_LEN);
        if (!r.failed && (cookie != COOKIE || *type & 0xc000))
                return ERR_FORMAT;
        *attrs = rd_sub(&r, len); /* a longer datagram: its tail is ignored */
        return rd_finish_open(&r);
}

enum err stun_request_parse(struct slice datagram, struct stun_txid *out)
{
        struct reader attrs;
        struct attr a = { 0 };
        uint16_t type;
        bool has_software = false;

        enum err e = header_parse(datagram, &type, out, &attrs);
        if (e != OK)
                return e;
        if (type != BINDING_REQUEST || (size_t)(attrs.end - datagram.ptr) != datagram.len)
                return ERR_FORMAT;
        while (next_attr(&attrs, &a))
                has_software |= a.type == ATTR_SOFTWARE && slice_is(a.value, SOFTWARE_NAME);
        if (attrs.failed || !has_software || a.type != ATTR_FINGERPRINT || a.value.len != 4)
                return ERR_FORMAT;
        uint32_t want = crc32(slice_first(datagram, datagram.len - FINGERPRINT_ATTR_LEN)) ^ FINGERPRINT_XOR;
        return get_be32(a.value.ptr) == want ? OK : ERR_AUTH;
}

/* XORs the address with cookie || txid, as XOR-MAPPED-ADDRESS wants. */
static void address_xor(uint8_t *addr, size_t len, const struct stun_txid *txid)
{
        uint8_t mask[16];

        put_be32(mask, COOKIE);
        memcpy(mask + 4, txid->b, STUN_TXID_LEN);
        for (size_t i = 0; i < len; i++)
                addr[i] ^= mask[i];
}

size_t stun_response_write(const struct stun_txid *txid, const struct ip_port *seen,
                           uint8_t out[static STUN_RESPONSE_MAX])
{
        struct ip_addr ip = ip_unmap(seen->ip);
        size_t addr_len = ip.family == IP_V4 ? 4 : 16;
        uint8_t addr[16];
        struct writer w = writer_of(out, STUN_RESPONSE_MAX);

        memcpy(addr, ip.b, sizeof(addr));
        address_xor(addr, addr_len, txid);
        wr_be16(&w, BINDING_SUCCESS);
        wr_be16(&w, (uint16_t)(8 + addr_len));
        wr_be32(&w, COOKIE);
        wr_bytes(&w, txid->b, STUN_TXID_LEN);
        wr_be16(&w, ATTR_XOR_MAPPED_ADDRESS);
        wr_be16(&w, (uint16_t)(4 + addr_len));
        wr_u8(&w, 0);
        wr_u8(&w, ip.family == IP_V4 ? FAMILY_V4 : FAMILY_V6);
        wr_be16(&w, seen->port ^ (uint16_t)(COOKIE >> 16));
        wr_bytes(&w, addr, addr_len);
        return (size_t)(w.p - w.start);
}

/* xor_txid: NULL for the plain MAPPED-ADDRESS. */
static enum err address_parse(struct slice value, const struct stun_txid *xor_txid, struct ip_port *out)
{
        struct reader r = reader_of(value);

        rd_skip(&r, 1);
        uint8_t family = rd_u8(&r);
        uint16_t port = rd_be16(&r);
        if (family != FAMILY_V4 && family != FAMILY_V6)
                return r.failed ? ERR_SHORT : ERR_FORMAT;
        size_t len = family == FAMILY_V4 ? 4 : 16;
        uint8_t addr[16];
        rd_copy(&r, addr, len);
        if (r.failed)
                return ERR_SHORT;
        if (xor_txid) {
                port ^= (uint16_t)(COOKIE >> 16);
                address_xor(addr, len, xor_txid);
        }
        out->ip = len == 4 ? ip_v4(addr[0], addr[1], addr[2], addr[3]) : ip_unmap(ip_v6(addr));
        out->port = port;
        return OK;
}

enum err stun_response_parse(struct slice datagram, struct stun_txid *txid, struct ip_port *mapped)
{
        struct reader attrs;
        struct attr a;
        struct ip_port plain = { 0 };
        uint16_t type;

        *mapped = (struct ip_port){ 0 };
        enum err e = header_parse(datagram, &type, txid, &attrs);
        if (e != OK)
                return e;
        if (type != BINDING_SUCCESS)
                return ERR_FORMAT;
        while (e == OK && next_attr(&attrs, &a)) {
                if (a.type == ATTR_XOR_MAPPED_ADDRESS || a.type == ATTR_XOR_MAPPED_ADDRESS_OLD)
                        e = address_parse(a.value, txid, mapped);
                else if (a.type == ATTR_MAPPED_ADDRESS)
                        e = address_parse(a.value, NULL, &plain);
        }
        if (e == OK && attrs.failed)
                e = ERR_SHORT;
        if (e != OK)
                return e;
        if (!ip_valid(&mapped->ip))
                *mapped = plain;
        return ip_valid(&mapped->ip) ? OK : ERR_NOTFOUND;
}
