/* Every error of a policy, with its place in the text. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy_internal.h"

void policy_errors_init(struct policy_errors *errors)
{
        *errors = (struct policy_errors){ .arena = ARENA_INIT(1 << 20) };
}

void policy_errors_fini(struct policy_errors *errors)
{
        arena_fini(&errors->arena);
        errors->count = 0;
}

void policy_error_add(struct policy_errors *errors, size_t pos, const char *fmt, ...)
{
        char text[1024];
        va_list ap;

        if (errors->count == POLICY_ERRORS_MAX) {
                errors->cut = true;
                return;
        }
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        struct slice kept = arena_copy(&errors->arena, slice_str(text));
        if (!kept.ptr)
                kept = SLICE_LIT("out of memory");
        errors->items[errors->count++] = (struct policy_error){ .text = kept, .pos = pos };
}

static int by_place(const void *a, const void *b)
{
        const struct policy_error *x = a, *y = b;

        return x->pos < y->pos ? -1 : x->pos > y->pos;
}

void policy_errors_locate(struct policy_errors *errors, struct slice text)
{
        size_t at = 0, line_start = 0;
        unsigned line = 1;

        qsort(errors->items, errors->count, sizeof(errors->items[0]), by_place);
        for (size_t i = 0; i < errors->count; i++) {
                struct policy_error *e = &errors->items[i];
                for (; at < e->pos && at < text.len; at++) {
                        if (text.ptr[at] == '\n') {
                                line++;
                                line_start = at + 1;
                        }
                }
                e->line = line;
                e->column = (unsigned)(at - line_start) + 1;
        }
}

static void write_one(const struct policy_error *e, struct buf *out)
{
        if (e->line)
                buf_printf(out, "line %u, column %u: ", e->line, e->column);
        buf_append_slice(out, e->text);
}

void policy_errors_write(const struct policy_errors *errors, struct buf *out)
{
        if (errors->count == 1) {
                write_one(&errors->items[0], out);
                return;
        }
        buf_append_str(out, "multiple errors:");
        for (size_t i = 0; i < errors->count; i++) {
                buf_append_str(out, "\n\t");
                write_one(&errors->items[i], out);
        }
        if (errors->cut)
                buf_append_str(out, "\n\tand more");
}

/* The line around pos, at most as much of it as fits a terminal. */
static void show_line(struct slice text, const struct policy_error *e, struct buf *out)
{
        size_t pos = e->pos < text.len ? e->pos : text.len, start = pos - (e->column - 1), from = start,
               end = pos;

        while (end < text.len && text.ptr[end] != '\n' && text.ptr[end] != '\r' && end - start < 4096)
                end++;
        if (pos - from > 60)
                from = pos - 60;
        if (end - from > 120)
                end = from + 120;
        buf_append_str(out, "  ");
        buf_append(out, text.ptr + from, end - from);
        buf_append_str(out, "\n  ");
        for (size_t i = from; i < pos; i++)
                if ((text.ptr[i] & 0xc0) != 0x80) /* one column a character, not a byte */
                        buf_append_byte(out, text.ptr[i] == '\t' ? '\t' : ' ');
        buf_append_str(out, "^\n");
}

void policy_errors_show(
        const struct policy_errors *errors, struct slice text, const char *name, struct buf *out)
{
        for (size_t i = 0; i < errors->count; i++) {
                const struct policy_error *e = &errors->items[i];
                if (!e->line) {
                        buf_printf(out, "%s: %.*s\n", name, SLICE_ARGS(e->text));
                        continue;
                }
                buf_printf(out, "%s:%u:%u: %.*s\n", name, e->line, e->column, SLICE_ARGS(e->text));
                show_line(text, e, out);
        }
        if (errors->cut)
                buf_printf(out, "%s: and more errors\n", name);
}
