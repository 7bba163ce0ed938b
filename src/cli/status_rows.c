#include "status_rows.h"

#include <stdlib.h>

#include "base/text.h"

const char *const status_titles[STATUS_COLUMNS] = { "IP", "Hostname", "Owner", "OS", "Status" };

static void put_name(const struct status *st, const struct status_peer *p, char *out)
{
        struct slice name = p->dns_name, suffix = st->magic_dns_suffix;

        if (!name.len) {
                cli_cell(out, STATUS_CELL_MAX, "(\"%.*s\")", (int)(p->host_name.len < 200 ? p->host_name.len : 200), (const char *)p->host_name.ptr);
                return;
        }
        name.len--; /* the dot */
        if (suffix.len && name.len > suffix.len + 1 && slice_has_suffix(name, suffix))
                name.len -= suffix.len + 1;
        cli_cell(out, STATUS_CELL_MAX, "%.*s", SLICE_ARGS(name));
}

static void put_owner(const struct status *st, const struct status_peer *p, char *out)
{
        int64_t id = p->sharer_user_id ? p->sharer_user_id : p->user_id;

        cli_cell(out, STATUS_CELL_MAX, "-");
        for (size_t i = 0; i < st->users.count; i++) {
                struct slice login = st->users.items[i].login_name;
                if (st->users.items[i].id != id || !login.len)
                        continue;
                size_t at = slice_find(login, '@');
                cli_cell(out, STATUS_CELL_MAX, "%.*s%s", (int)at, (const char *)login.ptr, at < login.len ? "@" : "");
        }
}

static void put_ago(const struct tailcfg_time *seen, int64_t now_ns, char *out, size_t cap)
{
        int64_t minutes = (now_ns - seen->unix_ns) / 60000000000;

        if (!seen->set)
                out[0] = '\0';
        else if (minutes < 60)
                snprintf(out, cap, ", last seen %lldm ago", (long long)(minutes < 0 ? 0 : minutes));
        else if (minutes < 24 * 60)
                snprintf(out, cap, ", last seen %lldh ago", (long long)minutes / 60);
        else
                snprintf(out, cap, ", last seen %lldd ago", (long long)minutes / (24 * 60));
}

static void put_state(const struct status_peer *p, int64_t now_ns, char *out)
{
        char path[128] = "", offline[64] = "", ago[48], traffic[64] = "";
        bool any = p->rx_bytes || p->tx_bytes;

        put_ago(&p->last_seen, now_ns, ago, sizeof ago);
        if (!p->online)
                snprintf(offline, sizeof offline, "offline%s", ago);
        if (any)
                snprintf(traffic, sizeof traffic, ", tx %llu rx %llu", (unsigned long long)p->tx_bytes, (unsigned long long)p->rx_bytes);
        if (p->active && p->cur_addr.len)
                snprintf(path, sizeof path, "direct %.*s", SLICE_ARGS(p->cur_addr));
        else if (p->active && p->peer_relay.len)
                snprintf(path, sizeof path, "peer-relay %.*s", SLICE_ARGS(p->peer_relay));
        else if (p->active && p->relay.len)
                snprintf(path, sizeof path, "relay \"%.*s\"", SLICE_ARGS(p->relay));

        const char *exit_node = p->exit_node ? "exit node" : p->exit_node_option ? "offers exit node" : "";
        if (p->active)
                cli_cell(out, STATUS_CELL_MAX, "active; %s%s%s%s%s%s", exit_node, *exit_node ? "; " : "", path, *offline ? "; " : "", offline, traffic);
        else if (*exit_node || any)
                cli_cell(out, STATUS_CELL_MAX, "idle%s%s%s%s%s", *exit_node ? "; " : "", exit_node, *offline ? "; " : "", offline, traffic);
        else
                cli_cell(out, STATUS_CELL_MAX, "%s", *offline ? offline : "-");
}

static void fill_row(const struct status *st, const struct status_peer *p, int64_t now_ns, struct status_row *row)
{
        row->peer = p;
        if (p->ips.count)
                ip_format(&p->ips.items[0], row->cell[0]);
        put_name(st, p, row->cell[1]);
        put_owner(st, p, row->cell[2]);
        cli_cell(row->cell[3], STATUS_CELL_MAX, "%.*s", (int)(p->os.len < 64 ? p->os.len : 64), (const char *)p->os.ptr);
        put_state(p, now_ns, row->cell[4]);
}

static int by_name(const void *a, const void *b)
{
        const struct status_peer *x = ((const struct status_row *)a)->peer, *y = ((const struct status_row *)b)->peer;
        int order = slice_compare(x->dns_name, y->dns_name);

        if (!order)
                order = slice_compare(x->host_name, y->host_name);
        if (!order && x->ips.count && y->ips.count)
                order = ip_compare(&x->ips.items[0], &y->ips.items[0]);
        return order ? order : memcmp(x->key.b, y->key.b, KEY_LEN);
}

/* Who only receives what is shared, and the exit nodes of a provider by the hundred
 * (until one is chosen), are no part of the picture. */
static bool is_shown(const struct status_peer *p, const struct status_show *show)
{
        bool is_provider = p->exit_node_option && !p->exit_node && slice_has_suffix(p->dns_name, SLICE_LIT(".mullvad.ts.net."));

        return !p->is_sharee && !is_provider && (p->active || !show->active);
}

struct status_row *status_rows(const struct status *st, const struct status_show *show, int64_t now_ns, struct arena *arena,
        size_t *count)
{
        struct status_row *rows = ARENA_ARRAY(arena, st->peers.count + 1, struct status_row);
        size_t n = 0;

        if (!rows)
                return NULL;
        if (show->self)
                fill_row(st, &st->self, now_ns, &rows[n++]);
        size_t first_peer = n;
        for (size_t i = 0; i < st->peers.count && show->peers; i++)
                if (is_shown(&st->peers.items[i], show))
                        fill_row(st, &st->peers.items[i], now_ns, &rows[n++]);
        qsort(rows + first_peer, n - first_peer, sizeof *rows, by_name);
        *count = n;
        return rows;
}

bool status_is_up(const struct status *st)
{
        return slice_is(st->backend_state, "Running") || slice_is(st->backend_state, "Starting");
}

void status_why_not(const struct status *st, struct buf *out)
{
        if (slice_is(st->backend_state, "Stopped")) {
                buf_append_str(out, "Tailscale is stopped.\n");
        } else if (slice_is(st->backend_state, "NeedsLogin")) {
                buf_append_str(out, "Logged out.\n");
                if (st->auth_url.len)
                        buf_printf(out, "Log in at: %.*s\n", SLICE_ARGS(st->auth_url));
        } else if (slice_is(st->backend_state, "NeedsMachineAuth")) {
                buf_append_str(out, "Machine is not yet approved by tailnet admin.\n");
        } else {
                buf_printf(out, "unexpected state: %.*s\n", SLICE_ARGS(st->backend_state));
        }
}
