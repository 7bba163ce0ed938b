/* The node's files: the state file and the cache of the network map. */
#ifndef NODE_DISK_H
#define NODE_DISK_H

#include "client/netmap.h"
#include "node/state_file.h"

/* Reads the file into an initialised map; a file that does not exist is an empty
 * state. The folder is made (0700) if absent. *diag is a sentence with the path. */
enum err MUST_USE disk_load_state(const char *path, struct state_map *m, struct diag *diag);
/* Replaces the file atomically and durably, mode 0600 (spec/node.md 1.4). */
enum err MUST_USE disk_save_state(const char *path, const struct state_map *m, struct diag *diag);

/* The cache of one profile below the state folder (spec/node.md 1.8): one file an
 * item, each replaced atomically. Not synced: what a crash damages is thrown away as
 * a whole at the next start, and control sends it again. */
/* False: it was damaged and is removed; nm is of no use. */
bool disk_load_cache(const char *state_dir, const char *profile_id, struct netmap *nm);
void disk_save_cache(const char *state_dir, const char *profile_id, const struct netmap *nm,
        const struct netmap_changes *changes);
void disk_remove_cache(const char *state_dir, const char *profile_id);

#endif
