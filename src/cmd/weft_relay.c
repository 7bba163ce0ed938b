/* weft-relay: a DERP relay and STUN server, with the flags of derper. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/table.h"
#include "base/text.h"
#include "cli/flags.h"
#include "net/listener.h"
#include "relay/relay_files.h"
#include "relay/relay_server.h"
#include "relay/relay_stun.h"

static const struct log logger = { "weft-relay" };

/* ---- Options ------------------------------------------------------------ */

static struct {
        const char *addr, *key_file, *cert_mode, *cert_dir, *hostname;
        const char *mesh_key_file, *mesh_with, *bootstrap_names;
        const char *verify_url, *local_socket, *rate_file, *home, *log_level;
        int64_t http_port, stun_port, accept_limit, accept_burst;
        bool dev, stun, derp, verify_clients, verify_fail_open, version;
} opt = {
        .addr = ":443",
        .cert_mode = "letsencrypt",
        .local_socket = "/var/run/tailscale/tailscaled.sock",
        .log_level = "info",
        .http_port = 80,
        .stun_port = 3478,
        .stun = true,
        .derp = true,
        .verify_fail_open = true,
};

static struct flag flags[] = {
        { "a", FLAG_TEXT, &opt.addr, "address to listen on, [ip]:port; TLS if the port is 443 or with --certmode=manual", 0 },
        { "http-port", FLAG_NUMBER, &opt.http_port, "plain HTTP port beside TLS, for the captive-portal check; -1: none", 0 },
        { "stun", FLAG_BOOL, &opt.stun, "answer STUN requests", 0 },
        { "stun-port", FLAG_NUMBER, &opt.stun_port, "UDP port of the STUN server", 0 },
        { "derp", FLAG_BOOL, &opt.derp, "relay packets; --derp=false leaves STUN and the HTTP checks", 0 },
        { "c", FLAG_TEXT, &opt.key_file, "file with the relay's key, made if absent; as root /var/lib/derper/derper.key if not given", 0 },
        { "certmode", FLAG_TEXT, &opt.cert_mode, "where the certificate comes from: manual (letsencrypt and gcp are not available)", 0 },
        { "certdir", FLAG_TEXT, &opt.cert_dir, "folder of HOSTNAME.crt and HOSTNAME.key, for --certmode=manual", 0 },
        { "hostname", FLAG_TEXT, &opt.hostname, "the name, or IP address, that clients know this relay by", 0 },
        { "mesh-psk-file", FLAG_TEXT, &opt.mesh_key_file, "file with the key that the relays of a region share, 64 hex digits", 0 },
        { "mesh-with", FLAG_TEXT, &opt.mesh_with, "other relays of the region, comma-separated: host or host/address-to-dial", 0 },
        { "bootstrap-dns-names", FLAG_TEXT, &opt.bootstrap_names, "comma-separated names whose addresses /bootstrap-dns tells", 0 },
        { "verify-clients", FLAG_BOOL, &opt.verify_clients, "admit only nodes that the node daemon of this machine knows", 0 },
        { "socket", FLAG_TEXT, &opt.local_socket, "socket of that node daemon", 0 },
        { "verify-client-url", FLAG_TEXT, &opt.verify_url, "admit only nodes that this URL allows", 0 },
        { "verify-client-url-fail-open", FLAG_BOOL, &opt.verify_fail_open, "admit nodes while the URL cannot be reached", 0 },
        { "accept-connection-limit", FLAG_NUMBER, &opt.accept_limit, "new connections a second; 0: no limit", 0 },
        { "accept-connection-burst", FLAG_NUMBER, &opt.accept_burst, "new connections at once; 0: as many as a second allows", 0 },
        { "rate-config", FLAG_TEXT, &opt.rate_file, "JSON file with the rate limit of each client, read again on SIGHUP", 0 },
        { "home", FLAG_TEXT, &opt.home, "what / shows: nothing given, a page; blank; or a URL to redirect to", 0 },
        { "dev", FLAG_BOOL, &opt.dev, "try it out: plain HTTP on port 3340 and a key that is thrown away", 0 },
        { "log-level", FLAG_TEXT, &opt.log_level, "error, warn, info, debug or trace", 0 },
        { "version", FLAG_BOOL, &opt.version, "print the version and exit", 0 },
};
enum { FLAG_COUNT = sizeof(flags) / sizeof(flags[0]) };

