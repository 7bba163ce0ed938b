/*
 * The shape of a JSON message as data: for each struct a table of its members.
 * One small interpreter reads, writes, copies and compares every struct from its
 * table, so the two directions cannot drift apart. What absent, null and empty mean
 * is in tailcfg_base.h.
 */
#ifndef PROTO_SHAPE_H
#define PROTO_SHAPE_H

#include "proto/tailcfg_base.h"

/* The C type each kind stands for is in the comment. */
enum shape_kind {
        SHAPE_STRING,    /* struct slice */
        SHAPE_BYTES,     /* struct slice: base64 on the wire */
        SHAPE_RAW,       /* struct slice: any JSON value, as text */
        SHAPE_BOOL,      /* bool */
        SHAPE_OPT_BOOL,  /* enum tailcfg_opt_bool */
        SHAPE_I64,       /* int64_t */
        SHAPE_U64,       /* uint64_t */
        SHAPE_U16,       /* uint16_t */
        SHAPE_DOUBLE,    /* double */
        SHAPE_TIME,      /* struct tailcfg_time: the zero date reads as absent */
        SHAPE_TIME_KEPT, /* struct tailcfg_time: the zero date is kept */
        SHAPE_KEY,       /* struct public_key; field.prefix is its text prefix */
        SHAPE_ADDR,      /* struct ip_addr */
        SHAPE_PREFIX,    /* struct ip_prefix */
        SHAPE_ADDR_PORT, /* struct ip_port */
        SHAPE_PRESENT,   /* bool: a forbidden member was there, whatever it held */
        SHAPE_OBJECT,    /* the struct itself; field.shape */
        SHAPE_POINTER,   /* const pointer to it, NULL: absent or null; field.shape */
        SHAPE_LIST,      /* {items, count} of field.of (with field.shape or prefix) */
        SHAPE_MAP,       /* {items, count} of entries: field.shape has key and value */
        SHAPE_KEYED,     /* {items, count} of objects, one member of which (shape.key) is the map's key */
};

enum shape_presence {
        ALWAYS,   /* written whatever it holds */
        OPTIONAL, /* left out when zero, false, empty or absent */
};

struct shape;

struct shape_field {
        const char *name;
        uint16_t name_len, offset;
        enum shape_kind kind;
        enum shape_presence presence;
        enum shape_kind of;
        const struct shape *shape;
        const char *prefix;
};

struct shape {
        size_t size;
        const struct shape_field *fields;
        size_t count;
        size_t key; /* for SHAPE_KEYED: which of the fields, text, number or key */
};

/* Lines of a table: of struct `type`, the member of the C struct that `json` names. */
#define SHAPE_FIELD_(type, json, member, k, p) \
        .name = json, .name_len = sizeof(json) - 1, .offset = offsetof(struct type, member), .kind = k, .presence = p
#define SHAPE_FIELD(type, json, member, kind, presence) { SHAPE_FIELD_(type, json, member, SHAPE_##kind, presence) }
#define SHAPE_FIELD_KEY(type, json, member, text_prefix, presence) \
        { SHAPE_FIELD_(type, json, member, SHAPE_KEY, presence), .prefix = text_prefix }
#define SHAPE_FIELD_LIST(type, json, member, element, presence) \
        { SHAPE_FIELD_(type, json, member, SHAPE_LIST, presence), .of = SHAPE_##element }
#define SHAPE_FIELD_OBJECTS(type, json, member, element, presence) \
        { SHAPE_FIELD_(type, json, member, SHAPE_LIST, presence), .of = SHAPE_OBJECT, .shape = &shape_##element }
#define SHAPE_FIELD_SHAPED(type, json, member, kind, target, presence) \
        { SHAPE_FIELD_(type, json, member, SHAPE_##kind, presence), .shape = &shape_##target }

/* The shape of struct `type`, from the table of its fields. */
#define SHAPE_INIT(type, table) \
        { .size = sizeof(struct type), .fields = (table), .count = sizeof(table) / sizeof((table)[0]) }

/* Shapes of tailcfg structs that others are made of. */
extern const struct shape shape_cap, shape_user_profile;

void shape_parse(struct json_reader *r, const struct shape *s, void *out);
enum err MUST_USE shape_decode(struct slice json, struct arena *arena, const struct shape *s, void *out);
void shape_write(struct json_writer *w, const struct shape *s, const void *in);
void shape_write_members(struct json_writer *w, const struct shape *s, const void *in);
enum err MUST_USE shape_copy(struct arena *a, const struct shape *s, void *out, const void *in);
bool shape_equal(const struct shape *s, const void *a, const void *b);

/* The same for a value that is no object, described by a field. */
void shape_value_parse(struct json_reader *r, const struct shape_field *f, void *out);
void shape_value_write(struct json_writer *w, const struct shape_field *f, const void *in);
void shape_value_copy(struct arena *a, const struct shape_field *f, void *out, const void *in);
bool shape_value_equal(const struct shape_field *f, const void *a, const void *b);

/* For the interpreter's own files: every list is laid out as {items, count}. */
struct shape_list {
        const void *items;
        size_t count;
};
struct shape_list shape_list_load(const void *list);
void shape_list_store(void *list, const void *items, size_t count);
size_t shape_element_size(const struct shape_field *list);
/* The field that describes one element of a LIST; the name is unused. */
struct shape_field shape_element(const struct shape_field *list);

static inline void *shape_at(void *object, const struct shape_field *f)
{
        return (uint8_t *)object + f->offset;
}

static inline const void *shape_at_const(const void *object, const struct shape_field *f)
{
        return (const uint8_t *)object + f->offset;
}

#endif
