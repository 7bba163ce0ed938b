/* What the command line prints: results to stdout, errors to stderr. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "cli.h"

int cli_fail(const struct cli *cli, const char *fmt, ...)
{
        struct buf text = BUF_INIT(8192), json = BUF_INIT(64 << 10);
        struct json_writer w;
        va_list ap;

        va_start(ap, fmt);
        buf_vprintf(&text, fmt, ap);
        va_end(ap);
        if (cli->output == OUTPUT_TABLE) {
                fprintf(stderr, "Error: %s\n", buf_cstr(&text));
        } else if (cli->output == OUTPUT_YAML) {
                fprintf(stderr, "error: %s\n", buf_cstr(&text));
        } else {
                json_writer_init(&w, &json, cli->output == OUTPUT_JSON ? "\t" : NULL);
                json_object_open(&w);
                json_field_slice(&w, "error", buf_slice(&text));
                json_object_close(&w);
                fprintf(stderr, "%s\n", buf_cstr(&json));
        }
        buf_fini(&text);
        buf_fini(&json);
        return 1;
}

int cli_done(const struct cli *cli, const struct value *v, const char *sentence)
{
        struct buf out = BUF_INIT(64 << 20);

        if (cli->output == OUTPUT_TABLE) {
                puts(sentence);
                return 0;
        }
        value_write(v, cli->output, &out);
        fputs(buf_cstr(&out), stdout);
        buf_wipe(&out);
        return 0;
}

bool cli_confirm(const struct cli *cli, const char *question)
{
        char answer[16];

        if (cli->force)
                return true;
        fprintf(stderr, "%s [y/N] ", question);
        return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* ---- tables ------------------------------------------------------------------------ */

void table_begin(struct table_out *t, const char *const *titles, size_t n)
{
        *t = (struct table_out){ .text = BUF_INIT(64 << 20), .columns = n };
        for (size_t i = 0; i < n; i++)
                table_cell(t, "%s", titles[i]);
}

/* What nodes call themselves must not move the terminal's cursor. */
static void append_printable(struct buf *out, struct slice text)
{
        size_t before = out->len;
        uint8_t *at = buf_extend(out, text.len + 1);

        if (at)
                out->len = before + text_printable(text, "", (char *)at) + 1;
}

void table_cell(struct table_out *t, const char *fmt, ...)
{
        struct buf cell = BUF_INIT(64 << 10);
        va_list ap;

        va_start(ap, fmt);
        buf_vprintf(&cell, fmt, ap);
        va_end(ap);
        append_printable(&t->text, buf_slice(&cell));
        t->cells++;
        buf_fini(&cell);
}

/* Characters, not bytes: continuation bytes of UTF-8 take no room. */
static size_t width_of(const char *text)
{
        size_t n = 0;

        for (; *text; text++)
                n += ((uint8_t)*text & 0xc0) != 0x80;
        return n;
}

void table_end(struct table_out *t)
{
        size_t width[TABLE_COLUMNS_MAX] = { 0 };
        const char *cell = buf_cstr(&t->text);

        for (size_t i = 0; i < t->cells; i++, cell += strlen(cell) + 1) {
                if (width_of(cell) > width[i % t->columns])
                        width[i % t->columns] = width_of(cell);
        }
        cell = buf_cstr(&t->text);
        for (size_t i = 0; i < t->cells; i++, cell += strlen(cell) + 1) {
                bool last = i % t->columns == t->columns - 1;
                fputs(cell, stdout);
                if (last)
                        putchar('\n');
                else
                        printf("%*s | ", (int)(width[i % t->columns] - width_of(cell)), "");
        }
        buf_fini(&t->text);
}

const char *cli_time(struct arena *a, struct slice rfc3339)
{
        int64_t ns;

        if (rfc3339.len < 19 || rfc3339_parse(rfc3339, &ns) != OK || ns == UNIX_ZERO_DATE)
                return "N/A";
        char *text = arena_cstr(a, slice_first(rfc3339, 19));
        if (!text)
                return "N/A";
        text[10] = ' ';
        return text;
}
