/* SSH rules of a node (spec/policy.md 17). */
#include <stdlib.h>

#include "image_internal.h"

#define SSH_PERIOD_NS (INT64_C(12) * 3600 * 1000000000)

/* Sources of one rule: per person, in the order of their ids, then all tagged nodes. */
struct person {
        int64_t user_id;
        struct vec principals; /* struct ip_addr */
};

struct ssh_builder {
        const struct policy_image *st;
        const struct ssh_rule *rule;
        struct arena *a;
        struct vec *out;
        struct vec persons; /* struct person */
        struct vec tagged;  /* struct ip_addr */
        bool has_localpart;
};

static void push_addrs(struct vec *v, struct arena *a, const struct policy_node *n)
{
        const struct ip_addr *own[] = { &n->ipv4, &n->ipv6 };

        for (size_t i = 0; i < 2; i++) {
                struct ip_addr *added = ip_valid(own[i]) ? VEC_PUSH(v, a, struct ip_addr) : NULL;
                if (added)
                        *added = *own[i];
        }
}

static struct person *person_of(struct ssh_builder *b, int64_t user_id)
{
        struct person *items = b->persons.items;

        for (size_t i = 0; i < b->persons.count; i++)
                if (items[i].user_id == user_id)
                        return &items[i];
        return NULL;
}

static int by_user(const void *a, const void *b)
{
        const struct person *x = a, *y = b;

        return x->user_id < y->user_id ? -1 : x->user_id > y->user_id;
}

static bool in_aliases(const struct policy_image *st, const struct policy_node *n, const struct vec *aliases)
{
        VEC_EACH(struct alias, s, aliases)
        {
                const struct ipset *set =
                        s->autogroup == AUTOGROUP_SELF ? NULL : table_get(&st->sets, s->text);
                if (set && node_in_set(n, set))
                        return true;
        }
        return false;
}

static void find_sources(struct ssh_builder *b)
{
        for (size_t i = 0; i < b->st->w->node_count; i++) {
                const struct policy_node *n = &b->st->w->nodes[i];
                if (!in_aliases(b->st, n, &b->rule->src))
                        continue;
                for (size_t t = 0; t < n->tag_count; t++)
                        push_addrs(&b->tagged, b->a, n); /* once for each tag, as the official service does */
                if (is_tagged(n))
                        continue;
                struct person *p = person_of(b, n->user_id);
                if (!p && (p = VEC_PUSH(&b->persons, b->a, struct person)))
                        p->user_id = n->user_id;
                if (p)
                        push_addrs(&p->principals, b->a, n);
        }
        if (b->persons.count)
                qsort(b->persons.items, b->persons.count, sizeof(struct person), by_user);
}

static void common_users(struct ssh_builder *b, struct ssh_compiled *c)
{
        VEC_EACH(struct text, u, &b->rule->users)
        {
                struct slice domain, *added;
                if (slice_is(u->s, "autogroup:nonroot"))
                        c->nonroot = true;
                else if (!localpart_domain(u->s, &domain) &&
                         (added = VEC_PUSH(&c->users, b->a, struct slice)))
                        *added = u->s;
        }
}

static struct slice local_part(struct ssh_builder *b, int64_t user_id)
{
        const struct policy_user *u = state_user(b->st, user_id);
        struct slice domain;

        if (!u)
                return (struct slice){ 0 };
        size_t at = slice_find(u->email, '@');
        VEC_EACH(struct text, t, &b->rule->users)
        if (localpart_domain(t->s, &domain) && slice_equal(slice_after(u->email, at + 1), domain))
                return slice_first(u->email, at);
        return (struct slice){ 0 };
}

/* The common rule, and for a person with a local part one more. user_id 0: nobody's. */
static void emit(struct ssh_builder *b, const struct vec *principals, int64_t user_id)
{
        struct slice local = user_id ? local_part(b, user_id) : (struct slice){ 0 };
        struct ssh_compiled *c;

        if (principals->count == 0 || !(c = VEC_PUSH(b->out, b->a, struct ssh_compiled)))
                return;
        *c = (struct ssh_compiled){ .rule = b->rule, .principals = *principals };
        common_users(b, c);
        if (local.len && (c = VEC_PUSH(b->out, b->a, struct ssh_compiled)))
                *c = (struct ssh_compiled){
                        .rule = b->rule, .principals = *principals, .is_local = true, .local = local
                };
}

static void emit_all(struct ssh_builder *b)
{
        struct vec merged = { 0 };

        if (b->has_localpart) {
                VEC_EACH(struct person, p, &b->persons)
                emit(b, &p->principals, p->user_id);
                emit(b, &b->tagged, 0);
                return;
        }
        VEC_EACH(struct person, p, &b->persons)
        VEC_EACH(struct ip_addr, a, &p->principals)
        {
                struct ip_addr *added = VEC_PUSH(&merged, b->a, struct ip_addr);
                if (added)
                        *added = *a;
        }
        VEC_EACH(struct ip_addr, a, &b->tagged)
        {
                struct ip_addr *added = VEC_PUSH(&merged, b->a, struct ip_addr);
                if (added)
                        *added = *a;
        }
        emit(b, &merged, 0);
}

/* A source that is no destination of a rule with local parts is told its own user's
 * part all the same; the official service does so. */
static void emit_own(struct ssh_builder *b, const struct policy_node *n)
{
        struct vec own = { 0 };

        if (!in_aliases(b->st, n, &b->rule->src))
                return;
        struct person *p = is_tagged(n) ? NULL : person_of(b, n->user_id);
        if (p) {
                emit(b, &p->principals, p->user_id);
        } else {
                push_addrs(&own, b->a, n);
                emit(b, &own, 0);
        }
}

