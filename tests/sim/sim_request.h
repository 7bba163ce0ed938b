/* A request to the control server as one message on a simulated stream. */
#ifndef SIM_REQUEST_H
#define SIM_REQUEST_H

#include "base/cursor.h"
#include "crypto/key.h"

enum sim_request_kind { SIM_REQUEST_KEY, SIM_REQUEST_REGISTER, SIM_REQUEST_MAP };

/* The first byte of the Noise key that control announces; the rest is zero. */
enum { SIM_SERVER_KEY = 0x53 };

struct sim_request {
        uint8_t kind;
        struct public_key machine;
        struct slice body;
};

static inline enum err sim_request_parse(struct slice bytes, struct sim_request *out)
{
        struct reader r = reader_of(bytes);

        out->kind = rd_u8(&r);
        rd_copy(&r, out->machine.b, KEY_LEN);
        out->body = rd_rest(&r);
        return rd_finish(&r);
}

#endif
