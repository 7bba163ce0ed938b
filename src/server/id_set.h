/* A set of small ids, such as the peers that a session was told of: one bit each. */
#ifndef SERVER_ID_SET_H
#define SERVER_ID_SET_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct id_set {
        uint64_t *words;
        size_t n_words;
};

static inline bool id_set_has(const struct id_set *set, int64_t id)
{
        size_t word = (size_t)id / 64;

        return word < set->n_words && set->words[word] >> (id % 64) & 1;
}

/* Out of memory stops the process, as everywhere in the server's truth. */
static inline void id_set_put(struct id_set *set, int64_t id, bool in)
{
        size_t word = (size_t)id / 64;

        if (word >= set->n_words) {
                if (!in)
                        return;
                size_t n = word + word / 4 + 4;
                uint64_t *words = realloc(set->words, n * sizeof(*words));
                if (!words)
                        abort();
                memset(words + set->n_words, 0, (n - set->n_words) * sizeof(*words));
                set->words = words;
                set->n_words = n;
        }
        uint64_t bit = 1ull << (id % 64);
        set->words[word] = in ? set->words[word] | bit : set->words[word] & ~bit;
}

static inline void id_set_clear(struct id_set *set)
{
        if (set->n_words)
                memset(set->words, 0, set->n_words * sizeof(*set->words));
}

static inline void id_set_fini(struct id_set *set)
{
        free(set->words);
        *set = (struct id_set){ 0 };
}

#endif
