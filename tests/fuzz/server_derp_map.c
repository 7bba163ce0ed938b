/* Relay maps as YAML: refused with a sentence, or written as a DERP map that reads back. */
#include <assert.h>

#include "../../src/server/serve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct arena a = ARENA_INIT(16 << 20);
        struct derp_sources src = { .arena = &a };
        struct tailcfg_derp_map map;
        struct diag diag = { "" };
        struct buf json = BUF_INIT(16 << 20);

        if (derp_map_add_yaml(&src, "map", slice_make(data, len), &diag) == OK) {
                derp_map_write(&src, &json);
                assert(tailcfg_derp_map_decode(buf_slice(&json), &a, &map) == OK);
                assert(map.regions.count == src.n);
        } else {
                assert(diag.text[0]);
        }
        buf_fini(&json);
        arena_fini(&a);
        return 0;
}
