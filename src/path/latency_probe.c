#include "path/latency_probe.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "net/http_client.h"
#include "path/relay_dial.h"

static const struct log probe_log = { "netcheck" };

enum {
        PROBES_MAX = NETCHECK_REGIONS_MAX,
        PATIENCE_MS = 5000, /* a report is complete by then */
};

struct latency_probes {
        struct net_loop *loop;
        uint32_t mark;
        latency_probe_done *done;
        void *ctx;
        struct list running;
        unsigned count;
};

struct latency_probe {
        struct list link;
        struct latency_probes *set;
        struct netcheck_latency_probe what;
        char host[256];
        struct net_dial *dial;
        struct http_client *http;
        uint64_t asked_us;
        struct timer patience;
        enum err status;
        uint64_t latency_us;
        struct net_task end_task; /* the connection may not be freed from its own calls */
};

static void probe_free(struct latency_probe *p)
{
        list_remove(&p->link);
        p->set->count--;
        net_timer_stop(p->set->loop, &p->patience);
        net_task_cancel(&p->end_task);
        net_dial_cancel(p->dial);
        http_client_free(p->http);
        free(p);
}

static void end_now(struct net_task *task)
{
        struct latency_probe *p = container_of(task, struct latency_probe, end_task);
        struct latency_probes *s = p->set;
        const struct netcheck_latency_probe what = p->what;
        enum err status = p->status;
        uint64_t latency_us = p->latency_us;

        probe_free(p);
        s->done(s->ctx, &what, status, latency_us);
}

/* The first end counts. */
static void end(struct latency_probe *p, enum err status)
{
        p->status = status;
        net_timer_stop(p->set->loop, &p->patience);
        net_loop_defer(p->set->loop, &p->end_task);
}

static void on_patience(struct timer *t, const struct now *now)
{
        (void)now;
        end(container_of(t, struct latency_probe, patience), ERR_TIMEOUT);
}

static void on_head(void *ctx, const struct http_response *r)
{
        struct latency_probe *p = ctx;

        p->latency_us = net_clock().mono_us - p->asked_us;
        end(p, r->status <= 299 ? OK : ERR_UNSUPPORTED);
}

static void on_done(void *ctx, enum err e, const struct diag *d)
{
        struct latency_probe *p = ctx;

        (void)d;
        if (e)
                end(p, e);
}

static void dialled(void *ctx, enum err e, struct net_stream *stream, const struct diag *d)
{
        static const struct http_call_events events = { .on_head = on_head, .on_done = on_done };
        struct latency_probe *p = ctx;
        struct http_call *call;

        p->dial = NULL;
        if (e) {
                log_debug(&probe_log, "no latency by HTTPS", "region=%u why=\"%s\"", p->what.region, d->text);
                end(p, e);
                return;
        }
        e = http_client_new(stream, false, NULL, NULL, &p->http);
        if (e)
                p->http = NULL;
        const struct http_ask ask = { .target = "/derp/latency-check", .authority = p->host };
        p->asked_us = net_clock().mono_us;
        if (!e)
                e = http_client_call(p->http, &ask, &events, p, &call);
        if (e)
                end(p, e);
}

/* The first node of the region that relays. */
static const struct tailcfg_derp_node *node_of(const struct tailcfg_derp_map *map, uint16_t region)
{
        const struct tailcfg_derp_region *r = map ? tailcfg_derp_region_find(map, region) : NULL;

        for (size_t i = 0; r && i < r->nodes.count; i++)
                if (!r->nodes.items[i].stun_only)
                        return &r->nodes.items[i];
        return NULL;
}

static enum err dial(struct latency_probe *p, const struct tailcfg_derp_node *node)
{
        struct relay_dial to;

        if (p->what.kind != NETCHECK_HTTPS)
                return ERR_UNSUPPORTED;
        if (!node)
                return ERR_NOTFOUND;
        enum err e = relay_dial_make(node, &to);
        if (e)
                return e;
        snprintf(p->host, sizeof p->host, "%s", to.host);
        to.options.mark = p->set->mark;
        to.options.timeout_ms = PATIENCE_MS;
        return net_dial_start(p->set->loop, &to.options, dialled, p, &p->dial);
}

void latency_probe_start(struct latency_probes *s, const struct tailcfg_derp_map *map, const struct netcheck_latency_probe *probe)
{
        struct latency_probe *p = s->count < 2 * PROBES_MAX ? calloc(1, sizeof *p) : NULL;

        if (!p)
                return; /* the report does without it at its end */
        p->set = s;
        p->what = *probe;
        p->patience.fire = on_patience;
        p->end_task.run = end_now;
        list_push_back(&s->running, &p->link);
        s->count++;
        net_timer_start(s->loop, &p->patience, PATIENCE_MS);
        enum err e = dial(p, node_of(map, probe->region));
        if (e) {
                p->dial = NULL;
                end(p, e);
        }
}

struct latency_probes *latency_probes_new(struct net_loop *loop, uint32_t mark, latency_probe_done *done, void *ctx)
{
        struct latency_probes *s = calloc(1, sizeof *s);

        if (!s)
                return NULL;
        s->loop = loop;
        s->mark = mark;
        s->done = done;
        s->ctx = ctx;
        list_init(&s->running);
        return s;
}

void latency_probes_free(struct latency_probes *s)
{
        if (!s)
                return;
        list_each_safe (it, &s->running)
                probe_free(container_of(it, struct latency_probe, link));
        free(s);
}
