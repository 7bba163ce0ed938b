/*
 * A state from the inside.
 *
 * The roster is what there is: users and nodes, whatever the policy says of them. The
 * plan is what the policy makes of it. Its selectors are the tokens of the policy with
 * the addresses they stand for; its rules name selectors; and each selector knows which
 * bits it sets for the nodes it takes in: "is among the sources of rule 7", "is a
 * destination of rule 9", "has the attributes of entry 2". The bits of a node, with the
 * few other things that can tell nodes apart, are its class. Adding a node therefore
 * costs its few selectors and one look at each class, whatever the number of nodes.
 */
#ifndef STATE_INTERNAL_H
#define STATE_INTERNAL_H

#include "base/buf.h"
#include "base/table.h"
#include "policy/state.h"
#include "policy_internal.h"

enum { TOUCH_ALL = 31, STATE_MEMORY_MAX = 1 << 30, CLASS_KEY_MAX = 16 << 20 };

/* ---- roster.c: users and nodes --------------------------------------------------- */

/* A growing array in memory of its own. */
struct heap_vec {
        void *items;
        size_t count, cap;
};
/* Makes room for n more items. */
bool heap_reserve(struct heap_vec *v, size_t n, size_t size);

/* An address and whose it is, in a tree (holders.c). */
struct holder {
        uint8_t family;
        ip_num num;
        struct node *node; /* NULL: not in the tree */
        struct holder *left, *right;
        uint64_t rank;
};

struct node {
        struct policy_node n; /* owns what it points to: one allocation */
        uint32_t slot;
        bool is_exit;
        size_t route_count;       /* without exit routes */
        struct ip_prefix *routes; /* these */
        struct user_nodes *user;  /* of an untagged node with a user */
        unsigned touched;         /* enum policy_touch */
        struct holder v4, v6;
};

struct user_nodes {
        int64_t user_id;
        struct heap_vec nodes; /* struct node *, by id */
};

/* An approved route that is no exit route, and the nodes that have it. */
struct served {
        struct ip_prefix prefix;
        struct heap_vec nodes; /* struct node *, by id */
};

struct roster {
        struct arena users_arena;
        struct policy_user *users;
        size_t user_count;
        struct table users_by_id;       /* struct policy_user */
        struct table users_by_provider; /* struct policy_user */
        struct table users_by_name;     /* names and e-mail addresses: struct name_owner */

        struct heap_vec slots; /* struct node *, NULL: free */
        struct heap_vec free_slots;
        size_t node_count;
        struct table by_id, by_user; /* struct node, struct user_nodes */
        struct holder *holders;      /* the root */
        struct heap_vec served;      /* struct served, sorted */
        uint64_t served_changed;     /* clock of the last change of the set of routes */
        size_t exit_count;           /* nodes with an exit route */
        size_t outside_count;        /* nodes with an address that is none of the tailnet's */
};

/* How many users a name stands for, and one of them. */
struct name_owner {
        const struct policy_user *user;
        size_t count;
};

void roster_fini(struct roster *r);
enum err MUST_USE roster_set_users(struct roster *r, const struct policy_user *users, size_t count);
const struct policy_user *roster_user(const struct roster *r, int64_t id);
/* Whom a token names; NULL if nobody or, with *matches above one, several. */
const struct policy_user *roster_find_user(const struct roster *r, struct slice token, size_t *matches);

struct node *node_new(const struct policy_node *n);
void roster_node_free(struct node *n);
struct node *roster_node(const struct roster *r, int64_t id);
/* The untagged nodes of a user; NULL if there are none. */
const struct user_nodes *roster_of_user(const struct roster *r, int64_t user_id);
struct node *roster_slot(const struct roster *r, size_t slot);
/* ERR_NOMEM: nothing was added. */
enum err MUST_USE roster_add(struct roster *r, struct node *n, uint64_t clock);
void roster_remove(struct roster *r, struct node *n, uint64_t clock);

/* NULL if no node has the route. */
const struct served *roster_served(const struct roster *r, const struct ip_prefix *p);

/* holders.c. Putting does nothing with no address, taking nothing with one that is not in. */
void holder_put(struct holder **root, struct holder *h, const struct ip_addr *addr, struct node *n);
void holder_take(struct holder **root, struct holder *h);
/* Visits the nodes that have an address in the range, in its order. */
void holders_in(const struct holder *root, const struct ip_range *range,
        void (*visit)(void *ctx, struct node *n), void *ctx);

