#include "base/table.h"

#include <stdlib.h>

static struct {
        uint64_t k0, k1;
} hash_key;

void hash_set_key(const uint8_t key[static 16])
{
        memcpy(&hash_key.k0, key, 8);
        memcpy(&hash_key.k1, key + 8, 8);
}

static uint64_t rotl(uint64_t x, int n)
{
        return x << n | x >> (64 - n);
}

struct sip {
        uint64_t v0, v1, v2, v3;
};

static void sip_round(struct sip *s)
{
        s->v0 += s->v1;
        s->v1 = rotl(s->v1, 13) ^ s->v0;
        s->v0 = rotl(s->v0, 32);
        s->v2 += s->v3;
        s->v3 = rotl(s->v3, 16) ^ s->v2;
        s->v0 += s->v3;
        s->v3 = rotl(s->v3, 21) ^ s->v0;
        s->v2 += s->v1;
        s->v1 = rotl(s->v1, 17) ^ s->v2;
        s->v2 = rotl(s->v2, 32);
}

static void sip_word(struct sip *s, uint64_t m)
{
        s->v3 ^= m;
        sip_round(s);
        s->v0 ^= m;
}

/* SipHash-1-3 (Aumasson and Bernstein, 2012): one round a word, three at the end. */
uint64_t hash_bytes(struct slice in)
{
        struct sip s = {
                hash_key.k0 ^ 0x736f6d6570736575u, hash_key.k1 ^ 0x646f72616e646f6du,
                hash_key.k0 ^ 0x6c7967656e657261u, hash_key.k1 ^ 0x7465646279746573u,
        };
        size_t whole = in.len & ~(size_t)7;
        uint64_t word = 0;

        for (size_t i = 0; i < whole; i += 8) {
                memcpy(&word, in.ptr + i, 8);
                sip_word(&s, word);
        }
        word = (uint64_t)in.len << 56;
        for (size_t i = whole; i < in.len; i++)
                word |= (uint64_t)in.ptr[i] << 8 * (i - whole);
        sip_word(&s, word);
        s.v2 ^= 0xff;
        sip_round(&s);
        sip_round(&s);
        sip_round(&s);
        return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

void table_init(struct table *t, size_t max)
{
        *t = TABLE_INIT(max);
}

void table_fini(struct table *t)
{
        free(t->slots);
        table_init(t, t->max);
}

/* The slot that holds key, or the free one where it would go. */
static struct table_slot *find(const struct table *t, struct slice key, uint64_t hash)
{
        for (size_t i = hash & (t->cap - 1);; i = (i + 1) & (t->cap - 1)) {
                struct table_slot *s = &t->slots[i];
                if (!s->value || (s->hash == hash && slice_equal(s->key, key)))
                        return s;
        }
}

static enum err grow(struct table *t)
{
        size_t cap = t->cap ? t->cap * 2 : 8;
        struct table bigger = { .cap = cap, .count = t->count, .max = t->max };

        bigger.slots = calloc(cap, sizeof(*bigger.slots));
        if (!bigger.slots)
                return ERR_NOMEM;
        for (size_t i = 0; i < t->cap; i++)
                if (t->slots[i].value)
                        *find(&bigger, t->slots[i].key, t->slots[i].hash) = t->slots[i];
        free(t->slots);
        *t = bigger;
        return OK;
}

void *table_get(const struct table *t, struct slice key)
{
        return t->count ? find(t, key, hash_bytes(key))->value : NULL;
}

enum err table_put(struct table *t, struct slice key, void *value, void **old)
{
        uint64_t hash = hash_bytes(key);
        struct table_slot *s = t->cap ? find(t, key, hash) : NULL;

        if (old)
                *old = s ? s->value : NULL;
        if (!s || !s->value) {
                if (t->max && t->count >= t->max)
                        return ERR_LIMIT;
                if (t->count + 1 > t->cap / 4 * 3) {
                        if (grow(t) != OK)
                                return ERR_NOMEM;
                        s = find(t, key, hash);
                }
                t->count++;
        }
        *s = (struct table_slot){ key, value, hash };
        return OK;
}

void *table_remove(struct table *t, struct slice key)
{
        struct table_slot *s = t->count ? find(t, key, hash_bytes(key)) : NULL;

        if (!s || !s->value)
                return NULL;
        void *value = s->value;
        size_t hole = (size_t)(s - t->slots), mask = t->cap - 1;

        /* Close the gap: move back every entry of the run that may sit earlier. */
        for (size_t i = (hole + 1) & mask; t->slots[i].value; i = (i + 1) & mask) {
                size_t home = t->slots[i].hash & mask;
                if (((i - home) & mask) >= ((i - hole) & mask)) {
                        t->slots[hole] = t->slots[i];
                        hole = i;
                }
        }
        t->slots[hole] = (struct table_slot){ 0 };
        t->count--;
        return value;
}

void *table_next(const struct table *t, size_t *iter)
{
        while (*iter < t->cap) {
                void *value = t->slots[(*iter)++].value;
                if (value)
                        return value;
        }
        return NULL;
}
