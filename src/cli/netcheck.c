/*
 * `weft netcheck`: what the network around this machine is like, measured on sockets
 * of its own; the daemon is asked for the relay map only (spec/node.md 2.5).
 */
#include <math.h>
#include <time.h>

#include "base/text.h"
#include "cli.h"
#include "net/udp.h"
#include "path/netcheck.h"
#include "proto/tailcfg_derp.h"

struct check {
        struct cli *cli;
        struct net_udp *v4, *v6;
        struct netcheck *engine;
        struct timer timer;
        struct netcheck_report report;
        bool is_done;
};

static void rearm(struct check *c)
{
        uint64_t at = netcheck_next_deadline_us(c->engine);

        if (at == TIME_NEVER)
                net_timer_stop(c->cli->loop, &c->timer);
        else
                net_timer_start_at(c->cli->loop, &c->timer, at);
}

static void on_timer(struct timer *t, const struct now *now)
{
        struct check *c = container_of(t, struct check, timer);

        netcheck_run(c->engine, now);
        rearm(c);
}

static void on_packet(void *ctx, const struct ip_port *from, struct slice data)
{
        struct check *c = ctx;
        struct now now = net_clock();

        (void)netcheck_received(c->engine, from, data, &now);
        rearm(c);
}

static void send_stun(void *ctx, const struct ip_port *dst, struct slice request)
{
        struct check *c = ctx;
        struct net_udp *u = dst->ip.family == IP_V4 ? c->v4 : c->v6;

        if (u && net_udp_send(u, dst, request) != OK)
                return; /* as good as lost on the way */
}

static void done(void *ctx, const struct netcheck_report *report, const struct now *now)
{
        struct check *c = ctx;

        (void)now;
        c->report = *report;
        c->is_done = true;
}

static enum err measure(struct check *c, const struct netcheck_map *map, struct diag *d)
{
        static const struct netcheck_ops ops = { .send_stun = send_stun, .done = done };
        static const struct net_udp_calls calls = { on_packet };
        struct net_udp_options v4 = { .bind = { { .family = IP_V4 }, 0 } }, v6 = { .bind = { { .family = IP_V6 }, 0 } };
        struct diag no_v6;
        struct now now;

        enum err e = net_udp_open(c->cli->loop, &v4, &calls, c, &c->v4, d);
        if (e)
                return e;
        if (net_udp_open(c->cli->loop, &v6, &calls, c, &c->v6, &no_v6) != OK)
                c->v6 = NULL;
        c->engine = netcheck_new(&ops, c, net_rng());
        if (!c->engine || netcheck_set_map(c->engine, map) != OK)
                return diag_set(d, ERR_NOMEM, "out of memory");
        now = net_clock();
        struct netcheck_start how = { .have_v4 = true, .have_v6 = c->v6, .os_has_v6 = c->v6, .force_full = true };
        e = netcheck_start(c->engine, &how, &now);
        if (e)
                return diag_set(d, e, "the relay map has nothing to measure");
        c->timer.fire = on_timer;
        rearm(c);
        while (!c->is_done)
                net_loop_run_once(c->cli->loop, 1000);
        return OK;
}

static void check_fini(struct check *c)
{
        net_timer_stop(c->cli->loop, &c->timer);
        netcheck_free(c->engine);
        net_udp_close(c->v4);
        net_udp_close(c->v6);
}

/* -- the report -- */

static void print_family(const char *name, bool works, const struct ip_port *global)
{
        char text[IP_TEXT_MAX];

        if (!works)
                printf("\t* %s: no\n", name);
        else if (!ip_valid(&global->ip))
                printf("\t* %s: (no addr found)\n", name);
        else {
                ip_port_format(global, text);
                printf("\t* %s: yes, %s\n", name, text);
        }
}

static const struct tailcfg_derp_region *region_of(const struct tailcfg_derp_map *map, int64_t id)
{
        for (size_t i = 0; i < map->regions.count; i++)
                if (map->regions.items[i].region_id == id)
                        return &map->regions.items[i];
        return NULL;
}

static void print_latencies(const struct netcheck_report *r, const struct tailcfg_derp_map *map)
{
        bool told[NETCHECK_REGIONS_MAX] = { false };

        printf("\t* DERP latency:\n");
        for (size_t n = 0; n < r->latency_count; n++) { /* the best of those left, each time */
                size_t best = r->latency_count;
                for (size_t i = 0; i < r->latency_count; i++)
                        if (!told[i] && (best == r->latency_count || (r->latency[i].any_us && (!r->latency[best].any_us ||
                                r->latency[i].any_us < r->latency[best].any_us))))
                                best = i;
                told[best] = true;
                const struct tailcfg_derp_region *region = region_of(map, r->latency[best].region);
                char latency[32] = "";
                if (r->latency[best].any_us)
                        snprintf(latency, sizeof latency, "%.1fms", (double)r->latency[best].any_us / 1000);
                if (region)
                        printf("\t\t- %3.*s: %-7s (%.*s)\n", SLICE_ARGS(region->region_code), latency, SLICE_ARGS(region->region_name));
        }
}

static const char *opt_text(enum netcheck_opt o)
{
        return o == NETCHECK_TRUE ? "true" : o == NETCHECK_FALSE ? "false" : "";
}

