#include "ip/checksum.h"

#include "base/cursor.h"

/*
 * The ones' complement sum does not care in which byte order its words are added
 * as long as the result is swapped back (RFC 1071, 2(B)), so the bulk is added in
 * native 32-bit words into a 64-bit sum that cannot overflow below 16 GiB.
 */
uint64_t checksum_add(uint64_t sum, struct slice bytes)
{
        const uint8_t *p = bytes.ptr;
        size_t n = bytes.len;
        uint64_t native = 0;

        for (; n >= 16; p += 16, n -= 16) {
                uint32_t w[4];
                memcpy(w, p, 16);
                native += (uint64_t)w[0] + w[1] + w[2] + w[3];
        }
        for (; n >= 4; p += 4, n -= 4) {
                uint32_t w;
                memcpy(&w, p, 4);
                native += w;
        }
        uint16_t folded = checksum_fold(native);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        folded = __builtin_bswap16(folded);
#endif
        sum += folded;
        if (n >= 2) {
                sum += get_be16(p);
                p += 2;
                n -= 2;
        }
        if (n)
                sum += (uint64_t)p[0] << 8;
        return sum;
}

uint16_t checksum_fold(uint64_t sum)
{
        sum = (sum & 0xffffffff) + (sum >> 32);
        sum = (sum & 0xffffffff) + (sum >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        return (uint16_t)sum;
}

uint64_t checksum_pseudo(struct slice src, struct slice dst, uint8_t proto, uint32_t l4_len)
{
        uint64_t sum = (uint64_t)proto + (l4_len >> 16) + (l4_len & 0xffff);
        return checksum_add(checksum_add(sum, src), dst);
}
