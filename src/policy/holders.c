/*
 * Addresses in order, and whose they are: a treap. Each address has a rank, its hash
 * under the key of the process; the tree is in order of address from left to right and
 * of rank from top to bottom, which alone decides its shape. Strangers, who do not know
 * the key, cannot make it deep. An address is a part of its node: nothing is allocated.
 */
#include "state_internal.h"

/* In the order of addresses; an address that two nodes have, by node. */
static bool is_before(const struct holder *a, const struct holder *b)
{
        if (a->family != b->family)
                return a->family < b->family;
        return a->num != b->num ? a->num < b->num : a->node->n.id < b->node->n.id;
}

void holder_put(struct holder **root, struct holder *h, const struct ip_addr *addr, struct node *n)
{
        struct ip_prefix host = ip_host_prefix(*addr);
        struct ip_range range = ip_range_of(&host);
        struct holder **at = root, *below, **left = &h->left, **right = &h->right;

        if (!ip_valid(addr))
                return;
        *h = (struct holder){ .family = range.family, .num = range.first, .node = n };
        h->rank = hash_bytes(slice_make(&h->num, sizeof(h->num)));
        while (*at && (*at)->rank >= h->rank)
                at = is_before(h, *at) ? &(*at)->left : &(*at)->right;
        below = *at;
        *at = h;
        while (below) {
                struct holder ***end = is_before(below, h) ? &left : &right;
                **end = below;
                *end = end == &left ? &below->right : &below->left;
                below = **end;
        }
        *left = *right = NULL;
}

void holder_take(struct holder **root, struct holder *h)
{
        struct holder **at = root, *left = h->left, *right = h->right;

        if (!h->node)
                return;
        while (*at != h)
                at = is_before(h, *at) ? &(*at)->left : &(*at)->right;
        while (left && right) {
                bool is_left = left->rank >= right->rank;
                *at = is_left ? left : right;
                at = is_left ? &left->right : &right->left;
                left = is_left ? *at : left;
                right = is_left ? right : *at;
        }
        *at = left ? left : right;
        *h = (struct holder){ 0 };
}

void holders_in(const struct holder *h, const struct ip_range *range,
        void (*visit)(void *ctx, struct node *n), void *ctx)
{
        while (h) {
                bool is_under = h->family < range->family || (h->family == range->family && h->num < range->first);
                bool is_over = h->family > range->family || (h->family == range->family && h->num > range->last);
                if (!is_under)
                        holders_in(h->left, range, visit, ctx);
                if (!is_under && !is_over)
                        visit(ctx, h->node);
                if (is_over)
                        return;
                h = h->right;
        }
}
