/* Tables of the tailcfg structs: see proto/shape.h for what a table is. */
#ifndef PROTO_TAILCFG_TABLES_H
#define PROTO_TAILCFG_TABLES_H

#include "proto/shape.h"

#define FIELD(type, ...) SHAPE_FIELD(tailcfg_##type, __VA_ARGS__)
#define FIELD_KEY(type, ...) SHAPE_FIELD_KEY(tailcfg_##type, __VA_ARGS__)
#define FIELD_LIST(type, ...) SHAPE_FIELD_LIST(tailcfg_##type, __VA_ARGS__)
#define FIELD_OBJECTS(type, ...) SHAPE_FIELD_OBJECTS(tailcfg_##type, __VA_ARGS__)
#define FIELD_SHAPED(type, ...) SHAPE_FIELD_SHAPED(tailcfg_##type, __VA_ARGS__)

/* Defines shape_NAME for struct tailcfg_NAME from the table NAME_fields. */
#define SHAPE(name) const struct shape shape_##name = SHAPE_INIT(tailcfg_##name, name##_fields)

/* Defines the functions that TAILCFG_MESSAGE(name) declares. */
#define SHAPE_MESSAGE(name)                                                                        \
        void tailcfg_##name##_parse(struct json_reader *r, struct tailcfg_##name *out)             \
        {                                                                                          \
                shape_parse(r, &shape_##name, out);                                                \
        }                                                                                          \
        enum err tailcfg_##name##_decode(struct slice json, struct arena *arena,                   \
                                         struct tailcfg_##name *out)                               \
        {                                                                                          \
                return shape_decode(json, arena, &shape_##name, out);                              \
        }                                                                                          \
        void tailcfg_##name##_write(struct json_writer *w, const struct tailcfg_##name *in)        \
        {                                                                                          \
                shape_write(w, &shape_##name, in);                                                 \
        }                                                                                          \
        enum err tailcfg_##name##_copy(struct arena *arena, struct tailcfg_##name *out,            \
                                       const struct tailcfg_##name *in)                            \
        {                                                                                          \
                return shape_copy(arena, &shape_##name, out, in);                                  \
        }                                                                                          \
        bool tailcfg_##name##_equal(const struct tailcfg_##name *a, const struct tailcfg_##name *b) \
        {                                                                                          \
                return shape_equal(&shape_##name, a, b);                                           \
        }

/* Shapes that one topic borrows from another. */
extern const struct shape shape_hostinfo, shape_netinfo, shape_derp_map, shape_dns_config, shape_resolver;
extern const struct shape shape_node, shape_peer_change, shape_filter_rule;

#endif