static void compile_rule(const struct policy_image *st, const struct policy_node *n,
        const struct ssh_rule *rule, struct vec *out, struct arena *a)
{
        struct ssh_builder b = { .st = st, .rule = rule, .a = a, .out = out };
        struct slice domain;
        bool has_self = false, has_other = false;

        find_sources(&b);
        VEC_EACH(struct text, u, &rule->users)
        b.has_localpart |= localpart_domain(u->s, &domain);
        VEC_EACH(struct alias, d, &rule->dst)
        {
                has_self |= d->autogroup == AUTOGROUP_SELF;
                has_other |= d->autogroup != AUTOGROUP_SELF;
        }
        if (has_self && !is_tagged(n)) {
                const struct person *p = person_of(&b, n->user_id);
                if (p)
                        emit(&b, &p->principals, p->user_id);
        }
        if (in_aliases(st, n, &rule->dst))
                emit_all(&b);
        else if (has_other && b.has_localpart)
                emit_own(&b, n);
}

void state_compile_ssh(const struct policy_image *st, size_t node, struct vec *out, struct arena *a)
{
        struct vec all = { 0 };

        VEC_EACH(struct ssh_rule, r, &st->p->ssh)
        compile_rule(st, st->nodes[node].node, r, &all, a);
        for (int check = 1; check >= 0; check--) {
                VEC_EACH(struct ssh_compiled, c, &all)
                {
                        struct ssh_compiled *to =
                                c->rule->is_check == check ? VEC_PUSH(out, a, struct ssh_compiled) : NULL;
                        if (to)
                                *to = *c;
                }
        }
}

bool policy_image_ssh_period(const struct policy_image *st, size_t src, size_t dst, int64_t *period_ns)
{
        const struct policy_node *from = st->nodes[src].node, *to = st->nodes[dst].node;
        bool same_user = !is_tagged(from) && !is_tagged(to) && from->user_id == to->user_id;

        VEC_EACH(struct ssh_rule, r, &st->p->ssh)
        {
                bool to_self = false;
                VEC_EACH(struct alias, d, &r->dst)
                to_self |= d->autogroup == AUTOGROUP_SELF;
                if (!r->is_check || !in_aliases(st, from, &r->src) ||
                        !(in_aliases(st, to, &r->dst) || (to_self && same_user)))
                        continue;
                *period_ns = r->has_period ? r->period_ns : SSH_PERIOD_NS;
                return true;
        }
        return false;
}

/* --- writing ------------------------------------------------------------------------- */

static void write_users(struct json_writer *w, const struct ssh_compiled *c)
{
        bool has_root = false;

        json_name(w, "sshUsers");
        json_object_open(w);
        if (c->is_local) {
                json_name_slice(w, c->local);
                json_put_string(w, c->local);
                json_object_close(w);
                return;
        }
        if (c->nonroot)
                json_field_str(w, "*", "=");
        VEC_EACH(struct slice, u, &c->users)
        {
                bool repeated = false;
                for (const struct slice *before = c->users.items; before != u; before++)
                        repeated |= slice_equal(*before, *u);
                if (repeated)
                        continue;
                has_root |= slice_is(*u, "root");
                json_name_slice(w, *u);
                json_put_string(w, *u);
        }
        if (!has_root)
                json_field_str(w, "root", "");
        json_object_close(w);
}

static void write_action(struct json_writer *w, const struct ssh_rule *rule, struct slice base_url)
{
        struct buf url = BUF_INIT(4096);

        json_name(w, "action");
        json_object_open(w);
        if (rule->is_check) {
                buf_append_slice(&url, base_url);
                buf_append_str(
                        &url, "/machine/ssh/action/$SRC_NODE_ID/to/$DST_NODE_ID?local_user=$LOCAL_USER");
                json_field_slice(w, "holdAndDelegate", buf_slice(&url));
        } else {
                json_field_bool(w, "accept", true);
                json_field_bool(w, "allowAgentForwarding", true);
                json_field_bool(w, "allowLocalPortForwarding", true);
                json_field_bool(w, "allowRemotePortForwarding", true);
        }
        json_object_close(w);
        buf_fini(&url);
}

static void write_rule(struct json_writer *w, const struct ssh_compiled *c, struct slice base_url)
{
        char text[IP_TEXT_MAX];

        json_object_open(w);
        json_name(w, "principals");
        json_array_open(w);
        VEC_EACH(struct ip_addr, a, &c->principals)
        {
                ip_format(a, text);
                json_object_open(w);
                json_field_str(w, "nodeIP", text);
                json_object_close(w);
        }
        json_array_close(w);
        write_users(w, c);
        write_action(w, c->rule, base_url);
        if (c->rule->accept_env.count) {
                json_name(w, "acceptEnv");
                json_array_open(w);
                VEC_EACH(struct text, e, &c->rule->accept_env)
                json_put_string(w, e->s);
                json_array_close(w);
        }
        json_object_close(w);
}

void policy_image_write_ssh(
        const struct policy_image *st, size_t node, struct slice base_url, struct json_writer *w)
{
        struct arena a = ARENA_INIT(64 << 20);
        struct vec rules = { 0 };

        state_compile_ssh(st, node, &rules, &a);
        json_object_open(w);
        json_name(w, "rules");
        json_array_open(w);
        if (!arena_failed(&a)) /* else none: what cannot be said in full allows nothing */
                VEC_EACH(struct ssh_compiled, c, &rules)
        write_rule(w, c, base_url);
        json_array_close(w);
        json_object_close(w);
        arena_fini(&a);
}