static void print_help(void)
{
        printf("weft-relay passes packets between nodes that have no direct path (DERP) and tells\n"
               "them their public addresses (STUN). See weft-relay(8).\n\nUsage: weft-relay [flags]\n\n");
        flags_print(stdout, flags, FLAG_COUNT);
}

static bool is_set(const char *text)
{
        return text && *text;
}

/* Combinations that cannot work, before anything is opened. */
static enum err check_options(bool uses_tls, struct diag *d)
{
        if (!opt.dev && !is_set(opt.key_file))
                return diag_set(d, ERR_FORMAT, "give the file for the relay's key with -c, for example -c /var/lib/derper/derper.key");
        if (uses_tls && strcmp(opt.cert_mode, "manual") != 0)
                return diag_set(d, ERR_UNSUPPORTED,
                                "-certmode %s is not available: get a certificate with an ACME client such as certbot and give "
                                "-certmode manual -certdir DIR -hostname NAME, or listen on another port behind a TLS proxy",
                                opt.cert_mode);
        if (uses_tls && (!is_set(opt.cert_dir) || !is_set(opt.hostname)))
                return diag_set(d, ERR_FORMAT, "TLS needs -certdir and -hostname, to find HOSTNAME.crt and HOSTNAME.key");
        if (opt.verify_clients && is_set(opt.verify_url))
                return diag_set(d, ERR_FORMAT, "-verify-clients and -verify-client-url cannot be used together: choose one");
        if (is_set(opt.mesh_with) && !is_set(opt.mesh_key_file))
                return diag_set(d, ERR_FORMAT, "-mesh-with needs -mesh-psk-file");
        if (opt.stun_port < 0 || opt.stun_port > UINT16_MAX || opt.http_port < -1 || opt.http_port > UINT16_MAX)
                return diag_set(d, ERR_RANGE, "a port is between 0 and 65535");
        if (opt.accept_limit < 0 || opt.accept_burst < 0 || opt.accept_burst > UINT32_MAX)
                return diag_set(d, ERR_RANGE, "a connection limit cannot be negative");
        return OK;
}

/* ---- The running relay -------------------------------------------------- */

static struct {
        struct net_loop *loop;
        struct relay_io *io;
        struct relay_server *server;
        struct tls_server *tls;
        struct relay_stun *stun[2];
        struct net_signal *term, *interrupt, *hangup;
} run;

static void on_stop(void *ctx, int signum)
{
        (void)ctx;
        log_info(&logger, "stopping", "signal=%s", signum == SIGTERM ? "TERM" : "INT");
        net_loop_stop(run.loop);
}

static enum err load_cert(struct diag *d)
{
        uint8_t pin[32], none[32] = { 0 };
        char hex[65];
        struct now now = net_clock();

        enum err e = relay_cert_load(opt.cert_dir, opt.hostname, relay_public_key(relay_io_engine(run.io)),
                                     now.unix_us / 1000000, &run.tls, pin, d);
        if (e == OK && memcmp(pin, none, sizeof(pin)) != 0) {
                hex_encode(SLICE_ARRAY(pin), hex);
                log_info(&logger, "certificate is self-signed: put its pin into the DERP map", "CertName=sha256-raw:%s", hex);
        }
        return e;
}

/* Rates and certificate; what does not load leaves the old in force. */
static void on_hangup(void *ctx, int signum)
{
        struct relay_rate rate = { 0 };
        struct diag d;

        (void)ctx;
        (void)signum;
        if (is_set(opt.rate_file)) {
                if (relay_rate_file(opt.rate_file, &rate, &d) != OK) {
                        log_error(&logger, d.text, NULL);
                } else {
                        relay_set_rate(relay_io_engine(run.io), &rate);
                        log_info(&logger, "rate limits read again", "bytes_per_second=%llu burst=%llu",
                                 (unsigned long long)rate.bytes_per_second, (unsigned long long)rate.burst_bytes);
                }
        }
        if (run.tls) {
                if (load_cert(&d) != OK)
                        log_error(&logger, d.text, NULL);
                else
                        log_info(&logger, "certificate read again", NULL);
        }
}

