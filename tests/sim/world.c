/*
 * A world's life. It boots, both nodes log in with a single-use key or by a page, faults happen at
 * times that the seed chooses, then calm returns, and the world is judged (judge.c).
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "sim.h"

enum {
        TROUBLE_S = 60,     /* faults happen within the first minute */
        CALM_S = 150,       /* then everything has to find together again: two minutes of
                             * watchdog at the worst, and a handshake */
        FAULTS_MAX = 6,
        TURNS_MAX = 10000,  /* at one moment: beyond, some engine spins */
};

const char *host_name(enum host_id h)
{
        static const char *const names[] = { "anna", "bert", "control", "relay" };

        return names[h];
}

struct now world_now(const struct world *w, enum host_id h)
{
        static const int64_t epoch_us = INT64_C(1767225600000000); /* 2026-01-01 */

        return (struct now){ w->now_us, epoch_us + (int64_t)w->now_us + w->hosts[h].clock_offset_us };
}

uint64_t world_latency_us(struct world *w)
{
        return rng_between(&w->rng.rng, w->latency_min_us, w->latency_max_us);
}

void world_note(struct world *w, unsigned what, struct slice bytes)
{
        w->digest = (w->digest ^ w->now_us ^ what) * UINT64_C(0x100000001b3);
        w->digest ^= hash_bytes(bytes);
}

void world_fail(struct world *w, const char *fmt, ...)
{
        va_list ap;

        if (w->failure[0])
                return;
        va_start(ap, fmt);
        vsnprintf(w->failure, sizeof(w->failure), fmt, ap);
        va_end(ap);
}

/* The engines' logs, in the world's time. */
static void say_log(void *ctx, enum log_level level, const char *line)
{
        const char *text = strchr(line, ' '); /* after the real time */

        (void)level;
        world_say(ctx, "  %s", text ? text + 1 : line);
}

void world_say(const struct world *w, const char *fmt, ...)
{
        va_list ap;

        if (!w->is_verbose)
                return;
        printf("%10.6f  ", (double)w->now_us / 1e6);
        va_start(ap, fmt);
        vprintf(fmt, ap);
        va_end(ap);
        putchar('\n');
}

/* ---- fate ---- */

enum fault {
        FAULT_CRASH_A, FAULT_CRASH_B, FAULT_CRASH_CONTROL, FAULT_CRASH_RELAY,
        FAULT_CLOCK, FAULT_CUT, FAULT_NAT_REBOOT, FAULT_COUNT,
};

void world_boot(struct world *w, enum host_id h)
{
        world_say(w, "%s is started again", host_name(h));
        if (h == HOST_CONTROL)
                sim_control_boot(w->control);
        else if (h == HOST_RELAY)
                sim_relay_boot(w->relay);
        else {
                sim_node_boot(w->nodes[h]);
                sim_node_up_again(w->nodes[h]);
        }
}

void world_crash(struct world *w, enum host_id h)
{
        world_say(w, "%s crashes", host_name(h));
        if (h == HOST_CONTROL)
                sim_control_crash(w->control);
        else if (h == HOST_RELAY)
                sim_relay_crash(w->relay);
        else
                sim_node_crash(w->nodes[h]);
}

static void strike_over(struct world *w, struct event *e)
{
        world_boot(w, (enum host_id)e->id);
}

static void crash_for_a_while(struct world *w, enum host_id h)
{
        if (!w->hosts[h].is_up)
                return;
        world_crash(w, h);
        event_add(w, w->now_us + rng_between(&w->rng.rng, TIME_MS(50), TIME_S(15)), strike_over, (struct slice){ 0 })->id = h;
}

/* From a second to a day, either way. */
static void jump_clock(struct world *w, enum host_id h)
{
        int64_t jump = (int64_t)rng_between(&w->rng.rng, TIME_S(1), TIME_S(86400));

        if (rng_below(&w->rng.rng, 2))
                jump = -jump;
        w->hosts[h].clock_offset_us += jump;
        world_say(w, "the clock of %s jumps by %.1f s", host_name(h), (double)jump / 1e6);
}

