/* weftd: the node's daemon. Flags of tailscaled (spec/node.md 1.1). */
#include <errno.h>
#include <signal.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/table.h"
#include "base/text.h"
#include "cli/flags.h"
#include "cli/weft.h"
#include "net/listener.h"
#include "net/loop.h"
#include "node/node.h"
#include "os/dns.h"
#include "os/firewall.h"
#include "os/priv.h"
#include "os/router.h"

static const struct log main_log = { "weftd" };

enum {
        MTU_DEFAULT = 1280,
        MTU_MAX = 65536,
        /* Sockets, relays, resolvers and the pipes of the event loop, with room for those who ask. */
        DESCRIPTORS_MIN = 64,
};

struct daemon_flags {
        const char *tun, *state, *state_dir, *socket;
        int64_t port, verbose;
        bool cleanup, version, no_logs;
        /* Of the official daemon, not of this one yet: named when given. */
        const char *debug, *config, *bird, *socks5, *http_proxy;
        bool encrypt_state, attestation;
};

static int fail(const char *text)
{
        fprintf(stderr, "weftd: %s\n", text);
        return 1;
}

/* ---- systemd ------------------------------------------------------------------------- */

/* One datagram to the service manager, if there is one (sd_notify(3)). */
static void tell_manager(const char *state)
{
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un addr = { .sun_family = AF_UNIX };

        if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof addr.sun_path)
                return;
        memcpy(addr.sun_path, path, strlen(path));
        if (path[0] == '@')
                addr.sun_path[0] = 0;
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
        if (fd >= 0 && sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&addr, len) < 0)
                log_debug(&main_log, "the service manager does not listen", NULL);
        if (fd >= 0)
                close(fd);
}

/* ---- flags ----------------------------------------------------------------------------- */

static int64_t port_of_environment(void)
{
        const char *text = getenv("PORT");
        uint64_t port;

        return text && parse_u64(slice_str(text), 65535, &port) == OK ? (int64_t)port : 0;
}

static int64_t verbosity_of_environment(void)
{
        const char *text = getenv("TS_LOG_VERBOSITY");
        uint64_t level;

        return text && parse_u64(slice_str(text), 9, &level) == OK ? (int64_t)level : 0;
}

static uint32_t mtu_of_environment(void)
{
        const char *text = getenv("TS_DEBUG_MTU");
        uint64_t mtu;

        return text && parse_u64(slice_str(text), MTU_MAX, &mtu) == OK && mtu >= 576 ? (uint32_t)mtu : MTU_DEFAULT;
}

static bool is_set(const char *name)
{
        const char *v = getenv(name);

        return v && *v && strcmp(v, "0") != 0 && strcmp(v, "false") != 0;
}

static const char *unsupported(const struct daemon_flags *f)
{
        if (*f->debug)
                return "--debug (a debug HTTP server) is not supported by this version of weftd";
        if (*f->config)
                return "--config (a declarative configuration file) is not supported by this version of weftd; use "
                       "weft up and weft set";
        if (*f->bird)
                return "--bird-socket is not supported by this version of weftd";
        if (*f->socks5)
                return "--socks5-server is not supported by this version of weftd";
        if (*f->http_proxy)
                return "--outbound-http-proxy-listen is not supported by this version of weftd";
        if (f->encrypt_state || f->attestation)
                return "keys in a TPM (--encrypt-state, --hardware-attestation) are not supported by this version of weftd";
        if (strncmp(f->tun, "userspace-networking", 20) == 0)
                return "--tun=userspace-networking is not supported by this version of weftd; it needs a TUN device";
        if (strncmp(f->tun, "tap:", 4) == 0)
                return "--tun=tap: is not supported by this version of weftd; give the name of a TUN device";
        if (strchr(f->tun, ','))
                return "--tun: a list of devices is not supported by this version of weftd; give one name";
        if (strncmp(f->state, "kube:", 5) == 0 || strncmp(f->state, "arn:", 4) == 0 || strncmp(f->state, "tpmseal:", 8) == 0)
                return "--state: only a file or mem: is supported by this version of weftd";
        return NULL;
}

