/*
 * The state file of the node as a value in memory: text keys to bytes, in the
 * official daemon's form (one JSON object, values in base64; spec/node.md 1.4), so
 * that a machine can change between the two daemons and keep its identity.
 *
 * Keys of ours that the official daemon does not know are left alone by it, and
 * its keys by us. Values hold private keys: they are wiped before they are freed.
 */
#ifndef NODE_STATE_FILE_H
#define NODE_STATE_FILE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
        STATE_FILE_MAX = 8 << 20,  /* bytes of a file that is read at all */
        STATE_ENTRIES_MAX = 4096,
};

struct state_entry {
        char *key;
        struct buf value;
};

struct state_map {
        struct state_entry *entries; /* sorted by key */
        size_t count, cap;
        bool dirty; /* changed since the owner last cleared this */
};

void state_map_init(struct state_map *m);
void state_map_fini(struct state_map *m);

/* The value, borrowed until the next change of the map; ptr NULL when absent. */
struct slice state_map_get(const struct state_map *m, const char *key);
bool state_map_has(const struct state_map *m, const char *key);
/* Copies key and value. Putting the value that is already there changes nothing
 * and leaves dirty as it was. ERR_LIMIT, ERR_NOMEM. */
enum err MUST_USE state_map_put(struct state_map *m, const char *key, struct slice value);
void state_map_remove(struct state_map *m, const char *key);

/* Fills an initialised map from a file's text; an empty text is an empty map.
 * ERR_FORMAT and a sentence naming the byte where it went wrong. */
enum err MUST_USE state_map_parse(struct state_map *m, struct slice text, struct diag *diag);
/* The text of the file. */
enum err MUST_USE state_map_write(const struct state_map *m, struct buf *out);

#endif
