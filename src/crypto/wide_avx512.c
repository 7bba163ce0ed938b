/*
 * The kernel for CPUs with AVX-512 and its 52-bit multiplier (IFMA). A file of its
 * own, because it alone may be compiled for such a CPU.
 */
#include "wide.h"

#include <assert.h>
#include <immintrin.h>

typedef __m512i vec;

static bool is_usable(void)
{
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512ifma");
}

/* Four vectors of four 16-byte pieces each: rows become columns. */
static inline void transpose_pieces(vec *a, vec *b, vec *c, vec *d)
{
        vec ab_low = _mm512_shuffle_i32x4(*a, *b, 0x44), ab_high = _mm512_shuffle_i32x4(*a, *b, 0xee);
        vec cd_low = _mm512_shuffle_i32x4(*c, *d, 0x44), cd_high = _mm512_shuffle_i32x4(*c, *d, 0xee);

        *a = _mm512_shuffle_i32x4(ab_low, cd_low, 0x88);
        *b = _mm512_shuffle_i32x4(ab_low, cd_low, 0xdd);
        *c = _mm512_shuffle_i32x4(ab_high, cd_high, 0x88);
        *d = _mm512_shuffle_i32x4(ab_high, cd_high, 0xdd);
}

/* ---- ChaCha20: a lane of 32 bits is a block (RFC 8439, 2.1 to 2.4) ------- */

static inline void quarter_round(vec *a, vec *b, vec *c, vec *d)
{
        *a = _mm512_add_epi32(*a, *b);
        *d = _mm512_rol_epi32(_mm512_xor_si512(*d, *a), 16);
        *c = _mm512_add_epi32(*c, *d);
        *b = _mm512_rol_epi32(_mm512_xor_si512(*b, *c), 12);
        *a = _mm512_add_epi32(*a, *b);
        *d = _mm512_rol_epi32(_mm512_xor_si512(*d, *a), 8);
        *c = _mm512_add_epi32(*c, *d);
        *b = _mm512_rol_epi32(_mm512_xor_si512(*b, *c), 7);
}

static inline void double_round(vec x[16])
{
        quarter_round(&x[0], &x[4], &x[8], &x[12]);
        quarter_round(&x[1], &x[5], &x[9], &x[13]);
        quarter_round(&x[2], &x[6], &x[10], &x[14]);
        quarter_round(&x[3], &x[7], &x[11], &x[15]);
        quarter_round(&x[0], &x[5], &x[10], &x[15]);
        quarter_round(&x[1], &x[6], &x[11], &x[12]);
        quarter_round(&x[2], &x[7], &x[8], &x[13]);
        quarter_round(&x[3], &x[4], &x[9], &x[14]);
}

/* Word w of sixteen blocks in each x[w] becomes four words of block i in each x[i]. */
static inline void transpose_words(vec *x0, vec *x1, vec *x2, vec *x3)
{
        vec a = _mm512_unpacklo_epi32(*x0, *x1), b = _mm512_unpackhi_epi32(*x0, *x1);
        vec c = _mm512_unpacklo_epi32(*x2, *x3), d = _mm512_unpackhi_epi32(*x2, *x3);

        *x0 = _mm512_unpacklo_epi64(a, c);
        *x1 = _mm512_unpackhi_epi64(a, c);
        *x2 = _mm512_unpacklo_epi64(b, d);
        *x3 = _mm512_unpackhi_epi64(b, d);
}

static inline void xor_text(uint8_t *text, vec stream)
{
        _mm512_storeu_si512(text, _mm512_xor_si512(_mm512_loadu_si512(text), stream));
}

static inline vec low_halves(vec first, vec last)
{
        return _mm512_inserti64x4(
                _mm512_castsi256_si512(_mm512_cvtepi64_epi32(first)), _mm512_cvtepi64_epi32(last), 1);
}

static void cipher(const uint8_t key[KEY_LEN], const struct wide_blocks *blocks)
{
        static const uint32_t constant[4] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };
        const vec first = _mm512_load_si512(&blocks->counter[0]), last = _mm512_load_si512(&blocks->counter[8]);
        const vec nonce_low = low_halves(first, last);
        const vec nonce_high = low_halves(_mm512_srli_epi64(first, 32), _mm512_srli_epi64(last, 32));
        uint32_t k[8];
        vec x[16];

        memcpy(k, key, sizeof(k));
        for (int i = 0; i < 4; i++)
                x[i] = _mm512_set1_epi32((int)constant[i]);
        for (int i = 0; i < 8; i++)
                x[4 + i] = _mm512_set1_epi32((int)k[i]);
        x[12] = _mm512_load_si512(blocks->number);
        x[13] = _mm512_setzero_si512();
        x[14] = nonce_low;
        x[15] = nonce_high;
        for (int i = 0; i < 10; i++)
                double_round(x);
        for (int i = 0; i < 4; i++)
                x[i] = _mm512_add_epi32(x[i], _mm512_set1_epi32((int)constant[i]));
        for (int i = 0; i < 8; i++)
                x[4 + i] = _mm512_add_epi32(x[4 + i], _mm512_set1_epi32((int)k[i]));
        x[12] = _mm512_add_epi32(x[12], _mm512_load_si512(blocks->number));
        x[14] = _mm512_add_epi32(x[14], nonce_low);
        x[15] = _mm512_add_epi32(x[15], nonce_high);
        for (int i = 0; i < 16; i += 4)
                transpose_words(&x[i], &x[i + 1], &x[i + 2], &x[i + 3]);
        for (int i = 0; i < 4; i++) {
                transpose_pieces(&x[i], &x[4 + i], &x[8 + i], &x[12 + i]);
                for (int j = 0; j < 4; j++)
                        xor_text(blocks->text[4 * j + i], x[4 * j + i]);
        }
}