static enum err start_engine(struct diag *d)
{
        struct relay_io_config config = {
                .loop = run.loop,
                .admission = is_set(opt.verify_url)   ? RELAY_ADMIT_URL
                             : opt.verify_clients ? RELAY_ADMIT_LOCAL
                                                  : RELAY_ADMIT_ALL,
                .verify_url = opt.verify_url,
                .verify_fail_open = opt.verify_fail_open,
                .local_socket = opt.local_socket,
                .home = opt.home,
        };
        struct derp_mesh_key mesh_key;
        char key_text[KEY_TEXT_MAX];
        bool is_new = opt.dev;
        enum err e = OK;

        if (opt.dev && !is_set(opt.key_file))
                key_generate(net_rng(), &config.key);
        else
                e = relay_key_file(opt.key_file, net_rng(), &config.key, &is_new, d);
        if (e == OK && is_set(opt.mesh_key_file)) {
                e = relay_mesh_key_file(opt.mesh_key_file, &mesh_key, d);
                config.mesh_key = &mesh_key;
        }
        if (e == OK && is_set(opt.rate_file))
                e = relay_rate_file(opt.rate_file, &config.rate, d);
        if (e == OK)
                e = relay_io_new(&config, &run.io, d);
        key_wipe(&config.key, sizeof(config.key));
        key_wipe(&mesh_key, sizeof(mesh_key));
        if (e != OK)
                return e;
        key_format("", relay_public_key(relay_io_engine(run.io)), key_text);
        log_info(&logger, is_new ? "made a new key" : "key read", "public=%s", key_text);
        return OK;
}

static enum err start_stun(struct ip_addr ip, struct diag *d)
{
        struct ip_port addr = { ip, (uint16_t)opt.stun_port };

        if (!ip_is_unspecified(&ip))
                return relay_stun_start(run.loop, &addr, &run.stun[0], d);
        addr.ip = (struct ip_addr){ .family = IP_V4 };
        enum err e = relay_stun_start(run.loop, &addr, &run.stun[0], d);
        if (e != OK)
                return e;
        struct diag unused; /* a machine without IPv6 is as good as any */
        addr.ip = (struct ip_addr){ .family = IP_V6 };
        if (relay_stun_start(run.loop, &addr, &run.stun[1], &unused) != OK)
                log_info(&logger, "STUN for IPv4 only", "why=%s", unused.text);
        return OK;
}

static enum err set_bootstrap_names(char *list, struct diag *d)
{
        const char *names[RELAY_BOOTSTRAP_NAMES_MAX];
        size_t count = 0;
        char *rest = list;

        for (char *name = strtok_r(list, ", ", &rest); name; name = strtok_r(NULL, ", ", &rest)) {
                if (count == RELAY_BOOTSTRAP_NAMES_MAX)
                        return diag_set(d, ERR_LIMIT, "-bootstrap-dns-names takes at most %d names", RELAY_BOOTSTRAP_NAMES_MAX);
                names[count++] = name;
        }
        if (relay_io_set_bootstrap_names(run.io, names, count) != OK)
                return diag_set(d, ERR_NOMEM, "not enough memory for the names of -bootstrap-dns-names");
        return OK;
}

static enum err set_mesh(char *list, struct diag *d)
{
        char *rest = list;

        for (char *where = strtok_r(list, ", ", &rest); where; where = strtok_r(NULL, ", ", &rest)) {
                bool is_plain = strncmp(where, "http://", 7) == 0;
                char *dial_name = strchr(where + (is_plain ? 7 : 0), '/');
                if (dial_name)
                        *dial_name++ = '\0';
                enum err e = relay_io_mesh_with(run.io, where, dial_name, d);
                if (e != OK)
                        return e;
        }
        return OK;
}

/* Runs set() over a copy that it may cut up. */
static enum err with_list(const char *text, enum err (*set)(char *list, struct diag *d), struct diag *d)
{
        if (!is_set(text))
                return OK;
        char *list = strdup(text);
        if (!list)
                return diag_set(d, ERR_NOMEM, "not enough memory");
        enum err e = set(list, d);
        free(list);
        return e;
}

static enum err start_signals(struct diag *d)
{
        enum err e = net_signal_start(run.loop, SIGTERM, on_stop, NULL, &run.term);

        if (e == OK)
                e = net_signal_start(run.loop, SIGINT, on_stop, NULL, &run.interrupt);
        if (e == OK)
                e = net_signal_start(run.loop, SIGHUP, on_hangup, NULL, &run.hangup);
        return e == OK ? OK : diag_set(d, e, "cannot watch signals: %s", err_str(e));
}

