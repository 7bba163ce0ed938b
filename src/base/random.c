#include "base/random.h"

uint32_t rng_u32(struct rng *rng)
{
        uint32_t v;
        rng_fill(rng, &v, sizeof(v));
        return v;
}

uint64_t rng_u64(struct rng *rng)
{
        uint64_t v;
        rng_fill(rng, &v, sizeof(v));
        return v;
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
        /* Reject the short first interval, so that every result is equally likely. */
        uint64_t reject = -bound % bound, v;

        do
                v = rng_u64(rng);
        while (v < reject);
        return v % bound;
}

uint64_t rng_between(struct rng *rng, uint64_t lo, uint64_t hi)
{
        if (lo == 0 && hi == UINT64_MAX)
                return rng_u64(rng);
        return lo + rng_below(rng, hi - lo + 1);
}

static uint64_t rotl(uint64_t x, int n)
{
        return x << n | x >> (64 - n);
}

/* xoshiro256** (Blackman and Vigna, 2018). */
static uint64_t seeded_next(struct rng_seeded *r)
{
        uint64_t *s = r->state, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = rotl(s[3], 45);
        return result;
}

static void seeded_fill(struct rng *rng, void *out, size_t n)
{
        struct rng_seeded *r = (struct rng_seeded *)rng; /* rng is its first member */
        uint8_t *p = out;

        while (n) {
                uint64_t v = seeded_next(r);
                size_t take = n < sizeof(v) ? n : sizeof(v);
                memcpy(p, &v, take);
                p += take;
                n -= take;
        }
}

void rng_seed(struct rng_seeded *r, uint64_t seed)
{
        r->rng.fill = seeded_fill;
        for (int i = 0; i < 4; i++) { /* splitmix64 spreads the seed over the state */
                uint64_t z = seed += 0x9e3779b97f4a7c15u;
                z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
                z = (z ^ z >> 27) * 0x94d049bb133111ebu;
                r->state[i] = z ^ z >> 31;
        }
}
