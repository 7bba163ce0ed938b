/* Preferences to JSON and back, by the table of fields. */
#include "prefs_internal.h"

#include <stdio.h>

#include "base/text.h"

/* ---- writing ------------------------------------------------------------- */

static void put_tristate(struct json_writer *w, enum tristate v)
{
        if (v == TRI_TRUE || v == TRI_FALSE)
                json_put_bool(w, v == TRI_TRUE);
        else
                json_put_null(w);
}

static void put_list(struct json_writer *w, const struct prefs_list *l)
{
        if (!l->present) {
                json_put_null(w);
                return;
        }
        json_array_open(w);
        for (size_t i = 0; i < l->count; i++)
                json_put_string(w, l->items[i]);
        json_array_close(w);
}

static bool is_omitted(const struct prefs *p, const struct prefs_field *f)
{
        const void *v = prefs_field_at_const(p, f);

        switch (f->kind) {
        case PREF_BOOL_OZ:
                return !*(const bool *)v;
        case PREF_TRISTATE_OZ:
                return *(const enum tristate *)v == TRI_EMPTY;
        case PREF_TEXT_OZ:
        case PREF_RAW_OZ:
                return ((const struct slice *)v)->len == 0;
        case PREF_LIST_OZ:
                return ((const struct prefs_list *)v)->count == 0;
        case PREF_BOOL:
        case PREF_TRISTATE:
        case PREF_INT:
        case PREF_TEXT:
        case PREF_LIST:
        case PREF_RAW:
                return false;
        }
        return false;
}

static void put_value(struct json_writer *w, const struct prefs *p, const struct prefs_field *f)
{
        const void *v = prefs_field_at_const(p, f);

        switch (f->kind) {
        case PREF_BOOL:
        case PREF_BOOL_OZ:
                json_put_bool(w, *(const bool *)v);
                return;
        case PREF_TRISTATE:
        case PREF_TRISTATE_OZ:
                put_tristate(w, *(const enum tristate *)v);
                return;
        case PREF_INT:
                json_put_i64(w, *(const int64_t *)v);
                return;
        case PREF_TEXT:
        case PREF_TEXT_OZ:
                json_put_string(w, *(const struct slice *)v);
                return;
        case PREF_LIST:
        case PREF_LIST_OZ:
                put_list(w, v);
                return;
        case PREF_RAW:
        case PREF_RAW_OZ:
                if (((const struct slice *)v)->len)
                        json_put_raw(w, *(const struct slice *)v);
                else
                        json_put_null(w);
                return;
        }
}

/* All masked fields with their values; groups become objects. */
static void put_fields(struct json_writer *w, const struct prefs *p, uint64_t mask, bool keep_empty)
{
        const char *group = NULL;

        for (size_t i = 0; i < prefs_field_count; i++) {
                const struct prefs_field *f = &prefs_fields[i];
                if (!(mask >> i & 1) || (!keep_empty && is_omitted(p, f)))
                        continue;
                if (group && group != f->group) {
                        json_object_close(w);
                        group = NULL;
                }
                if (f->group && group != f->group) {
                        json_name(w, f->group);
                        json_object_open(w);
                        group = f->group;
                }
                json_name(w, f->name);
                put_value(w, p, f);
        }
        if (group)
                json_object_close(w);
}

static void put_secret(struct json_writer *w, const char *name, const struct secret_key *key,
        enum prefs_secrets secrets)
{
        static const struct secret_key none;
        char text[KEY_TEXT_MAX];

        secret_format(secrets == PREFS_WITH_SECRETS ? key : &none, text);
        json_field_str(w, name, text);
        key_wipe(text, sizeof text);
}

#define ZERO_LOCK_KEY                                                            \
        "nlpriv:0000000000000000000000000000000000000000000000000000000000000000" \
        "0000000000000000000000000000000000000000000000000000000000000000"

static void put_persist(struct json_writer *w, const struct persist *c, enum prefs_secrets secrets)
{
        if (!c->present) {
                json_put_null(w);
                return;
        }
        json_object_open(w);
        put_secret(w, "PrivateNodeKey", &c->node_key, secrets);
        put_secret(w, "OldPrivateNodeKey", &c->old_node_key, secrets);
        if (secrets == PREFS_WITH_SECRETS && !secret_is_zero(&c->pending_node_key))
                put_secret(w, "PendingNodeKey", &c->pending_node_key, secrets);
        json_name(w, "UserProfile");
        if (c->user_profile.len)
                json_put_raw(w, c->user_profile);
        else
                json_put_raw(w, SLICE_LIT("{\"ID\":0,\"LoginName\":\"\",\"DisplayName\":\"\"}"));
        json_name(w, "NetworkLockKey");
        if (secrets == PREFS_WITH_SECRETS && c->network_lock_key.len)
                json_put_string(w, c->network_lock_key);
        else
                json_put_str(w, ZERO_LOCK_KEY);
        json_field_slice(w, "NodeID", c->node_id);
        if (c->disallowed_tka.len) {
                json_name(w, "DisallowedTKAStateIDs");
                json_put_raw(w, c->disallowed_tka);
        }
        json_object_close(w);
}

