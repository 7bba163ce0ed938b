/*
 * HuJSON (JSON with comments and trailing commas, spec/policy.md 1) to plain JSON.
 * What JSON lacks becomes white space of the same length, so that a position in the
 * result is the position in the text that the administrator wrote.
 */
#ifndef POLICY_HUJSON_H
#define POLICY_HUJSON_H

#include "base/err.h"
#include "base/slice.h"

/* out: text.len bytes. Comments must be UTF-8 and ended. On failure *error_pos and
 * *why (static text) say where and what. Whether the rest is JSON is not checked. */
enum err MUST_USE hujson_to_json(struct slice text, uint8_t *out, size_t *error_pos, const char **why);

#endif
