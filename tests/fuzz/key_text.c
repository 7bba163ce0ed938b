/* Any text as a key: refused, or the same key when written and read again. */
#include <stdlib.h>

#include "crypto/key.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct public_key key, again;
        struct secret_key secret;
        char text[KEY_TEXT_MAX];

        if (key_parse("nodekey:", slice_make(data, len), &key) == OK &&
                (key_format("nodekey:", &key, text) != len ||
                        key_parse("nodekey:", slice_str(text), &again) != OK || !key_equal(&key, &again)))
                abort();
        if (secret_parse(slice_make(data, len), &secret) == OK)
                secret_format(&secret, text);
        return 0;
}
