/* Reading JSON by shape. */
#include "proto/shape.h"

#include <assert.h>
#include <string.h>

static void bytes_parse(struct json_reader *r, struct slice *out)
{
        struct slice text = json_string(r);
        size_t cap = text.len / 4 * 3, len;
        uint8_t *bytes;

        if (r->status || text.len == 0)
                return;
        bytes = arena_alloc(r->arena, cap ? cap : 1);
        if (!bytes)
                json_fail(r, ERR_NOMEM, "too much data");
        else if (base64_decode(text, bytes, cap, &len))
                json_fail(r, ERR_FORMAT, "not base64");
        else
                *out = slice_make(bytes, len);
}

static void time_parse(struct json_reader *r, struct tailcfg_time *out, bool keep_zero)
{
        struct slice text = json_string(r);

        if (r->status)
                return;
        if (rfc3339_parse(text, &out->unix_ns)) {
                json_fail(r, ERR_FORMAT, "not a date");
                return;
        }
        out->set = keep_zero || out->unix_ns != UNIX_ZERO_DATE;
        if (!out->set)
                out->unix_ns = 0;
}

static void key_value_parse(struct json_reader *r, const char *prefix, struct public_key *out)
{
        struct slice text = json_string(r);

        if (!r->status && key_parse(prefix, text, out))
                json_fail(r, ERR_FORMAT, "not a key of the kind expected here");
}

/* The empty text is the zero value of all three (spec/control.md 6.1). */
static void address_parse(struct json_reader *r, enum shape_kind kind, void *out)
{
        struct slice text = json_string(r);
        enum err e = OK;

        if (r->status || text.len == 0)
                return;
        if (kind == SHAPE_ADDR)
                e = ip_parse(text, out);
        else if (kind == SHAPE_PREFIX)
                e = ip_prefix_parse(text, out);
        else
                e = ip_port_parse(text, out);
        if (e)
                json_fail(r, ERR_FORMAT, "not an address");
}

/* An array that doubles inside the arena; one element at a time is filled in. */
struct growing {
        size_t size, count, cap;
        uint8_t *items;
};

static void *growing_next(struct json_reader *r, struct growing *g)
{
        if (g->count == g->cap) {
                size_t cap = g->cap ? g->cap * 2 : 4;
                uint8_t *items = arena_array(r->arena, cap, g->size);

                if (!items) {
                        json_fail(r, ERR_NOMEM, "list too long");
                        return NULL;
                }
                if (g->count)
                        memcpy(items, g->items, g->count * g->size);
                g->items = items;
                g->cap = cap;
        }
        return g->items + g->size * g->count++;
}

static void growing_store(const struct growing *g, void *list)
{
        shape_list_store(list, g->count ? (const void *)g->items : TAILCFG_EMPTY, g->count);
}

static void list_parse(struct json_reader *r, const struct shape_field *f, void *out)
{
        struct growing g = { .size = shape_element_size(f) };
        struct shape_field element = shape_element(f);

        json_array_begin(r);
        while (json_element(r)) {
                void *item = growing_next(r, &g);
                if (!item)
                        return;
                shape_value_parse(r, &element, item);
        }
        growing_store(&g, out);
}

/* A map key is always text on the wire; integer keys are decimal. */
static void map_key_parse(struct json_reader *r, const struct shape_field *key, struct slice name, void *entry)
{
        void *value = shape_at(entry, key);

        if (key->kind == SHAPE_STRING) {
                *(struct slice *)value = name;
        } else if (key->kind == SHAPE_KEY) {
                if (key_parse(key->prefix, name, value))
                        json_fail(r, ERR_FORMAT, "map key is not a key of the kind expected here");
        } else {
                assert(key->kind == SHAPE_I64);
                if (parse_i64(name, value))
                        json_fail(r, ERR_FORMAT, "map key is not a number");
        }
}

static void map_parse(struct json_reader *r, const struct shape_field *f, void *out)
{
        const struct shape_field *key = &f->shape->fields[0], *value = &f->shape->fields[1];
        struct growing g = { .size = f->shape->size };
        struct slice name;

        json_object_begin(r);
        while (json_member(r, &name)) {
                void *entry = growing_next(r, &g);
                if (!entry)
                        return;
                map_key_parse(r, key, name, entry);
                shape_value_parse(r, value, shape_at(entry, value));
        }
        growing_store(&g, out);
}