static const char *check_flags(const struct daemon_flags *f)
{
        const char *why = unsupported(f);

        if (why)
                return why;
        if (!*f->tun || strlen(f->tun) >= TUN_NAME_MAX || strchr(f->tun, '/'))
                return "--tun is the name of an interface: 1 to 15 characters without a slash";
        if (f->port < 0 || f->port > 65535)
                return "--port is a UDP port, 0 to 65535";
        if (strlen(f->state) >= PATH_MAX || strlen(f->state_dir) >= PATH_MAX - 32)
                return "--state and --statedir: the path is too long";
        if (!*f->socket || strlen(f->socket) >= sizeof((struct sockaddr_un *)0)->sun_path)
                return "--socket is the path of a Unix socket, at most 107 bytes long";
        return NULL;
}

static void print_help(const struct flag *flags, size_t count)
{
        printf("Usage: weftd [flags]\n\nThe daemon of a weft node. Control it with weft(1).\n\nFlags:\n");
        flags_print(stdout, flags, count);
}

/* ---- the machine ------------------------------------------------------------------------- */

/* Said here, since half a daemon that cannot open its next file says it less clearly. */
static bool has_descriptors(void)
{
        struct rlimit limit;

        net_raise_descriptor_limit();
        if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DESCRIPTORS_MIN)
                return true;
        fprintf(stderr, "weftd: only %llu files may be open at once and weftd needs %d: raise ulimit -n, or LimitNOFILE= of "
                        "the service\n", (unsigned long long)limit.rlim_cur, DESCRIPTORS_MIN);
        return false;
}

static int cleanup(void)
{
        if (!router_is_permitted())
                return fail("taking away routes and rules needs root or CAP_NET_ADMIN: run with sudo");
        router_cleanup();
        firewall_cleanup();
        os_dns_cleanup();
        return 0;
}

/* ---- running ----------------------------------------------------------------------------- */

struct daemon {
        struct net_loop *loop;
        bool failed;
};

static void on_failed(void *ctx, const char *why)
{
        struct daemon *d = ctx;

        d->failed = true;
        fail(why);
        net_loop_stop(d->loop);
}

static void on_ready(void *ctx)
{
        (void)ctx;
        tell_manager("READY=1");
}

static void on_signal(void *ctx, int signum)
{
        struct daemon *d = ctx;

        log_info(&main_log, "stopping", "signal=%s", signum == SIGTERM ? "SIGTERM" : "SIGINT");
        tell_manager("STOPPING=1");
        net_loop_stop(d->loop);
}

static int run(const struct node_options *base)
{
        struct net_signal *on_term = NULL, *on_int = NULL;
        struct node_options options = *base;
        struct daemon d = { 0 };
        struct node *node = NULL;
        struct diag diag;
        uint8_t seed[16];

        /* Forked before there is a thread or a descriptor to inherit. */
        if (priv_start(&options.priv, &diag) != OK)
                return fail(diag.text);
        rng_fill(net_rng(), seed, sizeof seed);
        hash_set_key(seed);
        options.failed = on_failed;
        options.ready = on_ready;
        options.ctx = &d;
        enum err err = net_loop_new(&d.loop);
        if (err)
                diag_set(&diag, err, "the system refuses an event loop: %s", err_str(err));
        if (!err && (net_signal_start(d.loop, SIGTERM, on_signal, &d, &on_term) != OK ||
                     net_signal_start(d.loop, SIGINT, on_signal, &d, &on_int) != OK))
                err = diag_set(&diag, ERR_SYS, "cannot catch signals");
        if (!err)
                err = node_start(d.loop, &options, &node, &diag);
        else
                priv_stop(options.priv);
        if (!err && !d.failed)
                net_loop_run(d.loop);
        if (err)
                fail(diag.text);
        node_stop(node);
        net_signal_stop(on_term);
        net_signal_stop(on_int);
        if (d.loop)
                net_loop_free(d.loop);
        return err || d.failed ? 1 : 0;
}

/* Where the state lives unless told otherwise (spec/node.md 1.3). */
static void default_state(char out[static PATH_MAX])
{
        const char *home = getenv("XDG_DATA_HOME"), *user = getenv("HOME");

        if (geteuid() == 0)
                snprintf(out, PATH_MAX, "/var/lib/tailscale/tailscaled.state");
        else if (home && *home)
                snprintf(out, PATH_MAX, "%s/tailscale/tailscaled.state", home);
        else
                snprintf(out, PATH_MAX, "%s/.local/share/tailscale/tailscaled.state", user ? user : "");
}

/* Where the state is: as the flags say, or the usual place of this user. Without a path
 * everything is forgotten at exit. */
struct places {
        char state[PATH_MAX], dir[PATH_MAX];
};

