/*
 * A bounded pull reader for JSON (RFC 8259). It walks the text in place, building
 * nothing: the caller asks for the next value, and takes strings and numbers where
 * it expects them. Unknown members are skipped with json_skip(). Depth is limited
 * (64); strings are copied into the caller's arena only when they hold escapes, and
 * refused when they are not UTF-8, so that what is read can be written unchanged.
 *
 *     json_object_begin(r);
 *     while (json_member(r, &name)) {
 *             if (slice_is(name, "Version")) v.version = json_i64(r);
 *             else json_skip(r);
 *     }
 *     return json_finish(r);
 *
 * Like the byte cursor it remembers its first failure and then answers zeroes and
 * false, so a parser needs one check at the end. Go's decoder matches member names
 * without regard to case; use slice_equal_nocase() where a peer relies on it.
 */
#ifndef JSON_READER_H
#define JSON_READER_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

enum json_type { JSON_NONE, JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

enum { JSON_DEPTH_MAX = 64 };

struct json_reader {
        struct slice text;
        size_t pos;
        unsigned depth;
        uint64_t has_items; /* bit per depth: an element was read at this level */
        struct arena *arena; /* borrowed: where unescaped strings are kept */
        enum err status;
        size_t error_pos;    /* byte offset of the failure, for messages */
        const char *error;   /* static text, or NULL */
};

void json_reader_init(struct json_reader *r, struct slice text, struct arena *arena);

/* The type of the value that comes next, without consuming it. */
enum json_type json_peek(struct json_reader *r);
/* Consumes null and says so; false (and nothing consumed) for any other value. */
bool json_take_null(struct json_reader *r);

void json_object_begin(struct json_reader *r);
/* The next member's name; false at the object's end, which is consumed. */
bool json_member(struct json_reader *r, struct slice *name);
void json_array_begin(struct json_reader *r);
/* True when an element follows; false at the array's end, which is consumed. */
bool json_element(struct json_reader *r);

/* Text, unescaped; borrowed from the input or from the arena. */
struct slice json_string(struct json_reader *r);
bool json_bool(struct json_reader *r);
/* A number with a fraction, an exponent or out of range is ERR_RANGE. */
int64_t json_i64(struct json_reader *r);
uint64_t json_u64(struct json_reader *r);
double json_double(struct json_reader *r);
/* Consumes any value; json_raw() also returns its text as it stood. */
void json_skip(struct json_reader *r);
struct slice json_raw(struct json_reader *r);
/* Marks the reader failed, for values that are JSON but not what the field needs. */
void json_fail(struct json_reader *r, enum err e, const char *why);

/* After the outermost value: OK if nothing but white space follows. */
enum err MUST_USE json_finish(struct json_reader *r);

#endif
