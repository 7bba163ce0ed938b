/* Any datagram as a STUN request and as a response. What is accepted is written
 * and read again the same. */
#include <stdlib.h>

#include "proto/stun.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct slice datagram = slice_make(data, len);
        struct stun_txid txid, again;
        struct ip_port addr, addr_again;
        uint8_t out[STUN_RESPONSE_MAX];

        if (stun_request_parse(datagram, &txid) == OK) {
                uint8_t request[STUN_REQUEST_LEN];
                stun_request_write(&txid, request);
                if (!stun_is(datagram) || stun_request_parse(SLICE_ARRAY(request), &again) != OK)
                        abort();
        }
        if (stun_response_parse(datagram, &txid, &addr) == OK) {
                size_t n = stun_response_write(&txid, &addr, out);
                if (stun_response_parse(slice_make(out, n), &again, &addr_again) != OK ||
                    !ip_port_equal(&addr, &addr_again))
                        abort();
        }
        return 0;
}
