#include "proto/derp_client.h"

#include "base/log.h"

/*
 *   IDLE --start--> HTTP --101--> SERVER_KEY --ServerKey--> SERVER_INFO --ServerInfo--> READY
 *     with a WebSocket ---------> SERVER_KEY
 *     with a key known from the TLS chain -----------------> SERVER_INFO
 *
 * Any failure, and silence beyond the deadline, leads to CLOSED. With fast start
 * the server's ServerKey frame still comes and is passed over: a different key in
 * it would make the ServerInfo box fail to open.
 */

enum {
        HTTP_HEAD_MAX = 8192,
        GREETING_ARENA_MAX = 2 * DERP_FRAME_MAX,
        /* header and key, which the rate hint counts with the packet */
        SEND_OVERHEAD = DERP_HEADER_LEN + KEY_LEN,
};

static const struct log logger = { "derp" };

void derp_client_init(struct derp_client *c, const struct derp_client_config *config)
{
        *c = (struct derp_client){
                .key = config->key,
                .has_mesh_key = config->mesh_key != NULL,
                .can_ack_pings = config->can_ack_pings,
                .is_prober = config->is_prober,
                .rng = config->rng,
                .events = config->events,
                .ctx = config->ctx,
                .deadline_us = TIME_NEVER,
                .http = BUF_INIT(HTTP_HEAD_MAX),
        };
        if (config->mesh_key)
                c->mesh_key = *config->mesh_key;
        key_public(&c->key, &c->public_key);
        derp_decoder_init(&c->decoder, DERP_AT_CLIENT);
}

void derp_client_fini(struct derp_client *c)
{
        derp_client_stop(c);
        key_wipe(&c->key, sizeof(c->key));
        key_wipe(&c->mesh_key, sizeof(c->mesh_key));
}

void derp_client_stop(struct derp_client *c)
{
        derp_decoder_fini(&c->decoder);
        buf_fini(&c->http);
        c->state = DERP_CLIENT_CLOSED;
        c->deadline_us = TIME_NEVER;
}

/* The decoder may be in use by a caller up the stack: it is freed by _stop or
 * _start, not here. */
static void fail(struct derp_client *c, enum err e, const char *why)
{
        if (c->state == DERP_CLIENT_CLOSED)
                return;
        c->state = DERP_CLIENT_CLOSED;
        c->deadline_us = TIME_NEVER;
        c->events->closed(c->ctx, e, why);
}

static void write_bytes(struct derp_client *c, struct slice bytes)
{
        c->events->write(c->ctx, bytes, (struct slice){ 0 });
}

/* ---- Greeting ----------------------------------------------------------- */

static enum err http_request(const struct derp_connect *to, struct buf *out)
{
        buf_printf(out, "GET /derp HTTP/1.1\r\nHost: %s", to->host);
        if (to->port != 0 && to->port != 443)
                buf_printf(out, ":%u", (unsigned)to->port);
        buf_append_str(out, "\r\nUser-Agent: Go-http-client/1.1\r\nConnection: Upgrade\r\n");
        if (to->server_key)
                buf_append_str(out, "Derp-Fast-Start: 1\r\n");
        if (to->ideal_node)
                buf_printf(out, "Ideal-Node: %s\r\n", to->ideal_node);
        buf_append_str(out, "Upgrade: DERP\r\n\r\n");
        return buf_status(out);
}

static enum err client_info(struct derp_client *c, struct buf *out)
{
        struct derp_client_info info = {
                .has_mesh_key = c->has_mesh_key,
                .mesh_key = c->mesh_key,
                .version = DERP_VERSION,
                .can_ack_pings = c->can_ack_pings,
                .is_prober = c->is_prober,
        };
        uint8_t nonce[BOX_NONCE_LEN];

        rng_fill(c->rng, nonce, sizeof(nonce));
        enum err e = derp_client_info_write(&info, &c->key, &c->server_key, nonce, out);
        key_wipe(&info, sizeof(info));
        if (e != OK)
                return e;

        /* What was asked for before follows in the same flight (3.4). */
        struct writer w;
        uint8_t frame[DERP_HEADER_LEN + 1];
        if (c->is_preferred) {
                w = writer_of(frame, sizeof(frame));
                derp_frame_write(&w, DERP_NOTE_PREFERRED, SLICE_LIT("\x01"));
                buf_append(out, frame, (size_t)(w.p - w.start));
        }
        if (c->wants_watch) {
                w = writer_of(frame, sizeof(frame));
                derp_frame_write(&w, DERP_WATCH_CONNS, (struct slice){ 0 });
                buf_append(out, frame, (size_t)(w.p - w.start));
        }
        return buf_status(out);
}

