/* Answers of routers. */
#include <stdlib.h>

#include "proto/portmap.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct slice in = slice_make(data, len);
        struct pmp_response pmp;
        struct pcp_response pcp;

        bool is_pmp = pmp_response_parse(in, &pmp) == OK;
        bool is_pcp = pcp_response_parse(in, &pcp) == OK;
        if (is_pmp && is_pcp)
                abort(); /* the version tells them apart */
        return 0;
}
