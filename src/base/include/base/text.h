/*
 * Text forms that several protocols share: hex, base64, decimal, durations, dates.
 * Encoders return the number of bytes written (a NUL follows); the caller's array
 * must be large enough, as each comment says.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/err.h"
#include "base/slice.h"

/* out: 2 * in.len + 1 bytes. Lower case. */
size_t hex_encode(struct slice in, char *out);
/* Exactly n bytes from 2n digits of either case, in time that does not depend on
 * them (the input may be a key). ERR_FORMAT. */
enum err MUST_USE hex_decode(struct slice text, uint8_t *out, size_t n);

/* RFC 4648 section 4, padded. out: 4 * ((in.len + 2) / 3) + 1 bytes. */
size_t base64_encode(struct slice in, char *out);
/* out: text.len / 4 * 3 bytes. ERR_FORMAT on anything but the canonical form. */
enum err MUST_USE base64_decode(struct slice text, uint8_t *out, size_t cap, size_t *len);
/* RFC 4648 section 6, no padding, upper case. out: (in.len * 8 + 4) / 5 + 1. */
size_t base32_encode(struct slice in, char *out);

/* The whole text is a decimal number within the bounds; no sign but '-', no
 * leading '+', no white space. ERR_FORMAT, ERR_RANGE. */
enum err MUST_USE parse_u64(struct slice text, uint64_t max, uint64_t *out);
enum err MUST_USE parse_i64(struct slice text, int64_t *out);
enum err MUST_USE parse_double(struct slice text, double *out);

/* Go duration text ("1h30m", "800ms", "1.5s", "0") to nanoseconds and back. */
enum err MUST_USE duration_parse(struct slice text, int64_t *ns);
size_t duration_format(int64_t ns, char out[static 32]);
/* Prometheus duration text ("90d", "1w", "1d12h", "0"), spec/server.md 1.1. */
enum err MUST_USE prom_duration_parse(struct slice text, int64_t *ns);

/*
 * RFC 3339 with up to nine fraction digits. Times are nanoseconds since 1970 in
 * int64; the zero date of the protocol, 0001-01-01T00:00:00Z, is UNIX_ZERO_DATE.
 */
#define UNIX_ZERO_DATE INT64_MIN
enum err MUST_USE rfc3339_parse(struct slice text, int64_t *unix_ns);
size_t rfc3339_format(int64_t unix_ns, char out[static 40]);

/* Valid UTF-8, no surrogates, no overlong forms. */
bool utf8_valid(struct slice text);
/* Text from elsewhere for a terminal, which must not obey it: control characters but
 * those of `keep`, and bytes that are no UTF-8, become '?'. out: text.len + 1 bytes. */
size_t text_printable(struct slice text, const char *keep, char *out);

#endif
