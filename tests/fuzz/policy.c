/* Any text as a policy for a small tailnet; what is accepted is compiled and asked. */
#include <assert.h>

#include "fuzz.h"
#include "policy/state.h"

struct tailnet {
        const struct policy_user *users;
        const struct policy_node *nodes;
        size_t user_count, node_count;
};

static void ask(struct policy *p, const struct tailnet *w)
{
        struct policy_state *st = policy_state_new();
        struct policy_errors errors;
        struct arena a = ARENA_INIT(64 << 20);
        struct buf json = BUF_INIT(16 << 20);
        struct json_writer writer;
        struct ip_prefix route = { ip_v4(10, 1, 0, 0), 16 };

        policy_errors_init(&errors);
        json_writer_init(&writer, &json, NULL);
        assert(st && policy_state_set_users(st, w->users, w->user_count, &errors) == OK);
        if (policy_state_set_policy(st, p, &errors) != OK) {
                policy_free(p);
                goto out;
        }
        for (size_t i = 0; i < w->node_count; i++)
                assert(policy_state_set_node(st, &w->nodes[i]) == OK);
        policy_errors_fini(&errors); /* what the tests said of the empty tailnet */
        policy_errors_init(&errors);
        bool passes = policy_state_test(st, &errors) == OK;
        assert(passes == (errors.count == 0));
        for (size_t i = 0; i < w->node_count; i++) {
                struct tailcfg_filter_rules rules;
                int64_t id = w->nodes[i].id;
                if (policy_state_filter(st, id, &a, &rules) == OK)
                        assert(rules.items);
                buf_clear(&json);
                policy_state_write_ssh(st, id, SLICE_LIT("https://x"), &writer);
                (void)policy_state_may_approve(st, id, &route);
                for (size_t j = 0; j < w->node_count; j++)
                        assert(policy_state_sees(st, id, w->nodes[j].id) ==
                                policy_state_sees(st, w->nodes[j].id, id));
        }
out:
        policy_state_free(st);
        policy_errors_fini(&errors);
        buf_fini(&json);
        arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static const struct slice srv[] = { SLICE_LIT("tag:srv") };
        static const struct policy_user users[] = {
                { .id = 1, .name = SLICE_LIT("ann"), .email = SLICE_LIT("ann@example.com") },
                { .id = 2, .name = SLICE_LIT("bob"), .email = SLICE_LIT("bob@example.org") },
        };
        const struct ip_prefix routes[] = { { ip_v4(10, 1, 0, 0), 16 }, { { .family = IP_V4 }, 0 } };
        const struct policy_node nodes[] = {
                { .id = 1, .user_id = 1, .ipv4 = ip_v4(100, 64, 0, 1) },
                { .id = 2, .user_id = 2, .ipv4 = ip_v4(100, 64, 0, 2) },
                { .id = 3,
                        .tags = srv,
                        .tag_count = 1,
                        .ipv4 = ip_v4(100, 64, 0, 3),
                        .routes = routes,
                        .route_count = 2,
                        .primary = routes,
                        .primary_count = 1 },
        };
        struct policy_settings settings = { SLICE_LIT("example.com"), users, 2 };
        struct tailnet world = { users, nodes, 2, 3 };
        struct policy_errors errors;
        struct slice text = slice_make(data, len);
        struct buf shown = BUF_INIT(1 << 20);

        policy_errors_init(&errors);
        struct policy *p = policy_parse(text, &settings, &errors);
        assert((p == NULL) == (errors.count > 0));
        if (p)
                ask(p, &world);
        else
                policy_errors_show(&errors, text, "policy", &shown);
        policy_errors_fini(&errors);
        buf_fini(&shown);
        return 0;
}
