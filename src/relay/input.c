/* What clients send: frames, and the two reasons to make them wait. */
#include "relay_internal.h"

static void on_note_preferred(struct relay_conn *c, const struct now *now, struct slice payload)
{
        if (payload.len != 1)
                return relay_conn_close(c, now, RELAY_END_PROTOCOL);
        bool is_home = payload.ptr[0] == 1;
        if (is_home && !c->is_home)
                c->relay->stats.homes++;
        if (!is_home && c->is_home)
                c->relay->stats.homes--;
        c->is_home = is_home;
}

static void on_ping(struct relay_conn *c, const struct now *now, struct slice payload)
{
        uint8_t frame[DERP_HEADER_LEN + DERP_PING_LEN];
        struct writer w = writer_of(frame, sizeof(frame));

        if (payload.len < DERP_PING_LEN)
                return relay_conn_close(c, now, RELAY_END_PROTOCOL);
        c->relay->stats.pings++;
        if (c->is_pong_due) /* one answer waits already: faster pings are ignored (3.5) */
                return;
        derp_frame_write(&w, DERP_PONG, slice_first(payload, DERP_PING_LEN));
        c->is_pong_due = c->is_congested;
        relay_output_control(c, now, SLICE_ARRAY(frame));
}

static void on_mesh_frame(struct relay_conn *c, const struct now *now, const struct derp_frame *f)
{
        struct public_key peer;

        if (!c->is_mesh) {
                log_debug(&relay_log, "mesh frame without the mesh key", "type=%s", derp_type_name(f->type));
                return relay_conn_close(c, now, RELAY_END_TRUST);
        }
        if (f->type == DERP_FORWARD_PACKET)
                return relay_route_forwarded(c, now, f->payload);
        if (f->type == DERP_WATCH_CONNS)
                return relay_mesh_watch(c, now);
        if (f->payload.len != KEY_LEN)
                return relay_conn_close(c, now, RELAY_END_PROTOCOL);
        memcpy(peer.b, f->payload.ptr, KEY_LEN);
        relay_mesh_close_peer(c->relay, now, &peer);
}

/* Any frame makes its connection the active one of its node (3.6). */
static void make_active(struct relay_conn *c)
{
        if (c->peer->conns.next == &c->of_peer)
                return;
        list_remove(&c->of_peer);
        list_push_front(&c->peer->conns, &c->of_peer);
}

static void on_frame(struct relay_conn *c, const struct now *now, const struct derp_frame *f)
{
        if (c->state == CONN_GREETING) {
                if (f->type != DERP_CLIENT_INFO)
                        return relay_conn_close(c, now, RELAY_END_GREETING);
                return relay_login(c, now, f->payload);
        }
        make_active(c);
        switch ((enum derp_type)f->type) {
        case DERP_SEND_PACKET:
                return relay_route_send(c, now, f->payload);
        case DERP_NOTE_PREFERRED:
                return on_note_preferred(c, now, f->payload);
        case DERP_PING:
                return on_ping(c, now, f->payload);
        case DERP_FORWARD_PACKET:
        case DERP_WATCH_CONNS:
        case DERP_CLOSE_PEER:
                return on_mesh_frame(c, now, f);
        case DERP_SERVER_KEY:
        case DERP_CLIENT_INFO:
        case DERP_SERVER_INFO:
        case DERP_RECV_PACKET:
        case DERP_KEEP_ALIVE:
        case DERP_PEER_GONE:
        case DERP_PEER_PRESENT:
        case DERP_PONG:
        case DERP_HEALTH:
        case DERP_RESTARTING:
                c->relay->stats.unknown_frames++;
                return;
        }
}

/* ---- Holding ------------------------------------------------------------ */

void relay_input_hold(struct relay_conn *c)
{
        if (c->is_held)
                return;
        c->is_held = true;
        c->relay->calls->set_reading(c->io, false);
}

/* Works off what came meanwhile, which may hold the input again. */
void relay_input_resume(struct relay_conn *c, const struct now *now)
{
        struct buf held = c->held;

        c->is_held = false;
        buf_init(&c->held, DERP_FRAME_MAX);
        relay_input_bytes(c, now, buf_slice(&held));
        buf_fini(&held);
        if (c->state != CONN_ENDED && !c->is_held)
                c->relay->calls->set_reading(c->io, true);
}

/*
 * The rate limit delays, it never drops (3.5): a frame is let through and may
 * leave the bucket in debt, and nothing more is read until the debt is paid.
 */
static void charge(struct relay_conn *c, const struct now *now, size_t frame_len)
{
        const struct relay_rate *rate = &c->relay->rate;

        if (rate->bytes_per_second == 0 || c->is_mesh || c->state != CONN_RUNNING)
                return;
        c->rate_tokens += (double)(now->mono_us - c->rate_at_us) * (double)rate->bytes_per_second / 1e6;
        c->rate_at_us = now->mono_us;
        if (c->rate_tokens > (double)rate->burst_bytes)
                c->rate_tokens = (double)rate->burst_bytes;
        c->rate_tokens -= (double)(frame_len < RELAY_BURST_MIN ? frame_len : RELAY_BURST_MIN);
        if (c->rate_tokens >= 0)
                return;
        double wait_us = -c->rate_tokens * 1e6 / (double)rate->bytes_per_second;
        relay_input_hold(c);
        timer_arm(&c->relay->timers, &c->rate_pause, now->mono_us + (uint64_t)wait_us + 1);
}

void relay_input_rate_resume(struct timer *t, const struct now *now)
{
        relay_input_resume(container_of(t, struct relay_conn, rate_pause), now);
}

void relay_input_bytes(struct relay_conn *c, const struct now *now, struct slice bytes)
{
        struct derp_frame f;

        while (c->state != CONN_ENDED && !c->is_held) {
                enum err e = derp_decode(&c->decoder, &bytes, &f);
                if (e == ERR_SHORT)
                        return;
                if (e == ERR_NOMEM)
                        return relay_conn_close(c, now, RELAY_END_MEMORY);
                if (e != OK)
                        return relay_conn_close(c, now, c->state == CONN_GREETING ? RELAY_END_GREETING : RELAY_END_PROTOCOL);
                on_frame(c, now, &f);
                charge(c, now, DERP_HEADER_LEN + f.payload.len);
        }
        if (c->state == CONN_ENDED || bytes.len == 0)
                return;
        buf_append_slice(&c->held, bytes); /* one read's worth: the stream was told to pause */
        if (buf_status(&c->held) != OK)
                relay_conn_close(c, now, RELAY_END_MEMORY);
}
