/* Writing JSON by shape. */
#include "proto/shape.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static bool is_zero(const struct shape_field *f, const void *in)
{
        const void *pointer;

        switch (f->kind) {
        case SHAPE_STRING:
        case SHAPE_BYTES:
        case SHAPE_RAW: return ((const struct slice *)in)->len == 0;
        case SHAPE_BOOL: return !*(const bool *)in;
        case SHAPE_OPT_BOOL: return *(const enum tailcfg_opt_bool *)in == TAILCFG_UNSET;
        case SHAPE_I64: return *(const int64_t *)in == 0;
        case SHAPE_U64: return *(const uint64_t *)in == 0;
        case SHAPE_U16: return *(const uint16_t *)in == 0;
        case SHAPE_DOUBLE: return *(const double *)in == 0;
        case SHAPE_TIME:
        case SHAPE_TIME_KEPT: return !((const struct tailcfg_time *)in)->set;
        case SHAPE_KEY: return key_is_zero(in);
        case SHAPE_ADDR: return !ip_valid(in);
        case SHAPE_PREFIX: return !ip_valid(&((const struct ip_prefix *)in)->ip);
        case SHAPE_ADDR_PORT: return !ip_valid(&((const struct ip_port *)in)->ip);
        case SHAPE_PRESENT: return true; /* forbidden members are never written */
        case SHAPE_OBJECT: return false;
        case SHAPE_POINTER:
                memcpy(&pointer, in, sizeof(pointer));
                return !pointer;
        case SHAPE_LIST:
        case SHAPE_MAP:
        case SHAPE_KEYED: return !shape_list_load(in).items;
        }
        return true;
}

static void time_write(struct json_writer *w, const struct tailcfg_time *t)
{
        char text[40];

        rfc3339_format(t->set ? t->unix_ns : UNIX_ZERO_DATE, text);
        json_put_str(w, text);
}

static void key_write(struct json_writer *w, const char *prefix, const struct public_key *key)
{
        char text[KEY_TEXT_MAX];

        key_format(prefix, key, text);
        json_put_str(w, text);
}

static void address_write(struct json_writer *w, const struct shape_field *f, const void *in)
{
        char text[IP_TEXT_MAX] = "";

        if (is_zero(f, in))
                text[0] = '\0';
        else if (f->kind == SHAPE_ADDR)
                ip_format(in, text);
        else if (f->kind == SHAPE_PREFIX)
                ip_prefix_format(in, text);
        else
                ip_port_format(in, text);
        json_put_str(w, text);
}

static void list_write(struct json_writer *w, const struct shape_field *f, struct shape_list l)
{
        size_t size = shape_element_size(f);
        struct shape_field element = shape_element(f);

        json_array_open(w);
        for (size_t i = 0; i < l.count; i++)
                shape_value_write(w, &element, (const uint8_t *)l.items + i * size);
        json_array_close(w);
}

static void map_key_write(struct json_writer *w, const struct shape_field *key, const void *entry)
{
        const void *value = shape_at_const(entry, key);
        char text[KEY_TEXT_MAX];

        if (key->kind == SHAPE_STRING) {
                json_name_slice(w, *(const struct slice *)value);
        } else if (key->kind == SHAPE_KEY) {
                key_format(key->prefix, value, text);
                json_name(w, text);
        } else {
                assert(key->kind == SHAPE_I64);
                snprintf(text, sizeof(text), "%lld", (long long)*(const int64_t *)value);
                json_name(w, text);
        }
}

static void map_write(struct json_writer *w, const struct shape_field *f, struct shape_list l)
{
        const struct shape_field *key = &f->shape->fields[f->shape->key], *value = &f->shape->fields[1];

        json_object_open(w);
        for (size_t i = 0; i < l.count; i++) {
                const void *entry = (const uint8_t *)l.items + i * f->shape->size;

                map_key_write(w, key, entry);
                if (f->kind == SHAPE_KEYED)
                        shape_write(w, f->shape, entry);
                else
                        shape_value_write(w, value, shape_at_const(entry, value));
        }
        json_object_close(w);
}

/* Zero values have their JSON form here: null for what may be absent. */
void shape_value_write(struct json_writer *w, const struct shape_field *f, const void *in)
{
        const void *pointer;

        switch (f->kind) {
        case SHAPE_STRING: json_put_string(w, *(const struct slice *)in); return;
        case SHAPE_BYTES:
                if (is_zero(f, in))
                        json_put_null(w);
                else
                        json_put_base64(w, *(const struct slice *)in);
                return;
        case SHAPE_RAW:
                if (is_zero(f, in))
                        json_put_null(w);
                else
                        json_put_raw(w, *(const struct slice *)in);
                return;
        case SHAPE_BOOL: json_put_bool(w, *(const bool *)in); return;
        case SHAPE_OPT_BOOL:
                if (is_zero(f, in))
                        json_put_null(w);
                else
                        json_put_bool(w, *(const enum tailcfg_opt_bool *)in == TAILCFG_TRUE);
                return;
        case SHAPE_I64: json_put_i64(w, *(const int64_t *)in); return;
        case SHAPE_U64: json_put_u64(w, *(const uint64_t *)in); return;
        case SHAPE_U16: json_put_u64(w, *(const uint16_t *)in); return;
        case SHAPE_DOUBLE: json_put_double(w, *(const double *)in); return;
        case SHAPE_TIME:
        case SHAPE_TIME_KEPT: time_write(w, in); return;
        case SHAPE_KEY: key_write(w, f->prefix, in); return;
        case SHAPE_ADDR:
        case SHAPE_PREFIX:
        case SHAPE_ADDR_PORT: address_write(w, f, in); return;
        case SHAPE_PRESENT: return;
        case SHAPE_OBJECT: shape_write(w, f->shape, in); return;
        case SHAPE_POINTER:
                memcpy(&pointer, in, sizeof(pointer));
                if (pointer)
                        shape_write(w, f->shape, pointer);
                else
                        json_put_null(w);
                return;
        case SHAPE_LIST:
        case SHAPE_MAP:
        case SHAPE_KEYED:
                if (is_zero(f, in))
                        json_put_null(w);
                else if (f->kind == SHAPE_LIST)
                        list_write(w, f, shape_list_load(in));
                else
                        map_write(w, f, shape_list_load(in));
                return;
        }
}

void shape_write_members(struct json_writer *w, const struct shape *s, const void *in)
{
        for (size_t i = 0; i < s->count; i++) {
                const struct shape_field *f = &s->fields[i];
                const void *value = shape_at_const(in, f);

                if (f->presence == OPTIONAL && is_zero(f, value))
                        continue;
                json_name_slice(w, slice_make(f->name, f->name_len));
                shape_value_write(w, f, value);
        }
}

void shape_write(struct json_writer *w, const struct shape *s, const void *in)
{
        json_object_open(w);
        shape_write_members(w, s, in);
        json_object_close(w);
}
