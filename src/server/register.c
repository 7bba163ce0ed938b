/*
 * POST /machine/register: what a request means, in the order of spec/server.md 5.1,
 * and the part of a registration that pre-auth keys and login pages have in common.
 * Whatever a client may cause is answered with 200 and a text in Error.
 */
#include "state.h"

/* ---- answers -------------------------------------------------------------------- */

static void reply_register(
        struct server *s, struct server_call *call, const struct tailcfg_register_response *response)
{
        struct buf body = BUF_INIT(64 << 10);
        struct json_writer w;

        json_writer_init(&w, &body, NULL);
        tailcfg_register_response_write(&w, response);
        hold_reply(s, call, FORM_REGISTER,
                &(struct server_reply){
                        .status = 200, .content_type = "application/json", .body = buf_slice(&body) });
        buf_fini(&body);
}

void register_reply_error(struct server *s, struct server_call *call, const char *text)
{
        log_info(&server_log, "a registration was refused", "why=\"%s\"", text);
        reply_register(s, call, &(struct tailcfg_register_response){ .error = slice_str(text) });
}

static struct slice display_name(const struct store_user *user)
{
        return user->display_name.len ? user->display_name : user->name;
}

/* Fills in whose node it is. */
static void describe_owner(
        const struct server *s, const struct node *n, struct tailcfg_register_response *out)
{
        const struct store_user *user = node_is_tagged(n) ? NULL : tailnet_user(&s->tailnet, n->row->user_id);

        if (!user) {
                out->user = (struct tailcfg_user){ .id = TAGGED_DEVICES_ID,
                        .display_name = SLICE_LIT("Tagged Devices") };
                out->login = (struct tailcfg_login){ .id = TAGGED_DEVICES_ID,
                        .login_name = SLICE_LIT("tagged-devices"),
                        .display_name = SLICE_LIT("Tagged Devices") };
                return;
        }
        out->user = (struct tailcfg_user){ .id = user->id,
                .display_name = display_name(user),
                .profile_pic_url = user->picture_url,
                .created = time_of_us(user->created_us) };
        out->login = (struct tailcfg_login){ .id = user->id,
                .provider = user->provider,
                .login_name = user->name,
                .display_name = display_name(user),
                .profile_pic_url = user->picture_url };
}

void register_reply_node(struct server *s, struct server_call *call, const struct node *n)
{
        struct tailcfg_register_response response = { 0 };
        bool expired = n->is_removed || node_is_expired(s, n);

        describe_owner(s, n, &response);
        response.node_key_expired = expired;
        response.machine_authorized = !expired;
        reply_register(s, call, &response);
}

static void reply_plain(struct server *s, struct server_call *call, int status, const char *text)
{
        hold_reply(s, call, FORM_PLAIN,
                &(struct server_reply){ .status = status,
                        .content_type = "text/plain; charset=utf-8",
                        .body = slice_str(text) });
}

/* ---- creating and updating nodes -------------------------------------------------- */

int64_t register_expiry(const struct server *s, const struct candidate *c)
{
        if (c->expires_us)
                return c->expires_us;
        return s->settings->node_expiry_us ? s->now.unix_us + s->settings->node_expiry_us : 0;
}

/* A node key belongs to one node for ever (spec/control.md, trap 12). */
static bool key_is_taken(const struct server *s, const struct candidate *c, const struct node *self)
{
        const struct node *holder = tailnet_node_by_key(&s->tailnet, &c->node_key);

        return holder && holder != self;
}

static enum err apply_hostinfo(struct server *s, struct node *n, const struct candidate *c)
{
        unsigned changes = 0;
        enum err e = OK;

        n->cap_version = c->cap_version;
        if (c->hostinfo)
                e = node_set_hostinfo(n, c->hostinfo, &changes);
        journal_soft_changed(s, n);
        return e;
}

/* Approves what the policy approves by itself, in the row about to be stored. */
static void settle(struct tx *tx, struct node *n, const struct candidate *c)
{
        struct server *s = tx->s;
        struct arena a = ARENA_INIT(1 << 20);
        struct tailcfg_prefixes approved;

        if (apply_hostinfo(s, n, c) != OK)
                log_warn(&server_log, "a node's Hostinfo cannot be used", "node=%lld", (long long)n->id);
        if (routes_auto_approve(s, n->row, n, &a, &approved)) {
                struct store_node row = *n->row;
                row.approved_routes = approved.items;
                row.n_approved_routes = approved.count;
                (void)journal_put_node(tx, &row);
        }
        arena_fini(&a);
        if (n->n_announced)
                routes_elect(s);
}

struct node *register_new(struct tx *tx, struct store_node *row, const struct candidate *c, struct diag *diag)
{
        struct server *s = tx->s;
        char name[LABEL_MAX + 1];

        if (key_is_taken(s, c, NULL)) {
                (void)diag_set(diag, ERR_EXISTS, "the node key is in use by another node");
                return NULL;
        }
        if (address_allocate(s, &row->ipv4, &row->ipv6) != OK) {
                (void)diag_set(diag, ERR_LIMIT, "no free address is left in the configured prefixes");
                return NULL;
        }
        row->id = s->tailnet.nodes.last_id + 1;
        row->tailnet = s->tailnet.id;
        row->machine_key = c->machine_key;
        row->node_key = c->node_key;
        row->hostname = c->hostname;
        row->given_name = slice_make(name, name_choose(&s->tailnet, c->hostname, NULL, name));
        row->created_us = s->now.unix_us;
        row->cap_version = c->cap_version;
        struct node *n = journal_put_node(tx, row);
        settle(tx, n, c);
        tx->s->stats.registrations++;
        log_info(&server_log, "node registered", "node=%lld name=%s", (long long)n->id, name);
        return n;
}

