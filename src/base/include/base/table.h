/*
 * A hash table from byte keys to pointers, with linear probing and SipHash under
 * a per-process random key, so that strangers who choose keys cannot choose
 * collisions. The table borrows both key and value: the key's bytes are usually a
 * member of the value and must stay unchanged while it is in the table.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include "base/err.h"
#include "base/slice.h"

struct table_slot {
        struct slice key;
        void *value; /* NULL: free */
        uint64_t hash;
};

struct table {
        struct table_slot *slots;
        size_t count, cap; /* cap is zero or a power of two */
        size_t max;        /* most entries; 0: no bound of the table's own */
};

#define TABLE_INIT(max_entries) ((struct table){ .max = (max_entries) })
void table_init(struct table *t, size_t max);
/* Frees the slots, not what they point to. */
void table_fini(struct table *t);

/* The value, or NULL. */
void *table_get(const struct table *t, struct slice key);
/* Adds or replaces; *old (may be NULL) receives the value that was there.
 * ERR_LIMIT at the maximum, ERR_NOMEM. value must not be NULL. */
enum err MUST_USE table_put(struct table *t, struct slice key, void *value, void **old);
/* Removes and returns the value, or NULL. */
void *table_remove(struct table *t, struct slice key);

/* Visits every entry in no particular order; the table must not change meanwhile:
 *     for (size_t i = 0; (v = table_next(t, &i)); ) ... */
void *table_next(const struct table *t, size_t *iter);

/* Keyed hash of bytes under the process key, for structures of one's own. */
uint64_t hash_bytes(struct slice s);
/* Sets the process key. The programs call it once at start with random bytes;
 * the simulator with bytes of its seed. Unset, the key is zero. */
void hash_set_key(const uint8_t key[static 16]);

#endif
