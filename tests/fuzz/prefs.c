/* Preferences: what was written is read again and written the same. */
#include <assert.h>

#include "node/prefs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void write_all(const struct prefs *p, struct buf *out)
{
        struct json_writer w;

        json_writer_init(&w, out, NULL);
        prefs_write(&w, p, PREFS_WITH_SECRETS);
}

/* Reads text and writes what was read; false if it was refused. */
static bool again(struct slice text, struct buf *out)
{
        struct prefs p;
        struct diag diag;

        prefs_init(&p);
        bool ok = prefs_decode(text, &p, NULL, &diag) == OK;
        if (ok)
                write_all(&p, out);
        prefs_fini(&p);
        return ok && buf_status(out) == OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct buf once = BUF_INIT(8 << 20), twice = BUF_INIT(8 << 20), thrice = BUF_INIT(8 << 20);
        struct prefs_mask mask = { 0 };
        struct prefs p;
        struct diag diag;

        prefs_init(&p);
        if (prefs_decode(slice_make(data, len), &p, &mask, &diag) == OK) {
                if (prefs_check(&p, NULL, &diag) != OK)
                        assert(diag.text[0]);
                write_all(&p, &once); /* mends text that is not UTF-8, so compare the next two */
                if (buf_status(&once) == OK && again(buf_slice(&once), &twice) && again(buf_slice(&twice), &thrice))
                        assert(slice_equal(buf_slice(&twice), buf_slice(&thrice)));
        }
        prefs_fini(&p);
        buf_fini(&once);
        buf_fini(&twice);
        buf_fini(&thrice);
        return 0;
}
