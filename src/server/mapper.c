/*
 * Whole maps. A peer is serialised once a change (node.peer_json) and shared by every
 * message that has it; large peer lists consist of compressed chunks that all full maps
 * share (a message may be several zstd frames one after the other). Deltas are in
 * mapper_delta.c.
 */
#include "mapper_internal.h"

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
static void write_full_head(
        struct server *s, struct node *viewer, struct json_writer *w, bool is_first, struct arena *a)
{
        static const struct tailcfg_debug no_log_tail = { .disable_log_tail = true };
        struct tailcfg_node self;
        struct tailcfg_dns_config dns;
        struct tailcfg_map_response response = {
                .node = &self,
                .dns_config = &dns,
                .domain = s->settings->base_domain.len ? s->settings->base_domain : server_host(s->settings),
                .control_time = time_of_us(s->now.unix_us),
                .user_profiles = mapper_all_profiles(s, viewer, a),
                .debug = is_first && s->settings->disable_logtail ? &no_log_tail : NULL,
        };

        mapper_describe_self(s, viewer, a, &self);
        mapper_dns_config(s, a, &dns);
        json_object_open(w);
        tailcfg_map_response_write_members(w, &response);
        json_name(w, "DERPMap");
        json_put_raw(w, s->derp_map);
        mapper_write_filter(s, viewer, a, w);
        mapper_write_ssh(s, viewer, w);
}

/* The peers with ids in [from, to), each preceded by a comma but for the first when
 * *first says so. */
static void append_peers(struct server *s, struct view view, const struct node *self, int64_t from,
        int64_t to, bool *first, struct buf *out)
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
                if (peer == self || !mapper_sees(s, view, peer))
                        continue;
                struct slice json = mapper_peer_json(s, view, peer);
                if (json.len == 0)
                        continue;
                if (!*first)
                        buf_append_byte(out, ',');
                *first = false;
                buf_append_slice(out, json);
        }
}

/* The chunk's zstd frame: its peers, each followed by a comma. Empty if there are none. */
static enum err shared_chunk(struct server *s, struct view view, size_t index, struct slice *frame)
{
        struct tailnet *t = &s->tailnet;
        struct peer_chunk *chunk = &t->chunks[index];
        int64_t from = (int64_t)index << PEER_CHUNK_SHIFT;
        struct buf json = BUF_INIT(MESSAGE_MAX);
        bool first = true;
        enum err e = OK;

        if (!chunk->built_seq || chunk->built_seq < chunk->changed_seq || chunk->view != t->policy_seq ||
                !view_equal(chunk->viewer, view)) {
                chunk->built_seq = 0;
                buf_clear(&chunk->frame);
                append_peers(s, view, NULL, from, from + CHUNK_NODES, &first, &json);
                if (json.len) {
                        buf_append_byte(&json, ',');
                        e = buf_status(&json);
                        if (e == OK)
                                e = map_frame_compress(buf_slice(&json), &chunk->frame);
                }
                buf_fini(&json);
                if (e != OK)
                        return e;
                chunk->built_seq = t->change_seq;
                chunk->view = t->policy_seq;
                chunk->viewer = view;
        }
        *frame = buf_slice(&chunk->frame);
        return OK;
}

/* The viewer's own chunk, without the viewer; like a shared one each peer is followed
 * by a comma. */
static enum err append_own_chunk(struct server *s, const struct node *viewer, struct buf *frames)
{
        int64_t from = viewer->id >> PEER_CHUNK_SHIFT << PEER_CHUNK_SHIFT;
        struct buf json = BUF_INIT(MESSAGE_MAX);
        enum err e = OK;
        bool first = true;

        append_peers(s, viewer->view, viewer, from, from + CHUNK_NODES, &first, &json);
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
static struct server_message *chunked_full(
        struct server *s, struct node *viewer, struct buf *head, const struct node *last)
{
        size_t own = (size_t)(viewer->id >> PEER_CHUNK_SHIFT),
               last_chunk = (size_t)(last->id >> PEER_CHUNK_SHIFT);
        struct buf frames = BUF_INIT(MESSAGE_MAX), tail = BUF_INIT(MESSAGE_MAX);
        struct server_message *m = NULL;
        bool first = true;
        uint8_t *size = buf_extend(&frames, MAP_FRAME_HEADER_LEN);
        enum err e = buf_status(head);

        if (e == OK)
                e = map_frame_compress(buf_slice(head), &frames);
        for (size_t i = 0; i < last_chunk && e == OK; i++) {
                struct slice shared = { 0 };
                e = i == own ? append_own_chunk(s, viewer, &frames)
                             : shared_chunk(s, viewer->view, i, &shared);
                buf_append_slice(&frames, shared);
        }
        append_peers(s, viewer->view, viewer, (int64_t)last_chunk << PEER_CHUNK_SHIFT, last->id + 1,
                &first, &tail);
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
                if (n != viewer && mapper_sees(s, viewer->view, n))
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

void mapper_note_full(const struct server *s, const struct node *viewer, struct id_set *told)
{
        id_set_clear(told);
        for (size_t i = 0; i < s->tailnet.nodes.n; i++) {
                const struct node *n = (const struct node *)s->tailnet.nodes.items[i];
                if (n != viewer && mapper_sees(s, viewer->view, n))
                        id_set_put(told, n->id, true);
        }
}

struct server_message *mapper_full(struct server *s, struct node *viewer, bool zstd, bool is_first)
{
        struct arena a = ARENA_INIT(16 << 20);
        struct buf json = BUF_INIT(MESSAGE_MAX);
        struct server_message *m = NULL;
        struct json_writer w;
        bool first = true;

        (void)policy_now(s);
        const struct node *last = last_peer(s, viewer);
        json_writer_init(&w, &json, NULL);
        write_full_head(s, viewer, &w, is_first, &a);
        if (last) {
                json_name(&w, "Peers");
                json_array_open(&w);
        } else if (!is_first) {
                write_all_removed(s, &w);
        }
        if (last && zstd && s->tailnet.nodes.n > CHUNK_NODES) {
                m = chunked_full(s, viewer, &json, last);
        } else {
                if (last) {
                        append_peers(s, viewer->view, viewer, 0, INT64_MAX, &first, &json);
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
