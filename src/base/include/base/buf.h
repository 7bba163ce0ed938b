/*
 * A growing byte buffer that was told its maximum at birth. It owns its bytes.
 * A failed append (limit or memory) leaves a mark that buf_status() reports, so
 * a chain of appends needs one check at the end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>

#include "base/err.h"
#include "base/slice.h"

struct buf {
        uint8_t *ptr;
        size_t len, cap;
        size_t max; /* never longer than this many bytes */
        enum err status;
};

/* An empty buffer; nothing is allocated before the first append. */
#define BUF_INIT(max_bytes) ((struct buf){ .max = (max_bytes) })
void buf_init(struct buf *b, size_t max);
/* Releases the bytes; b is empty and usable again, its maximum kept. */
void buf_fini(struct buf *b);
/* The same, and the bytes are wiped first: for buffers that held secrets. */
void buf_wipe(struct buf *b);

void buf_append(struct buf *b, const void *bytes, size_t n);
void buf_append_slice(struct buf *b, struct slice s);
void buf_append_str(struct buf *b, const char *s);
void buf_append_byte(struct buf *b, uint8_t c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
/* Room for n more bytes at the end, already counted in len; NULL on failure. */
uint8_t *buf_extend(struct buf *b, size_t n);
/* Removes the first n bytes (n is cut to len). */
void buf_consume(struct buf *b, size_t n);
void buf_clear(struct buf *b);
/* A NUL after the last byte, not counted; the text lives until the next change.
 * "" when nothing could be allocated. */
const char *buf_cstr(struct buf *b);
enum err MUST_USE buf_status(const struct buf *b);

static inline struct slice buf_slice(const struct buf *b)
{
        return (struct slice){ b->ptr, b->len };
}

#endif