/* The map's key is the truth, whatever the object says of itself; null values
 * are dropped (spec/control.md 7, DERPMap). */
static void keyed_parse(struct json_reader *r, const struct shape_field *f, void *out)
{
        struct growing g = { .size = f->shape->size };
        struct slice name;

        json_object_begin(r);
        while (json_member(r, &name)) {
                void *object;

                if (json_take_null(r))
                        continue;
                object = growing_next(r, &g);
                if (!object)
                        return;
                shape_parse(r, f->shape, object);
                map_key_parse(r, &f->shape->fields[f->shape->key], name, object);
        }
        growing_store(&g, out);
}

static void pointer_parse(struct json_reader *r, const struct shape *s, void *out)
{
        void *object = arena_alloc(r->arena, s->size);

        if (!object) {
                json_fail(r, ERR_NOMEM, "message too large");
                return;
        }
        shape_parse(r, s, object);
        memcpy(out, &object, sizeof(object));
}

static void u16_parse(struct json_reader *r, uint16_t *out)
{
        uint64_t v = json_u64(r);

        if (v > UINT16_MAX)
                json_fail(r, ERR_RANGE, "number too large");
        else
                *out = (uint16_t)v;
}

void shape_value_parse(struct json_reader *r, const struct shape_field *f, void *out)
{
        if (f->kind == SHAPE_RAW && f->presence == ALWAYS) { /* an element of a list: null counts */
                *(struct slice *)out = json_raw(r);
                return;
        }
        if (json_take_null(r))
                return;
        switch (f->kind) {
        case SHAPE_STRING: *(struct slice *)out = json_string(r); return;
        case SHAPE_BYTES: bytes_parse(r, out); return;
        case SHAPE_RAW: *(struct slice *)out = json_raw(r); return;
        case SHAPE_BOOL: *(bool *)out = json_bool(r); return;
        case SHAPE_OPT_BOOL: *(enum tailcfg_opt_bool *)out = tailcfg_opt(json_bool(r)); return;
        case SHAPE_I64: *(int64_t *)out = json_i64(r); return;
        case SHAPE_U64: *(uint64_t *)out = json_u64(r); return;
        case SHAPE_U16: u16_parse(r, out); return;
        case SHAPE_DOUBLE: *(double *)out = json_double(r); return;
        case SHAPE_TIME: time_parse(r, out, false); return;
        case SHAPE_TIME_KEPT: time_parse(r, out, true); return;
        case SHAPE_KEY: key_value_parse(r, f->prefix, out); return;
        case SHAPE_ADDR:
        case SHAPE_PREFIX:
        case SHAPE_ADDR_PORT: address_parse(r, f->kind, out); return;
        case SHAPE_PRESENT:
                json_skip(r);
                *(bool *)out = true;
                return;
        case SHAPE_OBJECT: shape_parse(r, f->shape, out); return;
        case SHAPE_POINTER: pointer_parse(r, f->shape, out); return;
        case SHAPE_LIST: list_parse(r, f, out); return;
        case SHAPE_MAP: map_parse(r, f, out); return;
        case SHAPE_KEYED: keyed_parse(r, f, out); return;
        }
}

/* Senders keep the table's order, so the search starts where the last one ended. */
static const struct shape_field *find_field(const struct shape *s, struct slice name, size_t *hint)
{
        for (size_t n = 0; n < s->count; n++) {
                size_t i = (*hint + n) % s->count;
                const struct shape_field *f = &s->fields[i];

                if (f->name_len == name.len && slice_equal_nocase(slice_make(f->name, f->name_len), name)) {
                        *hint = i + 1;
                        return f;
                }
        }
        return NULL;
}

void shape_parse(struct json_reader *r, const struct shape *s, void *out)
{
        struct slice name;
        size_t hint = 0;

        memset(out, 0, s->size);
        if (json_take_null(r))
                return;
        json_object_begin(r);
        while (json_member(r, &name)) {
                const struct shape_field *f = find_field(s, name, &hint);

                if (f)
                        shape_value_parse(r, f, shape_at(out, f));
                else
                        json_skip(r);
        }
}

enum err shape_decode(struct slice json, struct arena *arena, const struct shape *s, void *out)
{
        struct json_reader r;

        json_reader_init(&r, json, arena);
        shape_parse(&r, s, out);
        return json_finish(&r);
}
