/* Any text as any message: what is accepted is written, read and written again the same. The
 * first byte chooses the message. */
#include <stdlib.h>

#include "proto/tailcfg.h"

#include "fuzz.h"

enum { MEMORY_MAX = 4 << 20, TEXT_MAX = 8 << 20 };

#define TRIP(type)                                                                                    \
        static enum err type##_trip(struct slice in, struct buf *out)                                 \
        {                                                                                             \
                struct arena arena = ARENA_INIT(MEMORY_MAX), other = ARENA_INIT(MEMORY_MAX);          \
                struct tailcfg_##type m, copy;                                                        \
                struct json_writer w;                                                                 \
                enum err e = tailcfg_##type##_decode(in, &arena, &m);                                 \
                                                                                                      \
                json_writer_init(&w, out, NULL);                                                      \
                if (!e) {                                                                             \
                        tailcfg_##type##_write(&w, &m);                                               \
                        if (!tailcfg_##type##_copy(&other, &copy, &m) && !tailcfg_##type##_equal(&m, &copy)) \
                                abort();                                                              \
                }                                                                                     \
                arena_fini(&arena);                                                                   \
                arena_fini(&other);                                                                   \
                return e ? e : buf_status(out);                                                       \
        }

TRIP(register_request)
TRIP(register_response)
TRIP(map_request)
TRIP(map_response)
TRIP(key_response)
TRIP(ping_response)
TRIP(derp_map)
TRIP(filter_rules)

static enum err (*const trips[])(struct slice, struct buf *) = {
        register_request_trip, register_response_trip, map_request_trip,   map_response_trip,
        key_response_trip,     ping_response_trip,     derp_map_trip,      filter_rules_trip,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct buf text[3] = { BUF_INIT(TEXT_MAX), BUF_INIT(TEXT_MAX), BUF_INIT(TEXT_MAX) };
        enum err (*trip)(struct slice, struct buf *);

        if (len == 0)
                return 0;
        trip = trips[(data[0] - '0') & 7];
        /* The first trip mends what is no UTF-8, by an escape that the second resolves. */
        if (trip(slice_make(data + 1, len - 1), &text[0]) == OK)
                if (trip(buf_slice(&text[0]), &text[1]) != OK || trip(buf_slice(&text[1]), &text[2]) != OK ||
                    !slice_equal(buf_slice(&text[1]), buf_slice(&text[2])))
                        abort();
        for (size_t i = 0; i < 3; i++)
                buf_fini(&text[i]);
        return 0;
}
