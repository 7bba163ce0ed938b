#include "gso.h"

size_t gso_run(const uint32_t *lens, size_t n, size_t bytes_max)
{
        size_t total = 0;

        for (size_t i = 0; i < n && i < GSO_SEGMENTS_MAX; i++) {
                total += lens[i];
                if (i > 0 && (lens[i] > lens[0] || total > bytes_max))
                        return i;
                if (lens[i] < lens[0])
                        return i + 1;
        }
        return n < GSO_SEGMENTS_MAX ? n : GSO_SEGMENTS_MAX;
}
