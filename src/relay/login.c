/* From ClientInfo to a running connection. */
#include "relay_internal.h"

enum { GREETING_ARENA_MAX = 4 * DERP_CLIENT_INFO_MAX };

static void send_server_info(struct relay_conn *c, const struct now *now)
{
        struct derp_server_info info = { .version = DERP_VERSION };
        struct buf frame = BUF_INIT(1024);
        uint8_t nonce[BOX_NONCE_LEN];

        rng_fill(c->relay->rng, nonce, sizeof(nonce));
        if (derp_server_info_write(&info, &c->relay->key, &c->key, nonce, &frame) == OK)
                relay_output_control(c, now, buf_slice(&frame));
        else
                relay_conn_close(c, now, RELAY_END_MEMORY);
        buf_fini(&frame);
}

static void begin_running(struct relay_conn *c, const struct now *now)
{
        struct relay *r = c->relay;
        struct relay_peer *p = relay_peer_obtain(r, &c->key);

        if (!p)
                return relay_conn_close(c, now, RELAY_END_MEMORY);
        if (list_empty(&p->conns))
                r->stats.nodes++;
        c->state = CONN_RUNNING;
        c->peer = p;
        list_push_front(&p->conns, &c->of_peer); /* the newest is active at once (3.6) */
        r->stats.logins++;
        timer_arm(&r->timers, &c->deadline, now->mono_us + c->keep_alive_us);
        send_server_info(c, now);
        if (c->state == CONN_RUNNING)
                relay_mesh_present(r, now, c);
}

void relay_conn_admit(struct relay_conn *c, const struct now *now, bool allow)
{
        struct relay *r = c->relay;

        if (c->state != CONN_ADMISSION)
                return;
        relay_enter(r);
        if (!allow) {
                relay_conn_close(c, now, RELAY_END_DENIED); /* no frame: that is the answer (3.8) */
        } else {
                begin_running(c, now);
                if (c->state == CONN_RUNNING)
                        relay_input_resume(c, now);
        }
        relay_leave(r);
}

/* A mesh key that is not ours makes an ordinary client of its sender, as upstream
 * does; it is thrown out with its first mesh frame. */
static bool is_mesh_neighbour(const struct relay *r, const struct derp_client_info *info)
{
        return r->has_mesh_key && info->has_mesh_key &&
               secret_equal(r->mesh_key.b, info->mesh_key.b, sizeof(info->mesh_key.b));
}

void relay_login(struct relay_conn *c, const struct now *now, struct slice payload)
{
        struct arena arena = ARENA_INIT(GREETING_ARENA_MAX);
        struct relay *r = c->relay;
        struct derp_client_info info;

        enum err e = derp_client_info_parse(payload, &r->key, &arena, &c->key, &info);
        if (e == OK) {
                c->is_mesh = is_mesh_neighbour(r, &info);
                c->is_prober = info.is_prober;
        }
        key_wipe(&info.mesh_key, sizeof(info.mesh_key));
        arena_fini(&arena);
        if (e != OK) {
                log_debug(&relay_log, "greeting refused", "why=%s", err_str(e));
                return relay_conn_close(c, now, RELAY_END_GREETING);
        }
        if (c->is_mesh || !r->calls->admit)
                return begin_running(c, now);

        /* Reading stops, so that what follows the greeting stays in the kernel. The
         * owner bounds its answer; twice the greeting time is for an owner that fails to. */
        c->state = CONN_ADMISSION;
        relay_input_hold(c);
        timer_arm(&r->timers, &c->deadline, now->mono_us + TIME_S(2 * RELAY_GREETING_S));
        struct ip_addr source = ip_unmap(c->remote.ip);
        r->calls->admit(r->ctx, c, &c->key, &source);
}
