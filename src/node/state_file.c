#include "node/state_file.h"

#include <stdlib.h>

#include "base/text.h"
#include "json/reader.h"
#include "json/writer.h"

void state_map_init(struct state_map *m)
{
        *m = (struct state_map){ 0 };
}

void state_map_fini(struct state_map *m)
{
        for (size_t i = 0; i < m->count; i++) {
                free(m->entries[i].key);
                buf_wipe(&m->entries[i].value);
        }
        free(m->entries);
        state_map_init(m);
}

/* The index of the first entry whose key is not below key. */
static size_t lower_bound(const struct state_map *m, const char *key)
{
        size_t lo = 0, hi = m->count;

        while (lo < hi) {
                size_t mid = lo + (hi - lo) / 2;
                if (strcmp(m->entries[mid].key, key) < 0)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return lo;
}

static struct state_entry *find(const struct state_map *m, const char *key)
{
        size_t i = lower_bound(m, key);

        return i < m->count && strcmp(m->entries[i].key, key) == 0 ? &m->entries[i] : NULL;
}

struct slice state_map_get(const struct state_map *m, const char *key)
{
        const struct state_entry *e = find(m, key);

        if (!e)
                return (struct slice){ 0 };
        return e->value.len ? buf_slice(&e->value) : SLICE_LIT("");
}

bool state_map_has(const struct state_map *m, const char *key)
{
        return find(m, key) != NULL;
}

static enum err insert(struct state_map *m, const char *key, struct state_entry **out)
{
        size_t at = lower_bound(m, key);

        if (m->count >= STATE_ENTRIES_MAX)
                return ERR_LIMIT;
        if (m->count == m->cap) {
                size_t cap = m->cap ? 2 * m->cap : 8;
                struct state_entry *grown = realloc(m->entries, cap * sizeof *grown);
                if (!grown)
                        return ERR_NOMEM;
                m->entries = grown;
                m->cap = cap;
        }
        char *copy = strdup(key);
        if (!copy)
                return ERR_NOMEM;
        memmove(&m->entries[at + 1], &m->entries[at], (m->count - at) * sizeof *m->entries);
        m->entries[at] = (struct state_entry){ copy, BUF_INIT(STATE_FILE_MAX) };
        m->count++;
        *out = &m->entries[at];
        return OK;
}

enum err state_map_put(struct state_map *m, const char *key, struct slice value)
{
        struct state_entry *e = find(m, key);

        if (e && slice_equal(buf_slice(&e->value), value))
                return OK;
        struct buf copy = BUF_INIT(STATE_FILE_MAX);
        buf_append_slice(&copy, value);
        enum err err = buf_status(&copy);
        if (!err && !e)
                err = insert(m, key, &e);
        if (err) {
                buf_wipe(&copy);
                return err;
        }
        buf_wipe(&e->value);
        e->value = copy;
        m->dirty = true;
        return OK;
}

void state_map_remove(struct state_map *m, const char *key)
{
        struct state_entry *e = find(m, key);

        if (!e)
                return;
        free(e->key);
        buf_wipe(&e->value);
        size_t at = (size_t)(e - m->entries);
        memmove(e, e + 1, (m->count - at - 1) * sizeof *e);
        m->count--;
        m->dirty = true;
}

/* One member: a string in base64, decoded into a buffer that is wiped again. */
static enum err put_base64(struct state_map *m, const char *key, struct slice text)
{
        uint8_t *bytes = malloc(text.len / 4 * 3 + 1);
        size_t len = 0;

        if (!bytes)
                return ERR_NOMEM;
        enum err err = base64_decode(text, bytes, text.len / 4 * 3, &len);
        if (!err)
                err = state_map_put(m, key, slice_make(bytes, len));
        explicit_bzero(bytes, text.len / 4 * 3);
        free(bytes);
        return err;
}

enum err state_map_parse(struct state_map *m, struct slice text, struct diag *diag)
{
        struct arena arena = ARENA_INIT(2 * (size_t)STATE_FILE_MAX);
        struct json_reader r;
        struct slice name;

        if (text.len > STATE_FILE_MAX)
                return diag_set(diag, ERR_LIMIT, "the state file is larger than %d MiB, which none of ours ever is",
                                STATE_FILE_MAX >> 20);
        if (slice_trim(text).len == 0)
                return OK;
        json_reader_init(&r, text, &arena);
        json_object_begin(&r);
        while (json_member(&r, &name)) {
                /* Go writes a nil value as null: a key without bytes. */
                struct slice value = json_take_null(&r) ? SLICE_LIT("") : json_string(&r);
                const char *key = arena_cstr(&arena, name);
                if (r.status)
                        break;
                enum err err = !key ? ERR_NOMEM : strlen(key) != name.len ? ERR_FORMAT : put_base64(m, key, value);
                if (err)
                        json_fail(&r, err, "value is not base64 text");
        }
        enum err err = json_finish(&r);
        if (err)
                diag_set(diag, err, "the state file is damaged at byte %zu (%s): restore it from a backup, "
                         "or move it away to start as a new node", r.error_pos, r.error ? r.error : err_str(err));
        arena_fini(&arena);
        m->dirty = false;
        return err;
}

enum err state_map_write(const struct state_map *m, struct buf *out)
{
        struct json_writer w;

        json_writer_init(&w, out, "  ");
        json_object_open(&w);
        for (size_t i = 0; i < m->count; i++) {
                json_name(&w, m->entries[i].key);
                json_put_base64(&w, buf_slice(&m->entries[i].value));
        }
        json_object_close(&w);
        return buf_status(out);
}
