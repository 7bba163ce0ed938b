/*
 * The policy in force and what its changes mean for sessions. The engine of policy/
 * knows users and nodes; whoever changes one notes it here, and policy_now() gives the
 * engine with everything noted taken in and everything it touched marked.
 *
 * Whether two nodes see each other only they and the policy decide. So a change of one
 * node leaves who else sees whom alone: the node's own sessions compare what they told
 * with what is now to be seen, all others learn of it as of any changed node. Only a
 * new policy, or new users, make every touched session compare; and a change of routes,
 * since another node may now be the one that serves.
 */
#include <stdlib.h>

#include "state.h"

static size_t split_tags(struct slice text, struct slice *out, size_t max)
{
        struct slice tag;
        size_t n = 0;

        while (n < max && text.len && slice_split(&text, ',', &tag))
                out[n++] = tag;
        return n;
}

void policy_note_node(struct server *s, struct node *n)
{
        enum { TAGS_MAX = 64 };
        struct slice tags[TAGS_MAX];
        struct arena a = ARENA_INIT(1 << 20);
        struct ip_prefix *routes = ARENA_ARRAY(&a, n->n_announced + 1, struct ip_prefix);
        struct policy_node view = {
                .id = n->id,
                .user_id = node_is_tagged(n) ? 0 : n->row->user_id,
                .tags = tags,
                .tag_count = split_tags(n->row->tags, tags, TAGS_MAX),
                .ipv4 = n->row->ipv4,
                .ipv6 = n->row->ipv6,
                .routes = routes,
                .primary = n->primary,
                .primary_count = n->n_primary,
        };

        if (!routes)
                abort();
        for (size_t i = 0; i < n->n_announced; i++) {
                if (routes_serves(n, &n->announced[i]))
                        routes[view.route_count++] = n->announced[i];
        }
        if (policy_state_set_node(s->policy, &view) != OK)
                abort(); /* half a truth must not go on */
        arena_fini(&a);
        s->policy_pending = true;
}

void policy_forget_node(struct server *s, const struct node *n)
{
        if (policy_state_remove_node(s->policy, n->id) == ERR_NOMEM)
                abort();
        s->policy_pending = true;
}

void policy_note_users(struct server *s)
{
        s->users_pending = true;
        s->policy_pending = true;
        session_schedule_flush(s);
}

static bool is_named(const struct store_user *u, struct slice name)
{
        return name.len && (slice_equal(name, u->name) || slice_equal(name, u->email));
}

static unsigned roles_of(const struct server_settings *settings, const struct store_user *u)
{
        unsigned roles = 0;

        for (unsigned i = 0; i < SERVER_ROLES; i++) {
                for (size_t k = 0; k < settings->roles[i].n_users; k++) {
                        if (is_named(u, settings->roles[i].users[k]))
                                roles |= 1U << i;
                }
        }
        return roles;
}

static struct policy_user *list_users(const struct server *s, struct arena *a)
{
        const struct tailnet *t = &s->tailnet;
        struct policy_user *list = ARENA_ARRAY(a, t->users.n + 1, struct policy_user);

        if (!list)
                abort();
        for (size_t i = 0; i < t->users.n; i++) {
                const struct store_user *u = (const struct store_user *)t->users.items[i];
                list[i] = (struct policy_user){ .id = u->id,
                        .name = u->name,
                        .email = u->email,
                        .provider_id = u->provider_id,
                        .roles = roles_of(s->settings, u) };
        }
        return list;
}

static void take_users(struct server *s)
{
        struct arena a = ARENA_INIT(64 << 20);
        struct policy_errors errors;
        struct buf why = BUF_INIT(64 << 10);

        policy_errors_init(&errors);
        enum err e = policy_state_set_users(
                s->policy, list_users(s, &a), s->tailnet.users.n, &errors);
        if (e == ERR_NOMEM)
                abort();
        if (e != OK) {
                policy_errors_write(&errors, &why);
                log_warn(&server_log, "the policy no longer says whom it means", "why=\"%s\"", buf_cstr(&why));
        }
        policy_errors_fini(&errors);
        buf_fini(&why);
        arena_fini(&a);
        s->users_pending = false;
        s->policy_is_new = true;
}

/* Attribute disable-ipv4 changes how a node looks, and how all others look to it. */
static void take_attrs(struct server *s, struct node *n)
{
        struct arena a = ARENA_INIT(1 << 20);
        struct tailcfg_strings attrs = { 0 };
        bool no_ipv4 = false;

        if (policy_state_attrs(s->policy, n->id, &a, &attrs) == OK) {
                for (size_t i = 0; i < attrs.count; i++)
                        no_ipv4 |= slice_is(attrs.items[i], "disable-ipv4");
        }
        arena_fini(&a);
        if (no_ipv4 == n->view.no_ipv4)
                return;
        n->view.no_ipv4 = no_ipv4;
        change_mark(s, n, CHANGE_NODE);
        list_each (it, &n->sessions)
                container_of(it, struct session, in_node)->needs_full = true;
}

