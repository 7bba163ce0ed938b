/* The control client: its life, its requests, and what it is told; see control.h. */
#include "control_internal.h"

#include <stdlib.h>

#include "base/text.h"

enum { BACKOFF_STEP_MS = 10, BACKOFF_MAX_MS = 30000, BACKOFF_FAILURES_MAX = 55, RETRY_AFTER_MAX_S = 3600 };

const struct log control_log = { "control" };

struct control_client *control_client_new(const struct control_config *config)
{
        struct control_client *c = calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        c->calls = config->calls;
        c->ctx = config->ctx;
        c->wire = config->wire;
        c->wire_ctx = config->wire_ctx;
        c->rng = config->rng;
        c->netmap = config->netmap;
        c->keys = config->keys;
        c->nl_key = config->nl_key;
        c->is_ephemeral = config->is_ephemeral;
        c->server_is_plain = slice_has_prefix(slice_str(config->server_url), SLICE_LIT("http://"));
        arena_init(&c->hostinfo_arena, CONTROL_REQUEST_MAX);
        arena_init(&c->netinfo_arena, CONTROL_REQUEST_MAX);
        timer_heap_init(&c->timers);
        list_init(&c->pings);
        buf_init(&c->last_ping_url, CONTROL_ANSWER_MAX);
        auth_init(c);
        map_init(c);
        update_init(c);
        return c;
}

void control_client_free(struct control_client *c)
{
        if (!c)
                return;
        ping_fini(c);
        auth_fini(c);
        map_fini(c);
        update_fini(c);
        timer_heap_fini(&c->timers);
        arena_fini(&c->hostinfo_arena);
        arena_fini(&c->netinfo_arena);
        free(c->endpoints);
        free(c->endpoint_types);
        key_wipe(&c->keys, sizeof(c->keys));
        free(c);
}

static void timed_out(struct timer *t, const struct now *now)
{
        struct exchange *x = container_of(t, struct exchange, timeout);

        exchange_cancel(x);
        x->on_end(x, now, ERR_TIMEOUT, "the control server does not answer");
}

void control_exchange_init(struct exchange *x, struct control_client *c,
                   void (*on_end)(struct exchange *, const struct now *, enum err, const char *))
{
        *x = (struct exchange){ .client = c, .on_end = on_end, .timeout.fire = timed_out };
        buf_init(&x->body, CONTROL_ANSWER_MAX);
}

void exchange_start(struct exchange *x, const struct now *now, const struct request_text *text, uint64_t timeout_s)
{
        struct control_client *c = x->client;
        char hints[2][KEY_TEXT_MAX];
        struct control_request rq = {
                .id = ++c->last_id,
                .transport = text->transport,
                .server_key = c->server_key,
                .method = text->method,
                .url = text->url,
                .content_type = text->content_type,
                .body = text->body,
        };
        const struct public_key *keys[2] = { text->old_node_key, text->node_key };
        size_t n = 0;

        for (size_t i = 0; i < 2; i++) {
                if (!keys[i] || key_is_zero(keys[i]))
                        continue;
                key_format("nodekey:", keys[i], hints[n]);
                rq.load_balancer[n] = slice_str(hints[n]);
                n++;
        }
        x->id = rq.id;
        x->status = 0;
        x->retry_after_s = 0;
        buf_fini(&x->body);
        if (timeout_s)
                timer_arm(&c->timers, &x->timeout, now->mono_us + TIME_S(timeout_s));
        c->wire->request(c->wire_ctx, &rq);
}

/* Idle again; the body stays until the next start. */
static void settle(struct exchange *x)
{
        x->id = 0;
        timer_cancel(&x->client->timers, &x->timeout);
}

void exchange_cancel(struct exchange *x)
{
        uint64_t id = x->id;

        if (!id)
                return;
        settle(x);
        x->client->wire->cancel(x->client->wire_ctx, id);
}

void control_exchange_fini(struct exchange *x)
{
        exchange_cancel(x);
        buf_wipe(&x->body);
}

