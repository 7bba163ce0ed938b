/* Deltas: what changed after a session's cursor, as the smallest message that says it. */
#include <stdlib.h>

#include "mapper_internal.h"

/* Kinds of change that the node itself wants to know of; the rest it told us. */
static bool self_changed(const struct node *viewer, uint64_t cursor)
{
        return viewer->seq[CHANGE_NODE] > cursor || viewer->seq[CHANGE_KEY] > cursor ||
               viewer->seq[CHANGE_EXPIRY] > cursor || viewer->seq[CHANGE_SELF] > cursor;
}

/* Official clients 1.88 to 1.90 (seen with 1.90.9) put patches and whole maps in force by two ways that may
 * overtake each other: a patch soon after the message that brought its peer is lost, and the peer never
 * reached. A message that describes the client itself goes the way of whole maps. */
static bool loses_patches(const struct node *viewer)
{
        enum { CAP_1_88 = 125, CAP_1_90 = 130 };
        return viewer->cap_version >= CAP_1_88 && viewer->cap_version <= CAP_1_90;
}

bool mapper_is_in_delta(const struct node *viewer, uint64_t cursor)
{
        return self_changed(viewer, cursor) || viewer->seq[CHANGE_FILTER] > cursor ||
               viewer->seq[CHANGE_SSH] > cursor;
}

bool mapper_needs_own_delta(const struct node *viewer, uint64_t cursor)
{
        return mapper_is_in_delta(viewer, cursor) || loses_patches(viewer);
}

bool mapper_is_mass_change(const struct server *s, uint64_t cursor)
{
        const struct tailnet *t = &s->tailnet;
        size_t n = 0;

        for (const struct list *it = t->changed.prev; it != &t->changed && n <= CHUNK_NODES; it = it->prev) {
                if (container_of(it, const struct node, changed)->changed_seq <= cursor)
                        break;
                n++;
        }
        return n > CHUNK_NODES && n > t->nodes.n / 4;
}

bool mapper_has_news(const struct server *s, const struct node *viewer, uint64_t cursor)
{
        const struct tailnet *t = &s->tailnet;
        const struct list *newest = t->changed.prev;

        if (mapper_is_in_delta(viewer, cursor) || t->derp_seq > cursor || t->dns_seq > cursor)
                return true;
        if (t->n_tombstones && t->tombstones[(t->n_tombstones - 1) % N_TOMBSTONES].seq > cursor)
                return true;
        if (newest == &viewer->changed)
                newest = newest->prev;
        return newest != &t->changed &&
               container_of(newest, const struct node, changed)->changed_seq > cursor;
}

bool mapper_lost_removals(const struct server *s, uint64_t cursor)
{
        const struct tailnet *t = &s->tailnet;

        return t->n_tombstones > N_TOMBSTONES && t->tombstones[t->n_tombstones % N_TOMBSTONES].seq > cursor;
}

static int compare_ids(const void *a, const void *b)
{
        int64_t x = (*(struct node *const *)a)->id, y = (*(struct node *const *)b)->id;

        return (x > y) - (x < y);
}

/* Nodes that changed after the cursor, sorted by id. */
static struct node **changed_nodes(const struct server *s, uint64_t cursor, struct arena *a, size_t *count)
{
        const struct tailnet *t = &s->tailnet;
        struct node **list;
        size_t n = 0;

        for (const struct list *it = t->changed.prev; it != &t->changed; it = it->prev) {
                if (container_of(it, const struct node, changed)->changed_seq <= cursor)
                        break;
                n++;
        }
        list = ARENA_ARRAY(a, n + 1, struct node *);
        *count = 0;
        for (struct list *it = t->changed.prev; list && *count < n; it = it->prev)
                list[(*count)++] = container_of(it, struct node, changed);
        if (list)
                qsort(list, *count, sizeof(list[0]), compare_ids);
        return list;
}