static void print_text(const struct netcheck_report *r, const struct tailcfg_derp_map *map)
{
        char when[40];
        struct timespec ts;

        clock_gettime(CLOCK_REALTIME, &ts);
        rfc3339_format((int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec, when);
        printf("\nReport:\n\t* Time: %s\n\t* UDP: %s\n", when, r->udp ? "true" : "false");
        print_family("IPv4", r->v4, &r->global_v4);
        if (r->v6 || r->os_has_v6)
                print_family("IPv6", r->v6, &r->global_v6);
        else
                printf("\t* IPv6: no, unavailable in OS\n");
        printf("\t* MappingVariesByDestIP: %s\n\t* PortMapping: \n", opt_text(r->mapping_varies));
        const struct tailcfg_derp_region *home = region_of(map, r->preferred);
        if (!home) {
                printf("\t* Nearest DERP: unknown (no response to latency probes)\n");
                return;
        }
        printf("\t* Nearest DERP: %.*s\n", SLICE_ARGS(home->region_name));
        print_latencies(r, map);
}

static void put_opt(struct json_writer *w, const char *name, enum netcheck_opt o)
{
        json_name(w, name);
        if (o == NETCHECK_UNKNOWN)
                json_put_null(w);
        else
                json_put_bool(w, o == NETCHECK_TRUE);
}

static void put_latency(struct json_writer *w, const char *name, const struct netcheck_report *r, size_t offset)
{
        char id[16];

        json_name(w, name);
        json_object_open(w);
        for (size_t i = 0; i < r->latency_count; i++) {
                uint64_t us;
                memcpy(&us, (const char *)&r->latency[i] + offset, sizeof us);
                if (!us)
                        continue;
                snprintf(id, sizeof id, "%u", r->latency[i].region);
                json_name(w, id);
                json_put_u64(w, us * 1000);
        }
        json_object_close(w);
}

static void put_global(struct json_writer *w, const char *name, const struct ip_port *a)
{
        char text[IP_TEXT_MAX] = "";

        if (ip_valid(&a->ip))
                ip_port_format(a, text);
        json_field_str(w, name, text);
}

static void print_json(const struct netcheck_report *r, bool is_line)
{
        struct buf out = BUF_INIT(1 << 20);
        struct json_writer w;
        struct timespec ts;
        char when[40];

        clock_gettime(CLOCK_REALTIME, &ts);
        rfc3339_format((int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec, when);
        json_writer_init(&w, &out, is_line ? NULL : "\t");
        json_object_open(&w);
        json_field_str(&w, "Now", when);
        json_field_bool(&w, "UDP", r->udp);
        json_field_bool(&w, "IPv6", r->v6);
        json_field_bool(&w, "IPv4", r->v4);
        json_field_bool(&w, "OSHasIPv6", r->os_has_v6);
        put_opt(&w, "MappingVariesByDestIP", r->mapping_varies);
        put_opt(&w, "UPnP", r->upnp);
        put_opt(&w, "PMP", r->pmp);
        put_opt(&w, "PCP", r->pcp);
        json_field_i64(&w, "PreferredDERP", r->preferred);
        put_latency(&w, "RegionLatency", r, offsetof(struct netcheck_latency, any_us));
        put_latency(&w, "RegionV4Latency", r, offsetof(struct netcheck_latency, v4_us));
        put_latency(&w, "RegionV6Latency", r, offsetof(struct netcheck_latency, v6_us));
        put_global(&w, "GlobalV4", &r->global_v4);
        put_global(&w, "GlobalV6", &r->global_v6);
        json_object_close(&w);
        printf("%s\n", buf_cstr(&out));
        fflush(stdout);
        buf_fini(&out);
}

static int check_once(struct cli *cli, const struct tailcfg_derp_map *map, const char *format)
{
        struct netcheck_map converted;
        struct check c = { .cli = cli };
        struct diag d = { "" };

        if (netcheck_map_convert(map, &converted) != OK)
                return cli_fail(cli, "out of memory");
        enum err e = measure(&c, &converted, &d);
        netcheck_map_fini(&converted);
        if (!e && !*format)
                print_text(&c.report, map);
        else if (!e)
                print_json(&c.report, strcmp(format, "json-line") == 0);
        check_fini(&c);
        return e ? cli_fail(cli, "%s", d.text) : 0;
}

static int run_netcheck(struct cli *cli, int argc, char **argv)
{
        const char *format = "";
        int64_t every_ns = 0;
        struct flag flags[] = { { "format", FLAG_TEXT, &format, "text unless json or json-line", false },
                { "every", FLAG_DURATION, &every_ns, "again and again, this far apart", false } };
        struct arena arena = ARENA_INIT(16 << 20);
        struct tailcfg_derp_map map;
        struct cli_reply reply;
        int rest, status;

        if (!cli_flags(cli, &cli_verb_netcheck, flags, 2, argc, argv, 0, &rest, &status))
                return status;
        if (*format && strcmp(format, "json") != 0 && strcmp(format, "json-line") != 0)
                return cli_fail(cli, "--format is json or json-line, not %s", format);
        if (!cli_call(cli, "GET", "derpmap", (struct slice){ 0 }, &reply))
                return 1;
        struct slice text = arena_copy(&arena, buf_slice(&reply.body));
        cli_reply_fini(&reply);
        if (tailcfg_derp_map_decode(text, &arena, &map) != OK || !map.regions.count)
                status = cli_fail(cli, "the daemon knows no relays yet: is the node connected?");
        else
                do {
                        status = check_once(cli, &map, format);
                        if (every_ns > 0)
                                nanosleep(&(struct timespec){ every_ns / 1000000000, every_ns % 1000000000 }, NULL);
                } while (every_ns > 0 && status == 0);
        arena_fini(&arena);
        return status;
}

const struct cli_verb cli_verb_netcheck = { "netcheck", "netcheck [flags]", "Measure the network around this machine", run_netcheck };