/* ---- Poly1305: a lane of 64 bits is a packet (RFC 8439, 2.5) ------------- */

/*
 * Numbers are three limbs of 44 bits. A product of limbs is wider than the 52 bits
 * which the multiplier gives at a time, so low and high halves are summed apart; a
 * high half weighs 2^52, that is 2^8 in the limb above. And 2^132 is 20 modulo
 * 2^130 - 5: what lies beyond the third limb comes back in at the first.
 *
 * Each step is sum = (sum + m0) r^4 + m1 r^3 + m2 r^2 + m3 r, carried once. Four
 * blocks are twelve products of 52 bits in the fullest place: far from 64 bits.
 */
enum { LIMB_BITS = 44 };

struct number {
        vec limb[3];
};

struct power {
        struct number n;
        vec twenty[3]; /* 20 times the limbs 1 and 2; [0] is not used */
};

struct mac {
        struct number sum;
        struct power powers[4]; /* r, r^2, r^3, r^4 */
};

static_assert(sizeof(struct mac) <= sizeof(struct wide_mac), "fits where the others do");

struct products {
        vec low[3], high[3];
};

static inline vec limb_mask(void) { return _mm512_set1_epi64((INT64_C(1) << LIMB_BITS) - 1); }

static inline void multiply_add_limb(struct products *p, int to, vec a, vec b)
{
        p->low[to] = _mm512_madd52lo_epu64(p->low[to], a, b);
        p->high[to] = _mm512_madd52hi_epu64(p->high[to], a, b);
}

static inline void multiply_add(struct products *p, const struct number *a, const struct power *b)
{
        multiply_add_limb(p, 0, a->limb[0], b->n.limb[0]);
        multiply_add_limb(p, 1, a->limb[0], b->n.limb[1]);
        multiply_add_limb(p, 2, a->limb[0], b->n.limb[2]);
        multiply_add_limb(p, 0, a->limb[1], b->twenty[2]);
        multiply_add_limb(p, 1, a->limb[1], b->n.limb[0]);
        multiply_add_limb(p, 2, a->limb[1], b->n.limb[1]);
        multiply_add_limb(p, 0, a->limb[2], b->twenty[1]);
        multiply_add_limb(p, 1, a->limb[2], b->twenty[2]);
        multiply_add_limb(p, 2, a->limb[2], b->n.limb[0]);
}

static inline vec times_five(vec a) { return _mm512_add_epi64(a, _mm512_slli_epi64(a, 2)); }

static inline struct number carry(const struct products *p)
{
        const vec mask = limb_mask(), top_mask = _mm512_set1_epi64((INT64_C(1) << 42) - 1);
        struct number out;

        vec a = p->low[0];
        vec b = _mm512_add_epi64(p->low[1], _mm512_slli_epi64(p->high[0], 8));
        vec c = _mm512_add_epi64(p->low[2], _mm512_slli_epi64(p->high[1], 8));
        b = _mm512_add_epi64(b, _mm512_srli_epi64(a, LIMB_BITS));
        c = _mm512_add_epi64(c, _mm512_srli_epi64(b, LIMB_BITS));
        /* Beyond bit 130: the rest of c, and the high halves of the third limb, which
         * weigh 2^140. */
        vec beyond = _mm512_add_epi64(_mm512_srli_epi64(c, 42), _mm512_slli_epi64(p->high[2], 10));
        a = _mm512_add_epi64(_mm512_and_si512(a, mask), times_five(beyond));
        out.limb[0] = _mm512_and_si512(a, mask);
        out.limb[1] = _mm512_add_epi64(_mm512_and_si512(b, mask), _mm512_srli_epi64(a, LIMB_BITS));
        out.limb[2] = _mm512_and_si512(c, top_mask);
        return out;
}