static void write_patch(const struct node *n, uint64_t cursor, struct json_writer *w)
{
        struct tailcfg_peer_change patch = { .node_id = n->id };
        bool key = n->seq[CHANGE_KEY] > cursor;

        if (key) {
                patch.key = n->row->node_key;
                patch.disco_key = n->disco_key;
        }
        if (key || n->seq[CHANGE_ENDPOINTS] > cursor) {
                patch.endpoints = n->n_endpoints ? (struct tailcfg_endpoints){ n->endpoints, n->n_endpoints }
                                                 : (struct tailcfg_endpoints){ TAILCFG_EMPTY, 0 };
        }
        if (key || n->seq[CHANGE_EXPIRY] > cursor)
                patch.key_expiry =
                        node_expiry(n) ? time_of_us(node_expiry(n)) : tailcfg_time_ns(UNIX_ZERO_DATE);
        if (n->seq[CHANGE_DERP] > cursor)
                patch.derp_region = n->home_derp;
        if (n->seq[CHANGE_ONLINE] > cursor) {
                patch.online = tailcfg_opt(n->online);
                if (!n->online)
                        patch.last_seen = time_of_us(n->last_seen_us);
        }
        tailcfg_peer_change_write(w, &patch);
}

static bool needs_patch(const struct node *n, uint64_t cursor)
{
        for (enum change what = CHANGE_KEY; what < CHANGE_SELF; what++) {
                if (n->seq[what] > cursor)
                        return true;
        }
        return false;
}

/* What a delta says of one node. */
struct news {
        struct node *node;
        enum { IS_WHOLE, IS_PATCH, IS_GONE } as;
};
struct news_list {
        struct news *items;
        size_t count;
};

static void add_news(struct news_list *list, struct node *n, int as)
{
        list->items[list->count++] = (struct news){ n, as };
}

/* Of a node that changed after the cursor. */
static void add_changed(
        const struct server *s, struct view view, struct node *n, uint64_t cursor, struct news_list *list)
{
        bool whole = n->seq[CHANGE_NODE] > cursor;

        if (!mapper_sees(s, view, n)) {
                if (whole) /* it may have been in sight before */
                        add_news(list, n, IS_GONE);
        } else if (whole || needs_patch(n, cursor)) {
                add_news(list, n, whole ? IS_WHOLE : IS_PATCH);
        }
}

/* Of a node that the viewer was, or was not, told of. Routes may look different now. */
static void add_compared(const struct server *s, struct view view, struct node *n, uint64_t cursor,
        const struct id_set *told, struct news_list *list)
{
        bool sees = mapper_sees(s, view, n);

        if (sees && (!id_set_has(told, n->id) || n->n_announced || n->seq[CHANGE_NODE] > cursor))
                add_news(list, n, IS_WHOLE);
        else if (sees && needs_patch(n, cursor))
                add_news(list, n, IS_PATCH);
        else if (!sees && id_set_has(told, n->id))
                add_news(list, n, IS_GONE);
}

/* By ascending id, without the viewer. */
static struct news_list collect(const struct server *s, struct view view, const struct node *viewer,
        uint64_t cursor, const struct id_set *compare, struct arena *a)
{
        const struct row_set *all = &s->tailnet.nodes;
        size_t n = 0;
        struct node **changed = compare ? NULL : changed_nodes(s, cursor, a, &n);
        struct news_list list = { ARENA_ARRAY(a, (compare ? all->n : n) + 1, struct news), 0 };

        if (!list.items)
                return list;
        for (size_t i = 0; compare && i < all->n; i++) {
                struct node *node = (struct node *)all->items[i];
                if (node != viewer)
                        add_compared(s, view, node, cursor, compare, &list);
        }
        for (size_t i = 0; changed && i < n; i++) {
                if (changed[i] != viewer)
                        add_changed(s, view, changed[i], cursor, &list);
        }
        return list;
}

static void open_list(struct json_writer *w, const char *name, bool *opened)
{
        if (!*opened) {
                json_name(w, name);
                json_array_open(w);
        }
        *opened = true;
}

static void write_removed(
        const struct server *s, const struct news_list *news, uint64_t cursor, struct json_writer *w)
{
        const struct tailnet *t = &s->tailnet;
        uint64_t kept = t->n_tombstones < N_TOMBSTONES ? t->n_tombstones : N_TOMBSTONES;
        bool opened = false;

        for (uint64_t i = t->n_tombstones - kept; i < t->n_tombstones; i++) {
                const struct tombstone *gone = &t->tombstones[i % N_TOMBSTONES];
                if (gone->seq <= cursor || tailnet_node(t, gone->id))
                        continue;
                open_list(w, "PeersRemoved", &opened);
                json_put_i64(w, gone->id);
        }
        for (size_t i = 0; i < news->count; i++) {
                if (news->items[i].as != IS_GONE)
                        continue;
                open_list(w, "PeersRemoved", &opened);
                json_put_i64(w, news->items[i].node->id);
        }
        if (opened)
                json_array_close(w);
}

