/*
 * Map messages. A peer is serialised once a change (node.peer_json) and shared by
 * every message that has it; a delta is built once for all sessions of a class that
 * know the same; large peer lists consist of compressed chunks that all full maps
 * share (a message may be several zstd frames one after the other).
 */
#include <stdlib.h>

#include "proto/map_frame.h"
#include "state.h"

enum { MESSAGE_MAX = MAP_FRAME_MAX, CHUNKED_FROM = 1 << PEER_CHUNK_SHIFT };

struct server_message *server_message_ref(struct server_message *m)
{
        m->refs++;
        return m;
}

void server_message_unref(struct server_message *m)
{
        if (--m->refs == 0)
                free(m);
}

static struct server_message *message_of(struct slice bytes)
{
        struct server_message *m = malloc(sizeof(*m) + bytes.len);

        if (!m)
                return NULL;
        m->refs = 1;
        m->len = bytes.len;
        memcpy(m->bytes, bytes.ptr, bytes.len);
        return m;
}

/* One JSON text as a framed message. */
static struct server_message *message_of_json(struct buf *json, bool zstd)
{
        struct buf framed = BUF_INIT(MESSAGE_MAX);
        struct server_message *m = NULL;

        if (buf_status(json) == OK &&
            (zstd ? map_frame_write(buf_slice(json), &framed) : map_frame_write_plain(buf_slice(json), &framed)) == OK)
                m = message_of(buf_slice(&framed));
        buf_fini(&framed);
        return m;
}

/* --- nodes ------------------------------------------------------------------------ */

static int compare_prefixes(const void *a, const void *b)
{
        return ip_prefix_compare(a, b);
}

static struct tailcfg_prefixes addresses_of(struct arena *a, const struct node *n)
{
        struct ip_prefix *list = ARENA_ARRAY(a, 2, struct ip_prefix);
        size_t count = 0;

        if (!list)
                return (struct tailcfg_prefixes){ TAILCFG_EMPTY, 0 };
        if (ip_valid(&n->row->ipv4))
                list[count++] = ip_host_prefix(n->row->ipv4);
        if (ip_valid(&n->row->ipv6))
                list[count++] = ip_host_prefix(n->row->ipv6);
        return (struct tailcfg_prefixes){ list, count };
}

static bool approved(const struct node *n, const struct ip_prefix *p)
{
        for (size_t i = 0; i < n->row->n_approved_routes; i++) {
                if (ip_prefix_equal(&n->row->approved_routes[i], p))
                        return true;
        }
        return false;
}

/* Addresses, routes it is primary for, approved exit routes; sorted. */
static struct tailcfg_prefixes allowed_ips_of(struct arena *a, const struct node *n, const struct tailcfg_prefixes *addresses)
{
        struct ip_prefix *list = ARENA_ARRAY(a, addresses->count + n->n_primary + n->n_announced + 1, struct ip_prefix);
        size_t count = 0;

        if (!list)
                return *addresses;
        for (size_t i = 0; i < addresses->count; i++)
                list[count++] = addresses->items[i];
        for (size_t i = 0; i < n->n_primary; i++)
                list[count++] = n->primary[i];
        for (size_t i = 0; i < n->n_announced; i++) {
                if (routes_is_exit(&n->announced[i]) && approved(n, &n->announced[i]))
                        list[count++] = n->announced[i];
        }
        qsort(list, count, sizeof(list[0]), compare_prefixes);
        return (struct tailcfg_prefixes){ list, count };
}

static struct tailcfg_strings tags_of(struct arena *a, const struct node *n)
{
        struct slice rest = n->row->tags, tag;
        size_t count = 0, max = 1;

        if (rest.len == 0)
                return (struct tailcfg_strings){ 0 };
        for (size_t i = 0; i < rest.len; i++)
                max += rest.ptr[i] == ',';
        struct slice *list = ARENA_ARRAY(a, max, struct slice);
        while (list && slice_split(&rest, ',', &tag))
                list[count++] = tag;
        return (struct tailcfg_strings){ list, count };
}

