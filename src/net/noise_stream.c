/*
 * Noise as a layer: records over any stream. The client's side begins with the end of
 * the handshake and the early payload, which must be told apart from the first bytes
 * of HTTP/2 (spec/control.md, section 3).
 */
#include "noise_stream.h"

#include <stdlib.h>

#include "net/noise.h"
#include "net/stream_impl.h"

enum phase {
        PHASE_RESPONSE,   /* client: waiting for the 51 bytes of the server */
        PHASE_EARLY_HEAD, /* client: the first nine bytes of plaintext */
        PHASE_EARLY_JSON,
        PHASE_OPEN,
};

enum {
        HANDSHAKE_MS = 10 * 1000,
        IN_MAX = 1 << 20,
        RECORD_OVERHEAD = NOISE_RECORD_HEADER_LEN + NOISE_TAG_LEN
};

struct noise_stream {
        struct net_stream base;
        enum phase phase;
        struct noise_client hs;
        struct noise_session session;
        struct buf in;        /* ciphertext not yet a whole record, or not wanted yet */
        struct buf out;       /* records the lower stream had no room for */
        struct buf before;    /* written before the handshake was done */
        struct buf early;     /* early payload: its head, then its JSON */
        uint32_t early_len;
        bool wants_shutdown;
        enum err lower_end;   /* told after the records before it */
        struct timer handshake;
        struct net_task pump; /* opens what `in` holds, outside the user's call */
};

static const struct net_stream_ops noise_ops;

static struct noise_stream *of(const struct net_stream *s)
{
        return container_of(s, struct noise_stream, base);
}

/* ---- writing ---- */

static void flush(struct noise_stream *n)
{
        size_t room = net_stream_room(n->base.lower), part = n->out.len < room ? n->out.len : room;

        if (part && net_stream_write(n->base.lower, slice_first(buf_slice(&n->out), part)) == OK)
                buf_consume(&n->out, part);
        if (n->out.len == 0)
                buf_fini(&n->out); /* connections idle for hours */
        if (n->wants_shutdown && n->out.len == 0 && n->phase == PHASE_OPEN)
                net_stream_shutdown(n->base.lower);
}

/* Gathers the pieces into records as full as they can be. */
static enum err seal(struct noise_stream *n, const struct slice *pieces, size_t count)
{
        uint8_t plain[NOISE_PLAIN_MAX];
        size_t fill = 0;

        for (size_t i = 0; i < count; i++) {
                for (struct slice rest = pieces[i]; rest.len || (i + 1 == count && fill);) {
                        size_t take = rest.len < sizeof(plain) - fill ? rest.len : sizeof(plain) - fill;
                        if (take)
                                memcpy(plain + fill, rest.ptr, take);
                        fill += take;
                        rest = slice_after(rest, take);
                        if (fill < sizeof(plain) && (rest.len || i + 1 < count))
                                break;
                        size_t len;
                        uint8_t *at = buf_extend(&n->out, fill + RECORD_OVERHEAD);
                        if (!at)
                                return ERR_NOMEM;
                        enum err e = noise_seal(&n->session.send, slice_make(plain, fill), at, &len);
                        if (e)
                                return e;
                        fill = 0;
                }
        }
        return OK;
}

static enum err noise_writev(struct net_stream *s, const struct slice *pieces, size_t count)
{
        struct noise_stream *n = of(s);

        if (n->phase != PHASE_OPEN) {
                for (size_t i = 0; i < count; i++)
                        buf_append_slice(&n->before, pieces[i]);
                return buf_status(&n->before);
        }
        enum err e = seal(n, pieces, count);
        if (e)
                net_stream_emit_end(s, e, "the connection's records are used up");
        else
                flush(n);
        return e;
}

static size_t noise_queued(const struct net_stream *s)
{
        const struct noise_stream *n = of(s);
        return n->before.len + n->out.len + (s->lower ? net_stream_queued(s->lower) : 0);
}

static void noise_shutdown(struct net_stream *s)
{
        of(s)->wants_shutdown = true;
        flush(of(s));
}

/* ---- the handshake's end ---- */

static void opened(struct noise_stream *n)
{
        struct slice before = buf_slice(&n->before);

        net_timer_stop(n->base.loop, &n->handshake);
        n->phase = PHASE_OPEN;
        enum err e = before.len ? seal(n, &before, 1) : OK;
        buf_wipe(&n->before);
        if (e) {
                net_stream_emit_end(&n->base, e, "the connection's records are used up");
                return;
        }
        flush(n);
        net_stream_emit_open(&n->base);
}

