/* Any bytes as a stream of map messages, cut in two at any place: the same messages come out. */
#include <stdlib.h>

#include "proto/map_frame.h"

#include "fuzz.h"

enum { MESSAGE_MAX = 1 << 20 };

/* The digest of all messages of a stream that arrives in two pieces. */
static uint64_t digest(struct slice first, struct slice second)
{
        struct map_splitter s;
        struct slice piece[2] = { first, second }, message;
        uint64_t sum = 0;

        map_splitter_init(&s, MESSAGE_MAX);
        for (size_t i = 0; i < 2; i++) {
                if (map_splitter_push(&s, piece[i]))
                        break;
                while (map_splitter_next(&s, &message)) {
                        struct buf json = BUF_INIT(MESSAGE_MAX);
                        enum err e = map_frame_decompress(message, &json);

                        if (json.len > MESSAGE_MAX)
                                abort();
                        for (size_t n = 0; !e && n < json.len; n++)
                                sum = sum * 31 + json.ptr[n];
                        sum = sum * 31 + (uint64_t)e;
                        buf_fini(&json);
                }
        }
        map_splitter_fini(&s);
        return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct slice all = slice_make(data, len);
        size_t cut = len ? data[0] % (len + 1) : 0;

        if (digest(slice_first(all, cut), slice_after(all, cut)) != digest(all, slice_first(all, 0)))
                abort();
        return 0;
}
