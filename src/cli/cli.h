/*
 * What the verbs of `weft` share: the connection to the daemon and how failures are
 * told. A verb is a function that returns the exit status; it prints its own errors.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "cli/flags.h"
#include "net/loop.h"
#include "node/notify.h"
#include "node/prefs.h"
#include "node/status.h"

/* The LocalAPI, as a URL; the connection goes to the daemon's socket. */
#define CLI_DAEMON "local-tailscaled.sock"
#define CLI_DAEMON_URL "http://" CLI_DAEMON "/localapi/v0/"

struct cli {
        struct net_loop *loop;
        const char *socket_path;
        const char *program; /* "weft" */
        bool warned_version; /* the daemon's version differs, and we said so */
};

struct cli_reply {
        unsigned status; /* HTTP */
        struct buf body;
};

/* One request. path is what follows "/localapi/v0/". ERR_SYS and the like when the
 * daemon cannot be asked, diag tells why; a reply of any status is OK, and
 * cli_reply_fini() is due in every case. */
enum err MUST_USE cli_request(struct cli *cli, const char *method, const char *path, struct slice body,
        struct cli_reply *reply, struct diag *diag);
void cli_reply_fini(struct cli_reply *reply);

/* The same for who only wants success (2xx): prints the failure, with a hint when
 * permission is lacking, and returns false. */
bool cli_call(struct cli *cli, const char *method, const char *path, struct slice body, struct cli_reply *reply);

/* GET and parse. The arena must outlive what was read. False: failure was printed. */
bool cli_get_status(struct cli *cli, bool with_peers, struct arena *arena, struct status *out);
/* out is initialised and must be finished when true is returned. */
bool cli_get_prefs(struct cli *cli, struct prefs *out);

/*
 * Watches the bus with the given mask: first opened() once the daemon has registered
 * us, then line() for each message, until one of them returns false, deadline_ns (0:
 * none) has passed (ERR_TIMEOUT) or the daemon ends it (ERR_CLOSED, diag).
 */
struct cli_watch {
        bool (*opened)(void *ctx);
        bool (*line)(void *ctx, struct slice json);
};
enum err MUST_USE cli_watch_bus(struct cli *cli, unsigned mask, const struct cli_watch *watch, void *ctx,
        int64_t timeout_ns, struct diag *diag);

/* printf() for what others may have named: control characters become '?', but for the
 * breaks of lines; cells of a table are made with cli_cell(), where those go too. */
void cli_say(FILE *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
void cli_cell(char *out, size_t cap, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* "weft: " and a sentence on stderr; returns 1, the exit status. */
int cli_fail(const struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A verb: its name, what the help says, and what runs it (argv[0] is the verb). */
struct cli_verb {
        const char *name, *usage, *summary;
        int (*run)(struct cli *cli, int argc, char **argv);
};

/* Parses the verb's flags. Returns true to go on; else *status is the exit status
 * (0 after --help). max_args < 0: any number. */
bool cli_flags(const struct cli *cli, const struct cli_verb *verb, struct flag *flags, size_t count, int argc,
        char **argv, int max_args, int *rest, int *status);

/* Prints JSON anew with two spaces of indentation and a final newline; copy is
 * json_copy(), or one that leaves something out. */
enum err MUST_USE cli_print_json(FILE *out, struct slice json, void (*copy)(struct json_reader *r, struct json_writer *w));

/* The address that the user's word means: an IP, or a node's name looked up in the
 * status (spec/node.md 2.5), or by DNS. is_self: one of ours. */
enum err MUST_USE cli_resolve(struct cli *cli, const struct status *st, const char *word, struct ip_addr *out,
        bool *is_self, struct diag *diag);

extern const struct cli_verb cli_verb_up, cli_verb_down, cli_verb_login, cli_verb_logout, cli_verb_set,
        cli_verb_status, cli_verb_ip, cli_verb_ping, cli_verb_netcheck, cli_verb_whois, cli_verb_version;

#endif
