/* The state file, and the profiles and keys that a backend takes out of it. */
#include <assert.h>
#include <stdlib.h>

#include "node/profiles.h"
#include "node/state_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct buf text = BUF_INIT(32 << 20);
        struct state_map m, again;
        struct profiles *ps = calloc(1, sizeof *ps);
        struct diag diag;

        state_map_init(&m);
        state_map_init(&again);
        if (ps && state_map_parse(&m, slice_make(data, len), &diag) == OK) {
                assert(state_map_write(&m, &text) == OK);
                assert(state_map_parse(&again, buf_slice(&text), &diag) == OK);
                assert(again.count == m.count);
                if (profiles_init(ps, &m, &diag) != OK)
                        assert(diag.text[0]);
                profiles_fini(ps);
        }
        free(ps);
        state_map_fini(&m);
        state_map_fini(&again);
        buf_fini(&text);
        return 0;
}
