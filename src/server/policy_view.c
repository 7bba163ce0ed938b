/* The view without a policy: one class, in which everything is allowed. */
#include <stdlib.h>

#include "server/policy_view.h"

struct policy_view {
        uint32_t only_class;
};

struct policy_view *policy_view_allow_all(void) { return calloc(1, sizeof(struct policy_view)); }

void policy_view_free(struct policy_view *pv) { free(pv); }

uint32_t policy_view_class(const struct policy_view *pv, const struct store_node *node)
{
        (void)node;
        return pv->only_class;
}

bool policy_view_sees(const struct policy_view *pv, uint32_t viewer, const struct store_node *peer)
{
        (void)peer;
        return viewer == pv->only_class;
}

void policy_view_write_filters(const struct policy_view *pv, uint32_t node_class, struct json_writer *w)
{
        (void)pv;
        (void)node_class;
        json_put_raw(w, SLICE_LIT("{\"base\":[{\"SrcIPs\":[\"*\"],\"DstPorts\":"
                                  "[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":65535}}]}]}"));
}

bool policy_view_tag_exists(const struct policy_view *pv, struct slice tag)
{
        (void)pv;
        (void)tag;
        return true; /* nothing declares tags, so an administrator may use any */
}

bool policy_view_may_request_tag(const struct policy_view *pv, int64_t user_id, struct slice tag)
{
        (void)pv;
        (void)user_id;
        (void)tag;
        return false; /* nobody owns a tag, so no device may take one */
}

bool policy_view_auto_approves(
        const struct policy_view *pv, const struct store_node *node, const struct ip_prefix *route)
{
        (void)pv;
        (void)node;
        (void)route;
        return false;
}
