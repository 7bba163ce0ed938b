/* The tree of addresses against a plain list, and how deep it grows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "state_internal.h"

enum { NODES = 300, STEPS = 4000, MANY = 20000 };

struct seen {
        int64_t ids[NODES];
        size_t count;
};

static void see(void *ctx, struct node *n)
{
        struct seen *s = ctx;

        assert_true(s->count < NODES);
        s->ids[s->count++] = n->n.id;
}

/* Few addresses, so that nodes come to share some. */
static struct ip_addr any_address(uint64_t *seed)
{
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        uint8_t last = (uint8_t)(*seed >> 56);

        if (last % 16 == 0)
                return (struct ip_addr){ 0 };
        return *seed >> 40 & 1 ? ip_v4(100, 64, 0, last) : ip_v6((const uint8_t[16]){ 0xfd, [15] = last });
}

static struct ip_range host_range(const struct ip_addr *a)
{
        struct ip_prefix host = ip_host_prefix(*a);

        return ip_range_of(&host);
}

/* Everybody that the list says is in the range, each once, in order of address. */
static void assert_same(const struct holder *root, struct node *nodes, const struct ip_range *range)
{
        struct seen seen = { .count = 0 };
        size_t expected = 0;
        ip_num last = 0;

        holders_in(root, range, see, &seen);
        for (size_t i = 0; i < NODES; i++)
                expected += nodes[i].v4.node && nodes[i].v4.family == range->family &&
                            nodes[i].v4.num >= range->first && nodes[i].v4.num <= range->last;
        assert_int_equal(seen.count, expected);
        for (size_t i = 0; i < seen.count; i++) {
                const struct holder *h = &nodes[seen.ids[i]].v4;
                assert_true(h->num >= range->first && h->num <= range->last && h->family == range->family);
                assert_true(h->num >= last);
                assert_true(i == 0 || h->num > last || seen.ids[i] > seen.ids[i - 1]);
                last = h->num;
        }
}

static void test_agrees_with_a_list(void **state)
{
        struct node *nodes = calloc(NODES, sizeof(*nodes));
        struct holder *root = NULL;
        uint64_t seed = 7;

        (void)state;
        assert_non_null(nodes);
        for (size_t i = 0; i < NODES; i++)
                nodes[i].n.id = (int64_t)i;
        for (size_t step = 0; step < STEPS; step++) {
                struct ip_addr a = any_address(&seed), b = any_address(&seed);
                struct node *n = &nodes[(seed >> 33) % NODES];
                holder_take(&root, &n->v4);
                if (step % 3)
                        holder_put(&root, &n->v4, &a, n);
                if (!ip_valid(&a) || a.family != b.family)
                        continue;
                struct ip_range range = host_range(&a), other = host_range(&b);
                assert_same(root, nodes, &range);
                range.last = other.last;
                assert_same(root, nodes, &range);
        }
        for (size_t i = 0; i < NODES; i++)
                holder_take(&root, &nodes[i].v4);
        assert_null(root);
        free(nodes);
}

static size_t depth(const struct holder *h)
{
        if (!h)
                return 0;
        size_t left = depth(h->left), right = depth(h->right);
        return 1 + (left > right ? left : right);
}

/* Addresses in order are what a tailnet hands out, and what makes a plain tree a list:
 * a treap of n is deeper than 4 log2 n once in a lifetime. */
static void test_stays_flat(void **state)
{
        struct node *nodes = calloc(MANY, sizeof(*nodes));
        struct holder *root = NULL;

        (void)state;
        assert_non_null(nodes);
        for (size_t i = 0; i < MANY; i++) {
                struct ip_addr a = ip_v4(100, 64, (uint8_t)(i >> 8), (uint8_t)i);
                nodes[i].n.id = (int64_t)i;
                holder_put(&root, &nodes[i].v4, &a, &nodes[i]);
        }
        assert_true(depth(root) <= 57);
        for (size_t i = 0; i < MANY; i += 2)
                holder_take(&root, &nodes[i].v4);
        assert_true(depth(root) <= 57);
        free(nodes);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_agrees_with_a_list),
                cmocka_unit_test(test_stays_flat),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
