#include "filter/flows.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "base/table.h"
#include "flow_key.h"

enum { WAYS = 8, SETS = FILTER_FLOWS_MAX / WAYS };

/*
 * seq is odd while the adding thread changes the key. The words are atomic and
 * ordered by themselves (release and acquire), so that a reader who saw a word of
 * a later key also sees a later seq: no fences are needed.
 */
struct flow_entry {
        _Atomic uint32_t seq;
        _Atomic uint32_t used; /* the clock at the last use; 0: free */
        _Atomic uint64_t words[FLOW_KEY_WORDS];
};

struct filter_flows {
        _Atomic uint32_t clock; /* counts additions */
        struct flow_entry entries[SETS][WAYS];
};

struct filter_flows *filter_flows_new(void) { return calloc(1, sizeof(struct filter_flows)); }

void filter_flows_free(struct filter_flows *t) { free(t); }

static struct flow_entry *set_of(struct filter_flows *t, const struct flow_key *key)
{
        return t->entries[hash_bytes(slice_make(key->words, sizeof(key->words))) % SETS];
}

static bool entry_is(struct flow_entry *e, const struct flow_key *key)
{
        uint32_t seq = atomic_load_explicit(&e->seq, memory_order_acquire);

        if (seq & 1 || atomic_load_explicit(&e->used, memory_order_relaxed) == 0)
                return false;
        for (int i = 0; i < FLOW_KEY_WORDS; i++) {
                if (atomic_load_explicit(&e->words[i], memory_order_acquire) != key->words[i])
                        return false;
        }
        return atomic_load_explicit(&e->seq, memory_order_relaxed) == seq;
}

static void touch(struct filter_flows *t, struct flow_entry *e)
{
        uint32_t now = atomic_load_explicit(&t->clock, memory_order_relaxed);

        atomic_store_explicit(&e->used, now ? now : 1, memory_order_relaxed);
}

static struct flow_entry *find(struct flow_entry *set, const struct flow_key *key)
{
        for (int i = 0; i < WAYS; i++) {
                if (entry_is(&set[i], key))
                        return &set[i];
        }
        return NULL;
}

/* A free entry, or the one unused for longest. The clock may wrap: ages, not stamps. */
static struct flow_entry *find_oldest(struct filter_flows *t, struct flow_entry *set)
{
        uint32_t now = atomic_load_explicit(&t->clock, memory_order_relaxed), oldest_age = 0;
        struct flow_entry *oldest = &set[0];

        for (int i = 0; i < WAYS; i++) {
                uint32_t used = atomic_load_explicit(&set[i].used, memory_order_relaxed);
                if (used == 0)
                        return &set[i];
                if (now - used > oldest_age) {
                        oldest_age = now - used;
                        oldest = &set[i];
                }
        }
        return oldest;
}

static void replace(struct flow_entry *e, const struct flow_key *key)
{
        uint32_t seq = atomic_load_explicit(&e->seq, memory_order_relaxed);

        atomic_store_explicit(&e->seq, seq + 1, memory_order_relaxed);
        for (int i = 0; i < FLOW_KEY_WORDS; i++)
                atomic_store_explicit(&e->words[i], key->words[i], memory_order_release);
        atomic_store_explicit(&e->seq, seq + 2, memory_order_release);
}

void filter_flows_add(struct filter_flows *t, const struct packet *p)
{
        struct flow_key key = flow_key_of(p, &p->dst, &p->src);
        struct flow_entry *set = set_of(t, &key), *e = find(set, &key);
        uint32_t now = atomic_load_explicit(&t->clock, memory_order_relaxed);

        atomic_store_explicit(&t->clock, now + 1, memory_order_relaxed);
        if (!e) {
                e = find_oldest(t, set);
                replace(e, &key);
        }
        touch(t, e);
}

bool filter_flows_known(struct filter_flows *t, const struct packet *p)
{
        struct flow_key key = flow_key_of(p, &p->src, &p->dst);
        struct flow_entry *e = find(set_of(t, &key), &key);

        if (e)
                touch(t, e);
        return e;
}