bool is_exit_route(const struct ip_prefix *p);
static inline bool is_tagged(const struct node *n) { return n->n.tag_count != 0; }
bool node_in_set(const struct node *n, const struct ipset *s);
bool node_serves(const struct node *n, const struct ip_prefix *route);

/* ---- plan.c: what the policy says ----------------------------------------------------- */

/* Kinds of bits that a node has. */
enum section {
        SECTION_SRC,     /* by rule: an address, or a route, is among the sources */
        SECTION_DST,     /* the same for destinations; an exit node is where all is */
        SECTION_ORIGIN,  /* by grant: an address is among the sources */
        SECTION_VIA_SRC, /* by grant with via: as SECTION_SRC */
        SECTION_VIA_DST, /* by destination of grants with via: as SECTION_DST */
        SECTION_CARRY,   /* by grant with via: it has one of the tags */
        SECTION_SSH_SRC, /* by ssh rule */
        SECTION_SSH_DST,
        SECTION_ATTR, /* by entry of nodeAttrs */
        SECTIONS,
};

/* A bit that a selector sets for the nodes it takes in. */
struct use {
        enum section section;
        uint32_t bit; /* in the section */
        bool by_route;
};

struct selector {
        struct slice text;
        struct ipset set;
        bool is_live;      /* of the addresses of nodes; the set has memory of its own */
        bool takes_routes; /* `*` as a source: all approved routes belong to it */
        uint64_t changed;  /* the clock at the last change of the set */
        struct vec uses;   /* struct use */
        uint64_t mark;     /* the plan's, when it was last collected */
};

/* A literal address or prefix. Prefixes contain each other or are apart, so that, in
 * order, what contains one is a chain of parents (plan_literals.c). */
struct literal {
        struct ip_range range;
        struct selector *selector;
        size_t parent; /* SIZE_MAX: none */
};

enum source_kind {
        SOURCE_PLAIN, /* of a grant */
        SOURCE_VIA,   /* of a grant with via */
        SOURCE_BACK,  /* of the companion of a capability: the destinations */
};

/* What SrcIPs says, worked out when it is asked for (sources.c). */
struct source {
        enum source_kind kind;
        bool has_any, has_everything; /* `*`, autogroup:danger-all */
        struct vec selectors;         /* struct selector * */
        /* Worked out at this clock: */
        uint64_t built;
        bool is_built;
        struct arena arena;
        struct ipset set;     /* the union, without what `*` brings */
        struct ipset meaning; /* with it */
        struct tailcfg_strings tokens;
        uint64_t digest; /* of the tokens */
};

struct rule_dst {
        struct selector *selector;
        bool is_any;      /* "*" */
        bool is_internet; /* written as ranges */
};

/* One FilterRule before reduction, the same for every node. */
struct rule {
        size_t at; /* its number */
        struct source *src;
        const struct ip_spec *ip;         /* NULL: capabilities */
        struct vec dsts;                  /* struct rule_dst */
        struct source *back;              /* of a companion: its destinations, the sources of the grant */
        const struct tailcfg_cap *caps;
        size_t cap_count;
        bool covers_default;  /* the destinations take in a whole family, or the internet */
        bool covers_internet; /* the internet */
};

struct compiled_grant {
        const struct grant *g;
        size_t at;
        struct source *src; /* SOURCE_VIA when it has via */
        struct vec dsts;    /* struct rule_dst, without autogroup:self; `*` is the tailnet */
        size_t first_rule, rule_count;
        size_t via_at, via_dst_at; /* its first bits in the VIA sections */
        bool has_self, has_internet;
        const struct tailcfg_cap *caps;
};

struct ssh_plan {
        const struct ssh_rule *rule;
        struct vec src; /* struct selector * */
        bool has_self, has_other, has_localpart;
        /* Worked out when asked for (ssh.c): */
        uint64_t built;
        bool is_built;
        struct arena arena;
        struct vec persons; /* struct person, by user */
        struct vec tagged;  /* struct ip_addr */
        struct vec merged;  /* struct ip_addr */
};

/* A text that names users, and the selector that takes in theirs. */
struct user_token {
        struct slice text;
        struct selector *selector;
};

/* Nodes that the policy treats alike. */
struct class {
        uint32_t id;
        struct slice key; /* the bits, then what else tells nodes apart */
        const uint64_t *bits;
        struct heap_vec ids, nodes; /* int64_t; struct node *, in the same order */
        unsigned touched;
};

