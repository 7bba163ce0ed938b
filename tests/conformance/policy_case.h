/* One case of the corpus: what it says, and what our engine makes of it. */
#ifndef POLICY_CASE_H
#define POLICY_CASE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/table.h"
#include "policy/state.h"

enum { CASE_NODES_MAX = 64, CASE_USERS_MAX = 16, CASE_LIST_MAX = 64 };

struct case_node {
        struct slice name;
        struct ip_prefix advertised[CASE_LIST_MAX], approved[CASE_LIST_MAX], primary[CASE_LIST_MAX];
        size_t n_advertised, n_approved, n_primary;
        struct slice tags[CASE_LIST_MAX], user;
};

struct policy_case {
        struct arena arena;
        struct slice id, category, policy, result, error, error_match;
        bool sets; /* compare addresses as sets */
        bool auto_updates;
        struct policy_user users[CASE_USERS_MAX];
        struct policy_node nodes[CASE_NODES_MAX];
        struct case_node more[CASE_NODES_MAX];
        size_t n_users, n_nodes;
        struct slice filters[CASE_LIST_MAX]; /* JSON */
        size_t n_filters;
        struct slice expect[CASE_NODES_MAX]; /* JSON, by node; empty: not checked */
        struct slice rule, match;            /* of matches.jsonl */
};

/* The line must stay. ERR_FORMAT if it is no case. */
enum err MUST_USE case_parse(struct slice line, struct policy_case *c);
/* True if it passes; otherwise what differs is appended to why. */
bool case_run(struct policy_case *c, struct buf *why);

#endif
