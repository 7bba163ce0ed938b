/*
 * Interactive logins (spec/server.md 5.3, 5.4, 5.7): a client gets a page to visit, an
 * administrator approves the id on that page, the client's follow-up hears of it.
 * Logins that wait are in memory only; the oldest gives way when there are too many.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "state.h"

enum { AUTH_ID_RANDOM = 12 };
#define AUTH_ID_PREFIX "hskey-authreq-"
enum { AUTH_ID_LEN = sizeof(AUTH_ID_PREFIX) - 1 + 2 * AUTH_ID_RANDOM };

struct registration {
        char id[AUTH_ID_LEN + 1];
        struct server *server;
        struct list by_age;
        struct timer expiry;
        struct arena arena; /* holds what the candidate points to */
        struct candidate candidate;
        struct list waiting; /* calls */
        int64_t node_id;     /* once approved: a late follow-up finds its answer */
};

/* What waiters get when the login did not come to a node: a fresh page. */
static void start_over(struct registration *r)
{
        for (struct list *it; (it = list_pop_front(&r->waiting));)
                register_interactive(r->server, &r->candidate, container_of(it, struct server_call, link));
}

static void registration_free(struct registration *r)
{
        (void)table_remove(&r->server->tailnet.registrations, slice_make(r->id, AUTH_ID_LEN));
        timer_cancel(&r->server->timers, &r->expiry);
        list_remove(&r->by_age);
        arena_fini(&r->arena);
        free(r);
}

static void registration_drop(struct registration *r)
{
        (void)table_remove(&r->server->tailnet.registrations, slice_make(r->id, AUTH_ID_LEN));
        list_remove(&r->by_age);
        start_over(r);
        registration_free(r);
}

static void registration_timeout(struct timer *timer, const struct now *now)
{
        (void)now;
        registration_drop(container_of(timer, struct registration, expiry));
}

void registration_fini(struct server *s)
{
        struct tailnet *t = &s->tailnet;

        while (!list_empty(&t->registrations_by_age)) {
                struct registration *r =
                        container_of(t->registrations_by_age.next, struct registration, by_age);
                for (struct list *it; (it = list_pop_front(&r->waiting));)
                        register_reply_error(
                                s, container_of(it, struct server_call, link), "the server is going down");
                registration_free(r);
        }
}

static struct registration *registration_new(struct server *s, const struct candidate *c)
{
        struct tailnet *t = &s->tailnet;
        struct registration *r = calloc(1, sizeof(*r));
        uint8_t random[AUTH_ID_RANDOM];

        if (!r)
                return NULL;
        r->server = s;
        r->arena = ARENA_INIT(1 << 20);
        r->candidate = *c;
        r->candidate.hostname = arena_copy(&r->arena, c->hostname);
        list_init(&r->waiting);
        if (c->hostinfo) {
                struct tailcfg_hostinfo *copy = ARENA_NEW(&r->arena, struct tailcfg_hostinfo);
                r->candidate.hostinfo = copy;
                if (copy && tailcfg_hostinfo_copy(&r->arena, copy, c->hostinfo) != OK)
                        r->arena.failed = true;
        }
        rng_fill(s->rng, random, sizeof(random));
        memcpy(r->id, AUTH_ID_PREFIX, sizeof(AUTH_ID_PREFIX));
        hex_encode(SLICE_ARRAY(random), r->id + sizeof(AUTH_ID_PREFIX) - 1);
        if (arena_failed(&r->arena) ||
                table_put(&t->registrations, slice_make(r->id, AUTH_ID_LEN), r, NULL) != OK) {
                arena_fini(&r->arena);
                free(r);
                return NULL;
        }
        list_push_back(&t->registrations_by_age, &r->by_age);
        r->expiry.fire = registration_timeout;
        timer_arm(&s->timers, &r->expiry, s->now.mono_us + s->settings->register_ttl_us);
        return r;
}

/* The oldest give way. Their waiters get new pages, which are then the youngest. */
static void make_room(struct server *s)
{
        struct tailnet *t = &s->tailnet;

        while (t->registrations.count >= s->settings->max_registrations) {
                struct registration *oldest =
                        container_of(t->registrations_by_age.next, struct registration, by_age);
                struct list waiting;
                list_init(&waiting);
                for (struct list *it; (it = list_pop_front(&oldest->waiting));)
                        list_push_back(&waiting, it);
                registration_free(oldest);
                for (struct list *it; (it = list_pop_front(&waiting));)
                        register_reply_error(s, container_of(it, struct server_call, link),
                                "too many logins are waiting; try again");
        }
}

void register_interactive(struct server *s, const struct candidate *c, struct server_call *call)
{
        struct tailcfg_register_response response = { 0 };
        struct buf url = BUF_INIT(4096), body = BUF_INIT(16 << 10);
        struct json_writer w;

        make_room(s);
        struct registration *r = registration_new(s, c);
        if (!r) {
                register_reply_error(s, call, "the control server is out of memory; try again later");
                return;
        }
        buf_printf(&url, "%.*s/register/%s", SLICE_ARGS(s->settings->server_url), r->id);
        response.auth_url = buf_slice(&url);
        json_writer_init(&w, &body, NULL);
        tailcfg_register_response_write(&w, &response);
        log_info(&server_log,
                "a node asks to log in: approve with `weft-control auth register --auth-id ID --user NAME`",
                "id=%s host=%.*s", r->id, SLICE_ARGS(r->candidate.hostname));
        hold_reply(s, call, FORM_REGISTER,
                &(struct server_reply){
                        .status = 200, .content_type = "application/json", .body = buf_slice(&body) });
        buf_fini(&url);
        buf_fini(&body);
}

