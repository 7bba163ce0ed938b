/* A policy computed for a list of nodes, and then only read: what a state answers from. */
#ifndef POLICY_IMAGE_H
#define POLICY_IMAGE_H

#include "policy/state.h"

struct policy_world {
        const struct policy_user *users;
        const struct policy_node *nodes; /* by ascending id */
        size_t user_count, node_count;
};

struct policy_image;

/* Policy and world are borrowed for the life of the image. ERR_NOMEM; ERR_EXISTS with
 * an error when a token names two users, unless that is let pass. */
enum err MUST_USE policy_image_new(const struct policy *p, const struct policy_world *w, bool let_ambiguous,
        struct policy_image **out, struct policy_errors *errors);
void policy_image_free(struct policy_image *st);

/* Nodes are named by their place in the world; the rest is as in policy/state.h. */
size_t policy_image_class_count(const struct policy_image *st);
uint32_t policy_image_class(const struct policy_image *st, size_t node);
bool policy_image_sees(const struct policy_image *st, size_t a, size_t b);
bool policy_image_classes_see(const struct policy_image *st, uint32_t a, uint32_t b);
enum err MUST_USE policy_image_filter(
        const struct policy_image *st, size_t node, struct arena *a, struct tailcfg_filter_rules *out);
enum err MUST_USE policy_image_routes(const struct policy_image *st, size_t viewer, size_t peer,
        struct arena *a, struct tailcfg_prefixes *out);
void policy_image_write_ssh(
        const struct policy_image *st, size_t node, struct slice base_url, struct json_writer *w);
bool policy_image_ssh_period(const struct policy_image *st, size_t src, size_t dst, int64_t *period_ns);
enum err MUST_USE policy_image_attrs(
        const struct policy_image *st, size_t node, struct arena *a, struct tailcfg_strings *out);
bool policy_image_may_approve(const struct policy_image *st, size_t node, const struct ip_prefix *route);
bool policy_image_tag_exists(const struct policy_image *st, struct slice tag);
bool policy_image_user_owns_tag(const struct policy_image *st, int64_t user_id, struct slice tag);
bool policy_image_tags_own_tag(
        const struct policy_image *st, const struct slice *tags, size_t count, struct slice tag);
enum err MUST_USE policy_image_test(const struct policy_image *st, struct policy_errors *errors);

#endif
