#include "ip/checksum.h"

#include "base/cursor.h"

/*
 * The ones' complement sum does not care in which byte order its words are added
 * as long as the result is swapped back (RFC 1071, 2(B)), so the bulk is added in
 * native 32-bit words into a 64-bit sum that cannot overflow below 16 GiB. n is a
 * multiple of 4. The compiler makes vector code of it.
 */
static inline __attribute__((always_inline)) uint64_t add_words(const uint8_t *p, size_t n)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < n; i += 4) {
                uint32_t w;
                memcpy(&w, p + i, 4);
                sum += w;
        }
        return sum;
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static uint64_t add_words_avx2(const uint8_t *p, size_t n)
{
        return add_words(p, n);
}
#endif

static uint64_t add_bulk(const uint8_t *p, size_t n)
{
#ifdef __x86_64__
        if (n >= 64 && __builtin_cpu_supports("avx2"))
                return add_words_avx2(p, n);
#endif
        return add_words(p, n);
}

uint64_t checksum_add(uint64_t sum, struct slice bytes)
{
        const uint8_t *p = bytes.ptr;
        size_t bulk = bytes.len & ~(size_t)3, n = bytes.len - bulk;
        uint16_t folded = checksum_fold(add_bulk(p, bulk));

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        folded = __builtin_bswap16(folded);
#endif
        sum += folded;
        p += bulk;
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
