/* The engine as a whole: loading, timers, and what concerns all nodes. */
#include <stdlib.h>

#include "state.h"

enum { EXPIRY_SCAN_S = 5 };

const struct server_settings SERVER_SETTINGS_DEFAULT = {
        .magic_dns = true,
        .override_local_dns = true,
        .taildrop = true,
        .disable_logtail = true,
        .ephemeral_timeout_us = TIME_S(120),
        .batch_delay_us = TIME_MS(50),
        .register_ttl_us = TIME_S(15 * 60),
        .max_registrations = 1024,
};

/* ---- loading --------------------------------------------------------------------- */

static enum err keep(struct row_set *set, void *row)
{
        if (!row)
                return ERR_NOMEM;
        free(row_set_put(set, row));
        return OK;
}

static enum err load_user(void *ctx, const struct store_user *row)
{
        return keep(&((struct server *)ctx)->tailnet.users, store_user_dup(row));
}

static enum err load_auth_key(void *ctx, const struct store_auth_key *row)
{
        return keep(&((struct server *)ctx)->tailnet.auth_keys, store_auth_key_dup(row));
}

static enum err load_api_key(void *ctx, const struct store_api_key *row)
{
        return keep(&((struct server *)ctx)->tailnet.api_keys, store_api_key_dup(row));
}

static enum err load_node(void *ctx, const struct store_node *row)
{
        struct store_node *copy = store_node_dup(row);

        if (!copy)
                return ERR_NOMEM;
        (void)node_add(ctx, copy);
        return OK;
}

/* They come by ascending id: the last one counts. */
static enum err load_policy(void *ctx, const struct store_policy *row)
{
        struct server *s = ctx;

        s->last_policy_id = row->id;
        if (s->settings->policy_in_store)
                policy_keep_text(s, row->data, row->created_us);
        return OK;
}

/* A policy that cannot be enforced is no reason to let everybody reach everything. */
static enum err enforce_stored_policy(struct server *s, struct diag *diag)
{
        struct policy_errors errors;
        struct buf why = BUF_INIT(64 << 10);

        policy_errors_init(&errors);
        enum err e = policy_enforce(s, s->policy_text, s->policy_since_us, false, &errors);
        policy_errors_write(&errors, &why);
        if (e != OK)
                (void)diag_set(diag, e, "the policy in the database is not valid: %s", buf_cstr(&why));
        else if (errors.count)
                log_warn(&server_log, "tests of the policy fail", "why=\"%s\"", buf_cstr(&why));
        policy_errors_fini(&errors);
        buf_fini(&why);
        return e;
}

static void raise(struct row_set *set, int64_t id)
{
        if (id > set->last_id)
                set->last_id = id;
}

static void load_last_ids(void *ctx, int64_t user, int64_t auth_key, int64_t api_key, int64_t node)
{
        struct tailnet *t = &((struct server *)ctx)->tailnet;

        raise(&t->users, user);
        raise(&t->auth_keys, auth_key);
        raise(&t->api_keys, api_key);
        raise(&t->nodes, node);
}

/* ---- timers ------------------------------------------------------------------------ */

static void flush_due(struct timer *timer, const struct now *now)
{
        (void)now;
        session_flush_all(container_of(timer, struct server, flush.timer));
}

static void soft_due(struct timer *timer, const struct now *now)
{
        (void)now;
        journal_write_soft(container_of(timer, struct server, soft_timer));
}

/* Key expiry is a date, and clocks jump: look at all nodes instead of trusting timers. */
static void expiry_scan(struct timer *timer, const struct now *now)
{
        struct server *s = container_of(timer, struct server, expiry_timer);

        for (size_t i = 0; i < s->tailnet.nodes.n; i++) {
                struct node *n = (struct node *)s->tailnet.nodes.items[i];
                bool expired = node_is_expired(s, n);
                if (expired == n->expiry_told)
                        continue;
                n->expiry_told = expired;
                change_mark(s, n, CHANGE_NODE);
                if (expired)
                        log_info(&server_log, "a node's key has expired", "node=%lld name=%.*s",
                                (long long)n->id, SLICE_ARGS(n->row->given_name));
        }
        timer_arm(&s->timers, timer, now->mono_us + TIME_S(EXPIRY_SCAN_S));
}

/* ---- life ------------------------------------------------------------------------------ */

