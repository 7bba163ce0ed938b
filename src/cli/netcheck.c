/*
 * `weft netcheck`: what the network around this machine is like, measured on sockets
 * of its own; the daemon is asked for the relay map only (spec/node.md 2.5).
 */
#include <ifaddrs.h>
#include <math.h>
#include <net/if.h>
#include <netinet/in.h>
#include <time.h>

#include "base/text.h"
#include "cli.h"
#include "base/log.h"
#include "net/udp.h"
#include "path/latency_probe.h"
#include "path/netcheck.h"
#include "proto/tailcfg_derp.h"

struct wishes {
        const char *format, *bind_address;
        int64_t every_ns, bind_port;
        bool verbose;
        struct ip_addr bind; /* parsed; IP_NONE: any address of either family */
};

struct check {
        struct cli *cli;
        const struct tailcfg_derp_map *map;
        struct net_udp *v4, *v6;
        bool v4_sent, v6_sent;
        struct netcheck *engine;
        struct latency_probes *probes;
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

        if (u && net_udp_send(u, dst, request) == OK)
                *(u == c->v4 ? &c->v4_sent : &c->v6_sent) = true;
}

static void probe_latency(void *ctx, const struct netcheck_latency_probe *probe)
{
        struct check *c = ctx;

        latency_probe_start(c->probes, c->map, probe);
}

static void latency_probed(void *ctx, const struct netcheck_latency_probe *probe, enum err status, uint64_t latency_us)
{
        struct check *c = ctx;
        const struct now now = net_clock();

        netcheck_latency_probed(c->engine, probe, status, latency_us, &now);
        rearm(c);
}

static void done(void *ctx, const struct netcheck_report *report, const struct now *now)
{
        struct check *c = ctx;

        (void)now;
        c->report = *report;
        c->is_done = true;
}

/* Whether somebody could answer over IPv6. A socket alone says nothing, and to wait for what cannot come takes seconds. */
static bool has_v6(void)
{
        struct ifaddrs *all;
        bool has = false;

        if (getifaddrs(&all) != 0)
                return true;
        for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
                if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET6 || !(i->ifa_flags & IFF_UP))
                        continue;
                struct ip_addr a = { .family = IP_V6 };
                memcpy(a.b, &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr, 16);
                has |= ip_is_far_v6(&a);
        }
        freeifaddrs(all);
        return has;
}

/* A socket of each family, or of the family of the address that was asked for. */
static enum err open_sockets(struct check *c, const struct wishes *w, struct diag *d)
{
        static const struct net_udp_calls calls = { on_packet };
        struct net_udp_options v4 = { .bind = { { .family = IP_V4 }, (uint16_t)w->bind_port } };
        struct net_udp_options v6 = { .bind = { { .family = IP_V6 }, (uint16_t)w->bind_port } };
        struct diag no_v6;
        enum err e = OK;

        if (w->bind.family == IP_V4)
                v4.bind.ip = w->bind;
        if (w->bind.family == IP_V6)
                v6.bind.ip = w->bind;
        if (w->bind.family != IP_V6)
                e = net_udp_open(c->cli->loop, &v4, &calls, c, &c->v4, d);
        if (w->bind.family == IP_V6)
                e = net_udp_open(c->cli->loop, &v6, &calls, c, &c->v6, d);
        else if (!e && w->bind.family != IP_V4 && net_udp_open(c->cli->loop, &v6, &calls, c, &c->v6, &no_v6) != OK)
                c->v6 = NULL; /* a machine without IPv6 */
        return e;
}

static enum err measure(struct check *c, const struct wishes *w, const struct netcheck_map *map, struct diag *d)
{
        static const struct netcheck_ops ops = { .send_stun = send_stun, .probe_latency = probe_latency, .done = done };
        struct now now;

        enum err e = open_sockets(c, w, d);
        if (e)
                return e;
        c->engine = netcheck_new(&ops, c, net_rng());
        c->probes = latency_probes_new(c->cli->loop, 0, latency_probed, c);
        if (!c->engine || !c->probes || netcheck_set_map(c->engine, map) != OK)
                return diag_set(d, ERR_NOMEM, "out of memory");
        now = net_clock();
        struct netcheck_start how = { .have_v4 = c->v4, .have_v6 = c->v6 && has_v6(), .os_has_v6 = c->v6, .force_full = true };
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
        latency_probes_free(c->probes);
        netcheck_free(c->engine);
        net_udp_close(c->v4);
        net_udp_close(c->v6);
}

/* ---- the report ---- */

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

static uint64_t latency_of(const struct netcheck_report *r, int64_t region)
{
        for (size_t i = 0; i < r->latency_count; i++)
                if (r->latency[i].region == region)
                        return r->latency[i].any_us;
        return 0;
}

static void print_region(const struct tailcfg_derp_region *region, uint64_t us, bool verbose)
{
        char latency[32] = "", number[32] = "";

        if (us)
                snprintf(latency, sizeof latency, "%.1fms", (double)us / 1000);
        if (verbose)
                snprintf(number, sizeof number, "derp%lld, ", (long long)region->region_id);
        cli_say(stdout, "\t\t- %3.*s: %-7s (%s%.*s)\n", SLICE_ARGS(region->region_code), latency, number, SLICE_ARGS(region->region_name));
}