static void choose_places(const struct daemon_flags *f, struct places *at, struct node_options *options)
{
        if (strcmp(f->state, "mem:") == 0)
                return;
        if (*f->state)
                snprintf(at->state, sizeof at->state, "%s", f->state);
        else if (*f->state_dir)
                snprintf(at->state, sizeof at->state, "%s/tailscaled.state", f->state_dir);
        else
                default_state(at->state);
        const char *slash = strrchr(at->state, '/');
        snprintf(at->dir, sizeof at->dir, "%.*s", slash ? (int)(slash - at->state) : 1, slash ? at->state : ".");
        options->state_path = at->state;
        options->state_dir = *f->state_dir ? f->state_dir : at->dir;
}

static int start(const struct daemon_flags *f)
{
        struct places at;
        struct node_options options = {
                .socket_path = f->socket,
                .tun_name = f->tun,
                .port = (uint16_t)f->port,
                .mtu = mtu_of_environment(),
                .no_portmap = is_set("TS_DISABLE_PORTMAPPER"),
                .no_upnp = is_set("TS_DISABLE_UPNP"),
                .no_direct = is_set("TS_DEBUG_NEVER_DIRECT_UDP") || is_set("TS_DEBUG_ALWAYS_USE_DERP"),
        };

        choose_places(f, &at, &options);
        log_info(&main_log, "weftd starts", "version=%s state=%s socket=%s", WEFT_VERSION,
                options.state_path ? options.state_path : "mem:", options.socket_path);
        int status = run(&options);
        if (status == 0)
                log_info(&main_log, "weftd ends", NULL);
        return status; /* a failure's sentence is the last line */
}

int main(int argc, char **argv)
{
        struct daemon_flags f = {
                .tun = "tailscale0", .state = "", .state_dir = "", .socket = weft_default_socket(),
                .port = port_of_environment(), .verbose = verbosity_of_environment(),
                .debug = "", .config = "", .bird = "", .socks5 = "", .http_proxy = "",
        };
        struct flag flags[] = {
                { "tun", FLAG_TEXT, &f.tun, "name of the TUN interface", false },
                { "port", FLAG_NUMBER, &f.port, "UDP port for WireGuard and path discovery; 0: any", false },
                { "state", FLAG_TEXT, &f.state, "path of the state file, or mem: to forget everything at exit", false },
                { "statedir", FLAG_TEXT, &f.state_dir, "folder for the state file and the cached network map", false },
                { "socket", FLAG_TEXT, &f.socket, "path of the socket that weft talks to", false },
                { "verbose", FLAG_NUMBER, &f.verbose, "how much to log: 0, 1 or 2", false },
                { "cleanup", FLAG_BOOL, &f.cleanup, "take away routes, rules and DNS settings that a crash left behind, then exit", false },
                { "no-logs-no-support", FLAG_BOOL, &f.no_logs, "accepted for compatibility: no logs are ever uploaded", false },
                { "version", FLAG_BOOL, &f.version, "print the version and exit", false },
                { "debug", FLAG_TEXT, &f.debug, NULL, false },
                { "config", FLAG_TEXT, &f.config, NULL, false },
                { "bird-socket", FLAG_TEXT, &f.bird, NULL, false },
                { "socks5-server", FLAG_TEXT, &f.socks5, NULL, false },
                { "outbound-http-proxy-listen", FLAG_TEXT, &f.http_proxy, NULL, false },
                { "encrypt-state", FLAG_BOOL, &f.encrypt_state, NULL, false },
                { "hardware-attestation", FLAG_BOOL, &f.attestation, NULL, false },
        };
        const size_t count = sizeof flags / sizeof *flags;
        struct diag diag;
        int rest = 0;

        enum err err = flags_parse(flags, count, argc - 1, argv + 1, &rest, &diag);
        if (err == ERR_NOTFOUND) {
                print_help(flags, count);
                return 0;
        }
        if (!err && rest < argc - 1)
                err = diag_set(&diag, ERR_FORMAT, "\"%s\" is no flag; see weftd --help", argv[rest + 1]);
        if (err)
                return fail(diag.text);
        if (f.version) {
                printf("%s\n  long version: %s\n", WEFT_VERSION, WEFT_VERSION);
                return 0;
        }
        const char *why = check_flags(&f);
        if (why)
                return fail(why);
        log_set_level(f.verbose <= 0 ? LOG_INFO : f.verbose == 1 ? LOG_DEBUG : LOG_TRACE);
        if (f.cleanup)
                return cleanup();
        if (!has_descriptors())
                return 1;

        return start(&f);
}