void prefs_write(struct json_writer *w, const struct prefs *p, enum prefs_secrets secrets)
{
        json_object_open(w);
        put_fields(w, p, UINT64_MAX, false);
        json_name(w, "Config");
        put_persist(w, &p->persist, secrets);
        json_object_close(w);
}

void prefs_write_masked(struct json_writer *w, const struct prefs *p, uint64_t mask)
{
        const uint64_t check = prefs_mask_bit("AutoUpdate.Check"), apply = prefs_mask_bit("AutoUpdate.Apply");
        char name[64];

        json_object_open(w);
        put_fields(w, p, mask, true);
        for (size_t i = 0; i < prefs_field_count; i++) {
                const struct prefs_field *f = &prefs_fields[i];
                if (!(mask >> i & 1) || 1ull << i & (check | apply))
                        continue;
                snprintf(name, sizeof name, "%sSet", f->group ? f->group : f->name);
                json_field_bool(w, name, true);
        }
        if (mask & (check | apply)) {
                json_name(w, "AutoUpdateSet");
                json_object_open(w);
                json_field_bool(w, "CheckSet", mask & check);
                json_field_bool(w, "ApplySet", mask & apply);
                json_object_close(w);
        }
        json_object_close(w);
}

/* ---- reading ------------------------------------------------------------- */

/* Takes the reader's own text into p, which outlives the input. */
static void take_text(struct json_reader *r, struct prefs *p, struct slice *field, struct slice value)
{
        if (!r->status && prefs_set_text(p, field, value))
                json_fail(r, ERR_LIMIT, "preferences are too long");
}

static void take_list(struct json_reader *r, struct prefs *p, struct prefs_list *out)
{
        size_t cap = 0;

        *out = (struct prefs_list){ 0 };
        if (json_take_null(r))
                return;
        out->present = true;
        json_array_begin(r);
        while (json_element(r)) {
                if (out->count == cap) {
                        cap = cap ? 2 * cap : 4;
                        struct slice *grown = cap <= PREFS_LIST_MAX ? ARENA_ARRAY(&p->arena, cap, struct slice) : NULL;
                        if (!grown) {
                                json_fail(r, ERR_LIMIT, "list is too long");
                                return;
                        }
                        if (out->count)
                                memcpy(grown, out->items, out->count * sizeof *grown);
                        out->items = grown;
                }
                take_text(r, p, &out->items[out->count], json_string(r));
                out->count++;
        }
}

static enum tristate take_tristate(struct json_reader *r)
{
        if (json_take_null(r))
                return TRI_NULL;
        if (json_peek(r) == JSON_STRING) { /* "" is written by nobody, but means empty */
                if (json_string(r).len)
                        json_fail(r, ERR_FORMAT, "not true, false or null");
                return TRI_EMPTY;
        }
        return json_bool(r) ? TRI_TRUE : TRI_FALSE;
}

static void take_value(struct json_reader *r, struct prefs *p, const struct prefs_field *f)
{
        void *v = prefs_field_at(p, f);

        switch (f->kind) {
        case PREF_BOOL:
        case PREF_BOOL_OZ:
                if (!json_take_null(r))
                        *(bool *)v = json_bool(r);
                return;
        case PREF_TRISTATE:
        case PREF_TRISTATE_OZ:
                *(enum tristate *)v = take_tristate(r);
                return;
        case PREF_INT:
                if (!json_take_null(r))
                        *(int64_t *)v = json_i64(r);
                return;
        case PREF_TEXT:
        case PREF_TEXT_OZ:
                if (!json_take_null(r))
                        take_text(r, p, v, json_string(r));
                return;
        case PREF_LIST:
        case PREF_LIST_OZ:
                take_list(r, p, v);
                return;
        case PREF_RAW:
        case PREF_RAW_OZ:
                if (json_take_null(r))
                        *(struct slice *)v = (struct slice){ 0 };
                else
                        take_text(r, p, v, json_raw(r));
                return;
        }
}

static void take_secret(struct json_reader *r, struct secret_key *out)
{
        struct slice text = json_take_null(r) ? (struct slice){ 0 } : json_string(r);

        if (text.len && secret_parse(text, out) != OK)
                json_fail(r, ERR_FORMAT, "not a private key");
}