/* ---- follow-up ------------------------------------------------------------------------ */

static struct slice id_of_url(struct slice url)
{
        static const char marker[] = "/register/";

        for (size_t i = 0; i + sizeof(marker) - 1 <= url.len; i++) {
                if (memcmp(url.ptr + i, marker, sizeof(marker) - 1) == 0)
                        return slice_after(url, i + sizeof(marker) - 1);
        }
        return (struct slice){ 0 };
}

void register_follow_up(
        struct server *s, const struct candidate *c, struct slice url, struct server_call *call)
{
        struct registration *r = table_get(&s->tailnet.registrations, id_of_url(url));
        struct node *n;

        if (id_of_url(url).len != AUTH_ID_LEN) {
                register_reply_error(s, call, "invalid registration ID");
                return;
        }
        /* Someone else's login is as unknown as none. */
        if (!r || !key_equal(&r->candidate.machine_key, &c->machine_key) ||
                !key_equal(&r->candidate.node_key, &c->node_key)) {
                register_interactive(s, c, call);
                return;
        }
        if (!r->node_id) {
                list_push_back(&r->waiting, &call->link);
                return;
        }
        n = tailnet_node(&s->tailnet, r->node_id);
        if (n)
                register_reply_node(s, call, n);
        else
                register_interactive(s, c, call);
}

/* ---- the administrator's verdict --------------------------------------------------------- */

/* The node that becomes (or stays) this user's: theirs, else a tagged one. */
static enum err find_existing(
        struct server *s, const struct candidate *c, const struct store_user *user, struct node **out)
{
        struct node *tagged = NULL, *owned = NULL;

        for (struct node *n = tailnet_node_by_machine(&s->tailnet, &c->machine_key); n; n = n->machine_next) {
                if (node_is_tagged(n))
                        tagged = n;
                else if (n->row->user_id == user->id)
                        owned = n;
        }
        *out = owned ? owned : tagged;
        return owned && tagged ? ERR_EXISTS : OK;
}

static int compare_slices(const void *a, const void *b)
{
        return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* RequestTags as a row keeps them; every one must be permitted. */
static enum err requested_tags(struct server *s, const struct candidate *c, const struct store_user *user,
        struct buf *out, struct diag *diag)
{
        enum { TAGS_MAX = 64 };
        struct slice sorted[TAGS_MAX];
        size_t n = c->hostinfo ? c->hostinfo->request_tags.count : 0;

        if (n > TAGS_MAX)
                return diag_set(diag, ERR_LIMIT, "the device asks for more than %d tags", TAGS_MAX);
        for (size_t i = 0; i < n; i++) {
                sorted[i] = c->hostinfo->request_tags.items[i];
                if (!name_is_tag(sorted[i]) || !policy_state_user_owns_tag(policy_now(s), user->id, sorted[i]))
                        return diag_set(diag, ERR_DENIED, "requested tags are invalid or not permitted: %.*s",
                                SLICE_ARGS(sorted[i]));
        }
        qsort(sorted, n, sizeof(sorted[0]), compare_slices);
        for (size_t i = 0; i < n; i++) {
                if (i == 0 || !slice_equal(sorted[i], sorted[i - 1]))
                        buf_printf(out, "%s%.*s", out->len ? "," : "", SLICE_ARGS(sorted[i]));
        }
        return buf_status(out);
}

static struct node *complete(
        struct registration *r, const struct store_user *user, struct slice tags, struct diag *diag)
{
        struct server *s = r->server;
        struct store_node row = { 0 };
        struct node *n;

        if (find_existing(s, &r->candidate, user, &n) != OK) {
                (void)diag_set(diag, ERR_EXISTS,
                        "this machine has a tagged node and one of the user's; delete one of them first");
                return NULL;
        }
        if (n)
                row = *n->row;
        row.tags = tags;
        row.user_id = tags.len ? 0 : user->id;
        row.expires_us = tags.len ? 0 : register_expiry(s, &r->candidate);
        row.method = STORE_REGISTER_CLI;
        row.ephemeral = false;
        struct tx tx = journal_begin(s);
        n = n ? register_again(&tx, n, &row, &r->candidate, diag)
              : register_new(&tx, &row, &r->candidate, diag);
        journal_commit(&tx);
        return n;
}

enum err register_approve(struct server *s, struct slice auth_id, const struct store_user *user,
        struct node **out, struct diag *diag)
{
        struct registration *r = table_get(&s->tailnet.registrations, auth_id);
        struct buf tags = BUF_INIT(8192);
        enum err e;

        if (!r || r->node_id)
                return diag_set(diag, ERR_NOTFOUND,
                        "no login of this id is waiting; it may have expired, start again on the device");
        e = requested_tags(s, &r->candidate, user, &tags, diag);
        if (e == OK) {
                *out = complete(r, user, buf_slice(&tags), diag);
                e = *out ? OK : ERR_EXISTS;
        }
        buf_fini(&tags);
        if (e != OK)
                return e;
        r->node_id = (*out)->id;
        for (struct list *it; (it = list_pop_front(&r->waiting));)
                register_reply_node(s, container_of(it, struct server_call, link), *out);
        return OK;
}

enum err register_reject(struct server *s, struct slice auth_id)
{
        struct registration *r = table_get(&s->tailnet.registrations, auth_id);

        if (!r || r->node_id)
                return ERR_NOTFOUND;
        registration_drop(r);
        return OK;
}
