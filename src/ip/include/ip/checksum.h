/* Internet checksums (RFC 1071) and their incremental update (RFC 1624). */
#ifndef IP_CHECKSUM_H
#define IP_CHECKSUM_H

#include "base/slice.h"

/* Adds bytes to a running 64-bit sum of big-endian 16-bit words; an odd last
 * byte counts as the high half, so only the last piece may be odd. */
uint64_t checksum_add(uint64_t sum, struct slice bytes);
/* Folds to 16 bits, not complemented. */
uint16_t checksum_fold(uint64_t sum);
/* The complemented fold: what is stored in a header. */
static inline uint16_t checksum_finish(uint64_t sum) { return (uint16_t)~checksum_fold(sum); }
/* The pseudo-header's part; addresses are 4 or 16 bytes each. */
uint64_t checksum_pseudo(struct slice src, struct slice dst, uint8_t proto, uint32_t l4_len);

#endif
