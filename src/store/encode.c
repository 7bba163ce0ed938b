/* Lists of addresses as the text that stands in a column. */
#include "sqlite_internal.h"

void encode_endpoints(struct buf *out, const struct ip_port *items, size_t n)
{
        char text[IP_TEXT_MAX];

        for (size_t i = 0; i < n; i++) {
                ip_port_format(&items[i], text);
                buf_printf(out, "%s%s", i ? " " : "", text);
        }
}

void encode_prefixes(struct buf *out, const struct ip_prefix *items, size_t n)
{
        char text[IP_TEXT_MAX];

        for (size_t i = 0; i < n; i++) {
                ip_prefix_format(&items[i], text);
                buf_printf(out, "%s%s", i ? " " : "", text);
        }
}

/* An upper bound: one more than the separators. */
static size_t count_items(struct slice text)
{
        size_t n = text.len ? 1 : 0;

        for (size_t i = 0; i < text.len; i++)
                n += text.ptr[i] == ' ';
        return n;
}

enum err decode_endpoints(struct arena *a, struct slice text, const struct ip_port **items, size_t *n)
{
        struct ip_port *out = ARENA_ARRAY(a, count_items(text) + 1, struct ip_port);
        struct slice field;

        *n = 0;
        *items = out;
        if (!out)
                return ERR_NOMEM;
        while (slice_split(&text, ' ', &field)) {
                if (ip_port_parse(field, &out[*n]) == OK)
                        ++*n;
        }
        return OK;
}

enum err decode_prefixes(struct arena *a, struct slice text, const struct ip_prefix **items, size_t *n)
{
        struct ip_prefix *out = ARENA_ARRAY(a, count_items(text) + 1, struct ip_prefix);
        struct slice field;

        *n = 0;
        *items = out;
        if (!out)
                return ERR_NOMEM;
        while (slice_split(&text, ' ', &field)) {
                if (ip_prefix_parse(field, &out[*n]) == OK)
                        ++*n;
        }
        return OK;
}