/* Best first; those that did not answer last. */
static void print_latencies(const struct netcheck_report *r, const struct tailcfg_derp_map *map, bool verbose)
{
        uint64_t after = 0;

        printf("\t* DERP latency:\n");
        while (after != UINT64_MAX) {
                uint64_t next = UINT64_MAX;
                for (size_t i = 0; i < map->regions.count; i++) {
                        uint64_t us = latency_of(r, map->regions.items[i].region_id);
                        if (us && us == after)
                                print_region(&map->regions.items[i], us, verbose);
                        else if (us > after && us < next)
                                next = us;
                }
                after = next;
        }
        for (size_t i = 0; i < map->regions.count; i++)
                if (!latency_of(r, map->regions.items[i].region_id))
                        print_region(&map->regions.items[i], 0, verbose);
}

static const char *opt_text(enum netcheck_opt o)
{
        return o == NETCHECK_TRUE ? "true" : o == NETCHECK_FALSE ? "false" : "";
}

static void print_text(const struct netcheck_report *r, const struct tailcfg_derp_map *map, bool verbose)
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
        const struct tailcfg_derp_region *home = tailcfg_derp_region_find(map, r->preferred);
        if (!home) {
                printf("\t* Nearest DERP: unknown (no response to latency probes)\n");
                return;
        }
        cli_say(stdout, "\t* Nearest DERP: %.*s\n", SLICE_ARGS(home->region_name));
        print_latencies(r, map, verbose);
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

static void print_json(const struct check *c, bool is_line)
{
        const struct netcheck_report *r = &c->report;
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
        json_field_bool(&w, "IPv6CanSend", c->v6_sent);
        json_field_bool(&w, "IPv4CanSend", c->v4_sent);
        json_field_bool(&w, "OSHasIPv6", r->os_has_v6);
        json_field_bool(&w, "ICMPv4", r->icmp_v4);
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

static int check_once(struct cli *cli, const struct tailcfg_derp_map *map, const struct wishes *w)
{
        struct netcheck_map converted;
        struct check c = { .cli = cli, .map = map };
        struct diag d = { "" };

        if (netcheck_map_convert(map, &converted) != OK)
                return cli_fail(cli, "out of memory");
        enum err e = measure(&c, w, &converted, &d);
        netcheck_map_fini(&converted);
        if (!e && !*w->format)
                print_text(&c.report, map, w->verbose);
        else if (!e)
                print_json(&c, strcmp(w->format, "json-line") == 0);
        fflush(stdout);
        check_fini(&c);
        return e ? cli_fail(cli, "%s", d.text) : 0;
}

static const char *check_wishes(struct wishes *w)
{
        if (*w->format && strcmp(w->format, "json") != 0 && strcmp(w->format, "json-line") != 0)
                return "--format is json or json-line";
        if (*w->bind_address && ip_parse(slice_str(w->bind_address), &w->bind) != OK)
                return "--bind-address is an IP address of this machine";
        if (w->bind_port < 0 || w->bind_port > 65535)
                return "--bind-port is a UDP port, 0 to 65535";
        if (w->every_ns < 0)
                return "--every is a duration such as 30s";
        return NULL;
}

static int check_for_ever(struct cli *cli, const struct tailcfg_derp_map *map, const struct wishes *w)
{
        const struct timespec pause = { w->every_ns / 1000000000, w->every_ns % 1000000000 };
        int status = check_once(cli, map, w);

        while (w->every_ns && status == 0) {
                nanosleep(&pause, NULL);
                status = check_once(cli, map, w);
        }
        return status;
}

static int run_netcheck(struct cli *cli, int argc, char **argv)
{
        struct wishes w = { .format = "", .bind_address = "" };
        struct flag flags[] = {
                { "format", FLAG_TEXT, &w.format, "text unless json or json-line", false },
                { "every", FLAG_DURATION, &w.every_ns, "again and again, this far apart", false },
                { "verbose", FLAG_BOOL, &w.verbose, "tell what is done, and the numbers of the regions", false },
                { "bind-address", FLAG_TEXT, &w.bind_address, "probe from this address of the machine", false },
                { "bind-port", FLAG_NUMBER, &w.bind_port, "probe from this UDP port; 0: any", false },
        };
        struct arena arena = ARENA_INIT(16 << 20);
        struct tailcfg_derp_map map;
        struct cli_reply reply;
        int rest, status;

        if (!cli_flags(cli, &cli_verb_netcheck, flags, sizeof flags / sizeof *flags, argc, argv, 0, &rest, &status))
                return status;
        const char *why = check_wishes(&w);
        if (why)
                return cli_fail(cli, "%s", why);
        log_set_level(w.verbose ? LOG_DEBUG : LOG_WARN);
        if (!cli_call(cli, "GET", "derpmap", (struct slice){ 0 }, &reply))
                return 1;
        struct slice text = arena_copy(&arena, buf_slice(&reply.body));
        cli_reply_fini(&reply);
        if (tailcfg_derp_map_decode(text, &arena, &map) != OK || !map.regions.count)
                status = cli_fail(cli, "the daemon knows no relays yet: is the node connected?");
        else
                status = check_for_ever(cli, &map, &w);
        arena_fini(&arena);
        return status;
}

const struct cli_verb cli_verb_netcheck = { "netcheck", "netcheck [flags]", "Measure the network around this machine", run_netcheck };
