/* A compiled policy from the inside. */
#ifndef IMAGE_INTERNAL_H
#define IMAGE_INTERNAL_H

#include "base/table.h"
#include "image.h"
#include "policy/state.h"
#include "policy_internal.h"

/* One FilterRule before reduction. */
struct rule {
        struct tailcfg_strings src_ips;
        const struct ipset *src; /* what src_ips means */
        struct vec dsts;         /* struct rule_dst */
        int proto;               /* -1: not on the wire */
        struct vec caps;         /* struct rule_cap; then no dsts */
        struct ipset dst;        /* of all dsts and caps */
        struct slice merge_key;  /* rules of equal key become one on the wire */
        bool is_silent;          /* counts for who sees whom, but is not sent */
};

struct rule_dst {
        struct slice text;
        struct ip_range range;
        bool is_any; /* "*": both families, written so */
        struct port_range ports;
};

struct rule_cap {
        const struct ipset *dsts;
        const struct tailcfg_cap *cap_map; /* one grant's app, or a companion */
        size_t cap_count;
};

/* What a node's own rules add: those of autogroup:self and via. */
struct compiled_grant {
        const struct grant *g;
        struct ipset src;         /* of all sources, as addresses of nodes and literals */
        struct ipset src_meaning; /* of src_ips: with the routes that `*` brings */
        struct tailcfg_strings src_ips, via_src_ips;
        struct vec dst_sets;  /* const struct ipset *, by destination; empty for self */
        struct ipset dst_all; /* of them together; for `*` only the tailnet's addresses */
        bool has_self, has_internet;
        struct vec rules; /* struct rule: the global ones */
        const struct tailcfg_cap *cap_map;
};

struct node_info {
        const struct policy_node *node;
        bool is_exit;
        struct vec routes; /* struct ip_prefix: approved, without exit routes */
        uint32_t class;
        bool has_rules;       /* some rules are its own: own_rules */
        struct vec own_rules; /* const struct rule *: all its rules in order, when has_rules */
        struct vec special;   /* of these, the ones only it has */
};

struct indexed_nodes {
        struct slice key;
        struct vec nodes; /* size_t */
};

/* Nodes that every rule treats alike. */
struct node_class {
        uint32_t id;
        size_t node;        /* one of them */
        const uint8_t *src; /* bit i: it is among the sources of global rule i */
        const uint8_t *dst; /* the same for destinations */
        size_t bytes;
};

struct policy_image {
        struct arena arena;
        const struct policy *p;
        const struct policy_world *w;
        struct node_info *nodes;
        struct table by_tag;  /* struct indexed_nodes */
        struct table by_user; /* key: the id's bytes */
        struct table sets;    /* resolved aliases by their text */
        struct ipset member, tagged, tailnet, internet, all;
        struct vec approved; /* struct ip_prefix: every approved route once, without exit routes */
        struct vec grants;   /* struct compiled_grant */
        struct vec rules;    /* const struct rule *: the global rules in order */
        bool has_via, has_self;
        struct vec classes;           /* struct node_class * */
        struct policy_errors *errors; /* while it is built */
        bool is_ambiguous;
};

bool is_exit_route(const struct ip_prefix *p);
static inline bool is_tagged(const struct policy_node *n) { return n->tag_count != 0; }
const struct policy_user *state_user(const struct policy_image *st, int64_t id);

/* resolve.c */
void state_index_nodes(struct policy_image *st);
/* Never NULL; empty for autogroup:self. Cached. */
const struct ipset *state_resolve(struct policy_image *st, const struct alias *a);
/* Without adding to the state: for tests and look-ups after it was built. */
void state_resolve_into(
        const struct policy_image *st, const struct alias *a, struct ipset *out, struct arena *arena);
bool user_matches(const struct policy_user *u, struct slice token);
/* Whether any address of the node is in the set. */
bool node_in_set(const struct policy_node *n, const struct ipset *s);
void state_check_users(struct policy_image *st);
/* Users, groups and tags, as owners and approvers are written. */
bool node_in_owners(const struct policy_image *st, const struct policy_node *n, const struct vec *owners);

/* compile.c: the sets that are the same everywhere, and the global rules. compile_node.c: those of one node.
 */
void state_fixed_sets(struct policy_image *st);
void state_compile(struct policy_image *st);
void state_compile_node(struct policy_image *st, size_t node);
void rule_add_dsts(
        struct rule *r, struct arena *a, const struct ipset *set, const struct ip_spec *ip, bool cidr_form);
void rule_add_self_dsts(
        struct rule *r, struct arena *a, const struct policy_node *n, const struct ip_spec *ip);
void rule_finish(struct rule *r, struct arena *a);
const struct tailcfg_cap *companion_of(const struct app_cap *cap);
struct tailcfg_strings set_tokens(const struct ipset *s, struct arena *a);

/* peers.c */
void state_classify(struct policy_image *st);
const struct vec *state_rules_of(const struct policy_image *st, size_t node);
bool rule_has_src(const struct rule *r, const struct node_info *n);
bool rule_has_dst(const struct policy_image *st, const struct rule *r, const struct node_info *n);
/* A via tag of the grant is on the node. */
bool node_carries_via(const struct policy_node *n, const struct grant *g);

/* ssh.c: one compiled rule of a node, for the writer and for sshTests. */
struct ssh_compiled {
        const struct ssh_rule *rule;
        struct vec principals;  /* struct ip_addr */
        struct vec users;       /* struct slice: map entries that name themselves */
        bool nonroot, is_local; /* is_local: only the local part's entry */
        struct slice local;
};
void state_compile_ssh(const struct policy_image *st, size_t node, struct vec *out, struct arena *a);

/* tests.c, ssh_tests.c: false, with an error, when one fails. */
bool state_run_tests(const struct policy_image *st, struct policy_errors *errors);
bool state_run_ssh_tests(const struct policy_image *st, struct policy_errors *errors);

#endif
