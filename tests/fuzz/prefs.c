/* Preferences: what was read is written, read again and written the same. */
#include <assert.h>

#include "node/prefs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void write_all(const struct prefs *p, struct buf *out)
{
        struct json_writer w;

        json_writer_init(&w, out, NULL);
        prefs_write(&w, p, PREFS_WITH_SECRETS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct buf once = BUF_INIT(8 << 20), twice = BUF_INIT(8 << 20);
        const struct prefs_context ctx = { .has_netmap = true };
        struct prefs_mask mask = { 0 };
        struct prefs p, q;
        struct diag diag;

        prefs_init(&p);
        if (prefs_decode(slice_make(data, len), &p, &mask, &diag) == OK) {
                write_all(&p, &once);
                prefs_init(&q);
                if (buf_status(&once) == OK && prefs_decode(buf_slice(&once), &q, NULL, &diag) == OK) {
                        write_all(&q, &twice);
                        assert(slice_equal(buf_slice(&once), buf_slice(&twice)));
                }
                prefs_fini(&q);
                if (prefs_check(&p, &ctx, &diag) != OK)
                        assert(diag.text[0]);
        }
        prefs_fini(&p);
        buf_fini(&once);
        buf_fini(&twice);
        return 0;
}
