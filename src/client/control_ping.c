/*
 * Answers to what the server asks of us in a PingRequest (spec/control.md 5.2): that
 * an URL be touched, that an address be pinged, or an HTTP request to the node (c2n).
 */
#include "control_internal.h"

#include <stdlib.h>

#include "c2n.h"

enum { HEAD_TIMEOUT_S = 15, PING_TIMEOUT_S = 10, REPLY_TIMEOUT_S = 15, C2N_TIMEOUT_S = 60, PING_TEXT_MAX = 1 << 20 };

struct ping {
        struct list link;
        struct control_client *client;
        uint64_t id;
        struct buf url;
        enum control_transport transport;
        uint64_t reply_timeout_s;
        struct timer deadline; /* for the answer to be found */
        struct exchange x;     /* the answer's way back */
};

static void ping_free(struct ping *p)
{
        struct control_client *c = p->client;

        list_remove(&p->link);
        c->ping_count--;
        timer_cancel(&c->timers, &p->deadline);
        control_exchange_fini(&p->x);
        buf_fini(&p->url);
        free(p);
}

/* Nobody looks at how the server liked the answer. */
static void answered(struct exchange *x, const struct now *now, enum err e, const char *why)
{
        struct ping *p = container_of(x, struct ping, x);

        (void)now;
        if (e)
                log_debug(&control_log, "a ping answer was not delivered", "why=\"%s\"", why);
        ping_free(p);
}

static void too_late(struct timer *t, const struct now *now)
{
        (void)now;
        ping_free(container_of(t, struct ping, deadline));
}

static struct ping *ping_new(struct control_client *c, const struct tailcfg_ping_request *rq, bool is_c2n)
{
        struct ping *p;

        if (c->ping_count >= CONTROL_PINGS_MAX)
                return NULL;
        p = calloc(1, sizeof(*p));
        if (!p)
                return NULL;
        p->client = c;
        p->id = ++c->last_id;
        p->transport = is_c2n || rq->url_is_noise ? CONTROL_NOISE : CONTROL_PLAIN;
        p->reply_timeout_s = is_c2n ? C2N_TIMEOUT_S : REPLY_TIMEOUT_S;
        p->deadline.fire = too_late;
        buf_init(&p->url, PING_TEXT_MAX);
        buf_append_slice(&p->url, rq->url);
        control_exchange_init(&p->x, c, answered);
        list_push_back(&c->pings, &p->link);
        c->ping_count++;
        return p;
}

static void send_answer(struct ping *p, const struct now *now, const char *method, struct slice body)
{
        struct request_text rq = { .transport = p->transport, .method = method, .url = buf_slice(&p->url), .body = body };

        timer_cancel(&p->client->timers, &p->deadline);
        exchange_start(&p->x, now, &rq, p->reply_timeout_s);
}

/* One that still waits for its answer, or NULL. */
static struct ping *find_unanswered(struct control_client *c, uint64_t ping_id)
{
        list_each(it, &c->pings) {
                struct ping *p = container_of(it, struct ping, link);

                if (p->id == ping_id && exchange_is_idle(&p->x))
                        return p;
        }
        return NULL;
}

void control_client_ping_reply(struct control_client *c, const struct now *now, uint64_t ping_id,
                               const struct tailcfg_ping_response *r)
{
        struct ping *p = find_unanswered(c, ping_id);
        struct buf json = BUF_INIT(PING_TEXT_MAX);
        struct json_writer w;

        if (!p)
                return;
        json_writer_init(&w, &json, NULL);
        tailcfg_ping_response_write(&w, r);
        send_answer(p, now, "POST", buf_slice(&json));
        buf_fini(&json);
}

void control_client_c2n_reply(struct control_client *c, const struct now *now, uint64_t ping_id, unsigned status,
                              const char *content_type, struct slice body)
{
        struct ping *p = find_unanswered(c, ping_id);
        struct buf text = BUF_INIT(PING_TEXT_MAX);

        if (!p)
                return;
        c2n_response_write(&text, status, content_type, body);
        send_answer(p, now, "POST", buf_slice(&text));
        buf_fini(&text);
}

static void handle_c2n(struct control_client *c, const struct now *now, const struct tailcfg_ping_request *rq)
{
        struct control_c2n request;
        struct ping *p = ping_new(c, rq, true);
        const char *text = "text/plain; charset=utf-8";
        uint64_t id = p ? p->id : 0;

        if (!p)
                return;
        timer_arm(&c->timers, &p->deadline, now->mono_us + TIME_S(C2N_TIMEOUT_S));
        if (c2n_request_parse(rq->payload, &request))
                control_client_c2n_reply(c, now, id, 400, text, SLICE_LIT("bad request\n"));
        else if (slice_is(request.path, "/echo"))
                control_client_c2n_reply(c, now, id, 200, text, request.body);
        else if (!c->calls->c2n || !c->calls->c2n(c->ctx, p->id, &request))
                control_client_c2n_reply(c, now, id, 400, text, SLICE_LIT("unknown c2n path\n"));
}

static void handle_pings(struct control_client *c, const struct now *now, const struct tailcfg_ping_request *rq)
{
        struct slice rest = rq->types, type;

        while (c->calls->ping && ip_valid(&rq->ip) && slice_split(&rest, ',', &type)) {
                struct ping *p = ping_new(c, rq, false);

                if (!p)
                        return;
                timer_arm(&c->timers, &p->deadline, now->mono_us + TIME_S(PING_TIMEOUT_S));
                c->calls->ping(c->ctx, p->id, slice_trim(type), &rq->ip);
        }
}

void ping_handle(struct control_client *c, const struct now *now, const struct tailcfg_ping_request *rq)
{
        if (rq->url.len == 0 || slice_equal(rq->url, buf_slice(&c->last_ping_url)))
                return;
        buf_clear(&c->last_ping_url);
        buf_append_slice(&c->last_ping_url, rq->url);
        if (slice_is(rq->types, "c2n")) {
                handle_c2n(c, now, rq);
        } else if (rq->types.len) {
                handle_pings(c, now, rq);
        } else {
                struct ping *p = ping_new(c, rq, false);

                if (p)
                        send_answer(p, now, "HEAD", (struct slice){ 0 });
        }
}

struct exchange *ping_exchange(struct control_client *c, uint64_t id)
{
        list_each(it, &c->pings) {
                struct ping *p = container_of(it, struct ping, link);

                if (p->x.id == id)
                        return &p->x;
        }
        return NULL;
}

void ping_stop(struct control_client *c)
{
        list_each_safe(it, &c->pings)
                ping_free(container_of(it, struct ping, link));
}

void ping_fini(struct control_client *c)
{
        ping_stop(c);
        buf_fini(&c->last_ping_url);
}
