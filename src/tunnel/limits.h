/* The constants of the WireGuard paper, section 6.1 (spec/dataplane.md 1.1). */
#ifndef TUNNEL_LIMITS_H
#define TUNNEL_LIMITS_H

#include "base/timer.h"

#define REKEY_AFTER_MESSAGES (UINT64_C(1) << 60)
#define REJECT_AFTER_MESSAGES (UINT64_MAX - (UINT64_C(1) << 13))
#define REKEY_AFTER_TIME TIME_S(120)
#define REJECT_AFTER_TIME TIME_S(180)
#define REKEY_TIMEOUT TIME_S(5)
#define REKEY_JITTER_MAX TIME_MS(333)
#define KEEPALIVE_TIMEOUT TIME_S(10)
#define ZERO_KEY_TIME (3 * REJECT_AFTER_TIME)
#define COOKIE_SECRET_MAX_AGE TIME_S(120)
/* An initiator drops its cookie a little before the responder's secret can change. */
#define COOKIE_MAX_AGE TIME_S(115)
/* One initiation a peer in this time, 50 a second. */
#define INITIATION_MIN_GAP TIME_MS(20)
/* A packet thread repeats what the control thread seems not to have heard. */
#define REPORT_AGAIN TIME_S(1)

enum { MAX_HANDSHAKE_ATTEMPTS = 18, MAX_PEERS = 1 << 16 };

/* Stamps of other threads may lie a little ahead of ours. */
static inline uint64_t age_us(uint64_t since_us, uint64_t now_us)
{
        return now_us > since_us ? now_us - since_us : 0;
}

#endif
