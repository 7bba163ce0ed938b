/* `weft status` (spec/node.md 2.4). */
#include <stdlib.h>
#include <time.h>

#include "base/text.h"
#include "cli.h"

enum { COLUMNS = 5, CELL_MAX = 256 };

struct row {
        char cell[COLUMNS][CELL_MAX];
        const struct status_peer *peer;
};

static void put_name(const struct status *st, const struct status_peer *p, char *out)
{
        struct slice name = p->dns_name, suffix = st->magic_dns_suffix;

        if (!name.len) {
                snprintf(out, CELL_MAX, "(\"%.*s\")", (int)(p->host_name.len < 200 ? p->host_name.len : 200), (const char *)p->host_name.ptr);
                return;
        }
        name.len--; /* the dot */
        if (suffix.len && name.len > suffix.len + 1 && slice_has_suffix(name, suffix))
                name.len -= suffix.len + 1;
        snprintf(out, CELL_MAX, "%.*s", SLICE_ARGS(name));
}

static void put_owner(const struct status *st, const struct status_peer *p, char *out)
{
        int64_t id = p->sharer_user_id ? p->sharer_user_id : p->user_id;

        snprintf(out, CELL_MAX, "-");
        for (size_t i = 0; i < st->user_count; i++) {
                struct slice login = st->users[i].login_name;
                if (st->users[i].id != id || !login.len)
                        continue;
                size_t at = slice_find(login, '@');
                snprintf(out, CELL_MAX, "%.*s%s", (int)at, (const char *)login.ptr, at < login.len ? "@" : "");
        }
}

static void put_ago(int64_t seen_ns, int64_t now_ns, char *out, size_t cap)
{
        int64_t minutes = (now_ns - seen_ns) / 60000000000;

        if (seen_ns == UNIX_ZERO_DATE)
                out[0] = '\0';
        else if (minutes < 60)
                snprintf(out, cap, ", last seen %lldm ago", (long long)(minutes < 0 ? 0 : minutes));
        else if (minutes < 24 * 60)
                snprintf(out, cap, ", last seen %lldh ago", (long long)minutes / 60);
        else
                snprintf(out, cap, ", last seen %lldd ago", (long long)minutes / (24 * 60));
}

static void put_state(const struct status_peer *p, bool is_self, int64_t now_ns, char *out)
{
        char path[128] = "", offline[64] = "", ago[48], traffic[64] = "";
        bool any = p->rx_bytes || p->tx_bytes;

        put_ago(p->last_seen_ns, now_ns, ago, sizeof ago);
        if (!p->online && !is_self)
                snprintf(offline, sizeof offline, "offline%s", ago);
        if (any)
                snprintf(traffic, sizeof traffic, ", tx %llu rx %llu", (unsigned long long)p->tx_bytes, (unsigned long long)p->rx_bytes);
        if (p->active && p->cur_addr.len)
                snprintf(path, sizeof path, "direct %.*s", SLICE_ARGS(p->cur_addr));
        else if (p->active && p->relay.len)
                snprintf(path, sizeof path, "relay \"%.*s\"", SLICE_ARGS(p->relay));

        const char *exit_node = p->exit_node ? "exit node" : p->exit_node_option ? "offers exit node" : "";
        if (p->active)
                snprintf(out, CELL_MAX, "active; %s%s%s%s%s%s", exit_node, *exit_node ? "; " : "", path, *offline ? "; " : "", offline, traffic);
        else if (*exit_node || any)
                snprintf(out, CELL_MAX, "idle%s%s%s%s%s", *exit_node ? "; " : "", exit_node, *offline ? "; " : "", offline, traffic);
        else
                snprintf(out, CELL_MAX, "%s", *offline ? offline : "-");
}

static void fill_row(const struct status *st, const struct status_peer *p, bool is_self, int64_t now_ns, struct row *row)
{
        row->peer = p;
        if (p->ips.count)
                ip_format(&p->ips.items[0], row->cell[0]);
        put_name(st, p, row->cell[1]);
        put_owner(st, p, row->cell[2]);
        snprintf(row->cell[3], CELL_MAX, "%.*s", (int)(p->os.len < 64 ? p->os.len : 64), (const char *)p->os.ptr);
        put_state(p, is_self, now_ns, row->cell[4]);
}