enum err derp_client_start(struct derp_client *c, const struct now *now, const struct derp_connect *to)
{
        struct buf out = BUF_INIT(HTTP_HEAD_MAX + DERP_CLIENT_INFO_MAX);
        bool knows_key = to->server_key && !to->is_upgraded;
        enum err e = OK;

        derp_client_stop(c);
        derp_decoder_init(&c->decoder, DERP_AT_CLIENT);
        c->is_fast_start = knows_key;
        c->rate_bytes = 0;
        if (!to->is_upgraded)
                e = http_request(to, &out);
        if (e == OK && knows_key) {
                c->server_key = *to->server_key;
                e = client_info(c, &out);
        }
        if (e == OK) {
                c->state = to->is_upgraded ? DERP_CLIENT_SERVER_KEY
                           : knows_key     ? DERP_CLIENT_SERVER_INFO
                                           : DERP_CLIENT_HTTP;
                c->deadline_us = now->mono_us + TIME_S(DERP_LOGIN_TIMEOUT_S);
                if (out.len)
                        write_bytes(c, buf_slice(&out));
        }
        buf_fini(&out);
        return e;
}

/* The end of the head in what has come so far, or 0. */
static size_t http_head_end(struct slice head)
{
        for (size_t i = 3; i < head.len; i++)
                if (memcmp(head.ptr + i - 3, "\r\n\r\n", 4) == 0)
                        return i + 1;
        return 0;
}

/* Takes the response head off *in; only its status counts (3.1). */
static void http_input(struct derp_client *c, struct slice *in)
{
        size_t before = c->http.len;
        struct slice piece = slice_first(*in, HTTP_HEAD_MAX - before);

        buf_append_slice(&c->http, piece);
        if (buf_status(&c->http) != OK)
                return fail(c, ERR_NOMEM, "out of memory");
        size_t end = http_head_end(buf_slice(&c->http));
        if (end == 0 && c->http.len == HTTP_HEAD_MAX)
                return fail(c, ERR_RANGE, "the server's HTTP response head is too long");
        *in = slice_after(*in, end ? end - before : piece.len);
        if (end == 0)
                return;

        struct slice head = buf_slice(&c->http);
        bool is_http = slice_has_prefix(head, SLICE_LIT("HTTP/1.1 ")) || slice_has_prefix(head, SLICE_LIT("HTTP/1.0 "));
        struct slice status = slice_first(slice_after(head, 9), 3);
        bool is_upgraded = slice_is(status, "101");
        if (is_http && !is_upgraded)
                log_debug(&logger, "upgrade refused", "status=%.*s", SLICE_ARGS(slice_trim(status)));
        buf_fini(&c->http);
        if (!is_http)
                return fail(c, ERR_FORMAT, "the server does not speak HTTP/1.1");
        if (!is_upgraded)
                return fail(c, ERR_DENIED, "the server refused the upgrade to DERP");
        c->state = DERP_CLIENT_SERVER_KEY;
}

static void on_server_key(struct derp_client *c, struct slice payload)
{
        struct buf out = BUF_INIT(DERP_CLIENT_INFO_MAX);

        if (derp_server_key_parse(payload, &c->server_key) != OK)
                return fail(c, ERR_FORMAT, "the first frame is not a DERP server key");
        enum err e = client_info(c, &out);
        if (e == OK) {
                c->state = DERP_CLIENT_SERVER_INFO;
                write_bytes(c, buf_slice(&out));
        }
        buf_fini(&out);
        if (e != OK)
                fail(c, e, "the server's key is not usable");
}

static void on_server_info(struct derp_client *c, const struct now *now, struct slice payload)
{
        struct arena arena = ARENA_INIT(GREETING_ARENA_MAX);
        struct derp_server_info info;

        enum err e = derp_server_info_parse(payload, &c->key, &c->server_key, &arena, &info);
        arena_fini(&arena);
        if (e != OK)
                return fail(c, e == ERR_NOMEM ? e : ERR_AUTH, "the server could not prove its key");
        c->rate_bytes = info.bytes_per_second;
        c->burst_bytes = info.bytes_burst;
        c->tokens = (double)info.bytes_burst;
        c->refill_us = now->mono_us;
        c->state = DERP_CLIENT_READY;
        if (c->events->ready)
                c->events->ready(c->ctx, &c->server_key);
}