/* The response, or the unauthenticated text of a server that refuses. */
static void take_response(struct noise_stream *n)
{
        struct slice in = buf_slice(&n->in);

        if (in.len >= NOISE_RECORD_HEADER_LEN && in.ptr[0] == NOISE_ERROR) {
                size_t len = get_be16(in.ptr + 1);
                struct slice text =
                        slice_first(slice_after(in, NOISE_RECORD_HEADER_LEN), len < 200 ? len : 200);
                net_stream_emit_end(
                        &n->base, ERR_DENIED, "the server refuses the handshake: %.*s", SLICE_ARGS(text));
                return;
        }
        if (in.len < NOISE_RESPONSE_LEN)
                return;
        enum err e = noise_client_finish(&n->hs, slice_first(in, NOISE_RESPONSE_LEN), &n->session);
        if (e) {
                net_stream_emit_end(
                        &n->base, e, "the server's handshake cannot be verified: is its key another now?");
                return;
        }
        buf_consume(&n->in, NOISE_RESPONSE_LEN);
        n->phase = PHASE_EARLY_HEAD;
}

/* Plaintext of the early phases; what is not early payload belongs to the user. */
static void take_early(struct noise_stream *n, struct slice plain)
{
        size_t want = n->phase == PHASE_EARLY_HEAD ? NOISE_EARLY_HEAD_LEN : n->early_len;
        size_t take = plain.len < want - n->early.len ? plain.len : want - n->early.len;
        struct slice head = { NULL, 0 };

        buf_append_slice(&n->early, slice_first(plain, take));
        if (buf_status(&n->early) != OK) {
                net_stream_emit_end(&n->base, ERR_NOMEM, "out of memory");
                return;
        }
        if (n->early.len < want)
                return;
        if (n->phase == PHASE_EARLY_HEAD) {
                enum err e = noise_early_parse(buf_slice(&n->early), &n->early_len);
                if (e == OK && n->early_len) {
                        n->phase = PHASE_EARLY_JSON;
                        buf_clear(&n->early);
                        if (plain.len > take)
                                take_early(n, slice_after(plain, take));
                        return;
                }
                if (e != OK && e != ERR_NOTFOUND) {
                        net_stream_emit_end(&n->base, e, "the server's early payload is too long");
                        return;
                }
                head = e == ERR_NOTFOUND ? buf_slice(&n->early) : head;
        }
        opened(n);
        net_stream_emit_data(&n->base, head);
        net_stream_emit_data(&n->base, slice_after(plain, take));
        if (head.len)
                buf_clear(&n->early);
}

/* ---- reading ---- */

static void tell_lower_end(struct noise_stream *n)
{
        if (n->lower_end == OK)
                return;
        if (n->phase != PHASE_OPEN)
                net_stream_emit_end(
                        &n->base, ERR_AUTH, "the server closed the connection during the handshake");
        else if (n->in.len)
                net_stream_emit_end(&n->base, ERR_SHORT, "the connection ended within a record");
        else
                net_stream_emit_end(&n->base, n->lower_end, "%s", net_stream_why(n->base.lower));
}

/* Opens the record at the head of `in`; false if there is none whole, or no good one. */
static bool take_record(struct noise_stream *n)
{
        uint8_t plain[NOISE_PLAIN_MAX];
        size_t record_len, len;
        struct slice in = buf_slice(&n->in);
        enum err e = noise_frame_len(in, NOISE_RECORD, &record_len);

        if (e == ERR_SHORT || (e == OK && in.len < record_len)) {
                tell_lower_end(n);
                return false;
        }
        if (e == OK)
                e = noise_open(&n->session.recv, slice_first(in, record_len), plain, &len);
        if (e) {
                net_stream_emit_end(&n->base, e, "a record that is not the peer's: the connection is broken");
                return false;
        }
        buf_consume(&n->in, record_len);
        if (n->phase == PHASE_OPEN)
                net_stream_emit_data(&n->base, slice_make(plain, len));
        else
                take_early(n, slice_make(plain, len));
        return true;
}

static void step(struct noise_stream *n)
{
        if (n->phase == PHASE_RESPONSE) {
                take_response(n);
                if (n->phase == PHASE_RESPONSE) {
                        tell_lower_end(n);
                        return;
                }
        }
        while (!n->base.closed && n->base.end == OK && (n->phase != PHASE_OPEN || n->base.reading))
                if (!take_record(n))
                        break;
        if (n->in.len == 0)
                buf_fini(&n->in);
}