/* A node's place in the plan. Most nodes have few selectors, which need no memory beside. */
enum { SEAT_FEW = 3 };
struct seat {
        struct class *class; /* NULL: not seated */
        size_t class_at;
        union {
                struct selector *few[SEAT_FEW];
                struct selector **many;
        };
        uint32_t own_count, count; /* selectors of its addresses; with those only its routes reach */
        bool is_odd;               /* some route reaches the addresses of nodes */
};

struct plan {
        struct arena arena;
        const struct policy *p;
        const struct roster *roster;
        uint64_t *clock; /* of the state */
        bool is_bulk;    /* sets are sorted at the end */

        struct table by_text;  /* struct selector */
        struct vec selectors;  /* struct selector * */
        struct vec fixed;      /* those that are neither literals nor of nodes */
        struct vec literals;   /* struct literal, sorted */
        struct selector *member, *tagged; /* NULL: the policy does not name it */
        struct vec user_tokens;           /* struct user_token */
        struct vec domains, roles;        /* struct alias_selector */
        struct vec sources;               /* struct source * */
        struct vec grants;                /* struct compiled_grant */
        struct vec rules;                 /* struct rule * */
        struct vec ssh;                   /* struct ssh_plan */
        struct ipset tailnet, internet, all;
        bool has_via, has_self, has_ssh_self, has_localpart;
        size_t via_count, via_dst_count;
        size_t begin[SECTIONS + 1]; /* in words */

        struct arena user_arena;
        struct vec *user_selectors; /* by place among the users: struct selector * */

        struct heap_vec seats; /* struct seat, by slot */
        struct table classes;  /* struct class by key */
        struct heap_vec class_by_id;  /* struct class *, NULL: free */
        struct heap_vec free_classes; /* uint32_t */
        struct heap_vec scratch;      /* struct selector *: being collected */
        uint64_t mark;
        struct buf key; /* being made */

        /* Which rules come first of those that say the same (filter.c): */
        uint64_t leaders_built;
        bool has_leaders;
        size_t *leader_of;
        struct arena leader_arena;
        struct table leaders;
};

struct alias_selector {
        const struct alias *alias;
        struct selector *selector;
};

/* Seats every node. *out is NULL on ERR_NOMEM. */
enum err MUST_USE plan_new(
        const struct policy *p, const struct roster *r, uint64_t *clock, struct plan **out);
void plan_free(struct plan *pl);
/* ERR_EXISTS with errors when a token of the policy names two users. */
enum err MUST_USE plan_check_users(
        const struct policy *p, const struct roster *r, struct policy_errors *errors);

enum selector_role { ROLE_SRC, ROLE_DST, ROLE_TAILNET };
/* NULL: memory is short, or a token that stands for no address. */
struct selector *plan_selector(struct plan *pl, const struct alias *a, enum selector_role role);
/* plan_rules.c */
void plan_grants(struct plan *pl);
void plan_ssh(struct plan *pl);
void plan_attrs(struct plan *pl);
const struct tailcfg_cap *companion_of(const struct app_cap *cap);
void plan_use(struct plan *pl, struct selector *s, enum section section, size_t bit, bool by_route);
/* plan_users.c: which selectors take in the nodes of each user. */
enum err MUST_USE plan_users(struct plan *pl);
/* Whether the node is one of those that a user, group, tag or autogroup names. */
bool node_is_named(const struct plan *pl, const struct node *n, const struct alias *a);

/* plan_literals.c */
void literals_finish(struct plan *pl);
/* Calls visit for the selectors of literals that contain, or overlap, the range. */
void literals_containing(const struct plan *pl, uint8_t family, ip_num num,
        void (*visit)(void *ctx, struct selector *s), void *ctx);
void literals_overlapping(const struct plan *pl, const struct ip_range *range,
        void (*visit)(void *ctx, struct selector *s), void *ctx);

/* ---- seat.c, classes.c ------------------------------------------------------------------ */

static inline bool bit_at(const uint64_t *words, size_t bit) { return words[bit / 64] >> bit % 64 & 1; }
static inline bool class_bit(const struct plan *pl, const struct class *c, enum section s, size_t bit)
{
        return bit_at(c->bits + pl->begin[s], bit);
}

struct selector *const *seat_selectors(const struct seat *seat);
void seat_fini(struct seat *seat);
struct seat *plan_seat(const struct plan *pl, const struct node *n);
static inline struct class *class_of(const struct plan *pl, const struct node *n)
{
        return plan_seat(pl, n)->class;
}
/* Gives the node, which is in the roster, its seat; takes it away. */
enum err MUST_USE seat_node(struct plan *pl, struct node *n);
void unseat_node(struct plan *pl, struct node *n);
/* Which bits of the sections SRC and DST the route alone sets. words: of both. */
void route_bits(struct plan *pl, const struct ip_prefix *route, uint64_t *words);

