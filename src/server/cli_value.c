/* JSON as a tree: small answers, read to be shown. */
#include <stdlib.h>

#include "cli.h"
#include "json/reader.h"

/* Puts a member where its name belongs. */
static void insert_sorted(struct value **list, struct value *v)
{
        while (*list && slice_compare((*list)->name, v->name) <= 0)
                list = &(*list)->next;
        v->next = *list;
        *list = v;
}

static struct value *read_value(struct json_reader *r, struct arena *a)
{
        struct value *v = ARENA_NEW(a, struct value), **tail;
        struct slice name;

        if (!v)
                return NULL;
        switch (json_peek(r)) {
        case JSON_OBJECT:
                v->type = VALUE_OBJECT;
                json_object_begin(r);
                while (json_member(r, &name)) {
                        struct value *child = read_value(r, a);
                        if (!child)
                                return NULL;
                        child->name = name;
                        insert_sorted(&v->children, child);
                }
                return v;
        case JSON_ARRAY:
                v->type = VALUE_LIST;
                tail = &v->children;
                json_array_begin(r);
                while (json_element(r)) {
                        *tail = read_value(r, a);
                        if (!*tail)
                                return NULL;
                        tail = &(*tail)->next;
                }
                return v;
        case JSON_STRING:
                v->type = VALUE_TEXT;
                v->text = json_string(r);
                return v;
        case JSON_NUMBER:
                v->type = VALUE_NUMBER;
                v->text = json_raw(r);
                return v;
        case JSON_BOOL:
                v->type = VALUE_BOOL;
                v->is_true = json_bool(r);
                return v;
        case JSON_NULL:
        case JSON_NONE:
                break;
        }
        json_skip(r);
        return v;
}

/* An owner or key that is null comes out as an object of zero values, as headscale's
 * own command line prints it (spec/server.md, section 2). */
static void expand_nulls(struct value *v, struct arena *a)
{
        static const char user[] =
                "{\"createdAt\":\"0001-01-01T00:00:00Z\",\"displayName\":\"\",\"email\":\"\",\"id\":\"\","
                "\"name\":\"\",\"profilePicUrl\":\"\",\"provider\":\"\",\"providerId\":\"\"}";
        static const char key[] =
                "{\"aclTags\":[],\"createdAt\":null,\"ephemeral\":false,\"expiration\":null,\"id\":\"\","
                "\"key\":\"\",\"reusable\":false,\"used\":false,\"user\":null}";

        for (struct value *child = v->children; child; child = child->next) {
                bool is_user = slice_is(child->name, "user"), is_key = slice_is(child->name, "preAuthKey");
                if (child->type == VALUE_NULL && v->type == VALUE_OBJECT && (is_user || is_key)) {
                        struct json_reader r;
                        json_reader_init(&r, slice_str(is_user ? user : key), a);
                        const struct value *zero = read_value(&r, a);
                        if (zero) {
                                child->type = VALUE_OBJECT;
                                child->children = zero->children;
                        }
                }
                expand_nulls(child, a);
        }
}

struct value *value_parse(struct arena *a, struct slice json)
{
        struct json_reader r;
        struct value *v;

        json_reader_init(&r, json, a);
        v = read_value(&r, a);
        if (!v || json_finish(&r) != OK)
                return NULL;
        expand_nulls(v, a);
        return v;
}

const struct value *value_get(const struct value *v, const char *name)
{
        for (const struct value *child = v ? v->children : NULL; child; child = child->next) {
                if (slice_is(child->name, name))
                        return child;
        }
        return NULL;
}

struct slice value_text(const struct value *v, const char *name)
{
        const struct value *child = value_get(v, name);

        return child && child->type == VALUE_TEXT ? child->text : (struct slice){ 0 };
}

bool value_true(const struct value *v, const char *name)
{
        const struct value *child = value_get(v, name);

        return child && child->type == VALUE_BOOL && child->is_true;
}

/* ---- writing ------------------------------------------------------------------------ */

static void write_json(struct json_writer *w, const struct value *v)
{
        switch (v->type) {
        case VALUE_NULL:
                json_put_null(w);
                return;
        case VALUE_BOOL:
                json_put_bool(w, v->is_true);
                return;
        case VALUE_NUMBER:
                json_put_raw(w, v->text);
                return;
        case VALUE_TEXT:
                json_put_string(w, v->text);
                return;
        case VALUE_LIST:
                json_array_open(w);
                for (const struct value *child = v->children; child; child = child->next)
                        write_json(w, child);
                json_array_close(w);
                return;
        case VALUE_OBJECT:
                json_object_open(w);
                for (const struct value *child = v->children; child; child = child->next) {
                        json_name_slice(w, child->name);
                        write_json(w, child);
                }
                json_object_close(w);
                return;
        }
}

static void yaml_scalar(const struct value *v, struct buf *out)
{
        struct json_writer w;

        if (v->type == VALUE_LIST)
                buf_append_str(out, "[]");
        else if (v->type == VALUE_OBJECT)
                buf_append_str(out, "{}");
        else {
                json_writer_init(&w, out, NULL); /* a JSON scalar is a YAML scalar */
                write_json(&w, v);
        }
        buf_append_byte(out, '\n');
}

/* Keys are the lower-cased names, as headscale's YAML has them. */
static void yaml_key(struct slice name, struct buf *out)
{
        for (size_t i = 0; i < name.len; i++)
                buf_append_byte(out,
                        name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? (uint8_t)(name.ptr[i] + 32) : name.ptr[i]);
        buf_append_byte(out, ':');
}

/* The items of v, each line indented; the first one continues a line when told so. */
static void write_yaml(const struct value *v, unsigned indent, bool continues, struct buf *out)
{
        for (const struct value *child = v->children; child; child = child->next) {
                if (!continues)
                        buf_printf(out, "%*s", (int)indent, "");
                continues = false;
                if (v->type == VALUE_LIST)
                        buf_append_byte(out, '-');
                else
                        yaml_key(child->name, out);
                if (!child->children) {
                        buf_append_byte(out, ' ');
                        yaml_scalar(child, out);
                } else if (v->type == VALUE_LIST) {
                        buf_append_byte(out, ' ');
                        write_yaml(child, indent + 2, true, out);
                } else {
                        buf_append_byte(out, '\n');
                        write_yaml(child, indent + 4, false, out);
                }
        }
}

void value_write(const struct value *v, enum output form, struct buf *out)
{
        struct json_writer w;

        if (form == OUTPUT_YAML) {
                if (v->children)
                        write_yaml(v, 0, false, out);
                else
                        yaml_scalar(v, out);
                return;
        }
        json_writer_init(&w, out, form == OUTPUT_JSON ? "\t" : NULL);
        write_json(&w, v);
        buf_append_byte(out, '\n');
}
