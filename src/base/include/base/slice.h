/*
 * Bytes with their length: a borrowed view, never an owner. The bytes live as
 * long as whatever they were taken from (a packet, an arena, a string literal).
 * Text is a slice too; it is not NUL-terminated unless a function says so.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
        const uint8_t *ptr;
        size_t len;
};

/* A view of a string literal or of an array, its length known at compile time. */
#define SLICE_LIT(s) ((struct slice){ (const uint8_t *)(s), sizeof(s) - 1 })
#define SLICE_ARRAY(a) ((struct slice){ (a), sizeof(a) })
/* printf("%.*s", SLICE_ARGS(s)) */
#define SLICE_ARGS(s) (int)(s).len, (const char *)(s).ptr

static inline struct slice slice_make(const void *ptr, size_t len)
{
        return (struct slice){ ptr, len };
}

/* A view of a NUL-terminated string; NULL gives the empty slice. */
static inline struct slice slice_str(const char *s)
{
        return (struct slice){ (const uint8_t *)s, s ? strlen(s) : 0 };
}

static inline bool slice_equal(struct slice a, struct slice b)
{
        return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_is(struct slice a, const char *s)
{
        return slice_equal(a, slice_str(s));
}

/* memcmp order, a shorter slice before a longer one it begins. */
int slice_compare(struct slice a, struct slice b);
/* Equal but for the case of ASCII letters. */
bool slice_equal_nocase(struct slice a, struct slice b);
/* Equal lists: as many, and each equal to its counterpart. */
bool slices_equal(const struct slice *a, size_t a_count, const struct slice *b, size_t b_count);
bool slice_has_prefix(struct slice s, struct slice prefix);
bool slice_has_suffix(struct slice s, struct slice suffix);
/* The index of the first byte c, or s.len. */
size_t slice_find(struct slice s, uint8_t c);
/* The first n bytes, and what follows them; n is cut to s.len. */
struct slice slice_first(struct slice s, size_t n);
struct slice slice_after(struct slice s, size_t n);
/* Without ASCII white space at both ends. */
struct slice slice_trim(struct slice s);
/*
 * Cuts the next field off *rest up to sep, which is consumed. False when *rest
 * is exhausted. An empty field between two separators is returned as one:
 *     while (slice_split(&rest, ',', &field)) ...
 */
bool slice_split(struct slice *rest, uint8_t sep, struct slice *field);

#endif
