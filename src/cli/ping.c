/* `weft ping` (spec/node.md 2.5): asks the daemon until a pong came the way it should. */
#include <time.h>

#include "cli.h"

struct ping {
        struct cli *cli;
        int64_t count, timeout_ns, size;
        bool until_direct, tsmp, icmp, peerapi, verbose;
        char ip[IP_TEXT_MAX];
};

/* What the daemon says of one ping. */
struct ping_result {
        struct slice err, node_name, node_ip, endpoint, peer_relay, derp_code, peerapi_url;
        double seconds;
        int64_t peerapi_port;
        bool is_local;
};

static enum err decode(struct slice json, struct arena *arena, struct ping_result *out)
{
        struct json_reader r;
        struct slice name;

        *out = (struct ping_result){ 0 };
        json_reader_init(&r, json, arena);
        json_object_begin(&r);
        while (json_member(&r, &name)) {
                if (slice_is(name, "Err"))
                        out->err = json_string(&r);
                else if (slice_is(name, "NodeName"))
                        out->node_name = json_string(&r);
                else if (slice_is(name, "NodeIP"))
                        out->node_ip = json_string(&r);
                else if (slice_is(name, "Endpoint"))
                        out->endpoint = json_string(&r);
                else if (slice_is(name, "PeerRelay"))
                        out->peer_relay = json_string(&r);
                else if (slice_is(name, "DERPRegionCode"))
                        out->derp_code = json_string(&r);
                else if (slice_is(name, "PeerAPIURL"))
                        out->peerapi_url = json_string(&r);
                else if (slice_is(name, "PeerAPIPort"))
                        out->peerapi_port = json_i64(&r);
                else if (slice_is(name, "LatencySeconds"))
                        out->seconds = json_double(&r);
                else if (slice_is(name, "IsLocalIP"))
                        out->is_local = json_bool(&r);
                else
                        json_skip(&r);
        }
        return json_finish(&r);
}

static const char *type_of(const struct ping *p)
{
        return p->tsmp ? "TSMP" : p->icmp ? "ICMP" : p->peerapi ? "peerapi" : "disco";
}

static void print_pong(const struct ping *p, const struct ping_result *r)
{
        char via[128];

        if (p->tsmp || p->icmp)
                snprintf(via, sizeof via, "%s", type_of(p));
        else if (r->endpoint.len)
                snprintf(via, sizeof via, "%.*s", SLICE_ARGS(r->endpoint));
        else if (r->peer_relay.len)
                snprintf(via, sizeof via, "peer-relay(%.*s)", SLICE_ARGS(r->peer_relay));
        else
                snprintf(via, sizeof via, "DERP(%.*s)", SLICE_ARGS(r->derp_code));
        cli_say(stdout, "pong from %.*s (%.*s", SLICE_ARGS(r->node_name), SLICE_ARGS(r->node_ip));
        if (r->peerapi_port)
                printf(", %lld", (long long)r->peerapi_port);
        cli_say(stdout, ") via %s in %lldms\n", via, (long long)(r->seconds * 1000 + 0.5));
        fflush(stdout);
}

enum outcome { PONG_DIRECT, PONG_OTHER, PONG_NONE, PING_LOCAL, PING_FAILED };

/* One question. The daemon waits for the pong itself; we bound it with the timeout. */
static enum outcome ask(const struct ping *p)
{
        struct arena arena = ARENA_INIT(1 << 20);
        struct cli_reply reply;
        struct ping_result r;
        char path[160];
        enum outcome outcome = PING_FAILED;

