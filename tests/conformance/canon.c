#include "canon.h"

#include <stdlib.h>

enum { ITEMS_MAX = 4096 };

struct item {
        struct slice name, value;
};

static const char *const unordered[] = { "SrcIPs", "DstPorts", "IPProto", "Dsts", "principals", NULL };

static bool is_unordered(struct slice name)
{
        for (size_t i = 0; unordered[i]; i++)
                if (slice_is(name, unordered[i]))
                        return true;
        return false;
}

static int by_text(const void *a, const void *b)
{
        const struct item *x = a, *y = b;
        int order = slice_compare(x->name, y->name);

        return order ? order : slice_compare(x->value, y->value);
}

static void write_items(struct buf *out, const struct item *items, size_t n, char open, char close)
{
        buf_append_byte(out, (uint8_t)open);
        for (size_t i = 0; i < n; i++) {
                buf_append_str(out, i ? "," : "");
                if (open == '{')
                        buf_printf(out, "\"%.*s\":", SLICE_ARGS(items[i].name));
                buf_append_slice(out, items[i].value);
        }
        buf_append_byte(out, (uint8_t)close);
}

static struct slice value_of(struct json_reader *r, bool sort_list)
{
        struct buf out = BUF_INIT(16 << 20);
        enum json_type type = json_peek(r);
        struct item *items =
                type == JSON_OBJECT || type == JSON_ARRAY ? calloc(ITEMS_MAX, sizeof(*items)) : NULL;
        size_t n = 0;

        if (type == JSON_OBJECT && items) {
                json_object_begin(r);
                while (n < ITEMS_MAX && json_member(r, &items[n].name)) {
                        items[n].value = value_of(r, is_unordered(items[n].name));
                        n++;
                }
                qsort(items, n, sizeof(*items), by_text);
                write_items(&out, items, n, '{', '}');
        } else if (type == JSON_ARRAY && items) {
                json_array_begin(r);
                while (n < ITEMS_MAX && json_element(r))
                        items[n++].value = value_of(r, false);
                if (sort_list)
                        qsort(items, n, sizeof(*items), by_text);
                write_items(&out, items, n, '[', ']');
        } else if (type == JSON_STRING) {
                struct slice s = json_string(r);
                buf_printf(&out, "\"%.*s\"", SLICE_ARGS(s));
        } else if (type == JSON_NULL) {
                json_skip(r);
                buf_append_str(&out, "[]");
        } else {
                buf_append_slice(&out, json_raw(r));
        }
        free(items);
        struct slice kept = arena_copy(r->arena, buf_slice(&out));
        buf_fini(&out);
        return kept;
}

void canon_value(struct json_reader *r, struct buf *out) { buf_append_slice(out, value_of(r, false)); }

struct slice canon_text(struct slice json, struct arena *a)
{
        struct json_reader r;

        json_reader_init(&r, json, a);
        return value_of(&r, false);
}