static void log_listening(bool uses_tls)
{
        struct ip_port addr = relay_server_addr(run.server);
        char text[IP_TEXT_MAX];

        ip_port_format(&addr, text);
        log_info(&logger, opt.derp ? "relaying" : "answering checks only", "address=%s tls=%s", text, uses_tls ? "yes" : "no");
        for (int i = 0; i < 2; i++) {
                if (!run.stun[i])
                        continue;
                addr = relay_stun_addr(run.stun[i]);
                ip_port_format(&addr, text);
                log_info(&logger, "answering STUN", "address=%s", text);
        }
}

static enum err start(struct ip_port addr, bool uses_tls, struct diag *d)
{
        struct relay_server_config config = {
                .addr = addr,
                .serves_derp = opt.derp,
                .plain_port = (int)opt.http_port,
                .accepts_per_second = (double)opt.accept_limit,
                .accept_burst = (unsigned)(opt.accept_burst ? opt.accept_burst : opt.accept_limit),
        };

        enum err e = net_loop_new(&run.loop);
        if (e != OK)
                return diag_set(d, e, "the system gives no event loop: %s", err_str(e));
        e = start_signals(d);
        if (e == OK)
                e = start_engine(d);
        if (e == OK && uses_tls)
                e = load_cert(d);
        config.loop = run.loop;
        config.io = run.io;
        config.tls = run.tls;
        if (e == OK)
                e = relay_server_start(&config, &run.server, d);
        if (e == OK && opt.stun)
                e = start_stun(addr.ip, d);
        if (e == OK)
                e = with_list(opt.bootstrap_names, set_bootstrap_names, d);
        if (e == OK)
                e = with_list(opt.mesh_with, set_mesh, d);
        if (e == OK)
                log_listening(uses_tls);
        return e;
}

/* In the reverse order of start(); what was not started is NULL. */
static void stop(void)
{
        relay_server_stop(run.server);
        relay_stun_stop(run.stun[0]);
        relay_stun_stop(run.stun[1]);
        relay_io_free(run.io);
        tls_server_free(run.tls);
        net_signal_stop(run.term);
        net_signal_stop(run.interrupt);
        net_signal_stop(run.hangup);
        if (run.loop)
                net_loop_free(run.loop);
}

static int fail(const struct diag *d, int status)
{
        fprintf(stderr, "weft-relay: %s\n", d->text);
        return status;
}

int main(int argc, char **argv)
{
        enum log_level level;
        struct ip_port addr;
        struct diag d = { "" };
        uint8_t hash_key[16];
        int rest;

        if (geteuid() == 0)
                opt.key_file = "/var/lib/derper/derper.key";
        enum err e = flags_parse(flags, FLAG_COUNT, argc - 1, argv + 1, &rest, &d);
        if (e == ERR_NOTFOUND && d.text[0] == '\0') {
                print_help();
                return 0;
        }
        if (e == OK && rest != argc - 1)
                e = diag_set(&d, ERR_FORMAT, "'%s' is not a flag; --help lists them", argv[1 + rest]);
        if (e == OK && log_level_parse(opt.log_level, &level) != OK)
                e = diag_set(&d, ERR_FORMAT, "-log-level is one of error, warn, info, debug, trace");
        if (e != OK)
                return fail(&d, 2);
        if (opt.version) {
                puts(WEFT_VERSION);
                return 0;
        }
        log_set_level(level);
        if (opt.dev) {
                opt.addr = flags_given(flags, FLAG_COUNT, "a") ? opt.addr : ":3340";
                opt.key_file = flags_given(flags, FLAG_COUNT, "c") ? opt.key_file : NULL;
        }
        if (ip_listen_parse(slice_str(opt.addr), &addr) != OK)
                e = diag_set(&d, ERR_FORMAT, "'%s' is not an address to listen on: give -a :443 or -a 192.0.2.1:443", opt.addr);
        bool uses_tls = !opt.dev && (addr.port == 443 || strcmp(opt.cert_mode, "manual") == 0);
        if (e == OK)
                e = check_options(uses_tls, &d);
        if (e != OK)
                return fail(&d, 2);

        rng_fill(net_rng(), hash_key, sizeof(hash_key));
        hash_set_key(hash_key);
        net_raise_descriptor_limit();
        e = start(addr, uses_tls, &d);
        if (e == OK)
                net_loop_run(run.loop);
        stop();
        return e == OK ? 0 : fail(&d, 1);
}
