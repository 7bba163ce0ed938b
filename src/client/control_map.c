/*
 * The map loop (spec/control.md 4.2, 7, 10): one long poll after the other while we
 * are logged in. A poll that says nothing for two minutes, makes no sense or ends is
 * replaced by a new one, which is a session of its own.
 */
#include "control_internal.h"

static void set_up(struct control_client *c, bool is_up)
{
        if (c->map.is_up == is_up)
                return;
        c->map.is_up = is_up;
        if (c->calls->poll_changed)
                c->calls->poll_changed(c->ctx, is_up);
}

void map_stop(struct control_client *c)
{
        exchange_cancel(&c->map.x);
        timer_cancel(&c->timers, &c->map.backoff.timer);
        map_splitter_fini(&c->map.splitter);
        set_up(c, false);
}

/* The poll is over; why is for people. */
static void poll_ended(struct control_client *c, const struct now *now, const char *why)
{
        bool worked = c->map.is_up;

        log_debug(&control_log, "map poll ended", "why=\"%s\"", why);
        map_stop(c);
        if (!c->is_logged_in || c->is_paused)
                return;
        if (!worked)
                control_problem(c, why);
        backoff_wait(c, &c->map.backoff, now);
}

static void begin_poll(struct control_client *c, const struct now *now)
{
        netmap_begin_session(c->netmap);
        c->map.saw_netmap = false;
        buf_fini(&c->map.pop_url);
        map_splitter_init(&c->map.splitter, MAP_FRAME_MAX);
        control_send_map(c, now, &c->map.x, MAP_POLL, CONTROL_WATCHDOG_S);
}

void map_start(struct control_client *c, const struct now *now)
{
        map_stop(c);
        if (!c->is_logged_in || c->is_paused)
                return;
        backoff_reset(c, &c->map.backoff);
        begin_poll(c, now);
}

static void pop_browser(struct control_client *c, struct slice url)
{
        if (url.len == 0 || slice_equal(url, buf_slice(&c->map.pop_url)))
                return;
        buf_clear(&c->map.pop_url);
        buf_append_slice(&c->map.pop_url, url);
        if (c->calls->pop_browser)
                c->calls->pop_browser(c->ctx, url);
}

/* What keep-alives may carry, too (spec/control.md 7). */
static void hear_common(struct control_client *c, const struct now *now, const struct tailcfg_map_response *m)
{
        if (m->ping_request)
                ping_handle(c, now, m->ping_request);
        pop_browser(c, m->pop_browser_url);
        if (m->client_version && c->calls->client_version)
                c->calls->client_version(c->ctx, m->client_version);
        netmap_note_control_time(c->netmap, &m->control_time, now);
        if (m->control_dial_plan && c->calls->dial_plan)
                c->calls->dial_plan(c->ctx, m->control_dial_plan);
}

static enum err hear(struct control_client *c, const struct now *now, const struct tailcfg_map_response *m)
{
        const struct netmap_changes *changes;
        uint64_t poll = c->map.x.id;
        enum err e;

        set_up(c, true);
        hear_common(c, now, m);
        if (m->debug && !m->keep_alive && c->calls->debug)
                c->calls->debug(c->ctx, m->debug);
        if (m->keep_alive || c->map.x.id != poll) /* or a listener has ended this poll */
                return OK;
        e = netmap_apply(c->netmap, m, now, &changes);
        if (e)
                return e;
        if (!c->map.saw_netmap) {
                c->map.saw_netmap = true;
                backoff_reset(c, &c->map.backoff);
                control_problem(c, "");
        }
        if ((changes->parts || changes->is_first) && c->calls->netmap_changed)
                c->calls->netmap_changed(c->ctx, changes);
        return OK;
}

static enum err hear_frame(struct control_client *c, const struct now *now, struct slice frame)
{
        struct buf json = BUF_INIT(MAP_FRAME_DECODED_MAX);
        struct arena arena = ARENA_INIT(CONTROL_MEMORY_MAX);
        struct tailcfg_map_response m;
        enum err e = map_frame_decompress(frame, &json);

        if (!e)
                e = tailcfg_map_response_decode(buf_slice(&json), &arena, &m);
        if (!e)
                e = hear(c, now, &m);
        arena_fini(&arena);
        buf_fini(&json);
        return e;
}

static void on_body(struct exchange *x, const struct now *now, struct slice bytes)
{
        struct control_client *c = x->client;
        uint64_t poll = x->id;
        struct slice frame;
        enum err e = map_splitter_push(&c->map.splitter, bytes);

        while (!e && map_splitter_next(&c->map.splitter, &frame)) {
                timer_arm(&c->timers, &x->timeout, now->mono_us + TIME_S(CONTROL_WATCHDOG_S));
                e = hear_frame(c, now, frame);
                if (x->id != poll)
                        return; /* a listener has ended this poll */
        }
        if (!e)
                e = c->map.splitter.status;
        if (!e)
                return;
        exchange_cancel(x);
        poll_ended(c, now, "a map message of the control server makes no sense");
}

static void on_end(struct exchange *x, const struct now *now, enum err e, const char *why)
{
        struct control_client *c = x->client;
        struct diag d;

        if (!e && x->status != 200) {
                exchange_refusal(x, &d);
                why = d.text;
        } else if (!e) {
                why = "the control server ended the map poll";
        }
        poll_ended(c, now, why);
}

static void backoff_over(struct timer *t, const struct now *now)
{
        struct control_client *c = container_of(t, struct control_client, map.backoff.timer);

        begin_poll(c, now);
}

void map_init(struct control_client *c)
{
        control_exchange_init(&c->map.x, c, on_end);
        c->map.x.on_body = on_body;
        backoff_init(&c->map.backoff, backoff_over);
        buf_init(&c->map.pop_url, CONTROL_ANSWER_MAX);
        map_splitter_init(&c->map.splitter, MAP_FRAME_MAX);
}

void map_fini(struct control_client *c)
{
        timer_cancel(&c->timers, &c->map.backoff.timer);
        control_exchange_fini(&c->map.x);
        map_splitter_fini(&c->map.splitter);
        buf_fini(&c->map.pop_url);
}
