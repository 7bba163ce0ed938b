/* `weft version`. */
#include "cli.h"
#include "proto/tailcfg_base.h"

static void print_version_json(struct slice daemon)
{
        struct buf out = BUF_INIT(4096);
        struct json_writer w;

        json_writer_init(&w, &out, "  ");
        json_object_open(&w);
        json_field_str(&w, "majorMinorPatch", WEFT_VERSION);
        json_field_str(&w, "short", WEFT_VERSION);
        json_field_str(&w, "long", WEFT_VERSION);
        if (daemon.len)
                json_field_slice(&w, "daemonLong", daemon);
        json_field_i64(&w, "cap", TAILCFG_CAPVER);
        json_object_close(&w);
        printf("%s\n", buf_cstr(&out));
        buf_fini(&out);
}

static int run_version(struct cli *cli, int argc, char **argv)
{
        bool daemon = false, json = false, upstream = false;
        const char *track = "";
        struct flag flags[] = { { "daemon", FLAG_BOOL, &daemon, "the daemon's version too", false },
                { "json", FLAG_BOOL, &json, "as JSON", false },
                { "upstream", FLAG_BOOL, &upstream, NULL, false }, { "track", FLAG_TEXT, &track, NULL, false } };
        struct arena arena = ARENA_INIT(64 << 20);
        struct status st = { 0 };
        int rest, status;

        if (!cli_flags(cli, &cli_verb_version, flags, sizeof flags / sizeof *flags, argc, argv, 0, &rest, &status))
                return status;
        if (upstream || *track)
                return cli_fail(cli, "asking for the newest release (--upstream) is not supported by this version of weft");
        if (daemon && !cli_get_status(cli, false, &arena, &st)) {
                arena_fini(&arena);
                return 1;
        }
        if (json) {
                print_version_json(st.version);
        } else if (daemon) {
                cli_say(stdout, "Client: %s\nDaemon: %.*s\n", WEFT_VERSION, SLICE_ARGS(st.version));
        } else {
                printf("%s\n  long version: %s\n  capability version: %d\n", WEFT_VERSION, WEFT_VERSION, TAILCFG_CAPVER);
        }
        arena_fini(&arena);
        return 0;
}

const struct cli_verb cli_verb_version = { "version", "version [flags]", "Print the version", run_version };