        snprintf(path, sizeof path, "ping?ip=%s&type=%s&size=%lld&timeout_ms=%lld", p->ip, type_of(p), (long long)p->size,
                (long long)(p->timeout_ns / 1000000));
        if (!cli_call(p->cli, "POST", path, (struct slice){ 0 }, &reply))
                goto out;
        if (decode(buf_slice(&reply.body), &arena, &r) != OK) {
                cli_fail(p->cli, "the daemon's answer cannot be understood");
        } else if (r.is_local) {
                printf("%s is local Tailscale IP\n", p->ip);
                outcome = PING_LOCAL;
        } else if (slice_is(r.err, "timeout") || slice_has_prefix(r.err, SLICE_LIT("timed out")) ||
                slice_is(r.err, "context deadline exceeded")) {
                printf("ping \"%s\" timed out\n", p->ip);
                fflush(stdout);
                outcome = PONG_NONE;
        } else if (r.err.len) {
                cli_fail(p->cli, "%.*s", SLICE_ARGS(r.err));
        } else if (p->peerapi) {
                cli_say(stdout, "hit peerapi of %.*s (%.*s) at %.*s in %.1fms\n", SLICE_ARGS(r.node_ip), SLICE_ARGS(r.node_name),
                        SLICE_ARGS(r.peerapi_url), r.seconds * 1000);
                outcome = PONG_OTHER;
        } else {
                print_pong(p, &r);
                outcome = r.endpoint.len ? PONG_DIRECT : PONG_OTHER;
        }
        cli_reply_fini(&reply);
out:
        arena_fini(&arena);
        return outcome;
}

static int ping(const struct ping *p)
{
        bool any = false;
        bool once = p->tsmp || p->icmp || p->peerapi;

        for (int64_t n = 1; p->count <= 0 || n <= p->count; n++) {
                enum outcome o = ask(p);
                any |= o == PONG_DIRECT || o == PONG_OTHER;
                if (o == PING_LOCAL)
                        return 0;
                if (o == PING_FAILED)
                        return 1;
                if ((once && any) || (o == PONG_DIRECT && p->until_direct))
                        return 0;
                if (p->count <= 0 || n < p->count)
                        nanosleep(&(struct timespec){ 1, 0 }, NULL);
        }
        if (!any)
                return cli_fail(p->cli, "no reply");
        if (p->until_direct && !once)
                return cli_fail(p->cli, "direct connection not established");
        return 0;
}

static int run_ping(struct cli *cli, int argc, char **argv)
{
        struct ping p = { .cli = cli, .count = 10, .timeout_ns = 5000000000, .until_direct = true };
        struct flag flags[] = {
                { "c", FLAG_NUMBER, &p.count, "most pings to send; 0: no end", false },
                { "timeout", FLAG_DURATION, &p.timeout_ns, "longest wait for each pong", false },
                { "until-direct", FLAG_BOOL, &p.until_direct, "stop once a pong came over a direct path", false },
                { "tsmp", FLAG_BOOL, &p.tsmp, "ping inside the tunnel, without the other system's network stack", false },
                { "icmp", FLAG_BOOL, &p.icmp, NULL, false },
                { "peerapi", FLAG_BOOL, &p.peerapi, NULL, false },
                { "size", FLAG_NUMBER, &p.size, "bytes of the ping (direct paths only)", false },
                { "verbose", FLAG_BOOL, &p.verbose, "more words", false },
        };
        struct arena arena = ARENA_INIT(256 << 20);
        struct status st;
        struct ip_addr addr;
        struct diag diag;
        bool is_self;
        int rest, status;

        if (!cli_flags(cli, &cli_verb_ping, flags, 8, argc, argv, 1, &rest, &status))
                return status;
        status = 1;
        if (rest >= argc)
                status = cli_fail(cli, "ping whom? %s ping NODE", cli->program);
        else if (p.tsmp + p.icmp + p.peerapi > 1)
                status = cli_fail(cli, "--tsmp, --icmp and --peerapi exclude each other");
        else if (p.size && (p.tsmp || p.icmp || p.peerapi))
                status = cli_fail(cli, "--size goes with the ordinary ping only");
        else if (cli_get_status(cli, true, &arena, &st)) {
                if (cli_resolve(cli, &st, argv[rest], &addr, &is_self, &diag) != OK) {
                        status = cli_fail(cli, "%s", diag.text);
                } else {
                        ip_format(&addr, p.ip);
                        if (is_self) {
                                printf("%s is local Tailscale IP\n", p.ip);
                                status = 0;
                        } else {
                                if (p.verbose && strcmp(p.ip, argv[rest]) != 0)
                                        printf("lookup \"%s\" => \"%s\"\n", argv[rest], p.ip);
                                status = ping(&p);
                        }
                }
        }
        arena_fini(&arena);
        return status;
}

const struct cli_verb cli_verb_ping = { "ping", "ping [flags] NODE", "Ping a node at the level of the tunnel, and show the path", run_ping };