/* Finds or makes the class of that key. ERR_NOMEM. */
enum err MUST_USE class_join(struct plan *pl, struct slice key, struct node *n, struct seat *seat);
/* The class goes with its last node. */
void class_leave(struct plan *pl, struct node *n, struct seat *seat);
void class_free(struct class *c);
bool classes_see(const struct plan *pl, const struct class *a, const struct class *b);
struct class *class_at(const struct plan *pl, size_t i);
bool node_carries_via(const struct node *n, const struct grant *g);
/* Whether a destination of a grant with via is for this node (spec/policy.md 9): it
 * has a route there. */
bool via_range_applies(const struct node *n, const struct ip_range *range);

/* ---- sources.c ---------------------------------------------------------------------------- */

/* Brings it up to date. ERR_NOMEM. */
enum err MUST_USE source_build(struct plan *pl, struct source *s);
struct slice prefix_text(const struct ip_prefix *p, bool cidr_form, struct arena *a);
struct tailcfg_strings set_tokens(const struct ipset *s, struct arena *a);
uint64_t tokens_digest(const struct tailcfg_strings *tokens);

/* ---- ssh.c: one compiled rule of a node, for the writer and for sshTests. ------------------ */

struct ssh_compiled {
        const struct ssh_rule *rule;
        struct vec principals;  /* struct ip_addr */
        struct vec users;       /* struct slice: map entries that name themselves */
        bool nonroot, is_local; /* is_local: only the local part's entry */
        struct slice local;
};
void plan_compile_ssh(struct plan *pl, const struct node *n, struct vec *out, struct arena *a);

/* ---- look-ups, each named after its call in policy/state.h --------------------------------- */

enum err MUST_USE plan_filter(
        struct plan *pl, const struct node *n, struct arena *a, struct tailcfg_filter_rules *out);
enum err MUST_USE plan_routes(struct plan *pl, const struct node *viewer, const struct node *peer,
        struct arena *a, struct tailcfg_prefixes *out);
void plan_write_ssh(struct plan *pl, const struct node *n, struct slice base_url, struct json_writer *w);
bool plan_ssh_period(const struct plan *pl, const struct node *src, const struct node *dst, int64_t *ns);
enum err MUST_USE plan_attr_names(
        const struct plan *pl, const struct node *n, struct arena *a, struct tailcfg_strings *out);
bool plan_may_approve(const struct plan *pl, const struct node *n, const struct ip_prefix *route);

bool plan_user_owns_tag(const struct plan *pl, int64_t user_id, struct slice tag);
bool plan_tags_own_tag(const struct plan *pl, const struct slice *tags, size_t count, struct slice tag);

/* tests.c, ssh_tests.c: false, with an error, when one fails. */
bool plan_run_tests(struct plan *pl, struct policy_errors *errors);
bool plan_run_ssh_tests(struct plan *pl, struct policy_errors *errors);
/* The addresses a token stands for, whether the policy's rules name it or not. */
void plan_resolve(const struct plan *pl, const struct alias *a, struct ipset *out, struct arena *arena);

/* ---- touch.c: whom a change concerns ---------------------------------------------------------- */

/* A node as it was, or is, in the plan: what others may notice of it. */
struct standing {
        const struct node *node; /* NULL: not there */
        const struct class *class;
        struct selector **selectors; /* of its addresses; its own copy */
        size_t own_count;
        /* What touch_look() found: */
        uint64_t *sees; /* bits by class */
        size_t sees_words, key_len;
        uint8_t *key; /* of the class */
};

struct policy_state {
        struct roster roster;
        struct policy *policy;
        struct plan *plan; /* NULL: memory was short; tried again at the next call */
        uint64_t clock;
        bool all_touched;
};

/* Looks whom the class of the standing sees. False if memory is short. */
bool touch_look(const struct plan *pl, struct standing *s);
void standing_fini(struct standing *s);
/* The other devices of its user, where these tell each other apart. */
void touch_user(const struct plan *pl, const struct node *n);
/* Once the node is in its new seat, or gone. ERR_NOMEM: some were missed. */
enum err MUST_USE touch_change(
        struct policy_state *st, const struct standing *old, const struct standing *new);
/* The routers whose routes reach an address of the node find their seats anew. */
enum err MUST_USE touch_routers(struct policy_state *st, const struct node *n, const struct node *but);

#endif
