/* The parsed policy from the inside: what parse_*.c builds and the rest reads. */
#ifndef POLICY_INTERNAL_H
#define POLICY_INTERNAL_H

#include "base/table.h"
#include "policy/ipset.h"
#include "policy/policy.h"
#include "json/reader.h"

/* A growing array in an arena. */
struct vec {
        void *items;
        size_t count, cap;
};
/* A zeroed new item at the end; NULL when the arena is used up (it remembers). */
void *vec_push(struct vec *v, struct arena *a, size_t size);
#define VEC_PUSH(v, a, type) ((type *)vec_push((v), (a), sizeof(type)))
#define VEC_EACH(type, it, v)                                                                                \
        for (__typeof__(type) const *it = (v)->items, *it##_end = it ? it + (v)->count : it; it != it##_end; \
                it++)

struct text {
        struct slice s;
        size_t pos; /* in the policy's text */
};

enum autogroup {
        AUTOGROUP_NONE,
        AUTOGROUP_INTERNET,
        AUTOGROUP_MEMBER,
        AUTOGROUP_TAGGED,
        AUTOGROUP_SELF,
        AUTOGROUP_NONROOT,
        AUTOGROUP_DANGER_ALL,
        AUTOGROUP_ROLE,
};

enum alias_kind {
        ALIAS_PREFIX,
        ALIAS_WILDCARD,
        ALIAS_DOMAIN,
        ALIAS_USER,
        ALIAS_GROUP,
        ALIAS_TAG,
        ALIAS_AUTOGROUP,
        ALIAS_HOST
};

/* A token that stands for addresses (spec/policy.md 3). */
struct alias {
        enum alias_kind kind;
        struct slice text;
        size_t pos;
        struct ip_prefix prefix;  /* ALIAS_PREFIX, masked */
        enum autogroup autogroup; /* ALIAS_AUTOGROUP */
        unsigned role;            /* AUTOGROUP_ROLE: enum policy_role */
        struct slice domain;      /* ALIAS_DOMAIN */
};

struct port_range {
        uint16_t first, last;
};

/* A protocol and ports: an `ip` entry of a grant, or proto and ports of an acl. */
struct ip_spec {
        int proto;        /* -1: the client's default set */
        struct vec ports; /* struct port_range */
};

struct app_cap {
        struct slice name;
        struct vec values; /* struct slice: raw JSON */
};

/* A grant, or one destination of an acl. */
struct grant {
        bool is_acl;
        size_t pos;
        struct vec src, dst, via; /* struct alias */
        struct vec ip;            /* struct ip_spec */
        struct vec app;           /* struct app_cap */
};

struct ssh_rule {
        size_t pos;
        bool is_check;
        bool has_period;
        int64_t period_ns;            /* 0: always ask */
        struct vec src, dst;          /* struct alias */
        struct vec users, accept_env; /* struct text */
};

struct node_attr {
        struct vec target; /* struct alias */
        struct vec attr;   /* struct text */
};

struct policy_test {
        size_t pos;
        struct text src;
        struct text proto;
        struct vec accept, deny; /* struct text */
};

struct ssh_test {
        size_t pos;
        struct text src;
        struct vec dst, accept, deny, check; /* struct text */
};

/* A named list: groups, tag owners, approvers of a prefix. */
struct named {
        struct slice name;
        size_t pos;
        struct ip_prefix prefix; /* of autoApprovers.routes */
        struct vec members;      /* struct text */
};

struct host {
        struct slice name;
        size_t pos;
        struct ip_prefix prefix;
};

struct policy {
        struct arena arena;
        struct slice json; /* the text with comments blanked */
        bool is_empty;
        bool has_rules; /* `acls` or `grants` is there, if only as [] */
        bool randomize_client_port;
        struct vec groups, tag_owners, approve_routes; /* struct named */
        struct vec hosts;                              /* struct host */
        struct table group_by_name, tag_by_name, host_by_name;
        struct vec approve_exit;                       /* struct text */
        struct vec grants;                             /* struct grant: the grants, then the acls */
        struct vec ssh, node_attrs, tests, ssh_tests;
};

/* NULL if the policy has none of that name. */
const struct named *policy_group(const struct policy *p, struct slice name);
const struct named *policy_tag(const struct policy *p, struct slice name);
const struct host *policy_host(const struct policy *p, struct slice name);

/* errors.c: records an error at a place; beyond the bound only that there were more. */
void policy_error_add(struct policy_errors *errors, size_t pos, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Fills in lines and columns, and orders the errors by their place. */
void policy_errors_locate(struct policy_errors *errors, struct slice text);

/* tokens.c, ports.c: `why` is in the arena. False: *why says what is wrong. */
bool alias_parse(struct slice text, size_t pos, struct alias *out, struct arena *a, const char **why);
bool ports_parse(struct slice text, struct vec *out, struct arena *a, const char **why);
/* lenient: any case, numbers become names, as in acls. -1 for "" */
bool proto_parse(struct slice text, bool lenient, int *out, struct arena *a, const char **why);
bool proto_has_ports(int proto);
/* HOST:PORTS of acls and tests. */
bool host_port_parse(
        struct slice text, struct slice *host, struct slice *ports, struct arena *a, const char **why);
bool ip_spec_parse(struct slice text, struct ip_spec *out, struct arena *a, const char **why);
/* "localpart:*@DOMAIN" in its exact form. */
bool localpart_domain(struct slice user, struct slice *domain);

/* parse_base.c */
struct parser {
        struct policy *p;
        struct arena *a;
        struct json_reader r;
        struct policy_errors *errors;
};
/* True if a value of the type follows; else it is skipped and, unless null, an error. */
bool parse_want(struct parser *ps, enum json_type type, const char *what);
/* The index of the next member in names (NULL-ended), or -1 at the end. Unknown and
 * repeated names are errors and skipped. */
int parse_member(struct parser *ps, const char *const *names, uint32_t *seen, bool allow_hash);
struct text parse_text(struct parser *ps, const char *what);
void parse_texts(struct parser *ps, struct vec *out, const char *what);
void parse_aliases(struct parser *ps, struct vec *out);
/* Where the next value begins. */
size_t parse_pos(struct parser *ps);

/* parse_rules.c, parse_ssh.c (tests too), parse_names.c: one section each. */
void parse_acls(struct parser *ps);
void parse_grants(struct parser *ps);
void parse_groups(struct parser *ps);
void parse_hosts(struct parser *ps);
void parse_tag_owners(struct parser *ps);
void parse_auto_approvers(struct parser *ps);
void parse_node_attrs(struct parser *ps);
void parse_ssh(struct parser *ps);
void parse_tests(struct parser *ps);
void parse_ssh_tests(struct parser *ps);

/* validate.c: references and combinations. */
void policy_validate(
        const struct policy *p, const struct policy_settings *settings, struct policy_errors *errors);

#endif
