/* `weft down` and `weft logout`. */
#include "cli.h"

static int run_down(struct cli *cli, int argc, char **argv)
{
        const char *reason = "", *risk = "";
        struct flag flags[] = { { "reason", FLAG_TEXT, &reason, NULL, false },
                { "accept-risk", FLAG_TEXT, &risk, NULL, false } };
        struct arena arena = ARENA_INIT(64 << 20);
        struct status st;
        struct cli_reply reply;
        int rest, status;

        if (!cli_flags(cli, &cli_verb_down, flags, 2, argc, argv, 0, &rest, &status))
                return status;
        bool ok = cli_get_status(cli, false, &arena, &st);
        bool was_stopped = ok && slice_is(st.backend_state, "Stopped");
        if (was_stopped)
                fprintf(stderr, "Tailscale was already stopped.\n");
        else if (ok && (ok = cli_call(cli, "PATCH", "prefs", SLICE_LIT("{\"WantRunning\":false,\"WantRunningSet\":true}"), &reply)))
                cli_reply_fini(&reply);
        arena_fini(&arena);
        return ok ? 0 : 1;
}

static int run_logout(struct cli *cli, int argc, char **argv)
{
        const char *reason = "";
        struct flag flags[] = { { "reason", FLAG_TEXT, &reason, NULL, false } };
        struct cli_reply reply;
        int rest, status;

        if (!cli_flags(cli, &cli_verb_logout, flags, 1, argc, argv, 0, &rest, &status))
                return status;
        if (!cli_call(cli, "POST", "logout", (struct slice){ 0 }, &reply))
                return 1;
        cli_reply_fini(&reply);
        return 0;
}

const struct cli_verb cli_verb_down = { "down", "down", "Disconnect, keeping the login", run_down };
const struct cli_verb cli_verb_logout = { "logout", "logout", "Disconnect and expire this node's key", run_logout };
