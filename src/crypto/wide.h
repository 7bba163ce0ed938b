/*
 * ChaCha20-Poly1305 over several packets at once, our own: wide.c cuts packets into
 * the blocks that a vector holds side by side, a kernel (wide_avx512.c)
 * does the arithmetic of RFC 8439 on them.
 *
 * The cipher's lanes take any blocks of any packets under one key, so no lane stays
 * empty at the end of a packet. The authenticator's lanes take a packet each, so no
 * power of a packet's key beyond the fourth is needed and nothing is added up across
 * lanes. Nothing here branches on, or indexes by, key or text: lengths alone decide.
 */
#ifndef CRYPTO_WIDE_H
#define CRYPTO_WIDE_H

#include <stdalign.h>

#include "crypto/key.h"

enum {
        WIDE_CIPHER_MAX = 16, /* blocks of the widest cipher */
        WIDE_MAC_MAX = 8,     /* packets of the widest authenticator */
        WIDE_BLOCK = 64,      /* bytes: a ChaCha20 block, and four Poly1305 ones */
};

/* The blocks of one pass. Lanes that are not needed work on scratch memory. */
struct wide_blocks {
        alignas(64) uint32_t number[WIDE_CIPHER_MAX];  /* of the block in its packet */
        alignas(64) uint64_t counter[WIDE_CIPHER_MAX]; /* of the packet: the nonce */
        uint8_t *text[WIDE_CIPHER_MAX]; /* WIDE_BLOCK bytes, XORed with the key stream */
};

/* The authenticators of several packets, in a kernel's own representation. */
struct wide_mac {
        alignas(64) uint8_t bytes[4096];
};

struct wide_kernel {
        const char *name;
        unsigned cipher_lanes, mac_lanes;
        bool (*is_usable)(void); /* on this CPU */
        void (*cipher)(const uint8_t key[KEY_LEN], const struct wide_blocks *blocks);
        /* keys: the first key stream block of each packet; its first half counts. */
        void (*mac_begin)(struct wide_mac *m, const uint8_t (*keys)[WIDE_BLOCK]);
        /* Takes steps * WIDE_BLOCK bytes from each place. is_text[block][lane] is ~0
         * for a Poly1305 block of text; 0: the zeros there only fill up the front. */
        void (*mac_absorb)(struct wide_mac *m, const uint8_t *const at[], size_t steps,
                const uint64_t is_text[4][WIDE_MAC_MAX]);
        /* Takes the block of lengths; sum gets the accumulators in limbs of 44 bits,
         * which may be a few bits longer. */
        void (*mac_end)(struct wide_mac *m, const uint64_t lens[], uint64_t sum[3][WIDE_MAC_MAX]);
};

extern const struct wide_kernel wide_avx512;

#endif
