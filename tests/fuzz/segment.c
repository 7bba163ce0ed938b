/* A vnet header and a packet with any offsets: what comes out must be whole
 * packets of no more than the promised length, as many as promised. */
#include <assert.h>
#include <stdlib.h>

#include "segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct segmenter s;

        if (len < VNET_LEN)
                return 0;
        struct vnet_header vnet = vnet_read(data);
        if (segment_begin(&s, &vnet, slice_make(data + VNET_LEN, len - VNET_LEN)) != OK)
                return 0;
        size_t max = segment_max_len(&s), count = segment_left(&s);
        uint8_t *out = malloc(max); /* exactly as much as promised */
        if (!out)
                return 0;
        for (size_t i = 0; i < count; i++) {
                size_t n = segment_next(&s, out);
                assert(n > 0 && n <= max);
        }
        assert(segment_next(&s, out) == 0 && segment_left(&s) == 0);
        free(out);
        return 0;
}
