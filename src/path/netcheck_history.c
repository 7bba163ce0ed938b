/* The preferred region: near, and not another one every minute (spec/paths.md 5). */
#include "netcheck_internal.h"

void netcheck_history_add(struct netcheck *nc, const struct now *now)
{
        for (size_t i = 0; i < nc->map.count; i++) {
                struct region_state *r = &nc->regions[i];
                if (nc->report.full || r->any_us)
                        r->last_us = r->any_us;
                if (!r->any_us)
                        continue;
                r->samples[r->next_sample] = (struct sample){ now->mono_us, r->any_us };
                r->next_sample = (r->next_sample + 1) % HISTORY_SAMPLES;
        }
}

/* The shortest latency of the window, weighted by the region's score. */
static uint64_t best_of(const struct netcheck *nc, size_t region, const struct now *now)
{
        const struct region_state *r = &nc->regions[region];
        double score = nc->map.regions[region].score;
        uint64_t best = 0;

        for (size_t i = 0; i < HISTORY_SAMPLES; i++) {
                const struct sample *s = &r->samples[i];
                bool recent = s->at_us && now->mono_us - s->at_us <= HISTORY_US;
                if (recent && (!best || s->latency_us < best))
                        best = s->latency_us;
        }
        return score > 0 ? (uint64_t)((double)best * score) : best;
}

static bool heard_within(const struct netcheck *nc, uint16_t region, uint64_t us, const struct now *now)
{
        uint64_t at = nc->ops->region_heard_us ? nc->ops->region_heard_us(nc->ctx, region) : 0;

        return at && (at >= now->mono_us || now->mono_us - at <= us);
}

static const struct region_state *state_of(const struct netcheck *nc, uint16_t region)
{
        for (size_t i = 0; i < nc->map.count; i++) {
                if (nc->map.regions[i].id == region)
                        return &nc->regions[i];
        }
        return NULL;
}

/* Whether the region preferred so far should stay, though another is nearer now. */
static bool stays(const struct netcheck *nc, const struct region_state *previous, uint64_t best_us,
        const struct now *now)
{
        uint64_t elapsed = now->mono_us - nc->started_us;
        uint64_t heard = elapsed > HEARD_RECENTLY_US ? elapsed : HEARD_RECENTLY_US;

        if (!previous->any_us && !heard_within(nc, nc->last_preferred, heard, now))
                return false; /* not accessible */
        if (previous->any_us < best_us + NEAR_US)
                return true;
        return best_us > previous->any_us / 3 * 2;
}

uint16_t netcheck_choose_preferred(struct netcheck *nc, const struct now *now)
{
        uint64_t best_us = 0;
        uint16_t best = 0;

        for (size_t i = 0; i < nc->map.count; i++) {
                const struct netcheck_region *r = &nc->map.regions[i];
                if (!nc->regions[i].any_us || (r->avoid && r->id != nc->how.home))
                        continue;
                uint64_t us = best_of(nc, i, now);
                if (!best || us < best_us) {
                        best = r->id;
                        best_us = us;
                }
        }

        const struct region_state *previous = nc->last_preferred ? state_of(nc, nc->last_preferred) : NULL;
        if (!previous || best == nc->last_preferred)
                return best;
        if (!best)
                return heard_within(nc, nc->last_preferred, HEARD_LATELY_US, now) ? nc->last_preferred : 0;
        return stays(nc, previous, best_us, now) ? nc->last_preferred : best;
}