/* What the node itself and its peers are both told. */
static void describe_node(const struct server *s, const struct node *n, struct arena *a, struct tailcfg_node *out)
{
        struct tailcfg_hostinfo *hostinfo = ARENA_NEW(a, struct tailcfg_hostinfo);
        bool expired = node_is_expired(s, n);

        *out = (struct tailcfg_node){
                .id = n->id,
                .stable_id = slice_str(arena_printf(a, "%lld", (long long)n->id)),
                .name = mapper_fqdn(s->settings, a, n->row->given_name),
                .user = node_is_tagged(n) ? TAGGED_DEVICES_ID : n->row->user_id,
                .key = n->row->node_key,
                .key_expiry = time_of_us(node_expiry(n)),
                .machine = n->row->machine_key,
                .disco_key = n->disco_key,
                .addresses = addresses_of(a, n),
                .endpoints = { n->endpoints, n->n_endpoints },
                .home_derp = n->home_derp,
                .hostinfo = hostinfo,
                .created = time_of_us(n->row->created_us),
                .cap = n->cap_version,
                .tags = tags_of(a, n),
                .primary_routes = { n->primary, n->n_primary },
                .online = tailcfg_opt(n->online),
                .machine_authorized = !expired,
                .expired = expired,
        };
        out->allowed_ips = allowed_ips_of(a, n, &out->addresses);
        if (!n->online)
                out->last_seen = time_of_us(n->last_seen_us);
        if (hostinfo && n->hostinfo_peer.len && tailcfg_hostinfo_decode(n->hostinfo_peer, a, hostinfo) != OK)
                *hostinfo = (struct tailcfg_hostinfo){ 0 };
}

/* Exit nodes that may be suggested to users (spec/policy.md, section 0). */
static void add_peer_caps(struct tailcfg_node *peer)
{
        static const struct tailcfg_cap suggest[] = { { .name = SLICE_LIT("suggest-exit-node") } };

        for (size_t i = 0; i < peer->allowed_ips.count; i++) {
                if (routes_is_exit(&peer->allowed_ips.items[i]))
                        peer->cap_map = (struct tailcfg_cap_map){ suggest, 1 };
        }
}

static struct slice peer_json(const struct server *s, struct node *n)
{
        if (n->peer_json.len == 0) {
                struct arena a = ARENA_INIT(4 << 20);
                struct tailcfg_node peer;
                struct json_writer w;

                describe_node(s, n, &a, &peer);
                add_peer_caps(&peer);
                json_writer_init(&w, &n->peer_json, NULL);
                tailcfg_node_write(&w, &peer);
                if (arena_failed(&a) || buf_status(&n->peer_json) != OK)
                        buf_fini(&n->peer_json);
                arena_fini(&a);
        }
        return buf_slice(&n->peer_json);
}

/* Attributes of the node itself (spec/control.md 9). */
static void add_self_caps(const struct server *s, const struct node *n, struct arena *a, struct tailcfg_node *self)
{
        enum { MAX_CAPS = 4 };
        struct tailcfg_cap *caps = ARENA_ARRAY(a, MAX_CAPS, struct tailcfg_cap);
        struct slice *update = ARENA_NEW(a, struct slice);
        size_t count = 0;

        if (!caps || !update)
                return;
        if (!node_is_tagged(n))
                caps[count++].name = SLICE_LIT("https://tailscale.com/cap/is-admin");
        caps[count++].name = SLICE_LIT("https://tailscale.com/cap/ssh");
        if (s->settings->taildrop)
                caps[count++].name = SLICE_LIT("https://tailscale.com/cap/file-sharing");
        *update = s->settings->auto_update ? SLICE_LIT("true") : SLICE_LIT("false");
        caps[count++] = (struct tailcfg_cap){ SLICE_LIT("default-auto-update"), { update, 1 } };
        self->cap_map = (struct tailcfg_cap_map){ caps, count };
}

static void describe_self(const struct server *s, const struct node *n, struct arena *a, struct tailcfg_node *self)
{
        describe_node(s, n, a, self);
        add_self_caps(s, n, a, self);
}

/* --- owners ------------------------------------------------------------------------- */

static bool has_profile(const struct tailcfg_user_profile *list, size_t n, int64_t id)
{
        for (size_t i = 0; i < n; i++) {
                if (list[i].id == id)
                        return true;
        }
        return false;
}

static struct tailcfg_user_profile profile_of(const struct server *s, int64_t id)
{
        const struct store_user *user = tailnet_user(&s->tailnet, id);

        if (!user)
                return (struct tailcfg_user_profile){ .id = TAGGED_DEVICES_ID,
                                                      .login_name = SLICE_LIT("tagged-devices"),
                                                      .display_name = SLICE_LIT("Tagged Devices") };
        return (struct tailcfg_user_profile){ .id = user->id,
                                              .login_name = user->name,
                                              .display_name = user->display_name.len ? user->display_name : user->name,
                                              .profile_pic_url = user->picture_url };
}

