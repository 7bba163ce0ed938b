/*
 * The access policy: HuJSON text, parsed and checked, as plain data (spec/policy.md
 * 1 to 7). What it means for nodes is policy/state.h.
 *
 * A policy owns all it holds and never changes. Parsing goes on after an error as far
 * as it can, so that an administrator sees every independent mistake at once, each
 * with its place and the sentence the official service uses.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct policy;

enum { POLICY_TEXT_MAX = 4 << 20, POLICY_ERRORS_MAX = 100 };

struct policy_error {
        struct slice text;
        size_t pos;            /* byte offset in the policy's text */
        unsigned line, column; /* counted from 1; the column in bytes */
};

/* Owned by whoever initialised it. */
struct policy_errors {
        struct arena arena;
        struct policy_error items[POLICY_ERRORS_MAX];
        size_t count;
        bool cut; /* there were more */
};

void policy_errors_init(struct policy_errors *errors);
void policy_errors_fini(struct policy_errors *errors);
/* One message as the official service words it; several lines when there are several. */
void policy_errors_write(const struct policy_errors *errors, struct buf *out);
/* For a terminal: "NAME:LINE:COLUMN: text", the line itself, and a caret below. */
void policy_errors_show(
        const struct policy_errors *errors, struct slice text, const char *name, struct buf *out);

enum policy_role {
        POLICY_OWNER = 1,
        POLICY_ADMIN = 2,
        POLICY_IT_ADMIN = 4,
        POLICY_NETWORK_ADMIN = 8,
        POLICY_BILLING_ADMIN = 16,
        POLICY_AUDITOR = 32,
};

struct policy_user {
        int64_t id;
        struct slice name, email, provider_id;
        unsigned roles; /* bits of enum policy_role */
};

/* What the tailnet says beside the policy. Borrowed for the call. */
struct policy_settings {
        struct slice login_domain; /* empty: every domain of a known user counts */
        const struct policy_user *users;
        size_t user_count;
};

/*
 * Parses and checks. The text is copied. NULL with at least one error if it is not a
 * policy. Empty text is the policy without rules of any kind, see policy_is_empty().
 */
struct policy *policy_parse(
        struct slice text, const struct policy_settings *settings, struct policy_errors *errors);
void policy_free(struct policy *p);
bool policy_is_empty(const struct policy *p);
/* Whether an ssh rule has action "check": somebody must answer its URL. */
bool policy_has_ssh_checks(const struct policy *p);

#endif