static void strike(struct world *w, struct event *e)
{
        enum host_id h = (enum host_id)rng_below(&w->rng.rng, HOST_COUNT);
        enum host_id node = (enum host_id)rng_below(&w->rng.rng, NODE_COUNT);

        (void)e;
        w->faults++;
        switch ((enum fault)rng_below(&w->rng.rng, FAULT_COUNT)) {
        case FAULT_CRASH_A: crash_for_a_while(w, HOST_NODE_A); return;
        case FAULT_CRASH_B: crash_for_a_while(w, HOST_NODE_B); return;
        case FAULT_CRASH_CONTROL: crash_for_a_while(w, HOST_CONTROL); return;
        case FAULT_CRASH_RELAY: crash_for_a_while(w, HOST_RELAY); return;
        case FAULT_CLOCK: jump_clock(w, h); return;
        case FAULT_CUT:
                w->hosts[h].cut_until_us = w->now_us + rng_between(&w->rng.rng, TIME_MS(100), TIME_S(20));
                world_say(w, "the network of %s is cut", host_name(h));
                return;
        case FAULT_NAT_REBOOT:
                net_nat_reboot(w, node);
                world_say(w, "the NAT of %s is restarted", host_name(node));
                return;
        case FAULT_COUNT: return;
        }
}

static void draw_fate(struct world *w)
{
        struct rng *r = &w->rng.rng;
        uint64_t faults = rng_below(r, FAULTS_MAX + 1);

        w->loss_per_million = rng_below(r, 4) ? rng_below(r, 50000) : 0;
        w->duplicate_per_million = rng_below(r, 20000);
        w->latency_min_us = rng_between(r, 1000, 20000);
        w->latency_max_us = w->latency_min_us + rng_below(r, 60000); /* wide: packets overtake each other */
        for (uint64_t i = 0; i < faults; i++)
                event_add(w, rng_between(r, TIME_MS(1), TIME_S(TROUBLE_S)), strike, (struct slice){ 0 });
}

/* ---- time ---- */

/* Whose turn is next, and when. HOST_COUNT: an event. */
static uint64_t next_turn(const struct world *w, unsigned *who)
{
        uint64_t at = events_next(&w->events), due[HOST_COUNT] = {
                sim_node_deadline(w->nodes[0]), sim_node_deadline(w->nodes[1]),
                sim_control_deadline(w->control), sim_relay_deadline(w->relay),
        };

        *who = HOST_COUNT;
        for (unsigned i = 0; i < HOST_COUNT; i++) {
                if (due[i] < at) {
                        at = due[i];
                        *who = i;
                }
        }
        return at;
}

static void take_turn(struct world *w, unsigned who)
{
        if (who == HOST_COUNT)
                events_run_one(w);
        else if (who == HOST_CONTROL)
                sim_control_run(w->control);
        else if (who == HOST_RELAY)
                sim_relay_run(w->relay);
        else
                sim_node_run(w->nodes[who]);
}

void world_live_until(struct world *w, uint64_t end_us)
{
        unsigned who, turns = 0;
        uint64_t at;

        while (!w->failure[0] && (at = next_turn(w, &who)) <= end_us) {
                turns = at > w->now_us ? 0 : turns + 1;
                if (at > w->now_us)
                        w->now_us = at;
                if (turns > TURNS_MAX)
                        world_fail(w, "%s does not let time pass", who < HOST_COUNT ? host_name(who) : "the network");
                else
                        take_turn(w, who);
        }
        w->now_us = end_us;
}

/* ---- beginning and end ---- */

static void boot(struct world *w)
{
        char key[200];

        list_init(&w->streams);
        net_init(w);
        w->control = sim_control_new(w);
        w->relay = sim_relay_new(w);
        for (unsigned i = 0; i < NODE_COUNT; i++) {
                w->nodes[i] = sim_node_new(w, (enum host_id)i, host_name((enum host_id)i));
                key[0] = '\0';
                if (rng_below(&w->rng.rng, 3))
                        sim_control_make_key(w->control, key, sizeof(key));
                sim_node_up(w->nodes[i], key);
        }
}

static void bury(struct world *w)
{
        for (unsigned i = 0; i < NODE_COUNT; i++)
                sim_node_free(w->nodes[i]);
        sim_relay_free(w->relay);
        sim_control_free(w->control);
        streams_fini(w);
        events_fini(&w->events);
}

bool world_live(struct world *w, uint64_t seed, bool is_verbose)
{
        uint8_t hash_key[16] = { 0 };

        *w = (struct world){ .seed = seed, .is_verbose = is_verbose, .now_us = TIME_S(1) };
        put_le64(hash_key, seed);
        hash_set_key(hash_key);
        rng_seed(&w->rng, seed);
        if (is_verbose)
                log_set_sink(say_log, w);
        draw_fate(w);
        boot(w);
        world_live_until(w, TIME_S(TROUBLE_S + CALM_S));
        world_judge(w);
        bury(w);
        log_set_sink(NULL, NULL);
        return !w->failure[0];
}
