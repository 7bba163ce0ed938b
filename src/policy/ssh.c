/* SSH rules of a node (spec/policy.md 17). */
#include <stdlib.h>

#include "state_internal.h"

#define SSH_PERIOD_NS (INT64_C(12) * 3600 * 1000000000)

/* The sources of a rule of one user. */
struct person {
        int64_t user_id;
        struct vec principals; /* struct ip_addr */
};

struct ssh_builder {
        const struct plan *pl;
        const struct ssh_plan *sp;
        const struct ssh_rule *rule;
        struct arena *a;
        struct vec *out;
};

/* ---- sources: per person, in the order of their ids, then all tagged nodes --------------- */

static void push_addr(struct vec *v, struct arena *a, const struct ip_addr *addr)
{
        struct ip_addr *added = ip_valid(addr) ? VEC_PUSH(v, a, struct ip_addr) : NULL;

        if (added)
                *added = *addr;
}

static void push_addrs(struct vec *v, struct arena *a, const struct node *n)
{
        push_addr(v, a, &n->n.ipv4);
        push_addr(v, a, &n->n.ipv6);
}

static int64_t user_of(const struct node *n) { return n->user ? n->user->user_id : 0; }

/* Persons by user, tagged nodes behind them, each by id. */
static int by_person(const void *a, const void *b)
{
        const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;

        if (is_tagged(x) != is_tagged(y))
                return is_tagged(x) ? 1 : -1;
        if (!is_tagged(x) && user_of(x) != user_of(y))
                return user_of(x) < user_of(y) ? -1 : 1;
        return x->n.id < y->n.id ? -1 : x->n.id > y->n.id;
}

static void find_nodes(const struct plan *pl, size_t rule, struct vec *out, struct arena *a)
{
        for (size_t i = 0; i < pl->class_by_id.count; i++) {
                const struct class *c = class_at(pl, i);
                if (!c || !class_bit(pl, c, SECTION_SSH_SRC, rule))
                        continue;
                for (size_t j = 0; j < c->nodes.count; j++) {
                        const struct node **n = VEC_PUSH(out, a, const struct node *);
                        if (n)
                                *n = ((struct node *const *)c->nodes.items)[j];
                }
        }
        if (out->count)
                qsort(out->items, out->count, sizeof(struct node *), by_person);
}

static void find_sources(const struct plan *pl, struct ssh_plan *sp, size_t rule)
{
        struct vec nodes = { 0 };
        struct person *p = NULL;

        find_nodes(pl, rule, &nodes, &sp->arena);
        VEC_EACH(const struct node *, at, &nodes)
        {
                const struct node *n = *at;
                for (size_t t = 0; t < n->n.tag_count; t++) {
                        push_addrs(&sp->tagged, &sp->arena, n); /* once for each tag, as the official service does */
                        push_addrs(&sp->merged, &sp->arena, n);
                }
                if (is_tagged(n))
                        continue;
                if (!p || p->user_id != user_of(n)) {
                        p = VEC_PUSH(&sp->persons, &sp->arena, struct person);
                        if (!p)
                                return;
                        p->user_id = user_of(n);
                }
                push_addrs(&p->principals, &sp->arena, n);
                push_addrs(&sp->merged, &sp->arena, n);
        }
}

static bool is_stale(const struct ssh_plan *sp)
{
        VEC_EACH(struct selector *, s, &sp->src)
        if ((*s)->changed > sp->built)
                return true;
        return !sp->is_built;
}

static bool build(struct plan *pl, struct ssh_plan *sp, size_t rule)
{
        if (!is_stale(sp))
                return true;
        arena_fini(&sp->arena);
        sp->persons = sp->tagged = sp->merged = (struct vec){ 0 };
        find_sources(pl, sp, rule);
        sp->built = *pl->clock;
        sp->is_built = !arena_failed(&sp->arena);
        return sp->is_built;
}

static const struct person *person_of(const struct ssh_builder *b, const struct node *n)
{
        VEC_EACH(struct person, p, &b->sp->persons)
        if (p->user_id == user_of(n))
                return p;
        return NULL;
}

/* ---- rules ------------------------------------------------------------------------------ */

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
        const struct policy_user *u = roster_user(b->pl->roster, user_id);
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
        if (!b->sp->has_localpart) {
                emit(b, &b->sp->merged, 0);
                return;
        }
        VEC_EACH(struct person, p, &b->sp->persons)
        emit(b, &p->principals, p->user_id);
        emit(b, &b->sp->tagged, 0);
}

/* A source that is no destination of a rule with local parts is told its own user's
 * part all the same; the official service does so. */
static void emit_own(struct ssh_builder *b, const struct node *n)
{
        const struct person *p = n->user ? person_of(b, n) : NULL;
        struct vec own = { 0 };

        if (p) {
                emit(b, &p->principals, p->user_id);
        } else {
                push_addrs(&own, b->a, n);
                emit(b, &own, 0);
        }
}

static void compile_rule(struct plan *pl, struct ssh_plan *sp, size_t at, const struct node *n,
        struct vec *out, struct arena *a)
{
        struct ssh_builder b = { pl, sp, sp->rule, a, out };
        const struct class *c = class_of(pl, n);

        if (!build(pl, sp, at)) {
                a->failed = true;
                return;
        }
        if (sp->has_self && n->user) {
                const struct person *p = person_of(&b, n);
                if (p)
                        emit(&b, &p->principals, p->user_id);
        }
        if (class_bit(pl, c, SECTION_SSH_DST, at))
                emit_all(&b);
        else if (sp->has_other && sp->has_localpart && class_bit(pl, c, SECTION_SSH_SRC, at))
                emit_own(&b, n);
}

void plan_compile_ssh(struct plan *pl, const struct node *n, struct vec *out, struct arena *a)
{
        struct ssh_plan *rules = pl->ssh.items;
        struct vec all = { 0 };

        for (size_t i = 0; i < pl->ssh.count; i++)
                compile_rule(pl, &rules[i], i, n, &all, a);
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

bool plan_ssh_period(const struct plan *pl, const struct node *src, const struct node *dst, int64_t *ns)
{
        const struct class *from = class_of(pl, src), *to = class_of(pl, dst);
        size_t at = 0;

        VEC_EACH(struct ssh_plan, sp, &pl->ssh)
        {
                bool is_self = sp->has_self && src->user && src->user == dst->user;
                bool is_dst = is_self || class_bit(pl, to, SECTION_SSH_DST, at);
                if (sp->rule->is_check && is_dst && class_bit(pl, from, SECTION_SSH_SRC, at)) {
                        *ns = sp->rule->has_period ? sp->rule->period_ns : SSH_PERIOD_NS;
                        return true;
                }
                at++;
        }
        return false;
}

/* ---- writing ------------------------------------------------------------------------- */

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

void plan_write_ssh(struct plan *pl, const struct node *n, struct slice base_url, struct json_writer *w)
{
        struct arena a = ARENA_INIT(64 << 20);
        struct vec rules = { 0 };

        plan_compile_ssh(pl, n, &rules, &a);
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
