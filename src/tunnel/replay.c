#include "replay.h"

#include "limits.h"

bool replay_accept(struct replay_window *w, uint64_t counter)
{
        const uint64_t word = counter / 64, bit = UINT64_C(1) << counter % 64;

        if (counter >= REJECT_AFTER_MESSAGES)
                return false;
        if (counter > w->last) {
                const uint64_t newest = w->last / 64;
                uint64_t ahead = word - newest;

                if (ahead > REPLAY_WORDS)
                        ahead = REPLAY_WORDS;
                for (uint64_t i = 1; i <= ahead; i++)
                        w->words[(newest + i) % REPLAY_WORDS] = 0;
                w->last = counter;
        } else if (w->last - counter > REPLAY_WINDOW) {
                return false;
        }
        if (w->words[word % REPLAY_WORDS] & bit)
                return false;
        w->words[word % REPLAY_WORDS] |= bit;
        return true;
}