struct server *server_new(const struct server_settings *settings, struct store *store, struct rng *rng,
        const struct now *now, struct diag *diag)
{
        struct server *s = calloc(1, sizeof(*s));
        struct store_visitor visitor = {
                s,
                load_user,
                load_auth_key,
                load_api_key,
                load_node,
                load_policy,
                load_last_ids,
        };

        if (!s) {
                (void)diag_set(diag, ERR_NOMEM, "out of memory");
                return NULL;
        }
        s->settings = settings;
        s->store = store;
        s->rng = rng;
        s->now = *now;
        s->records = settings->extra_records;
        s->n_records = settings->n_extra_records;
        s->flush.timer.fire = flush_due;
        s->soft_timer.fire = soft_due;
        s->expiry_timer.fire = expiry_scan;
        list_init(&s->sessions);
        timer_heap_init(&s->timers);
        tailnet_init(&s->tailnet);
        journal_init(s);
        s->policy = policy_state_new();
        s->users_pending = s->policy_pending = true;
        if (!s->policy)
                (void)diag_set(diag, ERR_NOMEM, "out of memory");
        if (!s->policy || server_set_derp_map(s, now, SLICE_LIT("{\"Regions\":{},\"omitDefaultRegions\":true}")) != OK ||
                store_load(store, &visitor, diag) != OK || enforce_stored_policy(s, diag) != OK) {
                server_free(s);
                return NULL;
        }
        timer_arm(&s->timers, &s->expiry_timer, now->mono_us + TIME_S(EXPIRY_SCAN_S));
        return s;
}

void server_free(struct server *s)
{
        if (!s)
                return;
        while (!list_empty(&s->sessions))
                session_end(container_of(s->sessions.next, struct session, in_server));
        journal_write_soft(s);
        registration_fini(s);
        journal_fini(s);
        while (s->tailnet.nodes.n) {
                struct node *n = (struct node *)s->tailnet.nodes.items[s->tailnet.nodes.n - 1];
                s->tailnet.nodes.n--;
                node_free(n);
        }
        tailnet_fini(&s->tailnet);
        timer_heap_fini(&s->timers);
        policy_state_free(s->policy);
        free((void *)s->policy_text.ptr);
        free((void *)s->derp_map.ptr);
        arena_fini(&s->records_arena);
        free(s);
}

uint64_t server_deadline(const struct server *s) { return timer_next(&s->timers); }

void server_run(struct server *s, const struct now *now)
{
        s->now = *now;
        timer_run(&s->timers, now);
}

enum err server_set_derp_map(struct server *s, const struct now *now, struct slice json)
{
        uint8_t *copy = malloc(json.len + 1);

        s->now = *now;
        if (!copy)
                return ERR_NOMEM;
        memcpy(copy, json.ptr, json.len);
        free((void *)s->derp_map.ptr);
        s->derp_map = slice_make(copy, json.len);
        change_mark_common(s, &s->tailnet.derp_seq);
        return OK;
}

static bool same_records(const struct server *s, const struct server_dns_record *records, size_t n)
{
        bool same = n == s->n_records;

        for (size_t i = 0; same && i < n; i++)
                same = slice_equal(records[i].name, s->records[i].name) &&
                       slice_equal(records[i].type, s->records[i].type) &&
                       slice_equal(records[i].value, s->records[i].value);
        return same;
}

enum err server_set_extra_records(
        struct server *s, const struct now *now, const struct server_dns_record *records, size_t n)
{
        struct arena a = ARENA_INIT(64 << 20);
        struct server_dns_record *copy = ARENA_ARRAY(&a, n + 1, struct server_dns_record);

        s->now = *now;
        for (size_t i = 0; copy && i < n; i++)
                copy[i] = (struct server_dns_record){ arena_copy(&a, records[i].name),
                        arena_copy(&a, records[i].type), arena_copy(&a, records[i].value) };
        if (arena_failed(&a) || same_records(s, records, n)) {
                enum err e = arena_failed(&a) ? ERR_NOMEM : OK;
                arena_fini(&a);
                return e;
        }
        arena_fini(&s->records_arena);
        s->records_arena = a;
        s->records = copy;
        s->n_records = n;
        change_mark_common(s, &s->tailnet.dns_seq);
        return OK;
}

bool server_knows_node(const struct server *s, const struct public_key *node_key)
{
        const struct node *n = tailnet_node_by_key(&s->tailnet, node_key);

        return n && !node_is_expired(s, n);
}

enum err server_health(struct server *s) { return store_check(s->store); }

void server_count(const struct server *s, struct server_counts *out)
{
        *out = (struct server_counts){ .users = s->tailnet.users.n,
                .nodes = s->tailnet.nodes.n,
                .sessions = s->n_sessions,
                .waiting = s->journal.n_held,
                .since = s->stats };
        list_each (it, &s->sessions)
                out->blocked += container_of(it, const struct session, in_server)->blocked;
        for (size_t i = 0; i < s->tailnet.nodes.n; i++)
                out->online += ((const struct node *)s->tailnet.nodes.items[i])->online;
}
