/* Any text: the reader neither crashes nor reads past its end; what it accepts, the writer repeats. */
#include <stdlib.h>

#include "json/reader.h"
#include "json/writer.h"

#include "fuzz.h"

static void copy_value(struct json_reader *r, struct json_writer *w)
{
        struct slice name;

        switch (json_peek(r)) {
        case JSON_OBJECT:
                json_object_begin(r);
                json_object_open(w);
                while (json_member(r, &name)) {
                        json_name_slice(w, name);
                        copy_value(r, w);
                }
                json_object_close(w);
                return;
        case JSON_ARRAY:
                json_array_begin(r);
                json_array_open(w);
                while (json_element(r))
                        copy_value(r, w);
                json_array_close(w);
                return;
        case JSON_STRING:
                json_put_string(w, json_string(r));
                return;
        case JSON_NUMBER:
        case JSON_BOOL:
        case JSON_NULL:
        case JSON_NONE:
                json_put_raw(w, json_raw(r));
        }
}

/* One pass through reader and writer. */
static enum err copy(struct slice in, struct buf *out)
{
        struct arena arena = ARENA_INIT(1 << 20);
        struct json_reader r;
        struct json_writer w;

        json_reader_init(&r, in, &arena);
        json_writer_init(&w, out, NULL);
        copy_value(&r, &w);
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