static void write_whole(
        struct server *s, struct view view, const struct news_list *news, struct json_writer *w)
{
        bool opened = false;

        for (size_t i = 0; i < news->count; i++) {
                if (news->items[i].as != IS_WHOLE)
                        continue;
                struct slice json = mapper_peer_json(s, view, news->items[i].node);
                if (json.len == 0)
                        continue;
                open_list(w, "PeersChanged", &opened);
                json_put_raw(w, json);
        }
        if (opened)
                json_array_close(w);
}

static void write_patches(const struct news_list *news, uint64_t cursor, struct json_writer *w)
{
        bool opened = false;

        for (size_t i = 0; i < news->count; i++) {
                if (news->items[i].as != IS_PATCH)
                        continue;
                open_list(w, "PeersChangedPatch", &opened);
                write_patch(news->items[i].node, cursor, w);
        }
        if (opened)
                json_array_close(w);
}

static struct tailcfg_user_profiles profiles_of(
        const struct server *s, const struct node *viewer, const struct news_list *news, struct arena *a)
{
        struct profile_list list = mapper_profiles_begin(s, a);

        if (viewer)
                mapper_profiles_add(s, &list, viewer);
        for (size_t i = 0; i < news->count; i++) {
                if (news->items[i].as == IS_WHOLE)
                        mapper_profiles_add(s, &list, news->items[i].node);
        }
        return (struct tailcfg_user_profiles){ list.count ? list.items : NULL, list.count };
}

void mapper_note_delta(
        const struct server *s, const struct node *viewer, uint64_t cursor, struct id_set *told)
{
        const struct tailnet *t = &s->tailnet;

        for (const struct list *it = t->changed.prev; it != &t->changed; it = it->prev) {
                const struct node *n = container_of(it, const struct node, changed);
                if (n->changed_seq <= cursor)
                        break;
                if (n->seq[CHANGE_NODE] > cursor && n != viewer)
                        id_set_put(told, n->id, mapper_sees(s, viewer->view, n));
        }
}

/* What changed may be out of the viewer's sight. */
static bool says_anything(
        const struct server *s, const struct node *viewer, const struct news_list *news, uint64_t cursor)
{
        const struct tailnet *t = &s->tailnet;

        return news->count || t->derp_seq > cursor || t->dns_seq > cursor || (viewer && mapper_is_in_delta(viewer, cursor)) ||
               (t->n_tombstones && t->tombstones[(t->n_tombstones - 1) % N_TOMBSTONES].seq > cursor);
}

struct server_message *mapper_delta(struct server *s, struct view view, const struct node *viewer,
        uint64_t cursor, const struct id_set *compare, bool zstd)
{
        struct arena a = ARENA_INIT(16 << 20);
        struct buf json = BUF_INIT(MESSAGE_MAX);
        struct news_list news = collect(s, view, viewer, cursor, compare, &a);
        bool self = viewer && (self_changed(viewer, cursor) || loses_patches(viewer));
        struct tailcfg_node self_node;
        struct tailcfg_dns_config dns;
        struct tailcfg_map_response response = {
                .control_time = time_of_us(s->now.unix_us),
                .user_profiles = profiles_of(s, self ? viewer : NULL, &news, &a),
        };
        struct server_message *m = NULL;
        struct json_writer w;

        if (self) {
                mapper_describe_self(s, viewer, &a, &self_node);
                response.node = &self_node;
        }
        if (s->tailnet.dns_seq > cursor) {
                mapper_dns_config(s, &a, &dns);
                response.dns_config = &dns;
        }
        if (!says_anything(s, viewer, &news, cursor)) {
                m = message_of((struct slice){ 0 });
                goto out;
        }
        json_writer_init(&w, &json, NULL);
        json_object_open(&w);
        tailcfg_map_response_write_members(&w, &response);
        if (s->tailnet.derp_seq > cursor) {
                json_name(&w, "DERPMap");
                json_put_raw(&w, s->derp_map);
        }
        if (viewer && viewer->seq[CHANGE_FILTER] > cursor)
                mapper_write_filter(s, viewer, &a, &w);
        if (viewer && viewer->seq[CHANGE_SSH] > cursor)
                mapper_write_ssh(s, viewer, &w);
        write_removed(s, &news, cursor, &w);
        write_whole(s, view, &news, &w);
        write_patches(&news, cursor, &w);
        json_object_close(&w);
        if (!arena_failed(&a))
                m = message_of_json(&json, zstd);
out:
        buf_fini(&json);
        arena_fini(&a);
        return m;
}
