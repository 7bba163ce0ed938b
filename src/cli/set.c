/* `weft set`: change the settings that are mentioned (spec/node.md 2.3). */
#include "settings.h"

static int patch(struct cli *cli, const struct prefs *p, uint64_t mask)
{
        struct buf body = BUF_INIT(1 << 20);
        struct json_writer w;
        struct cli_reply reply;

        json_writer_init(&w, &body, NULL);
        prefs_write_masked(&w, p, mask);
        bool ok = cli_call(cli, "PATCH", "prefs", buf_slice(&body), &reply);
        if (ok)
                cli_reply_fini(&reply);
        buf_fini(&body);
        return ok ? 0 : 1;
}

static int change(struct cli *cli, const struct settings *s, const struct flag *flags, const enum setting *ids, size_t count)
{
        struct arena arena = ARENA_INIT(64 << 20);
        struct status st;
        struct prefs prefs;
        struct diag diag = { "" };
        uint64_t mask = 0;
        enum err e = OK;
        int status = 1;

        if (!cli_get_status(cli, true, &arena, &st) || !cli_get_prefs(cli, &prefs))
                goto out;
        for (size_t i = 0; i < count && !e; i++)
                if (flags[i].is_given)
                        e = settings_apply(s, ids[i], &st, &prefs, &mask, &diag);
        status = e ? cli_fail(cli, "%s", diag.text) : patch(cli, &prefs, mask);
        if (status == 0)
                settings_warn(cli, flags, ids, count, &prefs);
        prefs_fini(&prefs);
out:
        arena_fini(&arena);
        return status;
}

static int run_set(struct cli *cli, int argc, char **argv)
{
        struct settings s = { 0 }; /* what is not mentioned stays: --help shows no defaults */
        struct flag flags[SETTING_COUNT + 1];
        const char *risk = "";
        enum setting ids[SETTING_COUNT];
        int rest, status;
        bool any = false;

        size_t count = settings_flags(&s, SETTINGS_SET, flags, ids);
        flags[count] = (struct flag){ "accept-risk", FLAG_TEXT, &risk, NULL, false };
        if (!cli_flags(cli, &cli_verb_set, flags, count + 1, argc, argv, 0, &rest, &status))
                return status;
        for (size_t i = 0; i < count; i++)
                any |= flags[i].is_given;
        if (!any)
                return cli_fail(cli, "nothing to set; see %s set --help", cli->program);
        return change(cli, &s, flags, ids, count);
}

const struct cli_verb cli_verb_set = { "set", "set [flags]", "Change the settings that are mentioned", run_set };