/* The owners of the viewer and of the peers visible to the class that changed after
 * the cursor (0: all), each once. */
static struct tailcfg_user_profiles profiles_since(const struct server *s, uint32_t viewer_class, const struct node *viewer,
                                                   uint64_t cursor, struct arena *a)
{
        const struct tailnet *t = &s->tailnet;
        struct tailcfg_user_profile *list = ARENA_ARRAY(a, t->users.n + 1, struct tailcfg_user_profile);
        size_t count = 0;

        if (!list)
                return (struct tailcfg_user_profiles){ 0 };
        for (const struct list *it = t->changed.prev; it != &t->changed; it = it->prev) {
                const struct node *n = container_of(it, const struct node, changed);
                if (n->changed_seq <= cursor)
                        break;
                if (n->seq[CHANGE_NODE] <= cursor || (n != viewer && !policy_view_sees(s->policy, viewer_class, n->row)))
                        continue;
                int64_t owner = tailnet_user(t, n->row->user_id) && !node_is_tagged(n) ? n->row->user_id : TAGGED_DEVICES_ID;
                if (!has_profile(list, count, owner) && count <= t->users.n)
                        list[count++] = profile_of(s, owner);
        }
        return (struct tailcfg_user_profiles){ list, count };
}

/* --- full maps ------------------------------------------------------------------------ */

static struct slice server_host(const struct server_settings *settings)
{
        struct slice url = settings->server_url;

        for (size_t i = 0; i + 2 < url.len; i++) {
                if (memcmp(url.ptr + i, "://", 3) == 0) {
                        url = slice_after(url, i + 3);
                        break;
                }
        }
        return slice_first(slice_first(url, slice_find(url, '/')), slice_find(url, ':'));
}

/* Everything of a full map but Peers; the object stays open. */
static void write_full_head(struct server *s, struct node *viewer, struct json_writer *w, bool is_first, struct arena *a)
{
        static const struct tailcfg_debug no_log_tail = { .disable_log_tail = true };
        struct tailcfg_node self;
        struct tailcfg_dns_config dns;
        struct tailcfg_map_response response = {
                .node = &self,
                .dns_config = &dns,
                .domain = s->settings->base_domain.len ? s->settings->base_domain : server_host(s->settings),
                .control_time = time_of_us(s->now.unix_us),
                .user_profiles = profiles_since(s, viewer->policy_class, viewer, 0, a),
                .debug = is_first && s->settings->disable_logtail ? &no_log_tail : NULL,
        };

        describe_self(s, viewer, a, &self);
        mapper_dns_config(s->settings, a, &dns);
        json_object_open(w);
        tailcfg_map_response_write_members(w, &response);
        json_name(w, "DERPMap");
        json_put_raw(w, s->derp_map);
        json_name(w, "PacketFilters");
        policy_view_write_filters(s->policy, viewer->policy_class, w);
}

/* The peers with ids in [from, to), each preceded by a comma but for the first when
 * *first says so. */
static void append_peers(struct server *s, uint32_t viewer_class, const struct node *self, int64_t from, int64_t to, bool *first,
                         struct buf *out)
{
        const struct row_set *nodes = &s->tailnet.nodes;
        size_t i = 0;

        for (size_t hi = nodes->n; i < hi;) { /* bisect to the first id >= from */
                size_t mid = i + (hi - i) / 2;
                if (*nodes->items[mid] < from)
                        i = mid + 1;
                else
                        hi = mid;
        }
        for (; i < nodes->n && *nodes->items[i] < to; i++) {
                struct node *peer = (struct node *)nodes->items[i];
                if (peer == self || !policy_view_sees(s->policy, viewer_class, peer->row) || peer_json(s, peer).len == 0)
                        continue;
                if (!*first)
                        buf_append_byte(out, ',');
                *first = false;
                buf_append_slice(out, peer_json(s, peer));
        }
}

/* The chunk's zstd frame: its peers, each followed by a comma. Empty if there are none. */
static struct slice shared_chunk(struct server *s, uint32_t viewer_class, size_t index)
{
        struct tailnet *t = &s->tailnet;
        struct peer_chunk *chunk = &t->chunks[index];
        int64_t from = (int64_t)index << PEER_CHUNK_SHIFT;

