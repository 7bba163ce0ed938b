#include "path/upnp.h"

#include <stdlib.h>

#include "base/log.h"
#include "upnp_job.h"

enum { PORT_MIN = 1024, PORT_MAX = 65534 };

static const struct log log_upnp = { "upnp" };

/* A request on its way; its own memory, since it may outlive the object. */
struct request {
        struct upnp *u;
        struct upnp_job job;
        enum err result;
};

struct wish {
        bool is_set;
        uint16_t internal_port, external_port;
        uint32_t lifetime_s;
};

struct upnp {
        struct net_loop *loop;
        const struct upnp_calls *calls;
        void *ctx;
        struct ip_addr gateway, self;
        char location[UPNP_URL_MAX]; /* of the router, once found */
        struct net_work *running;
        struct wish next;
};

enum err upnp_new(struct net_loop *loop, const struct upnp_calls *calls, void *ctx, struct upnp **out)
{
        struct upnp *u = calloc(1, sizeof(*u));

        *out = u;
        if (!u)
                return ERR_NOMEM;
        u->loop = loop;
        u->calls = calls;
        u->ctx = ctx;
        return OK;
}

void upnp_free(struct upnp *u)
{
        if (!u)
                return;
        if (u->running)
                net_work_cancel(u->running);
        free(u);
}

void upnp_set_network(struct upnp *u, const struct ip_addr *gateway, const struct ip_addr *self)
{
        if (!ip_equal(&u->gateway, gateway))
                u->location[0] = '\0';
        u->gateway = *gateway;
        u->self = *self;
}

/* ---- running ---- */

static void run(void *ctx)
{
        struct request *r = ctx;

        r->result = upnp_job_run(&r->job);
}

static void start(struct upnp *u, const struct wish *wish);

static void run_next(struct upnp *u)
{
        struct wish next = u->next;

        u->next.is_set = false;
        if (next.is_set)
                start(u, &next);
}

static void done(void *ctx)
{
        struct request *r = ctx;
        struct upnp *u = r->u;
        struct upnp_job job = r->job;

        log_debug(&log_upnp, "asked the router", "result=\"%s\" lifetime_s=%u", err_str(r->result),
                job.lifetime_s);
        free(r);
        u->running = NULL;
        if (ip_equal(&u->gateway, &job.gateway))
                memcpy(u->location, job.location, sizeof(u->location));
        run_next(u);
        if (job.lifetime_s)
                u->calls->done(u->ctx, &job.external, job.granted_s);
}

static void drop(void *ctx) { free(ctx); }

static const struct net_work_calls work = { run, done, drop };

static void start(struct upnp *u, const struct wish *wish)
{
        struct request *r = calloc(1, sizeof(*r));

        if (!r)
                return; /* the path manager stops waiting by itself */
        r->u = u;
        r->job = (struct upnp_job){
                .gateway = u->gateway,
                .self = u->self,
                .internal_port = wish->internal_port,
                .external_port = wish->external_port,
                .lifetime_s = wish->lifetime_s,
        };
        if (r->job.external_port < PORT_MIN)
                r->job.external_port = (uint16_t)rng_between(net_rng(), PORT_MIN, PORT_MAX);
        memcpy(r->job.location, u->location, sizeof(u->location));
        if (net_work_start(u->loop, &work, r, &u->running) != OK)
                free(r);
}

void upnp_ask(struct upnp *u, uint16_t internal_port, uint16_t external_port, uint32_t lifetime_s)
{
        struct wish wish = { true, internal_port, external_port, lifetime_s };

        if (!ip_valid(&u->gateway) || !ip_valid(&u->self))
                return;
        if (u->running)
                u->next = wish;
        else
                start(u, &wish);
}
