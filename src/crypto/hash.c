/*
 * BLAKE2s is ours: libsodium has only BLAKE2b, and OpenSSL's BLAKE2s cannot be
 * asked for the 16-byte keyed digest that WireGuard's MACs are.
 */
#include "crypto/hash.h"

#include <assert.h>
#include <sodium.h>

#include "base/cursor.h"

enum { BLOCK_LEN = 64, KEY_MAX = 32 };

/* RFC 7693, section 2.6 */
static const uint32_t iv[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

/* RFC 7693, section 2.7 */
static const uint8_t sigma[10][16] = {
        { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
        { 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
        { 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
        { 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
        { 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
        { 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
        { 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
        { 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
        { 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
        { 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

static inline uint32_t rotr(uint32_t x, unsigned n)
{
        return x >> n | x << (32 - n);
}

static inline void mix(uint32_t v[static 16], int a, int b, int c, int d, uint32_t x, uint32_t y)
{
        v[a] = v[a] + v[b] + x;
        v[d] = rotr(v[d] ^ v[a], 16);
        v[c] = v[c] + v[d];
        v[b] = rotr(v[b] ^ v[c], 12);
        v[a] = v[a] + v[b] + y;
        v[d] = rotr(v[d] ^ v[a], 8);
        v[c] = v[c] + v[d];
        v[b] = rotr(v[b] ^ v[c], 7);
}

static void compress(struct blake2s *s, const uint8_t block[static BLOCK_LEN], bool is_last)
{
        uint32_t v[16], m[16];

        for (int i = 0; i < 16; i++)
                m[i] = get_le32(block + 4 * i);
        for (int i = 0; i < 8; i++) {
                v[i] = s->h[i];
                v[i + 8] = iv[i];
        }
        v[12] ^= s->t[0];
        v[13] ^= s->t[1];
        if (is_last)
                v[14] = ~v[14];
        for (int r = 0; r < 10; r++) {
                const uint8_t *p = sigma[r];

                mix(v, 0, 4, 8, 12, m[p[0]], m[p[1]]);
                mix(v, 1, 5, 9, 13, m[p[2]], m[p[3]]);
                mix(v, 2, 6, 10, 14, m[p[4]], m[p[5]]);
                mix(v, 3, 7, 11, 15, m[p[6]], m[p[7]]);
                mix(v, 0, 5, 10, 15, m[p[8]], m[p[9]]);
                mix(v, 1, 6, 11, 12, m[p[10]], m[p[11]]);
                mix(v, 2, 7, 8, 13, m[p[12]], m[p[13]]);
                mix(v, 3, 4, 9, 14, m[p[14]], m[p[15]]);
        }
        for (int i = 0; i < 8; i++)
                s->h[i] ^= v[i] ^ v[i + 8];
}

static void count(struct blake2s *s, size_t n)
{
        s->t[0] += (uint32_t)n;
        if (s->t[0] < n)
                s->t[1]++;
}

void blake2s_init(struct blake2s *s, size_t out_len, struct slice key)
{
        assert(out_len >= 1 && out_len <= BLAKE2S_LEN && key.len <= KEY_MAX);
        *s = (struct blake2s){ .out_len = out_len };
        memcpy(s->h, iv, sizeof iv);
        s->h[0] ^= 0x01010000 ^ (uint32_t)key.len << 8 ^ (uint32_t)out_len;
        if (key.len > 0) {
                memcpy(s->block, key.ptr, key.len);
                s->fill = BLOCK_LEN; /* the key is a block of its own, zero-padded */
        }
}

void blake2s_update(struct blake2s *s, struct slice bytes)
{
        while (bytes.len > 0) {
                /* A full block waits until it is known not to be the last. */
                if (s->fill == BLOCK_LEN) {
                        count(s, BLOCK_LEN);
                        compress(s, s->block, false);
                        s->fill = 0;
                }
                size_t room = BLOCK_LEN - s->fill;
                size_t n = bytes.len < room ? bytes.len : room;

                memcpy(s->block + s->fill, bytes.ptr, n);
                s->fill += n;
                bytes = slice_after(bytes, n);
        }
}

void blake2s_final(struct blake2s *s, uint8_t *out)
{
        uint8_t digest[BLAKE2S_LEN];

        count(s, s->fill);
        memset(s->block + s->fill, 0, BLOCK_LEN - s->fill);
        compress(s, s->block, true);
        for (int i = 0; i < 8; i++)
                put_le32(digest + 4 * i, s->h[i]);
        memcpy(out, digest, s->out_len);
        sodium_memzero(digest, sizeof digest);
        sodium_memzero(s, sizeof *s);
}

void blake2s_256(struct slice a, struct slice b, uint8_t out[static BLAKE2S_LEN])
{
        struct blake2s s;

        blake2s_init(&s, BLAKE2S_LEN, (struct slice){ 0 });
        blake2s_update(&s, a);
        blake2s_update(&s, b);
        blake2s_final(&s, out);
}

void blake2s_mac(struct slice key, struct slice bytes, uint8_t out[static MAC_LEN])
{
        struct blake2s s;

        blake2s_init(&s, MAC_LEN, key);
        blake2s_update(&s, bytes);
        blake2s_final(&s, out);
}

/* RFC 2104; the message is the concatenation of a and b. */
static void hmac(struct slice key, struct slice a, struct slice b, uint8_t out[static BLAKE2S_LEN])
{
        uint8_t pad[BLOCK_LEN] = { 0 }, inner[BLAKE2S_LEN];
        struct blake2s s;

        if (key.len > BLOCK_LEN)
                blake2s_256(key, (struct slice){ 0 }, pad);
        else if (key.len > 0)
                memcpy(pad, key.ptr, key.len);

        for (int i = 0; i < BLOCK_LEN; i++)
                pad[i] ^= 0x36;
        blake2s_init(&s, BLAKE2S_LEN, (struct slice){ 0 });
        blake2s_update(&s, SLICE_ARRAY(pad));
        blake2s_update(&s, a);
        blake2s_update(&s, b);
        blake2s_final(&s, inner);

        for (int i = 0; i < BLOCK_LEN; i++)
                pad[i] ^= 0x36 ^ 0x5c;
        blake2s_256(SLICE_ARRAY(pad), SLICE_ARRAY(inner), out);
        sodium_memzero(pad, sizeof pad);
        sodium_memzero(inner, sizeof inner);
}

void hmac_blake2s(struct slice key, struct slice bytes, uint8_t out[static BLAKE2S_LEN])
{
        hmac(key, bytes, (struct slice){ 0 }, out);
}

void kdf_blake2s(const uint8_t key[static BLAKE2S_LEN], struct slice input, uint8_t *t1, uint8_t *t2,
        uint8_t *t3)
{
        uint8_t prk[BLAKE2S_LEN], t[BLAKE2S_LEN];
        uint8_t *const outs[] = { t1, t2, t3 };
        struct slice previous = { 0 };

        hmac(slice_make(key, BLAKE2S_LEN), input, (struct slice){ 0 }, prk);
        for (uint8_t i = 0; i < 3 && outs[i]; i++) {
                const uint8_t index = (uint8_t)(i + 1);

                hmac(SLICE_ARRAY(prk), previous, slice_make(&index, 1), t);
                memcpy(outs[i], t, sizeof t);
                previous = SLICE_ARRAY(t);
        }
        sodium_memzero(prk, sizeof prk);
        sodium_memzero(t, sizeof t);
}

void sha256(struct slice bytes, uint8_t out[static SHA256_LEN])
{
        crypto_hash_sha256(out, bytes.ptr, bytes.len);
}
