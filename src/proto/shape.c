/* Copying and comparing by shape, and what reading and writing share. */
#include "proto/shape.h"

#include <string.h>

const char tailcfg_empty[1] = "";

struct shape_list shape_list_load(const void *list)
{
        struct shape_list l;

        memcpy(&l, list, sizeof(l));
        return l;
}

void shape_list_store(void *list, const void *items, size_t count)
{
        struct shape_list l = { items, count };

        memcpy(list, &l, sizeof(l));
}

static size_t kind_size(enum shape_kind k, const struct shape *s)
{
        switch (k) {
        case SHAPE_STRING:
        case SHAPE_BYTES:
        case SHAPE_RAW: return sizeof(struct slice);
        case SHAPE_BOOL:
        case SHAPE_PRESENT: return sizeof(bool);
        case SHAPE_OPT_BOOL: return sizeof(enum tailcfg_opt_bool);
        case SHAPE_I64: return sizeof(int64_t);
        case SHAPE_U64: return sizeof(uint64_t);
        case SHAPE_U16: return sizeof(uint16_t);
        case SHAPE_DOUBLE: return sizeof(double);
        case SHAPE_TIME:
        case SHAPE_TIME_KEPT: return sizeof(struct tailcfg_time);
        case SHAPE_KEY: return sizeof(struct public_key);
        case SHAPE_ADDR: return sizeof(struct ip_addr);
        case SHAPE_PREFIX: return sizeof(struct ip_prefix);
        case SHAPE_ADDR_PORT: return sizeof(struct ip_port);
        case SHAPE_OBJECT: return s->size;
        case SHAPE_POINTER: return sizeof(void *);
        case SHAPE_LIST:
        case SHAPE_MAP:
        case SHAPE_KEYED: return sizeof(struct shape_list);
        }
        return 0;
}

size_t shape_element_size(const struct shape_field *list)
{
        return list->kind == SHAPE_LIST ? kind_size(list->of, list->shape) : list->shape->size;
}

struct shape_field shape_element(const struct shape_field *list)
{
        return (struct shape_field){
                .kind = list->kind == SHAPE_LIST ? list->of : SHAPE_OBJECT,
                .shape = list->shape,
                .prefix = list->prefix,
        };
}

static void list_copy(struct arena *a, const struct shape_field *f, void *out, struct shape_list in)
{
        size_t size = shape_element_size(f);
        struct shape_field element = shape_element(f);
        uint8_t *items;

        if (!in.items || in.count == 0) {
                shape_list_store(out, in.items ? TAILCFG_EMPTY : NULL, 0);
                return;
        }
        items = arena_array(a, in.count, size);
        shape_list_store(out, items, items ? in.count : 0);
        for (size_t i = 0; items && i < in.count; i++) {
                memcpy(items + i * size, (const uint8_t *)in.items + i * size, size);
                shape_value_copy(a, &element, items + i * size, (const uint8_t *)in.items + i * size);
        }
}

static void pointer_copy(struct arena *a, const struct shape *s, void *out, const void *in)
{
        const void *from;
        void *to = NULL;

        memcpy(&from, in, sizeof(from));
        if (from) {
                to = arena_alloc(a, s->size);
                if (to)
                        (void)!shape_copy(a, s, to, from); /* the arena remembers a failure */
        }
        memcpy(out, &to, sizeof(to));
}

/* out already holds a plain copy of in: what points elsewhere is made its own. */
void shape_value_copy(struct arena *a, const struct shape_field *f, void *out, const void *in)
{
        switch (f->kind) {
        case SHAPE_STRING:
        case SHAPE_BYTES:
        case SHAPE_RAW: {
                const struct slice *from = in;
                *(struct slice *)out = from->len ? arena_copy(a, *from) : (struct slice){ 0 };
                return;
        }
        case SHAPE_OBJECT:
                (void)!shape_copy(a, f->shape, out, in);
                return;
        case SHAPE_POINTER:
                pointer_copy(a, f->shape, out, in);
                return;
        case SHAPE_LIST:
        case SHAPE_MAP:
        case SHAPE_KEYED:
                list_copy(a, f, out, shape_list_load(in));
                return;
        case SHAPE_BOOL:
        case SHAPE_PRESENT:
        case SHAPE_OPT_BOOL:
        case SHAPE_I64:
        case SHAPE_U64:
        case SHAPE_U16:
        case SHAPE_DOUBLE:
        case SHAPE_TIME:
        case SHAPE_TIME_KEPT:
        case SHAPE_KEY:
        case SHAPE_ADDR:
        case SHAPE_PREFIX:
        case SHAPE_ADDR_PORT:
                return;
        }
}

enum err shape_copy(struct arena *a, const struct shape *s, void *out, const void *in)
{
        memmove(out, in, s->size);
        for (size_t i = 0; i < s->count; i++)
                shape_value_copy(a, &s->fields[i], shape_at(out, &s->fields[i]), shape_at_const(in, &s->fields[i]));
        return arena_failed(a) ? ERR_NOMEM : OK;
}

static bool list_equal(const struct shape_field *f, struct shape_list a, struct shape_list b)
{
        size_t size = shape_element_size(f);
        struct shape_field element = shape_element(f);

        if (a.count != b.count || !a.items != !b.items)
                return false;
        for (size_t i = 0; i < a.count; i++) {
                if (!shape_value_equal(&element, (const uint8_t *)a.items + i * size, (const uint8_t *)b.items + i * size))
                        return false;
        }
        return true;
}

static bool pointer_equal(const struct shape *s, const void *a, const void *b)
{
        const void *pa, *pb;

        memcpy(&pa, a, sizeof(pa));
        memcpy(&pb, b, sizeof(pb));
        if (!pa || !pb)
                return pa == pb;
        return shape_equal(s, pa, pb);
}

static bool time_equal(const struct tailcfg_time *a, const struct tailcfg_time *b)
{
        return a->set == b->set && (!a->set || a->unix_ns == b->unix_ns);
}

bool shape_value_equal(const struct shape_field *f, const void *a, const void *b)
{
        switch (f->kind) {
        case SHAPE_STRING:
        case SHAPE_BYTES:
        case SHAPE_RAW: return slice_equal(*(const struct slice *)a, *(const struct slice *)b);
        case SHAPE_TIME:
        case SHAPE_TIME_KEPT: return time_equal(a, b);
        case SHAPE_ADDR: return ip_equal(a, b);
        case SHAPE_PREFIX: return ip_prefix_equal(a, b);
        case SHAPE_ADDR_PORT: return ip_port_equal(a, b);
        case SHAPE_OBJECT: return shape_equal(f->shape, a, b);
        case SHAPE_POINTER: return pointer_equal(f->shape, a, b);
        case SHAPE_LIST:
        case SHAPE_MAP:
        case SHAPE_KEYED: return list_equal(f, shape_list_load(a), shape_list_load(b));
        case SHAPE_BOOL:
        case SHAPE_PRESENT:
        case SHAPE_OPT_BOOL:
        case SHAPE_I64:
        case SHAPE_U64:
        case SHAPE_U16:
        case SHAPE_DOUBLE:
        case SHAPE_KEY: return memcmp(a, b, kind_size(f->kind, NULL)) == 0;
        }
        return false;
}

bool shape_equal(const struct shape *s, const void *a, const void *b)
{
        for (size_t i = 0; i < s->count; i++) {
                const struct shape_field *f = &s->fields[i];
                if (!shape_value_equal(f, shape_at_const(a, f), shape_at_const(b, f)))
                        return false;
        }
        return true;
}
