/*
 * What sessions were told, delta by delta, is what a whole map says: random changes of
 * nodes, users, routes, tags and policies, slow readers, a disk that fails and a power
 * cut, and after each handful every node's netmap is held against a fresh one.
 */
#include "client/netmap.h"
#include "test_world.h"

enum { CLIENTS = 8, ROUNDS = 60, CHANGES = 5 };

static const char *const policies[] = {
        "{}",
        "{\"acls\":[]}",
        "{\"tagOwners\":{\"tag:a\":[\"ann@\"],\"tag:b\":[\"bob@\"]},"
        "\"acls\":[{\"action\":\"accept\",\"src\":[\"ann@\"],\"dst\":[\"tag:a:22\",\"bob@:443\"]}]}",
        "{\"tagOwners\":{\"tag:a\":[\"ann@\"],\"tag:b\":[\"bob@\"]},"
        "\"acls\":[{\"action\":\"accept\",\"src\":[\"tag:a\"],\"dst\":[\"tag:b:*\",\"10.1.0.0/16:80\"]},"
        "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self:*\"]}]}",
        "{\"groups\":{\"group:x\":[\"ann@\",\"bob@\"]},\"tagOwners\":{\"tag:a\":[],\"tag:b\":[]},"
        "\"autoApprovers\":{\"routes\":{\"10.0.0.0/8\":[\"tag:b\",\"ann@\"]},\"exitNode\":[\"tag:a\"]},"
        "\"acls\":[{\"action\":\"accept\",\"src\":[\"group:x\"],\"dst\":[\"autogroup:internet:*\",\"10.0.0.0/8:*\"]}],"
        "\"nodeAttrs\":[{\"target\":[\"tag:b\"],\"attr\":[\"magicdns-aaaa\"]},"
        "{\"target\":[\"bob@\"],\"attr\":[\"disable-ipv4\"]}]}",
        "{\"tagOwners\":{\"tag:a\":[],\"tag:b\":[]},\"grants\":[{\"src\":[\"tag:b\"],\"dst\":[\"ann@\"],\"ip\":[\"tcp:22\"]},"
        "{\"src\":[\"ann@\"],\"dst\":[\"10.2.0.0/16\"],\"ip\":[\"*\"],\"via\":[\"tag:a\"]}],"
        "\"ssh\":[{\"action\":\"accept\",\"src\":[\"ann@\"],\"dst\":[\"tag:b\"],\"users\":[\"root\"]}]}",
};

static const char *const hostinfos[] = {
        "{\"OS\":\"linux\",\"Hostname\":\"pc\"}",
        "{\"OS\":\"linux\",\"Hostname\":\"router\",\"RoutableIPs\":[\"10.1.0.0/16\",\"10.2.0.0/16\"]}",
        "{\"OS\":\"linux\",\"Hostname\":\"exit\",\"RoutableIPs\":[\"0.0.0.0/0\",\"::/0\",\"10.2.0.0/16\"]}",
};

struct machine {
        struct client c, lite; /* the long poll; everything else it asks */
        struct netmap *told;
        bool is_in;
};

struct play {
        struct world w;
        struct machine m[CLIENTS];
        struct rng_seeded rng;
        uint8_t next_key;
        unsigned compared;
};

static uint64_t pick(struct play *p, uint64_t n) { return rng_below(&p->rng.rng, n); }

static void ask(struct play *p, const char *method, const char *body, const char *fmt, ...) PRINTF_LIKE(4, 5);
static void ask(struct play *p, const char *method, const char *body, const char *fmt, ...)
{
        char path[256];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(path, sizeof(path), fmt, ap);
        va_end(ap);
        (void)admin(&p->w, method, path, body, NULL); /* may be refused: that changes nothing */
}

/* ---- the netmap of a machine ------------------------------------------------------- */

static void apply(struct netmap *nm, struct slice json, const struct now *now)
{
        struct arena a = ARENA_INIT(16 << 20);
        struct tailcfg_map_response map;

        assert_int_equal(tailcfg_map_response_decode(json, &a, &map), OK);
        assert_int_equal(netmap_apply(nm, &map, now, NULL), OK);
        arena_fini(&a);
}

