/*
 * What a policy means for the nodes of a tailnet: filters, who sees whom, routes,
 * SSH rules, attributes, approvals (spec/policy.md 9 to 17).
 *
 * A state is computed from a policy and a list of nodes, and then only read. Rules
 * that hold for everybody are compiled once; nodes that every rule treats alike form
 * a class, and visibility is decided between classes.
 */
#ifndef POLICY_STATE_H
#define POLICY_STATE_H

#include "policy/policy.h"
#include "proto/tailcfg_filter.h"

struct policy_node {
        int64_t id, user_id; /* user_id: 0 if unknown; of no meaning for tagged nodes */
        const struct slice *tags;
        size_t tag_count;
        struct ip_addr ipv4, ipv6;
        const struct ip_prefix *routes;  /* advertised and approved, exit routes too */
        const struct ip_prefix *primary; /* of these, the ones it is elected to serve */
        size_t route_count, primary_count;
};

struct policy_world {
        const struct policy_user *users;
        const struct policy_node *nodes; /* by ascending id */
        size_t user_count, node_count;
};

struct policy_state;

/* Policy and world are borrowed for the life of the state. ERR_NOMEM; ERR_EXISTS with
 * an error when a token names two users. */
enum err MUST_USE policy_state_new(const struct policy *p, const struct policy_world *w,
        struct policy_state **out, struct policy_errors *errors);
void policy_state_free(struct policy_state *st);

/* Nodes are named by their place in the world. */
size_t policy_state_class_count(const struct policy_state *st);
uint32_t policy_state_class(const struct policy_state *st, size_t node);
/* Whether two nodes are peers; always mutual, never of a node with itself. */
bool policy_state_sees(const struct policy_state *st, size_t a, size_t b);
/* The same for any two distinct nodes of these classes. */
bool policy_state_classes_see(const struct policy_state *st, uint32_t a, uint32_t b);

/* The packet filter for a node, reduced to what concerns it; texts live in the state
 * or the arena. ERR_NOMEM. */
enum err MUST_USE policy_state_filter(
        const struct policy_state *st, size_t node, struct arena *a, struct tailcfg_filter_rules *out);

/* The routes of a peer as the viewer is to see them: AllowedIPs beyond the peer's own
 * addresses, sorted. Without the default routes they are its PrimaryRoutes. */
enum err MUST_USE policy_state_routes(const struct policy_state *st, size_t viewer, size_t peer,
        struct arena *a, struct tailcfg_prefixes *out);

/* The SSHPolicy object. base_url without a slash at its end. */
void policy_state_write_ssh(
        const struct policy_state *st, size_t node, struct slice base_url, struct json_writer *w);

/* Attributes that the policy puts on a node: each name once, in the order of the policy. */
enum err MUST_USE policy_state_attrs(
        const struct policy_state *st, size_t node, struct arena *a, struct tailcfg_strings *out);

/* Whether a route that the node announces is approved at once. */
bool policy_state_may_approve(const struct policy_state *st, size_t node, const struct ip_prefix *route);
bool policy_state_tag_exists(const struct policy_state *st, struct slice tag);
/* Whether a device of this user may take the tag. */
bool policy_state_user_owns_tag(const struct policy_state *st, int64_t user_id, struct slice tag);

/* Runs tests and sshTests. OK, or ERR_DENIED with what failed. */
enum err MUST_USE policy_state_test(const struct policy_state *st, struct policy_errors *errors);

#endif
