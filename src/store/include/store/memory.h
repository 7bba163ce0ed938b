/*
 * A store without a disk, for tests and the simulator, which decide when a commit
 * becomes durable, make it fail, and crash between the two. What was durable can
 * be loaded again into a new server: the "disk" outlives the store's crash.
 */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H

#include "store/store.h"

struct store *store_memory_new(void); /* freed by store_close() */
/* How many commits wait. */
size_t store_memory_pending(const struct store *st);
/* Makes up to n of them durable, oldest first. */
void store_memory_sync(struct store *st, size_t n);
/* The oldest waiting commit and all others are refused with e. */
void store_memory_fail(struct store *st, enum err e);
/* Power off: what waits is lost, numbering starts anew, rows that were durable stay. */
void store_memory_crash(struct store *st);

#endif