static void hear(struct play *p, struct machine *m)
{
        struct slice rest = buf_slice(&m->c.stream), line;

        while (rest.len && slice_split(&rest, '\n', &line)) {
                if (line.len)
                        apply(m->told, line, &p->w.now);
        }
        buf_clear(&m->c.stream);
}

static void poll_again(struct machine *m)
{
        if (m->c.open)
                client_hang_up(&m->c);
        buf_clear(&m->c.stream);
        m->c.full = false;
        client_poll(&m->c);
        netmap_begin_session(m->told);
}

/* Self without what it told the others first; a peer that is back keeps the time at which
 * it was seen last, which a whole map does not repeat. */
static void write_node(struct tailcfg_node n, bool is_self, struct buf *out)
{
        struct json_writer w;

        if (is_self) {
                n.endpoints = (struct tailcfg_endpoints){ 0 };
                n.hostinfo = NULL;
                n.disco_key = (struct public_key){ 0 };
                n.home_derp = 0;
                n.cap = 0;
                n.online = TAILCFG_UNSET;
        }
        if (is_self || n.online == TAILCFG_TRUE)
                n.last_seen = (struct tailcfg_time){ 0 };
        json_writer_init(&w, out, NULL);
        tailcfg_node_write(&w, &n);
        buf_append_byte(out, '\n');
}

static bool covers(const struct tailcfg_match *m, const struct ip_prefix *own)
{
        switch (m->kind) {
        case TAILCFG_MATCH_PREFIX:
                return ip_prefix_contains(&m->prefix, &own->ip) || ip_prefix_contains(own, &m->prefix.ip);
        case TAILCFG_MATCH_RANGE:
                return ip_compare(&m->first, &own->ip) <= 0 && ip_compare(&own->ip, &m->last) <= 0;
        case TAILCFG_MATCH_ANY:
        case TAILCFG_MATCH_CAP:
                break;
        }
        return true;
}

/* What a rule opens of the node: which other addresses its ranges name is nothing to it. */
static void write_rule(const struct tailcfg_filter_rule *rule, const struct tailcfg_node *self, struct buf *out)
{
        struct tailcfg_filter_rule sources = *rule;
        struct tailcfg_match m;
        struct json_writer w;

        sources.dst_ports = (struct tailcfg_dst_ports){ 0 };
        json_writer_init(&w, out, NULL);
        tailcfg_filter_rule_write(&w, &sources);
        for (size_t i = 0; i < rule->dst_ports.count; i++) {
                const struct tailcfg_dst_port *dst = &rule->dst_ports.items[i];
                if (tailcfg_match_parse(dst->ip, &m) != OK)
                        fail();
                buf_printf(out, " %u-%u:", dst->ports.first, dst->ports.last);
                for (size_t k = 0; k < self->allowed_ips.count; k++)
                        buf_printf(out, "%d", covers(&m, &self->allowed_ips.items[k]));
        }
        buf_append_byte(out, '\n');
}

static void write_netmap(const struct netmap *nm, struct buf *out)
{
        write_node(*netmap_self(nm), true, out);
        for (size_t i = 0; i < netmap_peer_count(nm); i++)
                write_node(*netmap_peer_at(nm, i), false, out);
        for (size_t i = 0; i < netmap_filter(nm)->count; i++)
                write_rule(&netmap_filter(nm)->items[i], netmap_self(nm), out);
        buf_append_slice(out, netmap_ssh_policy(nm));
}

/* Line by line: one a node. */
static void expect_same(struct slice told, struct slice whole)
{
        struct slice a, b;

        if (slice_equal(told, whole))
                return;
        while (told.len || whole.len) {
                a = b = (struct slice){ 0 };
                (void)slice_split(&told, '\n', &a);
                (void)slice_split(&whole, '\n', &b);
                if (!slice_equal(a, b))
                        printf("told:  %.*s\nwhole: %.*s\n", SLICE_ARGS(a), SLICE_ARGS(b));
        }
        fail();
}

