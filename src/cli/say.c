/* Text for the terminal. Names, systems and addresses are what other nodes and the control
 * server say they are: none of it may move the cursor or stand for another line. */
#include <stdarg.h>
#include <stdlib.h>

#include "base/text.h"
#include "cli.h"

enum { SAID_MAX = 64 << 20 };

static void say(FILE *out, const char *fmt, va_list ap)
{
        struct buf raw = BUF_INIT(SAID_MAX), text = BUF_INIT(SAID_MAX + 1);

        buf_vprintf(&raw, fmt, ap);
        char *at = (char *)buf_extend(&text, raw.len + 1);
        if (at)
                fwrite(at, 1, text_printable(buf_slice(&raw), "\n\t", at), out);
        buf_fini(&raw);
        buf_fini(&text);
}

void cli_say(FILE *out, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        say(out, fmt, ap);
        va_end(ap);
}

void cli_cell(char *out, size_t cap, const char *fmt, ...)
{
        struct buf raw = BUF_INIT(64 << 10);
        va_list ap;

        va_start(ap, fmt);
        buf_vprintf(&raw, fmt, ap);
        va_end(ap);
        text_printable(slice_first(buf_slice(&raw), cap - 1), "", out);
        buf_fini(&raw);
}

int cli_fail(const struct cli *cli, const char *fmt, ...)
{
        va_list ap;

        fprintf(stderr, "%s: ", cli->program);
        va_start(ap, fmt);
        say(stderr, fmt, ap);
        va_end(ap);
        fputc('\n', stderr);
        return 1;
}
