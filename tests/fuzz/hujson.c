/* Any text: the result is as long, keeps its lines, and has nothing of its own. */
#include <assert.h>
#include <stdlib.h>

#include "fuzz.h"
#include "policy/hujson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        uint8_t *out = malloc(len + 1);
        size_t pos = 0;
        const char *why = NULL;

        assert(out);
        if (hujson_to_json(slice_make(data, len), out, &pos, &why) != OK) {
                assert(pos < len && why);
        } else {
                for (size_t i = 0; i < len; i++)
                        assert(out[i] == data[i] || (out[i] == ' ' && data[i] != '\n'));
        }
        free(out);
        return 0;
}