static int by_name(const void *a, const void *b)
{
        const struct status_peer *x = ((const struct row *)a)->peer, *y = ((const struct row *)b)->peer;
        int order = slice_compare(x->dns_name, y->dns_name);

        if (!order)
                order = slice_compare(x->host_name, y->host_name);
        if (!order && x->ips.count && y->ips.count)
                order = ip_compare(&x->ips.items[0], &y->ips.items[0]);
        return order ? order : memcmp(x->key.b, y->key.b, KEY_LEN);
}

/* Two spaces between columns; every cell is padded, the last by its end of line. */
static void print_rows(const struct row *rows, size_t count)
{
        size_t width[COLUMNS] = { 0 };

        for (size_t i = 0; i < count; i++)
                for (int c = 0; c < COLUMNS; c++) {
                        size_t n = strlen(rows[i].cell[c]);
                        width[c] = n > width[c] ? n : width[c];
                }
        for (size_t i = 0; i < count; i++) {
                for (int c = 0; c < COLUMNS; c++)
                        printf("%-*s  ", (int)width[c], rows[i].cell[c]);
                putchar('\n');
        }
}

struct show {
        bool json, active, self, peers, header;
};

static int print_text(const struct cli *cli, const struct status *st, const struct show *show)
{
        struct timespec ts;
        size_t n = 0;

        clock_gettime(CLOCK_REALTIME, &ts);
        int64_t now_ns = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
        struct row *rows = calloc(st->peer_count + 2, sizeof *rows);
        if (!rows)
                return cli_fail(cli, "out of memory");
        if (show->header) {
                static const char *const titles[COLUMNS] = { "IP", "Hostname", "Owner", "OS", "Status" };
                for (int c = 0; c < COLUMNS; c++)
                        snprintf(rows[n].cell[c], CELL_MAX, "%s", titles[c]);
                n++;
        }
        if (show->self)
                fill_row(st, &st->self, true, now_ns, &rows[n++]);
        size_t first_peer = n;
        for (size_t i = 0; i < st->peer_count && show->peers; i++)
                if (!show->active || st->peers[i].active)
                        fill_row(st, &st->peers[i], false, now_ns, &rows[n++]);
        qsort(rows + first_peer, n - first_peer, sizeof *rows, by_name);
        print_rows(rows, n);
        free(rows);
        if (st->health.count) {
                printf("\n# Health check:\n");
                for (size_t i = 0; i < st->health.count; i++)
                        printf("#     - %.*s\n", SLICE_ARGS(st->health.items[i]));
        }
        return 0;
}

static int print_not_running(const struct status *st)
{
        if (slice_is(st->backend_state, "Stopped"))
                printf("Tailscale is stopped.\n");
        else if (slice_is(st->backend_state, "NeedsLogin")) {
                printf("Logged out.\n");
                if (st->auth_url.len)
                        printf("Log in at: %.*s\n", SLICE_ARGS(st->auth_url));
        } else if (slice_is(st->backend_state, "NeedsMachineAuth"))
                printf("Machine is not yet approved by tailnet admin.\n");
        else
                printf("unexpected state: %.*s\n", SLICE_ARGS(st->backend_state));
        return 1;
}

static int run_status(struct cli *cli, int argc, char **argv)
{
        struct show show = { .self = true, .peers = true };
        struct flag flags[] = {
                { "json", FLAG_BOOL, &show.json, "as JSON", false },
                { "active", FLAG_BOOL, &show.active, "only peers with traffic now", false },
                { "self", FLAG_BOOL, &show.self, "show this node", false },
                { "peers", FLAG_BOOL, &show.peers, "show the peers", false },
                { "header", FLAG_BOOL, &show.header, "show column titles", false },
        };
        struct arena arena = ARENA_INIT(256 << 20);
        struct status st;
        struct cli_reply reply;
        int rest, status;

        if (!cli_flags(cli, &cli_verb_status, flags, 5, argc, argv, 0, &rest, &status))
                return status;
        status = 1;
        if (show.json) {
                if (cli_call(cli, "GET", show.peers ? "status" : "status?peers=false", (struct slice){ 0 }, &reply)) {
                        status = cli_print_json(stdout, buf_slice(&reply.body)) == OK ? 0 : cli_fail(cli, "the daemon's answer is not JSON");
                        cli_reply_fini(&reply);
                }
        } else if (cli_get_status(cli, show.peers, &arena, &st)) {
                bool is_up = slice_is(st.backend_state, "Running") || slice_is(st.backend_state, "Starting");
                status = is_up ? print_text(cli, &st, &show) : print_not_running(&st);
        }
        arena_fini(&arena);
        return status;
}

const struct cli_verb cli_verb_status = { "status", "status [flags]", "Show this node and its peers", run_status };
