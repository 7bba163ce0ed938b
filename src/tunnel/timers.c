/*
 * The timers of a peer (paper, 6; spec/dataplane.md 1.7):
 *
 *  retransmit     after each initiation, 5 s and a little: again, until twenty are out;
 *                 then the peer is unreachable until somebody wants it anew.
 *  keepalive      10 s after data was received, if nothing has been sent since.
 *  new handshake  15 s and a little after data was sent, if nothing has been heard
 *                 since: the session must be broken.
 *  persistent     so many seconds after anything was sent or heard, if configured.
 *  zero key       540 s after the last session was made: wipe everything.
 *
 * The second and third depend on packets that never come through here. Their moment
 * is computed from the stamps in activity.h when the packet threads report that a
 * wait has begun, and looked at again when it has come: then the wait is over,
 * answered, or has begun anew. When nothing waits, the packet threads are asked to
 * report the next time.
 *
 * All five share one entry in the engine's heap, at the earliest moment.
 */
#include "tunnel_internal.h"

#define NEW_HANDSHAKE_TIMEOUT (KEEPALIVE_TIMEOUT + REKEY_TIMEOUT)

static void refresh(struct tunnel_peer *p)
{
        struct timer_heap *heap = &p->tunnel->timers;
        uint64_t first_us = TIME_NEVER;

        for (int i = 0; i < TIMER_COUNT; i++)
                if (p->due_us[i] < first_us)
                        first_us = p->due_us[i];
        if (first_us == TIME_NEVER)
                timer_cancel(heap, &p->timer);
        else
                timer_arm(heap, &p->timer, first_us);
}

static void arm(struct tunnel_peer *p, enum peer_timer which, uint64_t at_us)
{
        p->due_us[which] = at_us;
        refresh(p);
}

static void disarm(struct tunnel_peer *p, enum peer_timer which)
{
        arm(p, which, TIME_NEVER);
}

static bool is_armed(const struct tunnel_peer *p, enum peer_timer which)
{
        return p->due_us[which] != TIME_NEVER;
}

static uint64_t jitter(struct tunnel_peer *p)
{
        return rng_between(p->tunnel->rng, 0, REKEY_JITTER_MAX);
}

static void say_keepalive(struct tunnel_peer *p, const struct now *now)
{
        if (peer_can_send(p, now))
                p->tunnel->ops->keepalive(p->tunnel->ctx, p);
}

void timers_initiation_sent(struct tunnel_peer *p, const struct now *now)
{
        arm(p, TIMER_RETRANSMIT, now->mono_us + REKEY_TIMEOUT + jitter(p));
}

void timers_initiation_due(struct tunnel_peer *p, uint64_t at_us)
{
        if (!is_armed(p, TIMER_RETRANSMIT))
                arm(p, TIMER_RETRANSMIT, at_us + jitter(p));
}

void timers_session_derived(struct tunnel_peer *p, const struct now *now)
{
        arm(p, TIMER_ZERO_KEY, now->mono_us + ZERO_KEY_TIME);
}

void timers_handshake_complete(struct tunnel_peer *p, const struct now *now)
{
        disarm(p, TIMER_RETRANSMIT);
        p->attempts = 0;
        p->completed_us = now->mono_us;
}

static void fire_retransmit(struct tunnel_peer *p, const struct now *now)
{
        struct tunnel *t = p->tunnel;

        if (p->attempts <= MAX_HANDSHAKE_ATTEMPTS) {
                p->attempts++;
                handshake_retry(p, now);
                return;
        }
        peer_log(p, "no answer to handshakes");
        p->attempts = 0;
        activity_serve(&p->activity->keepalive, now->mono_us);
        if (!is_armed(p, TIMER_ZERO_KEY))
                arm(p, TIMER_ZERO_KEY, now->mono_us + ZERO_KEY_TIME);
        t->ops->unreachable(t->ctx, p);
}

/*
 * One keepalive answers all data that has come until now. (Other implementations
 * note that more than one packet came and set the timer anew; but their keepalive,
 * once sent, cancels it, so it comes to the same.)
 */
static void fire_keepalive(struct tunnel_peer *p, const struct now *now)
{
        uint64_t since_us = activity_keepalive_since(p->activity);

        if (since_us == 0 || since_us + KEEPALIVE_TIMEOUT > now->mono_us)
                return; /* answered; a wait that began later is armed by look() */
        activity_serve(&p->activity->keepalive, now->mono_us);
        say_keepalive(p, now);
}

