/*
 * The netmap on disk (spec/node.md 1.8). Every item is a map message that would
 * bring its part of the map: one format for the wire and the disk, and one way in.
 */
#include "netmap_internal.h"

#include <stdio.h>

enum { ITEM_MAX = 256 << 20, KEY_TEXT_LEN = 300 };

static const char key_self[] = "self", key_misc[] = "misc", key_dns[] = "dns", key_derp[] = "derpmap";
static const char key_ssh[] = "ssh", key_filter[] = "filter";

static enum err put(const struct netmap_store *to, struct slice key, const struct tailcfg_map_response *m)
{
        struct buf json = BUF_INIT(ITEM_MAX);
        struct json_writer w;
        enum err e;

        json_writer_init(&w, &json, NULL);
        tailcfg_map_response_write(&w, m);
        e = buf_status(&json);
        if (!e)
                to->put(to->ctx, key, buf_slice(&json));
        buf_fini(&json);
        return e;
}

/* An item that exists only while its part does. */
static enum err put_or_remove(const struct netmap_store *to, const char *key, bool is_set, const struct tailcfg_map_response *m)
{
        if (is_set)
                return put(to, slice_str(key), m);
        to->remove(to->ctx, slice_str(key));
        return OK;
}

static enum err save_misc(const struct netmap *nm, const struct netmap_store *to)
{
        struct tailcfg_tka_info tka = { .head = buf_slice(&nm->tka_head) };
        struct tailcfg_map_response m = {
                .domain = buf_slice(&nm->domain),
                .domain_audit_log_id = buf_slice(&nm->audit_id),
                .collect_services = nm->collect_services,
                .tka_info = nm->tka_enabled ? &tka : NULL,
        };

        return put(to, slice_str(key_misc), &m);
}

static enum err save_parts(const struct netmap *nm, unsigned parts, const struct netmap_store *to)
{
        enum err e = OK;

        if (parts & NETMAP_SELF)
                e = put_or_remove(to, key_self, nm->self != NULL,
                                  &(struct tailcfg_map_response){ .node = netmap_self(nm) });
        if (!e && parts & NETMAP_MISC)
                e = save_misc(nm, to);
        if (!e && parts & NETMAP_DNS)
                e = put_or_remove(to, key_dns, nm->dns_part.is_set, &(struct tailcfg_map_response){ .dns_config = &nm->dns });
        if (!e && parts & NETMAP_DERP_MAP)
                e = put_or_remove(to, key_derp, nm->derp_part.is_set, &(struct tailcfg_map_response){ .derp_map = &nm->derp });
        if (!e && parts & NETMAP_SSH)
                e = put_or_remove(to, key_ssh, nm->ssh.len != 0, &(struct tailcfg_map_response){ .ssh_policy = buf_slice(&nm->ssh) });
        if (!e && parts & NETMAP_FILTER)
                e = put_or_remove(to, key_filter, nm->filter_part.is_set,
                                  &(struct tailcfg_map_response){ .packet_filters = nm->filters });
        return e;
}

static struct slice peer_key(struct slice stable_id, char text[static KEY_TEXT_LEN])
{
        int n = snprintf(text, KEY_TEXT_LEN, "peer-%.*s", SLICE_ARGS(slice_first(stable_id, KEY_TEXT_LEN - 10)));

        return slice_make(text, (size_t)n);
}

static enum err save_peer(const struct tailcfg_node *node, const struct netmap_store *to)
{
        char text[KEY_TEXT_LEN];
        struct tailcfg_map_response m = { .peers_changed = { node, 1 } };

        return put(to, peer_key(node->stable_id, text), &m);
}

static enum err save_users(const struct netmap *nm, const struct netmap_store *to)
{
        enum err e = OK;

        for (size_t i = 0; i < nm->user_count && !e; i++) {
                char text[KEY_TEXT_LEN];
                int n = snprintf(text, sizeof(text), "user-%lld", (long long)nm->users[i]->profile.id);
                struct tailcfg_map_response m = { .user_profiles = { &nm->users[i]->profile, 1 } };

                e = put(to, slice_make(text, (size_t)n), &m);
        }
        return e;
}

/* A peer whose stable id changed (another machine took the id) leaves its old item. */
static enum err save_peer_change(const struct netmap *nm, const struct netmap_peer_change *c, const struct netmap_store *to)
{
        const struct peer *p = peers_find(nm, c->id);
        char text[KEY_TEXT_LEN];

        if (!(c->what & NETMAP_PEER_ADDED) && (!p || !slice_equal(c->old_stable_id, p->node.stable_id)))
                to->remove(to->ctx, peer_key(c->old_stable_id, text));
        return p ? save_peer(&p->node, to) : OK;
}

enum err netmap_save(const struct netmap *nm, const struct netmap_changes *changes, const struct netmap_store *to)
{
        unsigned parts = changes ? changes->parts : ~0u;
        enum err e = save_parts(nm, parts, to);

        if (!e && parts & NETMAP_USERS)
                e = save_users(nm, to);
        for (size_t i = 0; !changes && i < nm->peer_count && !e; i++)
                e = save_peer(&nm->peers[i]->node, to);
        for (size_t i = 0; changes && i < changes->peer_count && !e; i++)
                e = save_peer_change(nm, &changes->peers[i], to);
        return e;
}

static bool is_known(struct slice key)
{
        static const char *const names[] = { key_self, key_misc, key_dns, key_derp, key_ssh, key_filter };

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                if (slice_is(key, names[i]))
                        return true;
        }
        return slice_has_prefix(key, SLICE_LIT("peer-")) || slice_has_prefix(key, SLICE_LIT("user-"));
}

enum err netmap_load(struct netmap *nm, struct slice key, struct slice bytes)
{
        struct arena arena = ARENA_INIT(ITEM_MAX);
        struct tailcfg_map_response m;
        const struct now never = { 0 };
        enum err e = is_known(key) ? OK : ERR_FORMAT;

        if (!e)
                e = tailcfg_map_response_decode(bytes, &arena, &m);
        if (!e) {
                nm->is_fresh = false; /* items add up; the first message of a session does not */
                e = netmap_apply(nm, &m, &never, NULL);
                nm->is_fresh = true;
        }
        arena_fini(&arena);
        return e;
}
