/*
 * What must be true once calm has returned, and what must stay true while the control
 * server is away:
 *   1. both nodes are Running, registered exactly once, and answer each other
 *      directly through both NATs, by the relay where these allow no direct path;
 *   2. the control server dies: not one answer is missing;
 *   3. a node is restarted meanwhile: it starts from its cache and is answered again;
 *   4. the control server returns: everything as in 1;
 *   5. the administrator ends a node's key: it asks for a login, gets one with a new
 *      auth key, and with its new node key is the same node as before.
 */
#include "sim.h"

enum {
        SETTLE_S = 5,  /* for packets lost while the network still lost some */
        WATCHED_S = 10,
        TRUST_S = 7,        /* spec/paths.md: how long a path is trusted without a sign of life */
        RESTART_S = 45, /* a peer notices a restart by its own silence: the WireGuard timers */
        EXPIRE_S = 10,
        RETURN_S = 90,  /* back-off, the new poll, the new disco key's way to the peer */
};

struct count {
        uint64_t pings[NODE_COUNT], pongs[NODE_COUNT];
};

static struct count count(const struct world *w)
{
        struct count c;

        for (unsigned i = 0; i < NODE_COUNT; i++) {
                c.pings[i] = sim_node_pings(w->nodes[i]);
                c.pongs[i] = sim_node_pongs(w->nodes[i]);
        }
        return c;
}

static void fail(struct world *w, enum host_id h, const char *when, const char *what)
{
        struct buf state = BUF_INIT(2000);

        for (unsigned i = 0; i < NODE_COUNT; i++)
                sim_node_describe(w->nodes[i], &state);
        world_fail(w, "%s %s %s%s", when, host_name(h), what, buf_cstr(&state));
        buf_fini(&state);
}

/*
 * Every ping but one that is on its way gets its answer. Behind two hard NATs that let
 * strangers in, a direct path may lead through a mapping that its owner does not use and
 * so does not keep alive; when it is gone, nothing tells before the path's trust ends.
 */
static void must_answer(struct world *w, const char *when)
{
        struct count before, after;
        uint64_t watched_s = net_allows_direct(w) ? WATCHED_S : 2 * WATCHED_S, lost_max = net_allows_direct(w) ? 1 : TRUST_S + 1;

        before = count(w);
        world_live_until(w, w->now_us + TIME_S(watched_s));
        after = count(w);
        for (unsigned i = 0; i < NODE_COUNT; i++) {
                uint64_t pings = after.pings[i] - before.pings[i], pongs = after.pongs[i] - before.pongs[i];

                if (pings < watched_s - 1 || pongs + lost_max < pings)
                        fail(w, (enum host_id)i, when, "hears too few answers");
        }
}

static void must_be_direct(struct world *w, const char *when)
{
        for (unsigned i = 0; net_allows_direct(w) && i < NODE_COUNT; i++) {
                if (!sim_node_is_direct(w->nodes[i]))
                        fail(w, (enum host_id)i, when, "has no direct path");
        }
}

static void must_run(struct world *w, const char *when)
{
        for (unsigned i = 0; i < NODE_COUNT; i++) {
                if (!sim_node_is_running(w->nodes[i]))
                        fail(w, (enum host_id)i, when, "is not running");
        }
        if (sim_control_nodes(w->control) != NODE_COUNT)
                fail(w, HOST_CONTROL, when, "does not know exactly the two");
}

static void rotate_key(struct world *w, enum host_id h)
{
        int64_t id = sim_node_id(w->nodes[h]);
        char key[200];

        for (unsigned i = 0; i < HOST_COUNT; i++)
                w->hosts[i].clock_offset_us = 0; /* whether a key is over is a question of clocks */
        sim_control_expire(w->control, id);
        world_live_until(w, w->now_us + TIME_S(EXPIRE_S));
        if (!sim_node_needs_login(w->nodes[h]))
                fail(w, h, "with its key ended", "does not ask for a login");
        sim_control_make_key(w->control, key, sizeof(key));
        sim_node_up(w->nodes[h], key);
        world_live_until(w, w->now_us + TIME_S(EXPIRE_S));
        if (sim_node_id(w->nodes[h]) != id)
                fail(w, h, "with a new key", "has become another node");
}

void world_judge(struct world *w)
{
        enum host_id unlucky = (enum host_id)rng_below(&w->rng.rng, NODE_COUNT);

        w->loss_per_million = 0;
        world_live_until(w, w->now_us + TIME_S(SETTLE_S));
        must_run(w, "after the calm");
        must_answer(w, "after the calm");
        must_be_direct(w, "after the calm");

        world_crash(w, HOST_CONTROL);
        must_answer(w, "without control");
        must_be_direct(w, "without control");

        world_crash(w, unlucky);
        world_live_until(w, w->now_us + TIME_S(1));
        world_boot(w, unlucky);
        world_live_until(w, w->now_us + TIME_S(RESTART_S));
        must_answer(w, "restarted without control");

        world_boot(w, HOST_CONTROL);
        world_live_until(w, w->now_us + TIME_S(RETURN_S));
        must_run(w, "after control's return");
        must_answer(w, "after control's return");
        must_be_direct(w, "after control's return");

        rotate_key(w, unlucky);
        must_run(w, "with a new key");
        must_answer(w, "with a new key");
        must_be_direct(w, "with a new key");
}