/* Marks what a node must be told, and that others see it otherwise. True if bytes that
 * were built for its class before this may be wrong now. */
static bool mark_touched(struct server *s, struct node *n, unsigned what)
{
        uint32_t class = policy_state_class(s->policy, n->id);
        size_t members;
        bool moved = n->view.policy_class != class;
        bool joined = moved && n->view.policy_class == POLICY_NO_CLASS;

        (void)policy_state_class_nodes(s->policy, class, &members);
        n->view.policy_class = class;
        if (what & POLICY_TOUCH_FILTER)
                change_mark(s, n, CHANGE_FILTER);
        if (what & POLICY_TOUCH_SSH)
                change_mark(s, n, CHANGE_SSH);
        if (what & POLICY_TOUCH_ATTRS) {
                change_mark(s, n, CHANGE_SELF);
                take_attrs(s, n);
        }
        bool compares = what & POLICY_TOUCH_ROUTES || (what & POLICY_TOUCH_PEERS && (s->policy_is_new || moved));
        if (compares) {
                list_each (it, &n->sessions)
                        container_of(it, struct session, in_node)->compares_peers = true;
        }
        if (moved && !joined && !s->policy_is_new)
                change_mark(s, n, CHANGE_NODE);
        return joined ? members == 1 : moved || what & POLICY_TOUCH_ROUTES;
}

static void settle(struct server *s)
{
        struct policy_touched t = { 0 };
        bool stale = s->policy_is_new;

        while (policy_state_next_touched(s->policy, &t)) {
                struct node *n = tailnet_node(&s->tailnet, t.node);
                if (n && mark_touched(s, n, t.what))
                        stale = true;
        }
        policy_state_settle(s->policy);
        if (stale)
                change_mark_common(s, &s->tailnet.policy_seq);
        s->policy_is_new = false;
        s->policy_pending = false;
}

struct policy_state *policy_now(struct server *s)
{
        if (s->users_pending)
                take_users(s);
        if (s->policy_pending)
                settle(s);
        return s->policy;
}

/* ---- putting a policy in force ------------------------------------------------------ */

struct policy *policy_read(struct server *s, struct slice text, struct policy_errors *errors)
{
        struct arena a = ARENA_INIT(64 << 20);
        struct policy_settings settings = { .login_domain = s->settings->login_domain,
                .users = list_users(s, &a),
                .user_count = s->tailnet.users.n };
        struct policy *p = policy_parse(text, &settings, errors);

        arena_fini(&a);
        return p;
}

void policy_keep_text(struct server *s, struct slice text, int64_t since_us)
{
        uint8_t *copy = malloc(text.len + 1);

        if (!copy)
                abort();
        if (text.len)
                memcpy(copy, text.ptr, text.len);
        free((void *)s->policy_text.ptr);
        s->policy_text = slice_make(copy, text.len);
        s->policy_since_us = since_us;
}

enum err policy_enforce(struct server *s, struct slice text, int64_t since_us, bool tests_must_pass,
        struct policy_errors *errors)
{
        struct policy *p = NULL;
        enum err e = OK;

        (void)policy_now(s);
        if (text.len) {
                p = policy_read(s, text, errors);
                if (!p)
                        return ERR_FORMAT;
                e = policy_state_try(s->policy, p, errors);
                if (e == ERR_DENIED && !tests_must_pass)
                        e = OK;
        }
        bool has_checks = p && policy_has_ssh_checks(p);
        if (e == OK)
                e = policy_state_set_policy(s->policy, p, errors);
        if (e != OK) {
                policy_free(p);
                return e;
        }
        if (has_checks)
                log_warn(&server_log,
                        "ssh rules with action \"check\" let nobody in: this release has no check mode", NULL);
        policy_keep_text(s, text, since_us);
        s->stats.policies++;
        s->policy_is_new = true;
        s->policy_pending = true;
        session_schedule_flush(s);
        return OK;
}

enum err server_set_policy(struct server *s, const struct now *now, struct slice text, bool tests_must_pass,
        struct policy_errors *errors)
{
        s->now = *now;
        enum err e = policy_enforce(s, text, now->unix_us, tests_must_pass, errors);
        if (e == OK)
                routes_approve_all(s);
        return e;
}

bool server_has_policy(const struct server *s) { return s->policy_text.len != 0; }

bool server_policy_is(const struct server *s, struct slice text) { return slice_equal(s->policy_text, text); }

bool policy_defines_tag(struct server *s, struct slice tag)
{
        return s->policy_text.len == 0 || policy_state_tag_exists(policy_now(s), tag);
}
