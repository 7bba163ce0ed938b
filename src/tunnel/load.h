/*
 * How many handshakes we are willing to compute (spec/dataplane.md 1.5).
 *
 * One bucket for all tells load: messages whose mac1 fits, 500 a second with bursts
 * of 128 (some 6 % of a core). When it is empty, and for a second after, we are
 * under load; then each source that has shown its address by mac2 has a bucket of
 * its own, 20 a second with bursts of 5. A source is a /32 or /64, a relayed
 * sender, or one tenant of a peer relay.
 */
#ifndef TUNNEL_LOAD_H
#define TUNNEL_LOAD_H

#include "tunnel/tunnel.h"

struct load_source {
        uint64_t id;      /* keyed hash of the source; 0: free */
        uint64_t full_us; /* when the bucket will be full again */
};

struct load {
        uint64_t full_us;        /* the same for the bucket of all */
        uint64_t heavy_until_us;
        struct load_source *sources; /* LOAD_SOURCES of them, made under the first load */
};

void load_fini(struct load *l);
/* Counts a handshake message; true if there is no time for unproven senders. */
bool load_is_heavy(struct load *l, uint64_t now_us);
/* Whether a source that proved its address may have a handshake computed now. */
bool load_admits(struct load *l, const struct tunnel_source *from, uint64_t now_us);

#endif