/* 16 bytes of each lane, little-endian in two words, and what is above them. */
static inline struct number split(vec low, vec high, vec above)
{
        const vec mask = limb_mask();
        vec middle = _mm512_or_si512(_mm512_srli_epi64(low, LIMB_BITS), _mm512_slli_epi64(high, 20));

        return (struct number){ {
                _mm512_and_si512(low, mask),
                _mm512_and_si512(middle, mask),
                _mm512_or_si512(_mm512_srli_epi64(high, 24), above),
        } };
}

static inline struct number add(const struct number *a, const struct number *b)
{
        return (struct number){ {
                _mm512_add_epi64(a->limb[0], b->limb[0]),
                _mm512_add_epi64(a->limb[1], b->limb[1]),
                _mm512_add_epi64(a->limb[2], b->limb[2]),
        } };
}

static inline struct products no_products(void)
{
        const vec zero = _mm512_setzero_si512();

        return (struct products){ { zero, zero, zero }, { zero, zero, zero } };
}

static inline struct power power_of(const struct number *n)
{
        struct power out = { .n = *n };

        for (int i = 0; i < 3; i++)
                out.twenty[i] = _mm512_slli_epi64(times_five(n->limb[i]), 2);
        return out;
}

/* The 64 bytes of eight lanes: low[b] and high[b] get the halves of block b. */
static inline void load_blocks(const uint8_t *const at[], size_t offset, vec low[4], vec high[4])
{
        for (int i = 0; i < 4; i++) {
                vec even = _mm512_loadu_si512(at[2 * i] + offset), odd = _mm512_loadu_si512(at[2 * i + 1] + offset);
                low[i] = _mm512_unpacklo_epi64(even, odd);
                high[i] = _mm512_unpackhi_epi64(even, odd);
        }
        transpose_pieces(&low[0], &low[1], &low[2], &low[3]);
        transpose_pieces(&high[0], &high[1], &high[2], &high[3]);
}

static void mac_begin(struct wide_mac *out, const uint8_t (*keys)[WIDE_BLOCK])
{
        const uint8_t *at[WIDE_MAC_MAX];
        struct mac *m = (struct mac *)(void *)out->bytes;
        vec low[4], high[4];

        for (int i = 0; i < WIDE_MAC_MAX; i++)
                at[i] = keys[i];
        load_blocks(at, 0, low, high);
        low[0] = _mm512_and_si512(low[0], _mm512_set1_epi64(0x0ffffffc0fffffff));
        high[0] = _mm512_and_si512(high[0], _mm512_set1_epi64(0x0ffffffc0ffffffc));
        struct number r = split(low[0], high[0], _mm512_setzero_si512());
        m->powers[0] = power_of(&r);
        for (int i = 1; i < 4; i++) {
                struct products p = no_products();
                multiply_add(&p, &m->powers[i - 1].n, &m->powers[0]);
                struct number n = carry(&p);
                m->powers[i] = power_of(&n);
        }
        m->sum = (struct number){ { _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512() } };
}

static void mac_absorb(struct wide_mac *state, const uint8_t *const at[], size_t steps,
        const uint64_t is_text[4][WIDE_MAC_MAX])
{
        struct mac *m = (struct mac *)(void *)state->bytes;
        struct number sum = m->sum;
        vec above[4];

        for (int i = 0; i < 4; i++) /* bit 128 */
                above[i] = _mm512_and_si512(_mm512_loadu_si512(is_text[i]), _mm512_set1_epi64(INT64_C(1) << 40));
        for (size_t s = 0; s < steps; s++) {
                struct products p = no_products();
                vec low[4], high[4];

                load_blocks(at, s * WIDE_BLOCK, low, high);
                /* The block that waits for the sum comes last. */
                for (int i = 1; i < 4; i++) {
                        struct number n = split(low[i], high[i], above[i]);
                        multiply_add(&p, &n, &m->powers[3 - i]);
                }
                struct number n = split(low[0], high[0], above[0]);
                n = add(&n, &sum);
                multiply_add(&p, &n, &m->powers[3]);
                sum = carry(&p);
        }
        m->sum = sum;
}

static void mac_end(struct wide_mac *state, const uint64_t lens[], uint64_t sum[3][WIDE_MAC_MAX])
{
        struct mac *m = (struct mac *)(void *)state->bytes;
        struct number n = split(_mm512_setzero_si512(), _mm512_loadu_si512(lens), _mm512_set1_epi64(INT64_C(1) << 40));
        struct products p = no_products();

        n = add(&n, &m->sum);
        multiply_add(&p, &n, &m->powers[0]);
        n = carry(&p);
        for (int i = 0; i < 3; i++)
                _mm512_storeu_si512(sum[i], n.limb[i]);
}

const struct wide_kernel wide_avx512 = {
        .name = "avx512",
        .cipher_lanes = 16,
        .mac_lanes = 8,
        .is_usable = is_usable,
        .cipher = cipher,
        .mac_begin = mac_begin,
        .mac_absorb = mac_absorb,
        .mac_end = mac_end,
};