        if (chunk->built_seq && chunk->built_seq >= chunk->changed_seq && chunk->view == t->policy_seq &&
            chunk->viewer == viewer_class)
                return buf_slice(&chunk->frame);
        struct buf json = BUF_INIT(MESSAGE_MAX);
        bool first = true;
        append_peers(s, viewer_class, NULL, from, from + CHUNKED_FROM, &first, &json);
        buf_clear(&chunk->frame);
        if (json.len) {
                buf_append_byte(&json, ',');
                if (buf_status(&json) != OK || map_frame_compress(buf_slice(&json), &chunk->frame) != OK)
                        buf_clear(&chunk->frame);
        }
        buf_fini(&json);
        chunk->built_seq = t->change_seq;
        chunk->view = t->policy_seq;
        chunk->viewer = viewer_class;
        return buf_slice(&chunk->frame);
}

/* The viewer's own chunk, without the viewer; like a shared one each peer is followed
 * by a comma. */
static enum err append_own_chunk(struct server *s, const struct node *viewer, struct buf *frames)
{
        int64_t from = viewer->id >> PEER_CHUNK_SHIFT << PEER_CHUNK_SHIFT;
        struct buf json = BUF_INIT(MESSAGE_MAX);
        enum err e = OK;
        bool first = true;

        append_peers(s, viewer->policy_class, viewer, from, from + CHUNKED_FROM, &first, &json);
        if (json.len) {
                buf_append_byte(&json, ',');
                e = buf_status(&json);
                if (e == OK)
                        e = map_frame_compress(buf_slice(&json), frames);
        }
        buf_fini(&json);
        return e;
}

/* The head in a first frame, shared frames in the middle, and the chunk of the highest
 * peer, which ends the list without a comma, in the last. */
static struct server_message *chunked_full(struct server *s, struct node *viewer, struct buf *head, const struct node *last)
{
        size_t own = (size_t)(viewer->id >> PEER_CHUNK_SHIFT), last_chunk = (size_t)(last->id >> PEER_CHUNK_SHIFT);
        struct buf frames = BUF_INIT(MESSAGE_MAX), tail = BUF_INIT(MESSAGE_MAX);
        struct server_message *m = NULL;
        bool first = true;
        uint8_t *size = buf_extend(&frames, MAP_FRAME_HEADER_LEN);
        enum err e = buf_status(head);

        if (e == OK)
                e = map_frame_compress(buf_slice(head), &frames);
        for (size_t i = 0; i < last_chunk && e == OK; i++) {
                if (i == own)
                        e = append_own_chunk(s, viewer, &frames);
                else
                        buf_append_slice(&frames, shared_chunk(s, viewer->policy_class, i));
        }
        append_peers(s, viewer->policy_class, viewer, (int64_t)last_chunk << PEER_CHUNK_SHIFT, last->id + 1, &first, &tail);
        buf_append_str(&tail, "]}");
        if (e == OK && (e = buf_status(&tail)) == OK)
                e = map_frame_compress(buf_slice(&tail), &frames);
        if (e == OK && size && buf_status(&frames) == OK) {
                put_le32(frames.ptr, (uint32_t)(frames.len - MAP_FRAME_HEADER_LEN));
                m = message_of(buf_slice(&frames));
        }
        buf_fini(&frames);
        buf_fini(&tail);
        return m;
}

/* The visible peer of the highest id, or NULL. */
static const struct node *last_peer(const struct server *s, const struct node *viewer)
{
        for (size_t i = s->tailnet.nodes.n; i-- > 0;) {
                const struct node *n = (const struct node *)s->tailnet.nodes.items[i];
                if (n != viewer && policy_view_sees(s->policy, viewer->policy_class, n->row))
                        return n;
        }
        return NULL;
}

/* "Peers":[] cannot say that there are none: name all who may have been there. */
static void write_all_removed(const struct server *s, struct json_writer *w)
{
        const struct tailnet *t = &s->tailnet;
        uint64_t kept = t->n_tombstones < N_TOMBSTONES ? t->n_tombstones : N_TOMBSTONES;

        json_name(w, "PeersRemoved");
        json_array_open(w);
        for (uint64_t i = 0; i < kept; i++)
                json_put_i64(w, t->tombstones[i].id);
        for (size_t i = 0; i < t->nodes.n; i++)
                json_put_i64(w, *t->nodes.items[i]);
        json_array_close(w);
}

