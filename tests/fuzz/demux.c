/* Any datagram. What is handed to the tunnel must be long enough for it. */
#include <assert.h>

#include "demux.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        enum datagram_kind kind = datagram_classify(slice_make(data, len));

        assert(kind == DATAGRAM_JUNK || len >= 20);
        assert(kind != DATAGRAM_TRANSPORT || (len >= 32 && data[0] == 4));
        return 0;
}
