#include "relay_internal.h"

#include <stdlib.h>

const struct log relay_log = { "relay" };

const char *relay_end_name(enum relay_end why)
{
        static const char *const names[RELAY_END_COUNT] = {
                [RELAY_END_CLIENT] = "client",     [RELAY_END_GREETING] = "greeting",
                [RELAY_END_DENIED] = "denied",     [RELAY_END_PROTOCOL] = "protocol",
                [RELAY_END_TRUST] = "trust",       [RELAY_END_SLOW] = "slow",
                [RELAY_END_CLOSE_PEER] = "closed_by_mesh", [RELAY_END_STOP] = "stop",
                [RELAY_END_MEMORY] = "memory",
        };
        return names[why];
}

const char *relay_drop_name(enum relay_drop why)
{
        static const char *const names[RELAY_DROP_COUNT] = {
                [RELAY_DROP_UNKNOWN_DEST] = "unknown_dest",
                [RELAY_DROP_UNKNOWN_DEST_ON_FWD] = "unknown_dest_on_fwd",
                [RELAY_DROP_GONE_DISCONNECTED] = "gone_disconnected",
                [RELAY_DROP_QUEUE_HEAD] = "queue_head",
                [RELAY_DROP_QUEUE_TAIL] = "queue_tail",
        };
        return names[why];
}

enum err relay_new(const struct relay_config *config, struct relay **out)
{
        struct relay *r = calloc(1, sizeof(*r));

        if (!r)
                return ERR_NOMEM;
        r->key = config->key;
        key_public(&r->key, &r->public_key);
        if (config->mesh_key) {
                r->has_mesh_key = true;
                r->mesh_key = *config->mesh_key;
        }
        r->max_conns = config->max_conns;
        r->rng = config->rng;
        r->calls = config->calls;
        r->ctx = config->ctx;
        relay_set_rate(r, &config->rate);
        timer_heap_init(&r->timers);
        table_init(&r->peers, 0);
        table_init(&r->flows, RELAY_FLOWS_TOTAL_MAX);
        list_init(&r->conns);
        list_init(&r->watchers);
        list_init(&r->ended);
        *out = r;
        return OK;
}

void relay_free(struct relay *r)
{
        struct now never = { 0 };

        if (!r)
                return;
        relay_enter(r);
        /* Nobody is told about anybody: they all go. */
        list_each(it, &r->conns) {
                struct relay_conn *c = container_of(it, struct relay_conn, link);
                list_remove(&c->watching);
                relay_flows_clear(c);
        }
        while (!list_empty(&r->conns))
                relay_conn_close(container_of(r->conns.next, struct relay_conn, link), &never, RELAY_END_STOP);
        relay_leave(r);
        table_fini(&r->flows);
        table_fini(&r->peers);
        timer_heap_fini(&r->timers);
        key_wipe(&r->key, sizeof(r->key));
        key_wipe(&r->mesh_key, sizeof(r->mesh_key));
        free(r);
}

const struct public_key *relay_public_key(const struct relay *r)
{
        return &r->public_key;
}

void relay_set_rate(struct relay *r, const struct relay_rate *rate)
{
        r->rate = *rate;
        if (r->rate.burst_bytes < RELAY_BURST_MIN)
                r->rate.burst_bytes = RELAY_BURST_MIN;
}

const struct relay_stats *relay_stats(const struct relay *r)
{
        return &r->stats;
}

/* ---- Entering and leaving ----------------------------------------------- */

void relay_enter(struct relay *r)
{
        r->depth++;
}

void relay_leave(struct relay *r)
{
        struct list *it;

        if (--r->depth > 0)
                return;
        while ((it = list_pop_front(&r->ended))) {
                struct relay_conn *c = container_of(it, struct relay_conn, link);
                derp_decoder_fini(&c->decoder);
                buf_fini(&c->held);
                free(c);
        }
}

/* ---- Connections -------------------------------------------------------- */

static void keep_alive(struct relay_conn *c, const struct now *now)
{
        static const uint8_t frame[DERP_HEADER_LEN] = { DERP_KEEP_ALIVE };

        if (!c->is_congested) { /* else more than enough is on its way */
                c->relay->stats.keep_alives++;
                relay_output_control(c, now, SLICE_ARRAY(frame));
        }
        timer_arm(&c->relay->timers, &c->deadline, now->mono_us + c->keep_alive_us);
}