/* A whole map must be no news. Names of users who are no longer in sight may stay. */
static void compare(struct play *p, struct machine *m)
{
        struct buf before = BUF_INIT(1 << 20), after = BUF_INIT(1 << 20);

        hear(p, m);
        write_netmap(m->told, &before);
        buf_clear(&m->lite.body);
        client_map(&m->lite, "\"ReadOnly\":true,");
        world_sync(&p->w);
        assert_int_equal(m->lite.status, 200);
        netmap_begin_session(m->told);
        apply(m->told, slice_after(buf_slice(&m->lite.body), 4), &p->w.now);
        write_netmap(m->told, &after);
        expect_same(buf_slice(&before), buf_slice(&after));
        for (size_t i = 0; i < netmap_peer_count(m->told); i++)
                assert_non_null(netmap_user(m->told, netmap_peer_at(m->told, i)->user));
        p->compared++;
        buf_fini(&before);
        buf_fini(&after);
}

/* ---- changes --------------------------------------------------------------------------- */

static void join(struct play *p, struct machine *m)
{
        static const char *const keys[] = { "{\"user\":\"1\"}", "{\"user\":\"2\"}", "{\"aclTags\":[\"tag:a\"]}",
                "{\"user\":\"1\",\"ephemeral\":true}" };
        struct buf out = BUF_INIT(1 << 16);
        char key[128];

        if (admin(&p->w, "POST", "/api/v1/preauthkey", keys[pick(p, 4)], &out) == 200) {
                member(&out, "key", key, sizeof(key));
                m->c.node_key.b[2] = m->lite.node_key.b[2] = ++p->next_key;
                client_register_with(&m->lite, key);
                world_sync(&p->w);
                m->is_in = has(&m->lite.body, "\"MachineAuthorized\":true");
                if (m->is_in)
                        poll_again(m);
        }
        buf_clear(&m->lite.body);
        buf_fini(&out);
}

static struct node *node_of(struct play *p, const struct machine *m)
{
        return tailnet_node_by_key(&p->w.server->tailnet, &m->c.node_key);
}

static void change_policy(struct play *p)
{
        struct buf body = BUF_INIT(1 << 16);
        struct json_writer j;

        json_writer_init(&j, &body, NULL);
        json_object_open(&j);
        json_field_str(&j, "policy", policies[pick(p, sizeof(policies) / sizeof(policies[0]))]);
        json_object_close(&j);
        if (pick(p, 4)) {
                ask(p, "PUT", buf_cstr(&body), "/api/v1/policy");
        } else { /* and the disk refuses it */
                struct client c;
                client_init(&c, &p->w, 0);
                server_api(p->w.server, &p->w.now, SLICE_LIT("PUT"), SLICE_LIT("/api/v1/policy"),
                        (struct slice){ 0 }, buf_slice(&body), &c.call);
                store_memory_fail(p->w.store, ERR_LIMIT);
                server_store_ready(p->w.server, &p->w.now);
                client_fini(&c);
        }
        buf_fini(&body);
}

static void change_users(struct play *p)
{
        switch (pick(p, 4)) {
        case 0:
                ask(p, "POST", "{\"name\":\"cyd\"}", "/api/v1/user");
                return;
        case 1:
                ask(p, "DELETE", "", "/api/v1/user/3");
                return;
        case 2:
                ask(p, "POST", "", "/api/v1/user/2/rename/bert");
                return;
        default:
                ask(p, "POST", "", "/api/v1/user/2/rename/bob");
        }
}

static void change_node(struct play *p, struct machine *m)
{
        const struct node *n = node_of(p, m);
        long long id = n ? (long long)n->id : 0;

        switch (pick(p, 7)) {
        case 0:
                ask(p, "POST", pick(p, 2) ? "{\"tags\":[\"tag:a\"]}" : "{\"tags\":[\"tag:a\",\"tag:b\"]}",
                        "/api/v1/node/%lld/tags", id);
                return;
        case 1:
                ask(p, "POST",
                        pick(p, 2) ? "{\"routes\":[\"10.1.0.0/16\",\"0.0.0.0/0\"]}" : "{\"routes\":[\"10.2.0.0/16\"]}",
                        "/api/v1/node/%lld/approve_routes", id);
                return;
        case 2:
                ask(p, "POST", "", "/api/v1/node/%lld/rename/n%llu", id, (unsigned long long)pick(p, 100));
                return;
        case 3:
                ask(p, "DELETE", "", "/api/v1/node/%lld", id);
                return;
        case 4:
                ask(p, "POST", "", "/api/v1/node/%lld/expire", id);
                return;
        default:
                m->c.hostinfo = m->lite.hostinfo = hostinfos[pick(p, 3)];
                client_map(&m->lite, "\"OmitPeers\":true,\"Endpoints\":[\"192.0.2.1:4\"],");
                buf_clear(&m->lite.body);
        }
}

