/* POST /machine/map: what a node tells about itself, and which form of answer it wants
 * (spec/control.md 4.3). */
#include "state.h"

static void reply(struct server *s, struct server_call *call, int status, struct slice body)
{
        hold_reply(s, call, FORM_PLAIN,
                &(struct server_reply){ .status = status,
                        .content_type = status == 200 ? "application/json" : "text/plain; charset=utf-8",
                        .body = body });
}

/* A new host name may mean a new DNS name, which is a durable change. */
static void follow_hostname(struct server *s, struct node *n, struct slice hostname)
{
        struct store_node row = *n->row;
        char name[LABEL_MAX + 1];

        hostname = slice_first(hostname, 255);
        if (hostname.len == 0 || slice_equal(row.hostname, hostname))
                return;
        if (name_follows_hostname(&row))
                row.given_name = slice_make(name, name_choose(&s->tailnet, hostname, n, name));
        row.hostname = hostname;
        struct tx tx = journal_begin(s);
        (void)journal_put_node(&tx, &row);
        journal_commit(&tx);
        change_mark(s, n, CHANGE_NODE);
}

static void approve_new_routes(struct server *s, struct node *n)
{
        struct arena a = ARENA_INIT(1 << 20);
        struct tailcfg_prefixes list;

        if (routes_auto_approve(s, n->row, n, &a, &list)) {
                struct store_node row = *n->row;
                struct tx tx = journal_begin(s);
                row.approved_routes = list.items;
                row.n_approved_routes = list.count;
                (void)journal_put_node(&tx, &row);
                journal_commit(&tx);
                change_mark(s, n, CHANGE_NODE);
        }
        arena_fini(&a);
        routes_elect(s);
}

/* Takes over what the request says; what it does not say stays. */
static void apply(struct server *s, struct node *n, const struct tailcfg_map_request *req)
{
        unsigned changes = 0;
        size_t announced = n->n_announced;

        if (req->hostinfo) {
                if (node_set_hostinfo(n, req->hostinfo, &changes) != OK)
                        log_debug(&server_log, "Hostinfo dropped", "node=%lld", (long long)n->id);
                follow_hostname(s, n, req->hostinfo->hostname);
        }
        if ((!req->stream || req->endpoints.count) &&
                node_set_endpoints(n, req->endpoints.items, req->endpoints.count))
                changes |= 1U << CHANGE_ENDPOINTS;
        if (!key_is_zero(&req->disco_key) && !key_equal(&req->disco_key, &n->disco_key)) {
                n->disco_key = req->disco_key;
                changes |= 1U << CHANGE_KEY;
        }
        if (req->version != n->cap_version) {
                n->cap_version = req->version > UINT16_MAX ? UINT16_MAX : (int)req->version;
                changes |= 1U << CHANGE_NODE;
        }
        if (changes)
                journal_soft_changed(s, n);
        /* NetInfo alone is nobody else's business. */
        change_mark_all(s, n, changes & ~(1U << CHANGE_SELF));
        if (changes & 1U << CHANGE_NODE && (announced || n->n_announced))
                approve_new_routes(s, n);
}

static void answer(
        struct server *s, struct node *n, const struct tailcfg_map_request *req, struct server_call *call)
{
        bool zstd = slice_is(req->compress, "zstd");
        struct server_message *m;

        if (req->stream) {
                session_open(s, n, call, zstd);
                return;
        }
        if (req->omit_peers && !req->read_only) {
                reply(s, call, 200, (struct slice){ 0 });
                return;
        }
        m = mapper_full(s, n, zstd, true);
        if (!m) {
                reply(s, call, 500, SLICE_LIT("out of memory\n"));
                return;
        }
        reply(s, call, 200, slice_make(m->bytes, m->len));
        server_message_unref(m);
}

void server_map(struct server *s, const struct now *now, const struct public_key *machine, struct slice body,
        struct server_call *call)
{
        struct arena a = ARENA_INIT(4 << 20);
        struct tailcfg_map_request req;
        struct node *n;

        s->now = *now;
        if (tailcfg_map_request_decode(body, &a, &req) != OK) {
                reply(s, call, 400, SLICE_LIT("the request is not a MapRequest\n"));
        } else if (req.version < SERVER_MIN_CAP_VERSION) {
                reply(s, call, 400, SLICE_LIT("unsupported client version: 1.80 or later is needed\n"));
        } else if (!(n = tailnet_node_by_key(&s->tailnet, &req.node_key)) ||
                   !key_equal(&n->row->machine_key, machine)) {
                reply(s, call, 404, SLICE_LIT("node not found\n"));
        } else {
                if (!req.read_only)
                        apply(s, n, &req);
                answer(s, n, &req, call);
        }
        arena_fini(&a);
}