static void on_lower_data(struct net_stream *lower, void *ctx, struct slice data)
{
        struct noise_stream *n = ctx;

        (void)lower;
        buf_append_slice(&n->in, data);
        if (buf_status(&n->in) != OK)
                net_stream_emit_end(&n->base, ERR_LIMIT, "more came than is read");
        else
                step(n);
}

static void on_lower_writable(struct net_stream *lower, void *ctx)
{
        struct noise_stream *n = ctx;

        (void)lower;
        flush(n);
        net_stream_emit_drained(&n->base);
}

static void on_lower_end(struct net_stream *lower, void *ctx, enum err why)
{
        struct noise_stream *n = ctx;

        (void)lower;
        n->lower_end = why;
        step(n);
}

static const struct net_stream_handler lower_handler = {
        .on_data = on_lower_data, .on_writable = on_lower_writable, .on_end = on_lower_end,
};

static void on_pump(struct net_task *task)
{
        struct noise_stream *n = container_of(task, struct noise_stream, pump);

        if (!n->base.closed)
                step(n);
}

static void on_handshake_time(struct timer *t, const struct now *now)
{
        struct noise_stream *n = container_of(t, struct noise_stream, handshake);

        (void)now;
        net_stream_emit_end(&n->base, ERR_TIMEOUT, "the server did not finish the handshake within %d s",
                HANDSHAKE_MS / 1000);
}

static void noise_set_reading(struct net_stream *s, bool on)
{
        struct noise_stream *n = of(s);

        if (!s->lower)
                return;
        if (on) {
                net_stream_resume(s->lower);
                net_loop_defer(s->loop, &n->pump);
        } else if (n->phase == PHASE_OPEN) {
                net_stream_pause(s->lower);
        }
}

static void noise_destroy(struct net_stream *s)
{
        struct noise_stream *n = of(s);

        net_timer_stop(s->loop, &n->handshake);
        net_task_cancel(&n->pump);
        noise_client_wipe(&n->hs);
        noise_session_wipe(&n->session);
        net_stream_fini(s);
        buf_fini(&n->in);
        buf_fini(&n->out);
        buf_wipe(&n->before);
        buf_fini(&n->early);
        free(n);
}

static const struct net_stream_ops noise_ops = {
        .name = "noise",
        .set_reading = noise_set_reading,
        .writev = noise_writev,
        .queued = noise_queued,
        .shutdown = noise_shutdown,
        .destroy = noise_destroy,
};

static struct noise_stream *stream_new(struct net_stream *lower, enum phase phase)
{
        struct noise_stream *n = calloc(1, sizeof(*n));

        if (!n) {
                net_stream_close(lower);
                return NULL;
        }
        n->phase = phase;
        n->pump.run = on_pump;
        n->handshake.fire = on_handshake_time;
        buf_init(&n->in, IN_MAX);
        buf_init(&n->out, SIZE_MAX); /* the common part bounds it */
        buf_init(&n->before, NET_WRITE_LIMIT);
        buf_init(&n->early, NOISE_EARLY_JSON_MAX);
        net_stream_init(&n->base, &noise_ops, net_stream_loop(lower), lower, phase == PHASE_OPEN);
        return n;
}

enum err noise_stream_new(
        struct net_stream *lower, const struct noise_session *session, struct net_stream **out)
{
        struct noise_stream *n = stream_new(lower, PHASE_OPEN);

        *out = NULL;
        if (!n)
                return ERR_NOMEM;
        n->session = *session;
        net_stream_set_handler(lower, &lower_handler, n);
        *out = &n->base;
        return OK;
}

enum err net_noise_connect(struct net_stream *lower, struct noise_client *hs, struct net_stream **out)
{
        struct noise_stream *n = stream_new(lower, PHASE_RESPONSE);

        *out = NULL;
        if (!n) {
                noise_client_wipe(hs);
                return ERR_NOMEM;
        }
        n->hs = *hs;
        noise_client_wipe(hs);
        net_timer_start(n->base.loop, &n->handshake, HANDSHAKE_MS);
        net_stream_set_handler(lower, &lower_handler, n);
        *out = &n->base;
        return OK;
}

struct slice net_noise_early(const struct net_stream *s)
{
        return s->ops == &noise_ops ? buf_slice(&of(s)->early) : (struct slice){ 0 };
}
