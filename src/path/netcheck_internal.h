/*
 * What the files of netcheck share.
 *
 *   netcheck.c         one report from start to end: probes, answers, deadlines
 *   netcheck_plan.c    which probes to send when
 *   netcheck_history.c latencies of the last minutes, the preferred region
 *   netcheck_map.c     the relay map
 */
#ifndef NETCHECK_INTERNAL_H
#define NETCHECK_INTERNAL_H

#include "path/netcheck.h"
#include "proto/stun.h"

/* spec/paths.md 5 */
#define REPORT_US          TIME_S(5)
#define STUN_PHASE_US      TIME_S(3)
#define FULL_RETRY_US      TIME_MS(100)
#define UNKNOWN_LATENCY_US TIME_MS(200)
#define LATER_RETRY_US     TIME_MS(50)
#define FULL_INTERVAL_US   TIME_S(300)
#define HISTORY_US         TIME_S(305)
#define NEAR_US            TIME_MS(10)
#define HEARD_RECENTLY_US  TIME_S(8)
#define HEARD_LATELY_US    TIME_S(120)

enum {
        ENOUGH_REGIONS = 3,
        FULL_TRIES = 3,
        HOME_TRIES = 4,
        TRIES_MAX = 4,
        HISTORY_SAMPLES = 16, /* at one report in 20 s this covers the window */
        MAPPINGS_MAX = 16,
};

/* One STUN request, due or sent. Probes of a region and family are a set: one
 * answer ends it. */
struct probe {
        uint64_t due_us, sent_us; /* sent_us 0: not yet */
        uint16_t region;          /* index in the map */
        uint8_t node;             /* index in the region */
        bool v6;
        bool answered;
        struct stun_txid txid;
};

struct sample {
        uint64_t at_us, latency_us;
};

/* What is known of a region over several reports. */
struct region_state {
        struct sample samples[HISTORY_SAMPLES]; /* ring */
        size_t next_sample;
        uint64_t last_us; /* of the last report; 0: none */
        /* of the running one */
        uint64_t any_us, v4_us, v6_us;
        bool ended_v4, ended_v6; /* the probe set needs no more */
};

/* A mapping of our socket that some server saw. */
struct mapping {
        struct ip_port addr;
        unsigned seen;
};

enum netcheck_phase { PHASE_IDLE, PHASE_STUN, PHASE_LATENCY };

struct netcheck {
        const struct netcheck_ops *ops;
        void *ctx;
        struct rng *rng;

        struct netcheck_map map;
        struct region_state *regions; /* one for each of the map */

        enum netcheck_phase phase;
        struct netcheck_start how;
        uint64_t round;
        uint64_t started_us;
        uint64_t enough_us;   /* finish then: enough regions answered; 0: not yet */
        struct probe *probes; /* by due_us */
        size_t probe_count, next_probe;
        struct mapping mappings[MAPPINGS_MAX];
        size_t mapping_count;
        struct ip_port first_v4; /* first answer, and the server that gave it */
        struct ip_addr first_v4_server;
        size_t latency_pending; /* probes the driver still owes an answer */
        struct netcheck_report report;

        bool have_last; /* a report was finished since the map or the network changed */
        bool last_had_v6;
        uint64_t last_full_us;
        uint16_t last_preferred;
};

/* ---- netcheck_plan.c ---- */

/* Fills probes for the report that starts now. ERR_NOMEM. */
enum err MUST_USE netcheck_plan(struct netcheck *nc, const struct now *now);

/* ---- netcheck_history.c ---- */

/* Takes the running report's latencies into the history. */
void netcheck_history_add(struct netcheck *nc, const struct now *now);
uint16_t netcheck_choose_preferred(struct netcheck *nc, const struct now *now);

#endif
