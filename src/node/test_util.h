/* Helpers of the tests in this folder. */
#ifndef NODE_TEST_UTIL_H
#define NODE_TEST_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/slice.h"

#define assert_slice(s, text)                                                    \
        do {                                                                     \
                struct slice s_ = (s);                                           \
                assert_int_equal(s_.len, strlen(text));                          \
                assert_memory_equal(s_.ptr ? (const char *)s_.ptr : "", (text), s_.len); \
        } while (0)

#define assert_text(b, text) assert_string_equal(buf_cstr(b), (text))

#endif