/* ---- Frames of a running connection ------------------------------------- */

static void on_packet(struct derp_client *c, struct slice payload)
{
        struct public_key src;
        struct slice packet;

        if (derp_packet_parse(payload, &src, &packet) != OK)
                return; /* too short for a key: nothing a peer could have sent */
        c->stats.packets_in++;
        c->stats.bytes_in += packet.len;
        if (c->events->packet)
                c->events->packet(c->ctx, &src, packet);
}

static void on_peer_gone(struct derp_client *c, struct slice payload)
{
        struct derp_peer_gone gone;

        if (derp_peer_gone_parse(payload, &gone) == OK && c->events->peer_gone)
                c->events->peer_gone(c->ctx, &gone.peer, (enum derp_gone_reason)gone.reason);
}

static void on_peer_present(struct derp_client *c, struct slice payload)
{
        struct derp_peer_present peer;

        if (derp_peer_present_parse(payload, &peer) == OK && c->events->peer_present)
                c->events->peer_present(c->ctx, &peer);
}

static void on_ping(struct derp_client *c, struct slice payload)
{
        uint8_t frame[DERP_HEADER_LEN + DERP_PING_LEN];
        struct writer w = writer_of(frame, sizeof(frame));

        if (payload.len < DERP_PING_LEN)
                return;
        derp_frame_write(&w, DERP_PONG, slice_first(payload, DERP_PING_LEN));
        write_bytes(c, SLICE_ARRAY(frame));
}

static void on_restarting(struct derp_client *c, struct slice payload)
{
        struct derp_restarting r;

        if (derp_restarting_parse(payload, &r) == OK && c->events->restarting)
                c->events->restarting(c->ctx, &r);
}

static void on_frame(struct derp_client *c, const struct now *now, const struct derp_frame *f)
{
        if (c->state == DERP_CLIENT_SERVER_KEY) {
                if (f->type != DERP_SERVER_KEY)
                        return fail(c, ERR_FORMAT, "the first frame is not a DERP server key");
                return on_server_key(c, f->payload);
        }
        switch ((enum derp_type)f->type) {
        case DERP_SERVER_INFO:
                if (c->state == DERP_CLIENT_SERVER_INFO)
                        on_server_info(c, now, f->payload);
                return;
        case DERP_RECV_PACKET:
                return on_packet(c, f->payload);
        case DERP_PEER_GONE:
                return on_peer_gone(c, f->payload);
        case DERP_PEER_PRESENT:
                return on_peer_present(c, f->payload);
        case DERP_PING:
                return on_ping(c, f->payload);
        case DERP_PONG:
                if (f->payload.len >= DERP_PING_LEN && c->events->pong)
                        c->events->pong(c->ctx, f->payload.ptr);
                return;
        case DERP_HEALTH:
                if (c->events->health)
                        c->events->health(c->ctx, f->payload);
                return;
        case DERP_RESTARTING:
                return on_restarting(c, f->payload);
        case DERP_KEEP_ALIVE: /* the deadline has moved, which is all it is for */
        case DERP_SERVER_KEY: /* after a fast start */
        case DERP_CLIENT_INFO:
        case DERP_SEND_PACKET:
        case DERP_NOTE_PREFERRED:
        case DERP_FORWARD_PACKET:
        case DERP_WATCH_CONNS:
        case DERP_CLOSE_PEER:
                return;
        }
}

void derp_client_input(struct derp_client *c, const struct now *now, struct slice bytes)
{
        struct derp_frame f;

        if (c->state == DERP_CLIENT_HTTP)
                http_input(c, &bytes);
        while (c->state > DERP_CLIENT_HTTP && c->state < DERP_CLIENT_CLOSED) {
                enum err e = derp_decode(&c->decoder, &bytes, &f);
                if (e == ERR_SHORT)
                        return;
                if (e != OK)
                        return fail(c, e, e == ERR_RANGE ? "a frame is longer than allowed" : "out of memory");
                on_frame(c, now, &f);
                if (c->state == DERP_CLIENT_READY)
                        c->deadline_us = now->mono_us + TIME_S(DERP_READ_TIMEOUT_S);
        }
}

