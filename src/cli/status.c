/* `weft status` (spec/node.md 2.4). */
#include <time.h>

#include "json/copy.h"
#include "status_rows.h"

/* Two spaces between columns; every cell is padded, the last by its end of line. */
static void print_rows(const struct status_row *rows, size_t count, bool header)
{
        static const char dashes[] = "--------";
        int width[STATUS_COLUMNS] = { 0 };

        for (int c = 0; c < STATUS_COLUMNS; c++) {
                if (header)
                        width[c] = (int)strlen(status_titles[c]);
                for (size_t i = 0; i < count; i++) {
                        int n = (int)strlen(rows[i].cell[c]);
                        width[c] = n > width[c] ? n : width[c];
                }
        }
        for (int c = 0; c < STATUS_COLUMNS && header; c++)
                printf("%-*s  %s", width[c], status_titles[c], c == STATUS_COLUMNS - 1 ? "\n" : "");
        for (int c = 0; c < STATUS_COLUMNS && header; c++)
                printf("%-*.*s  %s", width[c], (int)strlen(status_titles[c]), dashes, c == STATUS_COLUMNS - 1 ? "\n" : "");
        for (size_t i = 0; i < count; i++) {
                for (int c = 0; c < STATUS_COLUMNS; c++)
                        printf("%-*s  ", width[c], rows[i].cell[c]);
                putchar('\n');
        }
}

static int print_text(const struct cli *cli, const struct status *st, const struct status_show *show, bool header, struct arena *arena)
{
        struct timespec ts;
        size_t count;

        clock_gettime(CLOCK_REALTIME, &ts);
        const struct status_row *rows = status_rows(st, show, (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec, arena, &count);
        if (!rows)
                return cli_fail(cli, "out of memory");
        print_rows(rows, count, header);
        if (st->health.count) {
                printf("\n# Health check:\n");
                for (size_t i = 0; i < st->health.count; i++)
                        cli_say(stdout, "#     - %.*s\n", SLICE_ARGS(st->health.items[i]));
        }
        return 0;
}

static int print_why_not(const struct status *st)
{
        struct buf text = BUF_INIT(16 << 10);

        status_why_not(st, &text);
        cli_say(stdout, "%s", buf_cstr(&text));
        buf_fini(&text);
        return 1;
}

static int print_json(struct cli *cli, const struct status_show *show)
{
        struct cli_reply reply;

        if (!cli_call(cli, "GET", show->peers ? "status" : "status?peers=false", (struct slice){ 0 }, &reply))
                return 1;
        enum err e = cli_print_json(stdout, buf_slice(&reply.body), show->active ? status_copy_active : json_copy);
        cli_reply_fini(&reply);
        return e == OK ? 0 : cli_fail(cli, "the daemon's answer is not JSON");
}

static int run_status(struct cli *cli, int argc, char **argv)
{
        struct status_show show = { .self = true, .peers = true };
        bool json = false, header = false, web = false, browser = true;
        const char *listen = "127.0.0.1:8384";
        struct flag flags[] = {
                { "json", FLAG_BOOL, &json, "as JSON", false },
                { "active", FLAG_BOOL, &show.active, "only peers with traffic now", false },
                { "self", FLAG_BOOL, &show.self, "show this node", false },
                { "peers", FLAG_BOOL, &show.peers, "show the peers", false },
                { "header", FLAG_BOOL, &header, "show column titles", false },
                { "web", FLAG_BOOL, &web, "serve the status as a web page until interrupted", false },
                { "listen", FLAG_TEXT, &listen, "with --web, the address to serve it at; port 0 for a free one", false },
                { "browser", FLAG_BOOL, &browser, "with --web, open a browser", false },
        };
        struct arena arena = ARENA_INIT(256 << 20);
        struct status st;
        int rest, status;

        if (!cli_flags(cli, &cli_verb_status, flags, sizeof flags / sizeof *flags, argc, argv, 0, &rest, &status))
                return status;
        if (json)
                return print_json(cli, &show);
        status = 1;
        if (cli_get_status(cli, show.peers, &arena, &st)) {
                if (web)
                        status = status_serve(cli, &show, listen, browser);
                else
                        status = status_is_up(&st) ? print_text(cli, &st, &show, header, &arena) : print_why_not(&st);
        }
        arena_fini(&arena);
        return status;
}

const struct cli_verb cli_verb_status = { "status", "status [flags]", "Show this node and its peers", run_status };
