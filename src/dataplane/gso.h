/* Which datagrams may leave in one message with UDP_SEGMENT (spec/dataplane.md 2.4). */
#ifndef DATAPLANE_GSO_H
#define DATAPLANE_GSO_H

#include <stddef.h>
#include <stdint.h>

enum {
        GSO_SEGMENTS_MAX = 64,   /* later kernels allow 128, receivers on veth do not */
        GSO_BYTES_MAX_V4 = 65507,
        GSO_BYTES_MAX_V6 = 65527,
};

/* How many of the n datagrams of these lengths, in order, fit one message: all as
 * long as the first, but for a shorter last one. At least 1 for n > 0. */
size_t gso_run(const uint32_t *lens, size_t n, size_t bytes_max);

#endif
