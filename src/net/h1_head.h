/*
 * Collects the head of an HTTP/1 message from the parser's callbacks, which may cut
 * names and values anywhere. Bounded in bytes and fields.
 */
#ifndef NET_H1_HEAD_H
#define NET_H1_HEAD_H

#include "base/arena.h"
#include "base/buf.h"
#include "net/http.h"

struct h1_field {
        size_t name_len, value_len;
};

struct h1_head {
        struct buf text; /* target (or reason phrase), then names and values, end to end */
        struct h1_field *fields;
        unsigned count, cap, max;
        size_t target_len;
        bool in_value;
};

void h1_head_init(struct h1_head *h, size_t max_bytes, unsigned max_fields);
void h1_head_fini(struct h1_head *h);

/* Callbacks' bodies: ERR_LIMIT when the head grows too big. */
enum err MUST_USE h1_head_target(struct h1_head *h, struct slice bytes);
enum err MUST_USE h1_head_name(struct h1_head *h, struct slice bytes);
enum err MUST_USE h1_head_value(struct h1_head *h, struct slice bytes);

/* Copies into the arena: everything in *headers and *target lives there. */
enum err MUST_USE h1_head_copy(const struct h1_head *h, struct arena *a, struct http_header **headers,
        size_t *count, struct slice *target);

#endif
