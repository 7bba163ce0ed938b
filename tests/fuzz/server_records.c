/* Extra DNS records: refused with a sentence, or each with a name and a value. */
#include <assert.h>

#include "../../src/server/serve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct arena a = ARENA_INIT(16 << 20);
        struct server_dns_record *records;
        struct diag diag = { "" };
        size_t n;

        if (records_parse(slice_make(data, len), &a, &records, &n, &diag) == OK) {
                for (size_t i = 0; i < n; i++)
                        assert(records[i].name.len && records[i].value.len);
        } else {
                assert(diag.text[0]);
        }
        arena_fini(&a);
        return 0;
}
