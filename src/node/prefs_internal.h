/* The table of preference fields, shared by prefs.c and prefs_json.c. */
#ifndef NODE_PREFS_INTERNAL_H
#define NODE_PREFS_INTERNAL_H

#include <assert.h>

#include "node/prefs.h"

/* _OZ: left out of the JSON when empty. */
enum prefs_kind {
        PREF_BOOL,
        PREF_BOOL_OZ,
        PREF_TRISTATE,
        PREF_TRISTATE_OZ,
        PREF_INT,
        PREF_TEXT,
        PREF_TEXT_OZ,
        PREF_LIST,
        PREF_LIST_OZ,
        PREF_RAW, /* JSON kept as text; empty is null */
        PREF_RAW_OZ,
};

/* With a group the field lies in an object of that name. */
struct prefs_field {
        const char *group, *name;
        enum prefs_kind kind;
        size_t offset;
};

extern const struct prefs_field prefs_fields[];
extern const size_t prefs_field_count;

static inline void *prefs_field_at(struct prefs *p, const struct prefs_field *f)
{
        return (char *)p + f->offset;
}

static inline const void *prefs_field_at_const(const struct prefs *p, const struct prefs_field *f)
{
        return (const char *)p + f->offset;
}

#endif
