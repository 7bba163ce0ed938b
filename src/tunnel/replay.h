/*
 * The window of counters already received, as in RFC 6479: a ring of words in
 * which old ones are cleared as the newest counter moves on. All zero is empty.
 * Ask it only about messages that have authenticated (spec/dataplane.md 1.8).
 */
#ifndef TUNNEL_REPLAY_H
#define TUNNEL_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

enum {
        REPLAY_WORDS = 128,
        REPLAY_WINDOW = (REPLAY_WORDS - 1) * 64, /* one word is always partly in the future */
};

struct replay_window {
        uint64_t last; /* the highest counter accepted */
        uint64_t words[REPLAY_WORDS];
};

/* True once for each counter, never for one that is too old or beyond the limit. */
bool replay_accept(struct replay_window *w, uint64_t counter);

#endif
