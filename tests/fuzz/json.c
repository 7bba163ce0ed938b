/* Any text: the reader neither crashes nor reads past its end; what it accepts, the writer repeats. */
#include <stdlib.h>

#include "json/copy.h"

#include "fuzz.h"

/* One pass through reader and writer. */
static enum err copy(struct slice in, struct buf *out)
{
        struct arena arena = ARENA_INIT(1 << 20);
        struct json_reader r;
        struct json_writer w;

        json_reader_init(&r, in, &arena);
        json_writer_init(&w, out, NULL);
        json_copy(&r, &w);
        enum err e = json_finish(&r);
        arena_fini(&arena);
        return e ? e : buf_status(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct buf once = BUF_INIT(1 << 20), twice = BUF_INIT(1 << 20);

        if (copy(slice_make(data, len), &once) == OK)
                if (copy(buf_slice(&once), &twice) != OK || !slice_equal(buf_slice(&once), buf_slice(&twice)))
                        abort();
        buf_fini(&once);
        buf_fini(&twice);
        return 0;
}