struct server_message *mapper_full(struct server *s, struct node *viewer, bool zstd, bool is_first)
{
        struct arena a = ARENA_INIT(16 << 20);
        struct buf json = BUF_INIT(MESSAGE_MAX);
        const struct node *last = last_peer(s, viewer);
        struct server_message *m = NULL;
        struct json_writer w;
        bool first = true;

        json_writer_init(&w, &json, NULL);
        write_full_head(s, viewer, &w, is_first, &a);
        if (last) {
                json_name(&w, "Peers");
                json_array_open(&w);
        } else if (!is_first) {
                write_all_removed(s, &w);
        }
        if (last && zstd && s->tailnet.nodes.n > CHUNKED_FROM) {
                m = chunked_full(s, viewer, &json, last);
        } else {
                if (last) {
                        append_peers(s, viewer->policy_class, viewer, 0, INT64_MAX, &first, &json);
                        json_array_close(&w);
                }
                json_object_close(&w);
                m = message_of_json(&json, zstd);
        }
        if (arena_failed(&a) && m) {
                server_message_unref(m);
                m = NULL;
        }
        buf_fini(&json);
        arena_fini(&a);
        return m;
}

/* --- deltas ------------------------------------------------------------------------------ */

/* Kinds of change that the node itself wants to know of; the rest it told us. */
static bool self_changed(const struct node *viewer, uint64_t cursor)
{
        return viewer->seq[CHANGE_NODE] > cursor || viewer->seq[CHANGE_KEY] > cursor || viewer->seq[CHANGE_EXPIRY] > cursor ||
               viewer->seq[CHANGE_SELF] > cursor;
}

bool mapper_is_in_delta(const struct node *viewer, uint64_t cursor)
{
        return viewer->changed_seq > cursor || self_changed(viewer, cursor);
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
        return newest != &t->changed && container_of(newest, const struct node, changed)->changed_seq > cursor;
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
                patch.key_expiry = node_expiry(n) ? time_of_us(node_expiry(n)) : tailcfg_time_ns(UNIX_ZERO_DATE);
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

static void write_removed(const struct server *s, uint32_t viewer_class, struct node *const *changed, size_t n, uint64_t cursor,
                          struct json_writer *w)
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
                if (changed[i]->seq[CHANGE_NODE] <= cursor || policy_view_sees(s->policy, viewer_class, changed[i]->row))
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

static void write_changed(struct server *s, uint32_t viewer_class, const struct node *self, struct node *const *changed, size_t n,
                          uint64_t cursor, bool whole, struct json_writer *w)
{
        bool opened = false;

        for (size_t i = 0; i < n; i++) {
                struct node *peer = changed[i];
                bool is_whole = peer->seq[CHANGE_NODE] > cursor;
                if (peer == self || is_whole != whole || !policy_view_sees(s->policy, viewer_class, peer->row))
                        continue;
                if (whole ? peer_json(s, peer).len == 0 : !needs_patch(peer, cursor))
                        continue;
                if (!opened) {
                        json_name(w, whole ? "PeersChanged" : "PeersChangedPatch");
                        json_array_open(w);
                        opened = true;
                }
                if (whole)
                        json_put_raw(w, peer_json(s, peer));
                else
                        write_patch(peer, cursor, w);
        }
        if (opened)
                json_array_close(w);
}

struct server_message *mapper_delta(struct server *s, uint32_t viewer_class, const struct node *viewer, uint64_t cursor,
                                    bool zstd)
{
        struct arena a = ARENA_INIT(16 << 20);
        struct buf json = BUF_INIT(MESSAGE_MAX);
        struct tailcfg_node self_node;
        struct tailcfg_map_response response = {
                .control_time = time_of_us(s->now.unix_us),
                .user_profiles = profiles_since(s, viewer_class, viewer, cursor, &a),
        };
        struct server_message *m = NULL;
        struct json_writer w;
        size_t n;
        struct node **changed = changed_nodes(s, cursor, &a, &n);

        if (viewer && self_changed(viewer, cursor)) {
                describe_self(s, viewer, &a, &self_node);
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

struct server_message *mapper_keepalive(bool zstd)
{
        struct buf json = BUF_INIT(64);

        buf_append_str(&json, "{\"KeepAlive\":true}");
        struct server_message *m = message_of_json(&json, zstd);
        buf_fini(&json);
        return m;
}