static void take_persist(struct json_reader *r, struct prefs *p)
{
        struct persist *c = &p->persist;
        struct slice name;

        if (json_take_null(r))
                return;
        c->present = true;
        json_object_begin(r);
        while (json_member(r, &name)) {
                if (slice_equal_nocase(name, SLICE_LIT("PrivateNodeKey")))
                        take_secret(r, &c->node_key);
                else if (slice_equal_nocase(name, SLICE_LIT("OldPrivateNodeKey")))
                        take_secret(r, &c->old_node_key);
                else if (slice_equal_nocase(name, SLICE_LIT("PendingNodeKey")))
                        take_secret(r, &c->pending_node_key);
                else if (slice_equal_nocase(name, SLICE_LIT("UserProfile")))
                        take_text(r, p, &c->user_profile, json_raw(r));
                else if (slice_equal_nocase(name, SLICE_LIT("NetworkLockKey")))
                        take_text(r, p, &c->network_lock_key, json_string(r));
                else if (slice_equal_nocase(name, SLICE_LIT("NodeID")))
                        take_text(r, p, &c->node_id, json_string(r));
                else if (slice_equal_nocase(name, SLICE_LIT("DisallowedTKAStateIDs")))
                        take_text(r, p, &c->disallowed_tka, json_raw(r));
                else
                        json_skip(r);
        }
}

static bool has_group(const char *group, struct slice name)
{
        return group && slice_equal_nocase(name, slice_str(group));
}

/* Index of the field of that name in group (NULL: at the top), or the count. */
static size_t find_field(const char *group, struct slice name)
{
        for (size_t i = 0; i < prefs_field_count; i++) {
                const struct prefs_field *f = &prefs_fields[i];
                bool same_group = group ? f->group && strcmp(group, f->group) == 0 : !f->group;
                if (same_group && slice_equal_nocase(name, slice_str(f->name)))
                        return i;
        }
        return prefs_field_count;
}

/* The object of a group: its fields; or, with mask, their "...Set". */
static void take_group(struct json_reader *r, struct prefs *p, const char *group, uint64_t *mask)
{
        struct slice name;

        if (json_take_null(r))
                return;
        json_object_begin(r);
        while (json_member(r, &name)) {
                if (mask && slice_has_suffix(name, SLICE_LIT("Set")))
                        name.len -= 3;
                size_t i = find_field(group, name);
                if (i == prefs_field_count)
                        json_skip(r);
                else if (!mask)
                        take_value(r, p, &prefs_fields[i]);
                else if (json_bool(r))
                        *mask |= 1ull << i;
        }
}

/* A "...Set" member of MaskedPrefs; false if the name is none. */
static bool take_mask(struct json_reader *r, struct slice name, uint64_t *mask)
{
        if (!slice_has_suffix(name, SLICE_LIT("Set")))
                return false;
        name.len -= 3;
        if (has_group("AutoUpdate", name)) {
                take_group(r, NULL, "AutoUpdate", mask);
                return true;
        }
        size_t i = has_group("AppConnector", name) ? find_field("AppConnector", SLICE_LIT("Advertise"))
                                                   : find_field(NULL, name);
        if (i == prefs_field_count)
                return false;
        if (json_bool(r))
                *mask |= 1ull << i;
        return true;
}

void prefs_parse(struct json_reader *r, struct prefs *p, struct prefs_mask *mask)
{
        struct slice name;

        if (json_take_null(r))
                return;
        json_object_begin(r);
        while (json_member(r, &name)) {
                size_t i = find_field(NULL, name);
                if (i < prefs_field_count)
                        take_value(r, p, &prefs_fields[i]);
                else if (has_group("AutoUpdate", name))
                        take_group(r, p, "AutoUpdate", NULL);
                else if (has_group("AppConnector", name))
                        take_group(r, p, "AppConnector", NULL);
                else if (slice_equal_nocase(name, SLICE_LIT("Config")))
                        take_persist(r, p);
                else if (!mask || !take_mask(r, name, &mask->bits))
                        json_skip(r);
        }
}

enum err prefs_decode(struct slice json, struct prefs *p, struct prefs_mask *mask, struct diag *diag)
{
        struct arena scratch = ARENA_INIT(PREFS_TEXT_MAX);
        struct json_reader r;

        if (json.len > PREFS_TEXT_MAX)
                return diag_set(diag, ERR_LIMIT, "preferences are longer than %d KiB", PREFS_TEXT_MAX >> 10);
        json_reader_init(&r, json, &scratch);
        prefs_parse(&r, p, mask);
        enum err err = json_finish(&r);
        if (err)
                diag_set(diag, err, "preferences are not valid JSON at byte %zu: %s", r.error_pos,
                        r.error ? r.error : err_str(err));
        arena_fini(&scratch);
        return err;
}
