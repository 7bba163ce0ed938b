/* Any bytes as a handshake to the server and as a record: refused, or consistent. */
#include <stdlib.h>
#include <string.h>

#include "proto/noise.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static const struct secret_key server = { { 8, 1, 2, 3, 4, 5, 6, 7, [31] = 0x40 } };
        struct slice in = slice_make(data, len);
        struct noise_session session;
        struct rng_seeded rng;
        uint8_t response[NOISE_RESPONSE_LEN], plain[NOISE_PLAIN_MAX];
        size_t record_len, plain_len;
        uint32_t json_len;

        rng_seed(&rng, 1);
        if (noise_server_respond(&server, in, &rng.rng, response, &session) == OK)
                noise_session_wipe(&session);
        if (noise_frame_len(in, NOISE_RECORD, &record_len) == OK && record_len <= len) {
                struct noise_cipher c = { .counter = 0 };
                if (record_len > NOISE_RECORD_MAX)
                        abort();
                if (noise_open(&c, slice_first(in, record_len), plain, &plain_len) == OK && plain_len > NOISE_PLAIN_MAX)
                        abort();
        }
        if (noise_early_parse(in, &json_len) == OK && json_len > NOISE_EARLY_JSON_MAX)
                abort();
        return 0;
}
