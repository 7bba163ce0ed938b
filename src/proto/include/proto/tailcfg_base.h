/*
 * What the tailcfg structs have in common (spec/control.md 6.1).
 *
 * A struct is plain data that owns nothing. After parsing, its text is borrowed
 * from the JSON input and its arrays live in the reader's arena: both must stay as
 * long as the struct is used, or tailcfg_X_copy() takes a copy into another arena.
 * A zeroed struct is the zero value of the message: every field absent.
 *
 * Where the protocol tells absent from empty, so do the structs:
 *   lists     items == NULL is absent or null; items != NULL with count 0 is `[]`
 *             (write one with TAILCFG_EMPTY). Lists that are always sent are
 *             written as `null` in the first case, all others left out.
 *   pointers  NULL is absent or null, an object otherwise.
 *   times     `set` is false when absent. Only where the protocol gives the zero
 *             date a meaning of its own is it kept, as UNIX_ZERO_DATE; elsewhere
 *             the zero date reads as absent.
 *   keys      the zero key is absent; an empty text is an error.
 *
 * Reading ignores the case of member names (as Go's decoder does), skips unknown
 * members, and takes null for absent everywhere. A value of the wrong type or form
 * fails the whole message, with these exceptions that the protocol makes: the
 * texts of filter sources and destinations stay text (tailcfg_filter.h).
 */
#ifndef PROTO_TAILCFG_BASE_H
#define PROTO_TAILCFG_BASE_H

#include "base/text.h"
#include "crypto/key.h"
#include "ip/addr.h"
#include "json/reader.h"
#include "json/writer.h"

/* What we announce: everything below is implemented, peer relays (121) are not. */
enum { TAILCFG_CAPVER = 119 };

enum tailcfg_opt_bool { TAILCFG_UNSET, TAILCFG_FALSE, TAILCFG_TRUE };

static inline enum tailcfg_opt_bool tailcfg_opt(bool v)
{
        return v ? TAILCFG_TRUE : TAILCFG_FALSE;
}

struct tailcfg_time {
        int64_t unix_ns;
        bool set;
};

static inline struct tailcfg_time tailcfg_time_ns(int64_t unix_ns)
{
        return (struct tailcfg_time){ unix_ns, true };
}

/* The items pointer of a list that is present and empty. */
extern const char tailcfg_empty[1];
#define TAILCFG_EMPTY ((const void *)tailcfg_empty)

struct tailcfg_strings {
        const struct slice *items;
        size_t count;
};

/* JSON values kept as the text they came in. */
struct tailcfg_raws {
        const struct slice *items;
        size_t count;
};

struct tailcfg_ints {
        const int64_t *items;
        size_t count;
};

struct tailcfg_addrs {
        const struct ip_addr *items;
        size_t count;
};

struct tailcfg_prefixes {
        const struct ip_prefix *items;
        size_t count;
};

struct tailcfg_endpoints {
        const struct ip_port *items;
        size_t count;
};

/* A capability and its values; values.items == NULL when the value was null. */
struct tailcfg_cap {
        struct slice name;
        struct tailcfg_raws values;
};

struct tailcfg_cap_map {
        const struct tailcfg_cap *items;
        size_t count;
};

/* The entry of that name, or NULL. */
const struct tailcfg_cap *tailcfg_cap_find(const struct tailcfg_cap_map *map, struct slice name);

/*
 * What every message struct has:
 *   _parse   reads one value at the reader's position. A null leaves the struct
 *            zero. Errors stay in the reader; *out is then incomplete.
 *   _decode  the same for a whole text: parse, and nothing may follow.
 *   _write   writes one value.
 *   _copy    a deep copy into another arena; ERR_NOMEM.
 *   _equal   field by field, lists in order.
 */
#define TAILCFG_MESSAGE(name)                                                                      \
        void tailcfg_##name##_parse(struct json_reader *r, struct tailcfg_##name *out);            \
        enum err MUST_USE tailcfg_##name##_decode(struct slice json, struct arena *arena,          \
                                                  struct tailcfg_##name *out);                     \
        void tailcfg_##name##_write(struct json_writer *w, const struct tailcfg_##name *in);       \
        enum err MUST_USE tailcfg_##name##_copy(struct arena *arena, struct tailcfg_##name *out,   \
                                                const struct tailcfg_##name *in);                  \
        bool tailcfg_##name##_equal(const struct tailcfg_##name *a, const struct tailcfg_##name *b)

#endif
