/*
 * What a policy means for the nodes of a tailnet: filters, who sees whom, routes,
 * SSH rules, attributes, approvals (spec/policy.md 9 to 17).
 *
 * A state holds a policy, the users and the nodes, and is changed by one of them at a
 * time. Nodes that the policy treats alike form a class: who sees whom, the routes a
 * peer has and the attributes are the same for all of a class, and filters differ only
 * in the node's own addresses. Each change notes which classes and nodes it touched,
 * and in what, until policy_state_settle(): only these need to be told anything.
 *
 * One thread uses a state at a time; looking something up may fill caches. What a
 * look-up returns lies in the arena given or in the state, and is good until the next
 * change. Nodes are named by their ids, which are above zero.
 */
#ifndef POLICY_STATE_H
#define POLICY_STATE_H

#include "policy/policy.h"
#include "proto/tailcfg_filter.h"

struct policy_node {
        int64_t id, user_id; /* user_id: 0 if unknown; of no meaning for tagged nodes */
        const struct slice *tags;
        size_t tag_count;
        struct ip_addr ipv4, ipv6;       /* no other node has them; either may be missing */
        const struct ip_prefix *routes;  /* advertised and approved, exit routes too */
        const struct ip_prefix *primary; /* of these, the ones it is elected to serve */
        size_t route_count, primary_count;
};

struct policy_state;

/* Without policy, users and nodes: whoever comes may reach everything. NULL if memory
 * is short. */
struct policy_state *policy_state_new(void);
void policy_state_free(struct policy_state *st);

/* ---- changes ----------------------------------------------------------------------
 * Each is done whole or, when it returns an error, not at all; but for set_users. */

/* Takes the policy over; NULL: none, which allows everything. ERR_EXISTS with an error
 * when a token names two users, ERR_NOMEM: the policy is still the caller's and the
 * state goes on with the one it has. */
enum err MUST_USE policy_state_set_policy(
        struct policy_state *st, struct policy *p, struct policy_errors *errors);
/* Copied. ERR_EXISTS with an error when a token of the policy now names two users: the
 * users are taken all the same, and the token names nobody. */
enum err MUST_USE policy_state_set_users(
        struct policy_state *st, const struct policy_user *users, size_t count, struct policy_errors *errors);
/* Adds the node or replaces the one of that id. Copied. ERR_NOMEM. */
enum err MUST_USE policy_state_set_node(struct policy_state *st, const struct policy_node *node);
/* ERR_NOTFOUND, ERR_NOMEM. */
enum err MUST_USE policy_state_remove_node(struct policy_state *st, int64_t id);

/* ---- what the changes touched ------------------------------------------------------- */

enum policy_touch {
        POLICY_TOUCH_FILTER = 1, /* policy_state_filter() */
        POLICY_TOUCH_PEERS = 2,  /* policy_state_sees(): peers came or went */
        POLICY_TOUCH_SSH = 4,    /* policy_state_write_ssh() */
        POLICY_TOUCH_ATTRS = 8,  /* policy_state_attrs() */
        POLICY_TOUCH_ROUTES = 16 /* policy_state_routes() with it as the viewer */
};

/* Bits of enum policy_touch: what may have another answer for the node than at the
 * last settle. Never too few; seldom too many, but for a new policy and new users, which
 * touch everybody. A node that was added has them all. The filter counts by what it opens
 * of the node itself: its ranges may come to name other neighbours untouched. */
unsigned policy_state_touched(const struct policy_state *st, int64_t node);
/* Visits each touched node once, in no particular order; nothing may change meanwhile:
 *     struct policy_touched t = { 0 };
 *     while (policy_state_next_touched(st, &t)) ... t.node, t.what */
struct policy_touched {
        int64_t node;
        unsigned what;
        size_t at; /* the visitor's own */
};
bool policy_state_next_touched(const struct policy_state *st, struct policy_touched *t);
void policy_state_settle(struct policy_state *st);

/* ---- classes ---------------------------------------------------------------------- */

enum { POLICY_NO_CLASS = UINT32_MAX };

/* POLICY_NO_CLASS for a node that is not there. Numbers of classes are small, and used
 * again once a class is empty. */
uint32_t policy_state_class(const struct policy_state *st, int64_t node);
/* Above every number in use. */
uint32_t policy_state_class_limit(const struct policy_state *st);
/* The nodes of a class; none for a number not in use. */
const int64_t *policy_state_class_nodes(const struct policy_state *st, uint32_t class, size_t *count);
/* Whether any two distinct nodes of these classes are peers. */
bool policy_state_classes_see(const struct policy_state *st, uint32_t a, uint32_t b);
/* Whether two nodes are peers; always mutual, never of a node with itself. */
bool policy_state_sees(const struct policy_state *st, int64_t a, int64_t b);

/* ---- what a node is told -------------------------------------------------------------
 * ERR_NOTFOUND for a node that is not there, ERR_NOMEM. */

/* The packet filter, reduced to what concerns the node. */
enum err MUST_USE policy_state_filter(
        struct policy_state *st, int64_t node, struct arena *a, struct tailcfg_filter_rules *out);

/* The routes of a peer as the viewer is to see them: AllowedIPs beyond the peer's own
 * addresses, sorted. Without the default routes they are its PrimaryRoutes. The same
 * for all viewers of a class. */
enum err MUST_USE policy_state_routes(
        struct policy_state *st, int64_t viewer, int64_t peer, struct arena *a, struct tailcfg_prefixes *out);

/* The SSHPolicy object; without rules if the node is not there or memory is short.
 * base_url without a slash at its end. */
void policy_state_write_ssh(
        struct policy_state *st, int64_t node, struct slice base_url, struct json_writer *w);
/* How long an ssh check of src at dst holds (spec/policy.md 17); 0: ask every time.
 * False if no check rule is for them. */
bool policy_state_ssh_period(struct policy_state *st, int64_t src, int64_t dst, int64_t *period_ns);

/* Attributes that the policy puts on the node: each name once, in the order of the policy. */
enum err MUST_USE policy_state_attrs(
        struct policy_state *st, int64_t node, struct arena *a, struct tailcfg_strings *out);

/* ---- approvals ------------------------------------------------------------------------ */

/* Whether a route that the node announces is approved at once. */
bool policy_state_may_approve(struct policy_state *st, int64_t node, const struct ip_prefix *route);
bool policy_state_tag_exists(const struct policy_state *st, struct slice tag);
/* Whether a device of this user may take the tag. */
bool policy_state_user_owns_tag(const struct policy_state *st, int64_t user_id, struct slice tag);
/* Whether a credential that carries these tags may give the tag: it is one of them, or
 * one of them is among its owners or theirs. */
bool policy_state_tags_own_tag(
        const struct policy_state *st, const struct slice *tags, size_t count, struct slice tag);

/* ---- tests ------------------------------------------------------------------------------ */

/* Runs tests and sshTests against the nodes. OK, or ERR_DENIED with what failed. */
enum err MUST_USE policy_state_test(struct policy_state *st, struct policy_errors *errors);
/* The same for a policy that is not in force: whether policy_state_set_policy() would
 * take it and its tests pass. Nothing changes. OK, ERR_DENIED, ERR_EXISTS, ERR_NOMEM. */
enum err MUST_USE policy_state_try(
        struct policy_state *st, const struct policy *p, struct policy_errors *errors);

#endif
