/* Deltas: what changed after a session's cursor, as the smallest message that says it. */
#include <stdlib.h>

#include "mapper_internal.h"

/* Kinds of change that the node itself wants to know of; the rest it told us. */
static bool self_changed(const struct node *viewer, uint64_t cursor)
{
        return viewer->seq[CHANGE_NODE] > cursor || viewer->seq[CHANGE_KEY] > cursor ||
               viewer->seq[CHANGE_EXPIRY] > cursor || viewer->seq[CHANGE_SELF] > cursor;
}

bool mapper_is_in_delta(const struct node *viewer, uint64_t cursor) { return self_changed(viewer, cursor); }

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

        if (self_changed(viewer, cursor) || t->derp_seq > cursor)
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

static void write_removed(const struct server *s, uint32_t viewer_class, struct node *const *changed,
        size_t n, uint64_t cursor, struct json_writer *w)
{
        const struct tailnet *t = &s->tailnet;
        uint64_t kept = t->n_tombstones < N_TOMBSTONES ? t->n_tombstones : N_TOMBSTONES;
        bool opened = false;

        for (uint64_t i = t->n_tombstones - kept; i < t->n_tombstones; i++) {
                const struct tombstone *gone = &t->tombstones[i % N_TOMBSTONES];
                if (gone->seq <= cursor || tailnet_node(t, gone->id))
                        continue;
                if (!opened) {
                        json_name(w, "PeersRemoved");
                        json_array_open(w);
                        opened = true;
                }
                json_put_i64(w, gone->id);
        }
        /* Those that changed out of sight. */
        for (size_t i = 0; i < n; i++) {
                if (changed[i]->seq[CHANGE_NODE] <= cursor ||
                        policy_view_sees(s->policy, viewer_class, changed[i]->row))
                        continue;
                if (!opened) {
                        json_name(w, "PeersRemoved");
                        json_array_open(w);
                        opened = true;
                }
                json_put_i64(w, changed[i]->id);
        }
        if (opened)
                json_array_close(w);
}

static void write_changed(struct server *s, uint32_t viewer_class, const struct node *self,
        struct node *const *changed, size_t n, uint64_t cursor, bool whole, struct json_writer *w)
{
        bool opened = false;

        for (size_t i = 0; i < n; i++) {
                struct node *peer = changed[i];
                bool is_whole = peer->seq[CHANGE_NODE] > cursor;
                if (peer == self || is_whole != whole ||
                        !policy_view_sees(s->policy, viewer_class, peer->row))
                        continue;
                if (whole ? mapper_peer_json(s, peer).len == 0 : !needs_patch(peer, cursor))
                        continue;
                if (!opened) {
                        json_name(w, whole ? "PeersChanged" : "PeersChangedPatch");
                        json_array_open(w);
                        opened = true;
                }
                if (whole)
                        json_put_raw(w, mapper_peer_json(s, peer));
                else
                        write_patch(peer, cursor, w);
        }
        if (opened)
                json_array_close(w);
}

struct server_message *mapper_delta(
        struct server *s, uint32_t viewer_class, const struct node *viewer, uint64_t cursor, bool zstd)
{
        struct arena a = ARENA_INIT(16 << 20);
        struct buf json = BUF_INIT(MESSAGE_MAX);
        struct tailcfg_node self_node;
        struct tailcfg_map_response response = {
                .control_time = time_of_us(s->now.unix_us),
                .user_profiles = mapper_profiles_since(s, viewer_class, viewer, cursor, &a),
        };
        struct server_message *m = NULL;
        struct json_writer w;
        size_t n;
        struct node **changed = changed_nodes(s, cursor, &a, &n);

        if (viewer && self_changed(viewer, cursor)) {
                mapper_describe_self(s, viewer, &a, &self_node);
                response.node = &self_node;
        }
        json_writer_init(&w, &json, NULL);
        json_object_open(&w);
        tailcfg_map_response_write_members(&w, &response);
        if (s->tailnet.derp_seq > cursor) {
                json_name(&w, "DERPMap");
                json_put_raw(&w, s->derp_map);
        }
        write_removed(s, viewer_class, changed, n, cursor, &w);
        write_changed(s, viewer_class, viewer, changed, n, cursor, true, &w);
        write_changed(s, viewer_class, viewer, changed, n, cursor, false, &w);
        json_object_close(&w);
        if (!arena_failed(&a))
                m = message_of_json(&json, zstd);
        buf_fini(&json);
        arena_fini(&a);
        return m;
}
