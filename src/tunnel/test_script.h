/* For tests: bytes from hex, and a source of "randomness" that plays a script. */
#ifndef TUNNEL_TEST_SCRIPT_H
#define TUNNEL_TEST_SCRIPT_H

#include <assert.h>

#include "base/random.h"
#include "base/text.h"
#include "crypto/key.h"

static inline void unhex(const char *text, void *out, size_t n)
{
        enum err e = hex_decode(slice_str(text), out, n);

        assert(e == OK);
        (void)e;
}

struct script_rng {
        struct rng rng;
        const uint8_t *next;
        size_t left;
};

static inline void script_fill(struct rng *rng, void *out, size_t n)
{
        struct script_rng *s = (struct script_rng *)rng;

        assert(n <= s->left);
        memcpy(out, s->next, n);
        s->next += n;
        s->left -= n;
}

static inline struct script_rng script_of(const uint8_t *bytes, size_t n)
{
        return (struct script_rng){ { script_fill }, bytes, n };
}

/* The keys of spec/dataplane.md 5: clamped bytes first, first + 1, ... */
static inline struct secret_key spec_secret(uint8_t first)
{
        struct secret_key sk;

        for (int i = 0; i < KEY_LEN; i++)
                sk.b[i] = (uint8_t)(first + i);
        key_clamp(&sk);
        return sk;
}

#endif
