/*
 * What the access policy means for nodes: the one place that answers who sees
 * whom, which packets a node lets in, and who may carry which tag. The mapper and
 * the registration ask here and know nothing of the policy language.
 *
 * A view is immutable; a new policy is a new view. Nodes with equal policy
 * identity form a class: they see the same peers (but for themselves) and have
 * the same filter, so messages are built once a class, not once a node.
 *
 * Without a policy everything is allowed. A configured policy file is refused at
 * start (config.c) until the compiler for it exists: it is never ignored.
 */
#ifndef SERVER_POLICY_VIEW_H
#define SERVER_POLICY_VIEW_H

#include "store/store.h"
#include "json/writer.h"

struct policy_view;

/* Everybody sees everybody, every packet passes. NULL: out of memory. */
struct policy_view *policy_view_allow_all(void);
void policy_view_free(struct policy_view *pv);

/* The class of a node under this view. */
uint32_t policy_view_class(const struct policy_view *pv, const struct store_node *node);
/* Whether nodes of class `viewer` have `peer` in their network map. */
bool policy_view_sees(const struct policy_view *pv, uint32_t viewer, const struct store_node *peer);
/* Writes the value of MapResponse.PacketFilters for a class (spec/control.md 6.9). */
void policy_view_write_filters(const struct policy_view *pv, uint32_t node_class, struct json_writer *w);

/* Whether an administrator may put this tag on a node. */
bool policy_view_tag_exists(const struct policy_view *pv, struct slice tag);
/* Whether a device of this user may ask for the tag itself (RequestTags). */
bool policy_view_may_request_tag(const struct policy_view *pv, int64_t user_id, struct slice tag);
/* Whether an announced route of the node is approved without an administrator. */
bool policy_view_auto_approves(
        const struct policy_view *pv, const struct store_node *node, const struct ip_prefix *route);

#endif
