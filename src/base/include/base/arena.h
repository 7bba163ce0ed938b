/*
 * Memory that is dropped whole: a map response, a policy compile, one request.
 * Allocations are zeroed and aligned for any type. An arena was told its maximum
 * at birth; beyond it, and when memory is short, allocation returns NULL and
 * arena_failed() is true from then on.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/err.h"
#include "base/slice.h"

struct arena_block;

struct arena {
        struct arena_block *blocks;
        size_t used, max; /* bytes handed out; most that may be */
        bool failed;
};

#define ARENA_INIT(max_bytes) ((struct arena){ .max = (max_bytes) })
void arena_init(struct arena *a, size_t max);
void arena_fini(struct arena *a);

void *arena_alloc(struct arena *a, size_t n);
/* n objects of the given size; NULL also when n * size overflows. */
void *arena_array(struct arena *a, size_t n, size_t size);
#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, n, type) ((type *)arena_array((a), (n), sizeof(type)))
/* A copy of s; followed by a NUL that is not counted. */
struct slice arena_copy(struct arena *a, struct slice s);
char *arena_cstr(struct arena *a, struct slice s);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

static inline bool arena_failed(const struct arena *a)
{
        return a->failed;
}

#endif
