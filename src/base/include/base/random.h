/*
 * Randomness as an argument: engines draw from the source they were given. The
 * programs give them the kernel's; tests and the simulator a seeded one.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include "base/slice.h"

struct rng {
        void (*fill)(struct rng *rng, void *out, size_t n);
};

static inline void rng_fill(struct rng *rng, void *out, size_t n) { rng->fill(rng, out, n); }
uint32_t rng_u32(struct rng *rng);
uint64_t rng_u64(struct rng *rng);
/* Uniform in [0, bound); bound > 0. */
uint64_t rng_below(struct rng *rng, uint64_t bound);
/* Uniform in [lo, hi]. */
uint64_t rng_between(struct rng *rng, uint64_t lo, uint64_t hi);

/* A deterministic source for tests and the simulator. Not for keys that matter. */
struct rng_seeded {
        struct rng rng;
        uint64_t state[4];
};
void rng_seed(struct rng_seeded *r, uint64_t seed);

#endif