void exchange_refusal(const struct exchange *x, struct diag *d)
{
        struct slice text = slice_trim(slice_first(buf_slice(&x->body), CONTROL_ERROR_TEXT_MAX));

        if (text.len)
                diag_set(d, ERR_DENIED, "the control server refuses (status %u): %.*s", x->status, SLICE_ARGS(text));
        else
                diag_set(d, ERR_DENIED, "the control server refuses (status %u)", x->status);
}

void backoff_init(struct backoff *b, void (*fire)(struct timer *, const struct now *))
{
        *b = (struct backoff){ .timer.fire = fire };
}

/* The n-th failure in a row waits n * n * 10 ms, at most 30 s, give or take half
 * (spec/control.md 10). */
void backoff_wait(struct control_client *c, struct backoff *b, const struct now *now)
{
        uint64_t ms;

        if (b->failures < BACKOFF_FAILURES_MAX)
                b->failures++;
        ms = (uint64_t)b->failures * b->failures * BACKOFF_STEP_MS;
        if (ms > BACKOFF_MAX_MS)
                ms = BACKOFF_MAX_MS;
        ms = rng_between(c->rng, ms / 2, ms + ms / 2);
        timer_arm(&c->timers, &b->timer, now->mono_us + TIME_MS(ms));
}

void backoff_reset(struct control_client *c, struct backoff *b)
{
        timer_cancel(&c->timers, &b->timer);
        b->failures = 0;
}

void control_problem(struct control_client *c, const char *text)
{
        bool is_problem = text[0] != '\0';

        if (!is_problem && !c->has_problem)
                return;
        c->has_problem = is_problem;
        if (c->calls->problem)
                c->calls->problem(c->ctx, text);
}

static struct exchange *find_exchange(struct control_client *c, uint64_t id)
{
        struct exchange *loops[] = { &c->auth.x, &c->map.x, &c->update.x };

        if (!id)
                return NULL;
        for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
                if (loops[i]->id == id)
                        return loops[i];
        }
        return ping_exchange(c, id);
}

void control_client_response(struct control_client *c, const struct now *now, uint64_t id, unsigned status,
                             struct slice retry_after)
{
        struct exchange *x = find_exchange(c, id);
        uint64_t seconds;

        if (!x)
                return;
        x->status = status;
        if (parse_u64(retry_after, RETRY_AFTER_MAX_S, &seconds) == OK)
                x->retry_after_s = seconds;
        if (x->on_status)
                x->on_status(x, now);
}

void control_client_body(struct control_client *c, const struct now *now, uint64_t id, struct slice bytes)
{
        struct exchange *x = find_exchange(c, id);

        if (!x)
                return;
        if (x->on_body && x->status == 200) {
                x->on_body(x, now, bytes);
                return;
        }
        buf_append_slice(&x->body, bytes);
        if (buf_status(&x->body) && x->status == 200) {
                exchange_cancel(x);
                x->on_end(x, now, ERR_LIMIT, "the control server's answer is too long");
        }
}

void control_client_end(struct control_client *c, const struct now *now, uint64_t id, enum err e, const char *why)
{
        struct exchange *x = find_exchange(c, id);

        if (!x)
                return;
        settle(x);
        if (e == ERR_AUTH)
                c->has_server_key = false;
        x->on_end(x, now, e, why ? why : err_str(e));
}

void control_client_pause(struct control_client *c, const struct now *now, bool paused)
{
        if (paused == c->is_paused)
                return;
        log_debug(&control_log, paused ? "paused" : "resumed", NULL);
        c->is_paused = paused;
        if (paused) {
                auth_stop(c);
                map_stop(c);
                update_stop(c);
                ping_stop(c);
                return;
        }
        auth_continue(c, now);
        map_start(c, now);
        update_continue(c, now);
}

uint64_t control_client_next(const struct control_client *c)
{
        return timer_next(&c->timers);
}

void control_client_run(struct control_client *c, const struct now *now)
{
        timer_run(&c->timers, now);
}

struct slice control_client_auth_url(const struct control_client *c)
{
        return c->login_state == CONTROL_WAITS_FOR_URL ? buf_slice(&c->auth.followup) : (struct slice){ 0 };
}

bool control_client_in_poll(const struct control_client *c)
{
        return c->map.is_up;
}
