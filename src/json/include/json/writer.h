/*
 * A streaming JSON writer into a struct buf. Commas and escapes are its business;
 * nesting is the caller's. As Go's encoder does, it writes < > & U+2028 U+2029 as
 * \u escapes unless told otherwise, and invalid UTF-8 as U+FFFD.
 */
#ifndef JSON_WRITER_H
#define JSON_WRITER_H

#include "base/buf.h"
#include "base/slice.h"

struct json_writer {
        struct buf *out;      /* borrowed */
        const char *indent;   /* NULL: compact; "\t" or "  ": one item a line */
        unsigned depth;
        bool need_comma, after_name, plain_html;
};

void json_writer_init(struct json_writer *w, struct buf *out, const char *indent);

void json_object_open(struct json_writer *w);
void json_object_close(struct json_writer *w);
void json_array_open(struct json_writer *w);
void json_array_close(struct json_writer *w);
void json_name(struct json_writer *w, const char *name);
void json_name_slice(struct json_writer *w, struct slice name);

void json_put_null(struct json_writer *w);
void json_put_bool(struct json_writer *w, bool v);
void json_put_i64(struct json_writer *w, int64_t v);
void json_put_u64(struct json_writer *w, uint64_t v);
/* Shortest text that reads back to v; whole numbers without a point. */
void json_put_double(struct json_writer *w, double v);
void json_put_string(struct json_writer *w, struct slice v);
void json_put_str(struct json_writer *w, const char *v);
void json_put_base64(struct json_writer *w, struct slice v);
/* Text that is already JSON, e.g. a peer serialised once and shared. */
void json_put_raw(struct json_writer *w, struct slice json);

/* Name and value in one line. */
void json_field_str(struct json_writer *w, const char *name, const char *v);
void json_field_slice(struct json_writer *w, const char *name, struct slice v);
void json_field_i64(struct json_writer *w, const char *name, int64_t v);
void json_field_bool(struct json_writer *w, const char *name, bool v);

#endif
