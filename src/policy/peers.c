/* Who sees whom (spec/policy.md 11). The global rules give each node two bit strings,
 * "is a source of" and "is a destination of"; equal strings make a class, and two
 * classes see each other when the strings meet. */
#include "image_internal.h"

const struct vec *state_rules_of(const struct policy_image *st, size_t node)
{
        return st->nodes[node].has_rules ? &st->nodes[node].own_rules : &st->rules;
}

static bool reaches(const struct ipset *s, const struct node_info *n)
{
        if (node_in_set(n->node, s))
                return true;
        VEC_EACH(struct ip_prefix, route, &n->routes)
        if (ipset_overlaps_prefix(s, route))
                return true;
        return false;
}

bool rule_has_src(const struct rule *r, const struct node_info *n) { return reaches(r->src, n); }

bool rule_has_dst(const struct policy_image *st, const struct rule *r, const struct node_info *n)
{
        return reaches(&r->dst, n) || (n->is_exit && (ipset_covers_range(&r->dst, &st->all.items[0]) ||
                                                             ipset_covers_range(&r->dst, &st->all.items[1]) ||
                                                             ipset_covers(&r->dst, &st->internet)));
}

static void set_bit(uint8_t *bits, size_t i) { bits[i / 8] |= (uint8_t)(1u << i % 8); }

/* What beyond the global rules tells nodes apart: whose device it is where
 * autogroup:self counts, and whatever via might steer. */
static void add_identity(const struct policy_image *st, const struct node_info *n, struct buf *key)
{
        bool is_persons = !is_tagged(n->node) && n->node->user_id;
        bool own = st->has_via && (n->special.count || n->node->route_count);

        if (st->has_self && is_persons)
                buf_append(key, &n->node->user_id, sizeof(n->node->user_id));
        if (own)
                buf_append(key, &n->node->id, sizeof(n->node->id));
        VEC_EACH(struct compiled_grant, cg, &st->grants)
        {
                if (cg->has_self || cg->g->via.count)
                        buf_append_byte(key, reaches(&cg->src_meaning, n));
                if (cg->g->via.count)
                        buf_append_byte(key, reaches(&cg->dst_all, n));
        }
}

static void classify(struct policy_image *st, struct table *seen, size_t node)
{
        struct node_info *n = &st->nodes[node];
        size_t bytes = (st->rules.count + 7) / 8, i = 0;
        struct buf key = BUF_INIT(16 << 20);
        uint8_t *bits = buf_extend(&key, 2 * bytes + 1);

        if (!bits) {
                st->arena.failed = true;
                return;
        }
        memset(bits, 0, 2 * bytes + 1);
        VEC_EACH(struct rule *, r, &st->rules)
        {
                if (rule_has_src(*r, n))
                        set_bit(bits, i);
                if (rule_has_dst(st, *r, n))
                        set_bit(bits + bytes, i);
                i++;
        }
        add_identity(st, n, &key);
        struct node_class *known = buf_status(&key) == OK ? table_get(seen, buf_slice(&key)) : NULL;
        if (known) {
                n->class = known->id;
        } else {
                struct slice kept = arena_copy(&st->arena, buf_slice(&key));
                struct node_class *c = ARENA_NEW(&st->arena, struct node_class),
                                  **added = VEC_PUSH(&st->classes, &st->arena, struct node_class *);
                if (c && added && kept.ptr && table_put(seen, kept, c, NULL) == OK) {
                        n->class = (uint32_t)(st->classes.count - 1);
                        *c = (struct node_class){ n->class, node, kept.ptr, kept.ptr + bytes, bytes };
                        *added = c;
                } else {
                        st->arena.failed = true;
                }
        }
        buf_fini(&key);
}

void state_classify(struct policy_image *st)
{
        struct table seen = TABLE_INIT(0);

        for (size_t i = 0; i < st->w->node_count && !arena_failed(&st->arena); i++)
                classify(st, &seen, i);
        table_fini(&seen);
}

static bool special_access(
        const struct policy_image *st, const struct node_info *own, const struct node_info *other)
{
        VEC_EACH(struct rule *, r, &own->special)
        if ((rule_has_src(*r, own) && rule_has_dst(st, *r, other)) ||
                (rule_has_src(*r, other) && rule_has_dst(st, *r, own)))
                return true;
        return false;
}

static const struct node_class *class_at(const struct policy_image *st, uint32_t i)
{
        return ((struct node_class *const *)st->classes.items)[i];
}

static bool meet(const struct node_class *a, const struct node_class *b)
{
        for (size_t i = 0; i < a->bytes; i++)
                if ((a->src[i] & b->dst[i]) | (b->src[i] & a->dst[i]))
                        return true;
        return false;
}

bool policy_image_sees(const struct policy_image *st, size_t a, size_t b)
{
        const struct node_info *x = &st->nodes[a], *y = &st->nodes[b];

        return a != b && (meet(class_at(st, x->class), class_at(st, y->class)) || special_access(st, x, y) ||
                                 special_access(st, y, x));
}

bool policy_image_classes_see(const struct policy_image *st, uint32_t a, uint32_t b)
{
        const struct node_class *x = class_at(st, a), *y = class_at(st, b);
        const struct node_info *nx = &st->nodes[x->node], *ny = &st->nodes[y->node];

        return meet(x, y) || special_access(st, nx, ny) || special_access(st, ny, nx);
}

size_t policy_image_class_count(const struct policy_image *st) { return st->classes.count; }

uint32_t policy_image_class(const struct policy_image *st, size_t node) { return st->nodes[node].class; }