static void change_connection(struct play *p, struct machine *m)
{
        switch (pick(p, 4)) {
        case 0:
                if (m->c.open)
                        client_hang_up(&m->c);
                return;
        case 1:
                m->c.full = true;
                return;
        case 2:
                m->c.full = false;
                server_call_writable(p->w.server, &p->w.now, &m->c.call);
                return;
        default:
                poll_again(m);
        }
}

static void change(struct play *p)
{
        struct machine *m = &p->m[pick(p, CLIENTS)];

        switch (pick(p, 8)) {
        case 0:
                change_policy(p);
                break;
        case 1:
                change_users(p);
                break;
        case 2:
                world_pass(&p->w, TIME_MS(pick(p, 20000)));
                break;
        default:
                if (!m->is_in)
                        join(p, m);
                else if (pick(p, 3))
                        change_node(p, m);
                else
                        change_connection(p, m);
        }
        if (pick(p, 3) == 0)
                world_pass(&p->w, TIME_MS(60));
}

/* Everyone catches up (expired keys are looked for every 5 s); who is still in and told something is compared. */
static void settle(struct play *p)
{
        for (size_t i = 0; i < CLIENTS; i++) {
                struct machine *m = &p->m[i];
                m->is_in = m->is_in && node_of(p, m);
                if (!m->is_in)
                        continue;
                if (!m->c.open)
                        poll_again(m);
                m->c.full = false;
                server_call_writable(p->w.server, &p->w.now, &m->c.call);
        }
        world_pass(&p->w, TIME_S(6));
        for (size_t i = 0; i < CLIENTS; i++) {
                if (p->m[i].is_in && node_of(p, &p->m[i]))
                        compare(p, &p->m[i]);
        }
}

static void play(uint64_t seed)
{
        static struct play p;

        memset(&p, 0, sizeof(p));
        world_init(&p.w);
        p.w.settings.policy_in_store = true;
        rng_seed(&p.rng, seed);
        ask(&p, "POST", "{\"name\":\"ann\"}", "/api/v1/user");
        ask(&p, "POST", "{\"name\":\"bob\"}", "/api/v1/user");
        for (uint8_t i = 0; i < CLIENTS; i++) {
                client_init(&p.m[i].c, &p.w, i + 1);
                client_init(&p.m[i].lite, &p.w, i + 1);
                p.m[i].told = netmap_new();
                assert_non_null(p.m[i].told);
        }
        for (int round = 0; round < ROUNDS; round++) {
                for (int i = 0; i < CHANGES; i++)
                        change(&p);
                settle(&p);
        }
        assert_true(p.compared > ROUNDS);
        world_fini(&p.w);
        for (size_t i = 0; i < CLIENTS; i++) {
                client_fini(&p.m[i].c);
                client_fini(&p.m[i].lite);
                netmap_free(p.m[i].told);
        }
}

static void what_was_told_is_what_is(void **state)
{
        const uint64_t *seeds = *state;

        for (uint64_t seed = 1; seed <= *seeds; seed++) {
                print_message("seed %llu\n", (unsigned long long)seed);
                play(seed);
        }
}

static void no_log(void *ctx, enum log_level level, const char *line)
{
        (void)ctx;
        (void)level;
        (void)line;
}

/* An argument asks for another number of seeds. */
int main(int argc, char **argv)
{
        uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 20;
        const struct CMUnitTest tests[] = { cmocka_unit_test_prestate(what_was_told_is_what_is, &seeds) };

        log_set_sink(no_log, NULL); /* the disk fails often here */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
