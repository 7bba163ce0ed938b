/*
 * Small tailnets with policies made up from a seed, for the properties that hold
 * whatever the policy: rules as plain data, the text that says them, and the naive
 * answer to "may this packet pass?".
 */
#ifndef TESTS_POLICY_WORLD_H
#define TESTS_POLICY_WORLD_H

#include "base/buf.h"
#include "base/random.h"
#include "policy/state.h"

enum {
        WORLD_USERS = 4,
        WORLD_NODES = 12,
        WORLD_TAGS = 4,
        WORLD_GROUPS = 3,
        WORLD_HOSTS = 4,
        WORLD_RULES = 7,
        WORLD_SSH = 3,
        LIST_MAX = 3,
        ROUTES_MAX = 3,
};

enum token_kind {
        TOKEN_ANY,
        TOKEN_USER,
        TOKEN_GROUP,
        TOKEN_TAG,
        TOKEN_MEMBER,
        TOKEN_TAGGED,
        TOKEN_SELF,
        TOKEN_INTERNET,
        TOKEN_DANGER_ALL,
        TOKEN_HOST,
        TOKEN_DOMAIN,
};

struct token {
        enum token_kind kind;
        unsigned index;
        uint16_t first, last; /* ports, of a destination */
};

struct world_rule {
        bool is_grant, has_app;
        struct token src[LIST_MAX], dst[LIST_MAX];
        unsigned src_count, dst_count;
        int proto; /* -1: none named */
        int via;   /* tag, or -1 */
};

struct world_node {
        bool is_there;
        unsigned user; /* of an untagged node: place + 1, 0 for none */
        unsigned tags; /* bits */
        struct slice tag_names[WORLD_TAGS];
        struct ip_prefix routes[ROUTES_MAX], primary[ROUTES_MAX];
        struct policy_node n;
};

struct world {
        struct policy_user users[WORLD_USERS];
        unsigned groups[WORLD_GROUPS]; /* bits of users */
        struct world_node nodes[WORLD_NODES];
        bool has_rules;
        struct world_rule rules[WORLD_RULES + 1]; /* grants first */
        unsigned rule_count;
        struct world_ssh {
                bool is_check, is_self, has_localpart;
                struct token src[LIST_MAX];
                unsigned src_count, tag;
        } ssh[WORLD_SSH];
        unsigned ssh_count;
        unsigned attr_tag;
};

void world_make(struct world *w, struct rng *rng);
/* The node of that place becomes another; its id is place + 1. */
void world_make_node(struct world *w, unsigned place, struct rng *rng);
void world_make_rules(struct world *w, struct rng *rng);
/* A rule at random that a test may add: an acl or a grant without via. */
void world_add_rule(struct world *w, struct rng *rng);
/* turned: the members of maps in another order. */
void world_write(const struct world *w, bool turned, struct buf *out);

/* Whether a new flow from src to dst, which is the node's own address or in one of its
 * routes, is allowed there; by the rules one by one, from the words of the policy. */
bool world_allows(const struct world *w, unsigned node, const struct ip_addr *src, const struct ip_addr *dst,
        unsigned proto, uint16_t port);

#endif
