#include "h1_head.h"

#include <stdlib.h>

void h1_head_init(struct h1_head *h, size_t max_bytes, unsigned max_fields)
{
        *h = (struct h1_head){ .text = BUF_INIT(max_bytes), .max = max_fields };
}

void h1_head_fini(struct h1_head *h)
{
        buf_fini(&h->text);
        free(h->fields);
        h->fields = NULL;
        h->count = h->cap = 0;
        h->target_len = 0;
        h->in_value = false;
}

enum err h1_head_target(struct h1_head *h, struct slice bytes)
{
        buf_append_slice(&h->text, bytes);
        h->target_len += bytes.len;
        return buf_status(&h->text);
}

static enum err add_field(struct h1_head *h)
{
        if (h->count == h->max)
                return ERR_LIMIT;
        if (h->count == h->cap) {
                unsigned cap = h->cap ? h->cap * 2 : 16;
                struct h1_field *grown = realloc(h->fields, cap * sizeof(*grown));
                if (!grown)
                        return ERR_NOMEM;
                h->fields = grown;
                h->cap = cap;
        }
        h->fields[h->count++] = (struct h1_field){ 0 };
        return OK;
}

enum err h1_head_name(struct h1_head *h, struct slice bytes)
{
        if (h->count == 0 || h->in_value) {
                enum err e = add_field(h);
                if (e != OK)
                        return e;
                h->in_value = false;
        }
        buf_append_slice(&h->text, bytes);
        h->fields[h->count - 1].name_len += bytes.len;
        return buf_status(&h->text);
}

enum err h1_head_value(struct h1_head *h, struct slice bytes)
{
        h->in_value = true;
        buf_append_slice(&h->text, bytes);
        h->fields[h->count - 1].value_len += bytes.len;
        return buf_status(&h->text);
}

enum err h1_head_copy(const struct h1_head *h, struct arena *a, struct http_header **headers, size_t *count,
        struct slice *target)
{
        struct slice rest = arena_copy(a, buf_slice(&h->text));
        struct http_header *list = ARENA_ARRAY(a, h->count ? h->count : 1, struct http_header);

        if (!list || arena_failed(a))
                return ERR_NOMEM;
        *target = slice_first(rest, h->target_len);
        rest = slice_after(rest, h->target_len);
        for (unsigned i = 0; i < h->count; i++) {
                list[i].name = slice_first(rest, h->fields[i].name_len);
                rest = slice_after(rest, h->fields[i].name_len);
                list[i].value = slice_trim(slice_first(rest, h->fields[i].value_len));
                rest = slice_after(rest, h->fields[i].value_len);
        }
        *headers = list;
        *count = h->count;
        return OK;
}
