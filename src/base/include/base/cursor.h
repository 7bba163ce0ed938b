/*
 * Cursors over bytes: all parsing of what a stranger sent goes through struct
 * reader, all building of fixed-size messages through struct writer.
 *
 * A cursor remembers its first failure and then yields zeroes, so a parser is a
 * straight list of fields with one check at the end. No call can move outside
 * the bytes given: lengths are compared with what is left before they are added.
 */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include "base/err.h"
#include "base/slice.h"

struct reader {
        const uint8_t *p, *end;
        bool failed;
};

static inline struct reader reader_of(struct slice s)
{
        return (struct reader){ s.ptr, s.ptr ? s.ptr + s.len : s.ptr, false };
}

static inline size_t rd_left(const struct reader *r)
{
        return r->failed ? 0 : (size_t)(r->end - r->p);
}

uint8_t rd_u8(struct reader *r);
uint16_t rd_be16(struct reader *r);
uint32_t rd_be32(struct reader *r);
uint64_t rd_be64(struct reader *r);
uint16_t rd_le16(struct reader *r);
uint32_t rd_le32(struct reader *r);
uint64_t rd_le64(struct reader *r);
/* The next n bytes, borrowed from the input; {NULL,0} if fewer are left. */
struct slice rd_take(struct reader *r, size_t n);
/* All that is left. */
struct slice rd_rest(struct reader *r);
/* Copies exactly n bytes to out; out is zeroed on failure. */
void rd_copy(struct reader *r, void *out, size_t n);
void rd_skip(struct reader *r, size_t n);
/* A reader of the next n bytes alone, for nested lengths. */
struct reader rd_sub(struct reader *r, size_t n);
/* OK; ERR_SHORT if something was missing; ERR_FORMAT if bytes are left over. */
enum err MUST_USE rd_finish(const struct reader *r);
/* The same where later versions may append fields: bytes left over are fine. */
enum err MUST_USE rd_finish_open(const struct reader *r);

struct writer {
        uint8_t *start, *p, *end;
        bool failed;
};

static inline struct writer writer_of(void *buf, size_t cap)
{
        uint8_t *b = buf;
        return (struct writer){ b, b, b + cap, false };
}

void wr_u8(struct writer *w, uint8_t v);
void wr_be16(struct writer *w, uint16_t v);
void wr_be32(struct writer *w, uint32_t v);
void wr_be64(struct writer *w, uint64_t v);
void wr_le16(struct writer *w, uint16_t v);
void wr_le32(struct writer *w, uint32_t v);
void wr_le64(struct writer *w, uint64_t v);
void wr_bytes(struct writer *w, const void *bytes, size_t n);
void wr_slice(struct writer *w, struct slice s);
void wr_zero(struct writer *w, size_t n);
/* Room for n bytes to be filled in by the caller; NULL if there is none. */
uint8_t *wr_reserve(struct writer *w, size_t n);
/* What was written; OK or ERR_LIMIT through *out. */
enum err MUST_USE wr_finish(const struct writer *w, struct slice *out);

/* Plain accessors for fixed offsets in memory that was already checked. */
static inline uint16_t get_be16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t get_be32(const uint8_t *p)
{
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint16_t get_le16(const uint8_t *p) { return (uint16_t)(p[1] << 8 | p[0]); }
static inline uint32_t get_le32(const uint8_t *p)
{
        return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}
static inline uint64_t get_le64(const uint8_t *p)
{
        return (uint64_t)get_le32(p + 4) << 32 | get_le32(p);
}
static inline void put_be16(uint8_t *p, uint16_t v)
{
        p[0] = (uint8_t)(v >> 8);
        p[1] = (uint8_t)v;
}
static inline void put_be32(uint8_t *p, uint32_t v)
{
        put_be16(p, (uint16_t)(v >> 16));
        put_be16(p + 2, (uint16_t)v);
}
static inline void put_le32(uint8_t *p, uint32_t v)
{
        for (int i = 0; i < 4; i++)
                p[i] = (uint8_t)(v >> 8 * i);
}
static inline void put_le64(uint8_t *p, uint64_t v)
{
        put_le32(p, (uint32_t)v);
        put_le32(p + 4, (uint32_t)(v >> 32));
}

#endif
