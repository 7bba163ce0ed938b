/* config.yaml of any shape: refused with a sentence or taken, never worse. */
#include <assert.h>

#include "server/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct config c;
        struct diag diag = { "" };

        if (config_parse(&c, slice_make(data, len), "/etc/headscale/config.yaml", NULL, &diag) != OK) {
                assert(diag.text[0]);
                return 0;
        }
        (void)!config_check_serve(&c, &diag);
        config_fini(&c);
        return 0;
}