struct node *register_again(
        struct tx *tx, struct node *n, struct store_node *row, const struct candidate *c, struct diag *diag)
{
        struct server *s = tx->s;
        char name[LABEL_MAX + 1];
        bool same_key = key_equal(&n->row->node_key, &c->node_key);

        if (key_is_taken(s, c, n)) {
                (void)diag_set(diag, ERR_EXISTS, "the node key is in use by another node");
                return NULL;
        }
        row->node_key = c->node_key;
        if (!slice_equal(row->hostname, c->hostname)) {
                if (name_follows_hostname(row))
                        row->given_name = slice_make(name, name_choose(&s->tailnet, c->hostname, n, name));
                row->hostname = c->hostname;
        }
        n->expiry_told = false;
        /* Peers were told Expired, which no patch takes back. */
        bool whole = node_is_expired(s, n) || !slice_equal(row->given_name, n->row->given_name) ||
                     !slice_equal(row->tags, n->row->tags) || row->user_id != n->row->user_id;
        (void)journal_put_node(tx, row);
        settle(tx, n, c);
        change_mark(s, n, whole ? CHANGE_NODE : CHANGE_KEY);
        s->stats.registrations++;
        log_info(&server_log, same_key ? "node registered again" : "node registered with a new key",
                "node=%lld name=%.*s", (long long)n->id, SLICE_ARGS(n->row->given_name));
        return n;
}

/* ---- logout ------------------------------------------------------------------------- */

static void logout(struct server *s, struct node *n, const struct candidate *c, int64_t expiry_us,
        struct server_call *call)
{
        if (!key_equal(&n->row->machine_key, &c->machine_key)) {
                register_reply_error(s, call, "node exists with a different machine key");
                return;
        }
        if (node_is_expired(s, n)) {
                register_reply_node(s, call, n);
                return;
        }
        if (expiry_us > s->now.unix_us) {
                register_reply_error(s, call, "extending key is not allowed");
                return;
        }
        struct tx tx = journal_begin(s);
        if (n->row->ephemeral) {
                journal_delete_node(&tx, n);
        } else {
                struct store_node row = *n->row;
                row.expires_us = s->now.unix_us;
                (void)journal_put_node(&tx, &row);
                n->expiry_told = true;
                change_mark(s, n, CHANGE_EXPIRY);
                change_mark(s, n, CHANGE_SELF);
        }
        journal_commit(&tx);
        log_info(&server_log, "node logged out", "node=%lld", (long long)n->id);
        register_reply_node(s, call, n);
}

/* ---- dispatch ------------------------------------------------------------------------ */

static void dispatch(struct server *s, const struct tailcfg_register_request *req, const struct candidate *c,
        struct server_call *call)
{
        struct node *n = tailnet_node_by_key(&s->tailnet, &c->node_key);
        struct slice auth_key = req->auth ? req->auth->auth_key : (struct slice){ 0 };
        int64_t expiry_us = req->expiry.set ? req->expiry.unix_ns / 1000 : 0;

        if (n && req->expiry.set && expiry_us <= s->now.unix_us) {
                logout(s, n, c, expiry_us, call);
                return;
        }
        if (n && auth_key.len == 0) {
                if (!key_equal(&n->row->machine_key, &c->machine_key))
                        register_reply_error(s, call, "node exists with a different machine key");
                else if (!req->expiry.set && !node_is_expired(s, n))
                        register_reply_node(s, call, n);
                else
                        logout(s, n, c, expiry_us, call);
                return;
        }
        if (req->followup.len)
                register_follow_up(s, c, req->followup, call);
        else if (auth_key.len)
                register_with_key(s, c, auth_key, call);
        else
                register_interactive(s, c, call);
}

/* Official clients obey 429 since capability version 137; older ones take any status
 * but 200 as "try again later". */
static void reply_swamped(struct server *s, struct server_call *call)
{
        enum { RETRY_AFTER_MIN_S = 5, RETRY_AFTER_MAX_S = 20 };

        call->ops->reply(call, &(struct server_reply){ .status = 429,
                                       .content_type = "text/plain; charset=utf-8",
                                       .body = SLICE_LIT("the control server is busy; try again later\n"),
                                       .retry_after_s = (unsigned)rng_between(
                                               s->rng, RETRY_AFTER_MIN_S, RETRY_AFTER_MAX_S) });
}

void server_register(struct server *s, const struct now *now, const struct public_key *machine,
        struct slice body, struct server_call *call)
{
        struct arena a = ARENA_INIT(4 << 20);
        struct tailcfg_register_request req;

        s->now = *now;
        if (hold_is_swamped(s)) {
                reply_swamped(s, call);
                return;
        }
        if (tailcfg_register_request_decode(body, &a, &req) != OK || key_is_zero(&req.node_key)) {
                reply_plain(s, call, 400, "the request is not a RegisterRequest\n");
        } else if (req.version < SERVER_MIN_CAP_VERSION) {
                reply_plain(s, call, 400, "unsupported client version: 1.80 or later is needed\n");
        } else {
                struct candidate c = {
                        .machine_key = *machine,
                        .node_key = req.node_key,
                        .hostinfo = req.hostinfo,
                        .hostname =
                                req.hostinfo ? slice_first(req.hostinfo->hostname, 255) : (struct slice){ 0 },
                        .cap_version = req.version > UINT16_MAX ? UINT16_MAX : (int)req.version,
                };
                if (req.expiry.set && req.expiry.unix_ns / 1000 > now->unix_us)
                        c.expires_us = req.expiry.unix_ns / 1000;
                dispatch(s, &req, &c, call);
        }
        arena_fini(&a);
}