static void fire_new_handshake(struct tunnel_peer *p, const struct now *now)
{
        uint64_t since_us = activity_handshake_since(p->activity);

        if (since_us == 0 || since_us + NEW_HANDSHAKE_TIMEOUT > now->mono_us)
                return;
        peer_log(p, "no answer to data, new handshake");
        activity_serve(&p->activity->handshake, now->mono_us);
        handshake_start(p, now);
}

static void fire_persistent(struct tunnel_peer *p, const struct now *now)
{
        uint64_t sent_us = stamp_get(&p->activity->sent_us), heard_us = stamp_get(&p->activity->heard_us);
        uint64_t last_us = sent_us > heard_us ? sent_us : heard_us;
        const uint64_t interval_us = TIME_S(p->persistent_keepalive_s);

        if (last_us != 0 && last_us + interval_us > now->mono_us) {
                arm(p, TIMER_PERSISTENT, last_us + interval_us);
                return;
        }
        arm(p, TIMER_PERSISTENT, now->mono_us + interval_us);
        if (peer_can_send(p, now))
                say_keepalive(p, now);
        else
                handshake_start(p, now);
}

void timers_persistent_changed(struct tunnel_peer *p, const struct now *now)
{
        if (p->persistent_keepalive_s == 0)
                disarm(p, TIMER_PERSISTENT);
        else
                fire_persistent(p, now);
}

static void fire_zero_key(struct tunnel_peer *p)
{
        struct tunnel *t = p->tunnel;

        peer_handshake_drop(p);
        peer_sessions_drop(p);
        disarm(p, TIMER_RETRANSMIT);
        t->ops->dormant(t->ctx, p);
        if (p->is_lazy)
                tunnel_peer_remove(t, p);
}

/* Arms the timer of a wait if one is on, and sees to it that the packet threads
 * report when none is armed. */
static void look(struct tunnel_peer *p, enum peer_timer which, struct wait *wait,
        uint64_t (*since)(const struct activity *), uint64_t timeout_us, uint64_t jitter_max_us)
{
        uint64_t since_us = since(p->activity), due_us;

        if (is_armed(p, which))
                return;
        if (since_us == 0) {
                activity_watch(wait, 0);
                since_us = since(p->activity); /* what began in between did not report */
        }
        if (since_us == 0)
                return;
        due_us = since_us + timeout_us + rng_between(p->tunnel->rng, 0, jitter_max_us);
        activity_watch(wait, due_us + REPORT_AGAIN);
        arm(p, which, due_us);
}

void timers_activity(struct tunnel_peer *p)
{
        struct activity *a = p->activity;

        look(p, TIMER_KEEPALIVE, &a->keepalive, activity_keepalive_since, KEEPALIVE_TIMEOUT, 0);
        look(p, TIMER_NEW_HANDSHAKE, &a->handshake, activity_handshake_since, NEW_HANDSHAKE_TIMEOUT,
                REKEY_JITTER_MAX);
}

static void fire(struct timer *timer, const struct now *now)
{
        struct tunnel_peer *p = container_of(timer, struct tunnel_peer, timer);
        bool is_due[TIMER_COUNT];

        for (int i = 0; i < TIMER_COUNT; i++) {
                is_due[i] = p->due_us[i] <= now->mono_us;
                if (is_due[i])
                        p->due_us[i] = TIME_NEVER;
        }
        refresh(p);
        if (is_due[TIMER_KEEPALIVE])
                fire_keepalive(p, now);
        if (is_due[TIMER_NEW_HANDSHAKE])
                fire_new_handshake(p, now);
        if (is_due[TIMER_RETRANSMIT])
                fire_retransmit(p, now);
        if (is_due[TIMER_PERSISTENT])
                fire_persistent(p, now);
        if (is_due[TIMER_KEEPALIVE] || is_due[TIMER_NEW_HANDSHAKE])
                timers_activity(p);
        if (is_due[TIMER_ZERO_KEY])
                fire_zero_key(p);
}

void timers_init(struct tunnel_peer *p)
{
        p->timer = (struct timer){ .fire = fire };
        for (int i = 0; i < TIMER_COUNT; i++)
                p->due_us[i] = TIME_NEVER;
}

void timers_fini(struct tunnel_peer *p)
{
        timer_cancel(&p->tunnel->timers, &p->timer);
}

void timers_reset(struct tunnel_peer *p)
{
        for (int i = 0; i < TIMER_COUNT; i++)
                if (i != TIMER_PERSISTENT)
                        p->due_us[i] = TIME_NEVER;
        refresh(p);
        activity_watch(&p->activity->keepalive, 0);
        activity_watch(&p->activity->handshake, 0);
}
