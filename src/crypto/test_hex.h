/* For tests: the bytes of a hex literal, checked for length. */
#ifndef CRYPTO_TEST_HEX_H
#define CRYPTO_TEST_HEX_H

#include <assert.h>

#include "base/text.h"

static inline void unhex(const char *text, void *out, size_t n)
{
        enum err e = hex_decode(slice_str(text), out, n);

        assert(e == OK);
        (void)e;
}

#endif