uint64_t derp_client_deadline(const struct derp_client *c)
{
        return c->deadline_us;
}

void derp_client_tick(struct derp_client *c, const struct now *now)
{
        if (now->mono_us < c->deadline_us)
                return;
        fail(c, ERR_TIMEOUT,
             c->state == DERP_CLIENT_READY ? "nothing came from the server for 120 s"
                                           : "the server did not finish the greeting in 10 s");
}

/* ---- Sending ------------------------------------------------------------ */

bool derp_client_can_send(const struct derp_client *c)
{
        return c->state == DERP_CLIENT_SERVER_INFO || c->state == DERP_CLIENT_READY;
}

/* The server asked for at most so many bytes a second, counted with headers;
 * what is over is lost here rather than on its way (3.3). */
static bool within_rate(struct derp_client *c, const struct now *now, size_t len)
{
        if (c->rate_bytes == 0)
                return true;
        double elapsed_s = (double)(now->mono_us - c->refill_us) / 1e6;
        c->refill_us = now->mono_us;
        c->tokens += elapsed_s * (double)c->rate_bytes;
        if (c->tokens > (double)c->burst_bytes)
                c->tokens = (double)c->burst_bytes;
        if (c->tokens < (double)len)
                return false;
        c->tokens -= (double)len;
        return true;
}

static enum err send_packet(struct derp_client *c, enum derp_type type, const struct public_key *src,
                            const struct public_key *dst, struct slice packet)
{
        uint8_t head[DERP_PACKET_HEAD_MAX];
        struct writer w = writer_of(head, sizeof(head));

        derp_packet_head_write(&w, type, src, dst, packet.len);
        c->stats.packets_out++;
        c->stats.bytes_out += packet.len;
        c->events->write(c->ctx, slice_make(head, (size_t)(w.p - w.start)), packet);
        return OK;
}

enum err derp_client_send(struct derp_client *c, const struct now *now, const struct public_key *dst,
                          struct slice packet)
{
        if (!derp_client_can_send(c))
                return ERR_STATE;
        if (packet.len > DERP_PACKET_MAX)
                return ERR_RANGE;
        if (!within_rate(c, now, SEND_OVERHEAD + packet.len)) {
                c->stats.over_rate++;
                return ERR_LIMIT;
        }
        return send_packet(c, DERP_SEND_PACKET, NULL, dst, packet);
}

/* Frames of at most a key. */
static void send_small(struct derp_client *c, enum derp_type type, struct slice payload)
{
        uint8_t frame[DERP_HEADER_LEN + KEY_LEN];
        struct writer w = writer_of(frame, sizeof(frame));

        derp_frame_write(&w, type, payload);
        write_bytes(c, slice_make(frame, (size_t)(w.p - w.start)));
}

void derp_client_note_preferred(struct derp_client *c, bool is_home)
{
        if (c->is_preferred == is_home)
                return;
        c->is_preferred = is_home;
        if (derp_client_can_send(c))
                send_small(c, DERP_NOTE_PREFERRED, is_home ? SLICE_LIT("\x01") : SLICE_LIT("\x00"));
}

enum err derp_client_ping(struct derp_client *c, const uint8_t data[static DERP_PING_LEN])
{
        if (!derp_client_can_send(c))
                return ERR_STATE;
        send_small(c, DERP_PING, slice_make(data, DERP_PING_LEN));
        return OK;
}

void derp_client_watch_conns(struct derp_client *c)
{
        if (c->wants_watch)
                return;
        c->wants_watch = true;
        if (derp_client_can_send(c))
                send_small(c, DERP_WATCH_CONNS, (struct slice){ 0 });
}

enum err derp_client_forward(struct derp_client *c, const struct public_key *src, const struct public_key *dst,
                             struct slice packet)
{
        if (!derp_client_can_send(c))
                return ERR_STATE;
        if (packet.len > DERP_PACKET_MAX)
                return ERR_RANGE;
        return send_packet(c, DERP_FORWARD_PACKET, src, dst, packet);
}

enum err derp_client_close_peer(struct derp_client *c, const struct public_key *peer)
{
        if (!derp_client_can_send(c))
                return ERR_STATE;
        send_small(c, DERP_CLOSE_PEER, key_slice(peer));
        return OK;
}