static void deadline(struct timer *t, const struct now *now)
{
        struct relay_conn *c = container_of(t, struct relay_conn, deadline);

        if (c->is_doomed)
                relay_conn_close(c, now, c->doom);
        else if (c->state == CONN_RUNNING)
                keep_alive(c, now);
        else
                relay_conn_close(c, now, c->state == CONN_ADMISSION ? RELAY_END_DENIED : RELAY_END_GREETING);
}

enum err relay_accept(struct relay *r, const struct now *now, const struct ip_port *remote, bool is_not_ideal,
                      void *io, struct relay_conn **out)
{
        uint8_t frame[DERP_SERVER_KEY_FRAME_LEN];

        r->stats.accepts++;
        if (r->max_conns && r->stats.conns >= r->max_conns) {
                r->stats.refused++;
                return ERR_LIMIT;
        }
        struct relay_conn *c = calloc(1, sizeof(*c));
        if (!c)
                return ERR_NOMEM;
        c->relay = r;
        c->io = io;
        c->remote = *remote;
        c->is_not_ideal = is_not_ideal;
        c->gone_tokens = 3;
        c->gone_at_us = c->rate_at_us = now->mono_us;
        c->rate_tokens = (double)r->rate.burst_bytes;
        c->keep_alive_us = rng_between(r->rng, TIME_S(RELAY_KEEP_ALIVE_S),
                                       TIME_S(RELAY_KEEP_ALIVE_S + RELAY_KEEP_ALIVE_JITTER_S) - 1);
        c->deadline.fire = deadline;
        c->rate_pause.fire = relay_input_rate_resume;
        derp_decoder_init(&c->decoder, DERP_AT_SERVER);
        buf_init(&c->held, DERP_FRAME_MAX);
        relay_output_init(c);
        list_init(&c->flows);
        list_push_back(&r->conns, &c->link);
        if (++r->stats.conns > r->stats.peak_conns)
                r->stats.peak_conns = r->stats.conns;

        timer_arm(&r->timers, &c->deadline, now->mono_us + TIME_S(RELAY_GREETING_S));
        *out = c;
        derp_server_key_write(&r->public_key, frame);
        relay_output_control(c, now, SLICE_ARRAY(frame));
        return OK;
}

void *relay_conn_io(const struct relay_conn *c)
{
        return c->io;
}

/*
 * Takes c out of everything, in the reverse order of its coming: its packets, its
 * notes, its place as watcher, its place among the connections of its node. The
 * others are told last, when c is no more to be found.
 */
static void conn_unlink(struct relay_conn *c, const struct now *now, enum relay_end why)
{
        struct relay *r = c->relay;
        struct relay_peer *p = c->peer;

        c->state = CONN_ENDED;
        timer_cancel(&r->timers, &c->deadline);
        timer_cancel(&r->timers, &c->write_deadline);
        timer_cancel(&r->timers, &c->rate_pause);
        relay_output_fini(c);
        relay_flows_clear(c);
        if (list_linked(&c->watching)) {
                list_remove(&c->watching);
                r->stats.watchers--;
        }
        if (c->is_home)
                r->stats.homes--;
        list_remove(&c->link);
        list_push_back(&r->ended, &c->link);
        r->stats.conns--;
        r->stats.ended[why]++;
        if (!p)
                return;
        list_remove(&c->of_peer);
        c->peer = NULL;
        if (list_empty(&p->conns)) {
                r->stats.nodes--;
                relay_mesh_gone(r, now, &p->key);
                relay_peer_release(r, now, p);
        }
}

void relay_conn_close(struct relay_conn *c, const struct now *now, enum relay_end why)
{
        if (c->state == CONN_ENDED)
                return;
        log_debug(&relay_log, "connection closed", "why=%s", relay_end_name(why));
        c->relay->calls->close(c->io, why);
        conn_unlink(c, now, why);
}

void relay_conn_end(struct relay_conn *c, const struct now *now)
{
        struct relay *r = c->relay;

        relay_enter(r);
        conn_unlink(c, now, RELAY_END_CLIENT);
        relay_leave(r);
}

void relay_conn_input(struct relay_conn *c, const struct now *now, struct slice bytes)
{
        struct relay *r = c->relay;

        relay_enter(r);
        relay_input_bytes(c, now, bytes);
        relay_leave(r);
}

void relay_conn_writable(struct relay_conn *c, const struct now *now)
{
        struct relay *r = c->relay;

        relay_enter(r);
        relay_output_drain(c, now);
        relay_leave(r);
}

uint64_t relay_deadline(const struct relay *r)
{
        return timer_next(&r->timers);
}

void relay_tick(struct relay *r, const struct now *now)
{
        relay_enter(r);
        timer_run(&r->timers, now);
        relay_leave(r);
}
