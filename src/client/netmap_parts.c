/* Everything in the map but nodes and filters (spec/control.md 7). */
#include "netmap_internal.h"

#include <stdlib.h>

void part_clear(struct part *p)
{
        arena_fini(&p->arena);
        arena_init(&p->arena, NETMAP_PART_MEMORY);
        p->is_set = false;
}

static enum err dns_apply(struct netmap *nm, const struct tailcfg_dns_config *dns)
{
        struct part fresh = { ARENA_INIT(NETMAP_PART_MEMORY), true };
        struct tailcfg_dns_config copy;

        if (!dns) {
                if (nm->is_fresh && nm->dns_part.is_set) {
                        part_clear(&nm->dns_part);
                        nm->changes.parts |= NETMAP_DNS;
                }
                return OK;
        }
        if (nm->dns_part.is_set && tailcfg_dns_config_equal(dns, &nm->dns))
                return OK;
        if (tailcfg_dns_config_copy(&fresh.arena, &copy, dns)) {
                arena_fini(&fresh.arena);
                return ERR_NOMEM;
        }
        part_clear(&nm->dns_part);
        nm->dns_part = fresh;
        nm->dns = copy;
        nm->changes.parts |= NETMAP_DNS;
        return OK;
}

/* Regions absent: keep regions and the flag; home params and scores likewise. */
static struct tailcfg_derp_map merge_derp(const struct netmap *nm, const struct tailcfg_derp_map *m,
                                          struct tailcfg_home_params *params)
{
        struct tailcfg_derp_map old = { 0 }, merged = *m;

        if (nm->derp_part.is_set && !nm->is_fresh)
                old = nm->derp;
        if (!m->regions.items) {
                merged.regions = old.regions;
                merged.omit_default_regions = old.omit_default_regions;
        }
        if (!m->home_params || !m->home_params->region_score.items) {
                merged.home_params = old.home_params;
        } else {
                *params = *m->home_params;
                merged.home_params = params;
        }
        return merged;
}

static enum err derp_apply(struct netmap *nm, const struct tailcfg_derp_map *derp)
{
        struct part fresh = { ARENA_INIT(NETMAP_PART_MEMORY), true };
        struct tailcfg_home_params params;
        struct tailcfg_derp_map merged, copy;

        if (!derp) {
                if (nm->is_fresh && nm->derp_part.is_set) {
                        part_clear(&nm->derp_part);
                        nm->changes.parts |= NETMAP_DERP_MAP;
                }
                return OK;
        }
        merged = merge_derp(nm, derp, &params);
        if (nm->derp_part.is_set && tailcfg_derp_map_equal(&merged, &nm->derp))
                return OK;
        if (tailcfg_derp_map_copy(&fresh.arena, &copy, &merged)) {
                arena_fini(&fresh.arena);
                return ERR_NOMEM;
        }
        part_clear(&nm->derp_part);
        nm->derp_part = fresh;
        nm->derp = copy;
        nm->changes.parts |= NETMAP_DERP_MAP;
        return OK;
}

static struct tailcfg_named_display_message *find_message(struct tailcfg_named_display_message *list, size_t count,
                                                          struct slice id)
{
        for (size_t i = 0; i < count; i++) {
                if (slice_equal(list[i].id, id))
                        return &list[i];
        }
        return NULL;
}

static void patch_messages(struct tailcfg_named_display_message *list, size_t *count,
                           const struct tailcfg_named_display_messages *patches)
{
        for (size_t i = 0; i < patches->count; i++) {
                if (slice_is(patches->items[i].id, "*") && !patches->items[i].message)
                        *count = 0;
        }
        for (size_t i = 0; i < patches->count; i++) {
                const struct tailcfg_named_display_message *p = &patches->items[i];
                struct tailcfg_named_display_message *at = find_message(list, *count, p->id);

                if (p->message && !at)
                        list[(*count)++] = *p;
                else if (p->message)
                        at->message = p->message;
                else if (at)
                        *at = list[--*count];
        }
}

static bool same_messages(const struct tailcfg_named_display_messages *a, const struct tailcfg_named_display_messages *b)
{
        if (a->count != b->count)
                return false;
        for (size_t i = 0; i < a->count; i++) {
                if (!slice_equal(a->items[i].id, b->items[i].id) ||
                    !tailcfg_display_message_equal(a->items[i].message, b->items[i].message))
                        return false;
        }
        return true;
}

static enum err keep_health(struct netmap *nm, const struct tailcfg_strings *texts,
                            const struct tailcfg_named_display_messages *messages)
{
        struct part fresh = { ARENA_INIT(NETMAP_PART_MEMORY), true };
        struct slice *lines = ARENA_ARRAY(&fresh.arena, texts->count + 1, struct slice);
        struct tailcfg_named_display_message *named =
                ARENA_ARRAY(&fresh.arena, messages->count + 1, struct tailcfg_named_display_message);

        for (size_t i = 0; i < texts->count && lines; i++)
                lines[i] = arena_copy(&fresh.arena, texts->items[i]);
        for (size_t i = 0; i < messages->count && named; i++) {
                struct tailcfg_display_message *copy = ARENA_NEW(&fresh.arena, struct tailcfg_display_message);

                if (!copy || tailcfg_display_message_copy(&fresh.arena, copy, messages->items[i].message))
                        break;
                named[i].id = arena_copy(&fresh.arena, messages->items[i].id);
                named[i].message = copy;
        }
        if (arena_failed(&fresh.arena)) {
                arena_fini(&fresh.arena);
                return ERR_NOMEM;
        }
        part_clear(&nm->health_part);
        nm->health_part = fresh;
        nm->health = (struct tailcfg_strings){ lines, texts->count };
        nm->messages = (struct tailcfg_named_display_messages){ named, messages->count };
        nm->changes.parts |= NETMAP_HEALTH;
        return OK;
}

static enum err health_apply(struct netmap *nm, const struct tailcfg_map_response *m)
{
        size_t count = nm->is_fresh ? 0 : nm->messages.count, cap = count + m->display_messages.count + 1;
        struct tailcfg_strings texts = m->health;
        struct tailcfg_named_display_messages messages;
        struct tailcfg_named_display_message *list;

        if (cap > NETMAP_NAMES_MAX)
                return ERR_LIMIT;
        list = ARENA_ARRAY(&nm->scratch, cap, struct tailcfg_named_display_message);
        if (!list)
                return ERR_NOMEM;
        if (count)
                memcpy(list, nm->messages.items, count * sizeof(*list));
        patch_messages(list, &count, &m->display_messages);
        messages = (struct tailcfg_named_display_messages){ list, count };
        if (!texts.items && !nm->is_fresh)
                texts = nm->health;
        if (slices_equal(texts.items, texts.count, nm->health.items, nm->health.count) && same_messages(&messages, &nm->messages))
                return OK;
        return keep_health(nm, &texts, &messages);
}

/* Replaces a text; *parts receives part if it is another one. */
static enum err set_text(struct buf *text, struct slice value, unsigned part, unsigned *parts)
{
        if (slice_equal(buf_slice(text), value))
                return OK;
        buf_fini(text);
        buf_append_slice(text, value);
        *parts |= part;
        return buf_status(text);
}

/* A text that is absent stays as it is, but for the first message of a session. */
static enum err apply_text(struct netmap *nm, struct buf *text, struct slice value, unsigned part)
{
        if (value.len == 0 && !nm->is_fresh)
                return OK;
        return set_text(text, value, part, &nm->changes.parts);
}

static enum err tka_apply(struct netmap *nm, const struct tailcfg_tka_info *tka)
{
        bool enabled = tka && !tka->disabled;

        if (!tka && !nm->is_fresh)
                return OK;
        if (enabled != nm->tka_enabled)
                nm->changes.parts |= NETMAP_MISC;
        nm->tka_enabled = enabled;
        return set_text(&nm->tka_head, enabled ? tka->head : (struct slice){ 0 }, NETMAP_MISC, &nm->changes.parts);
}

static void collect_services_apply(struct netmap *nm, enum tailcfg_opt_bool v)
{
        if (v == nm->collect_services || (v == TAILCFG_UNSET && !nm->is_fresh))
                return;
        nm->collect_services = v;
        nm->changes.parts |= NETMAP_MISC;
}

static size_t user_position(const struct netmap *nm, int64_t id)
{
        size_t low = 0, high = nm->user_count;

        while (low < high) {
                size_t mid = low + (high - low) / 2;

                if (nm->users[mid]->profile.id < id)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

static void user_free(struct user *u)
{
        arena_fini(&u->arena);
        free(u);
}

static struct user *user_new(const struct tailcfg_user_profile *profile)
{
        struct user *u = calloc(1, sizeof(*u));

        if (!u)
                return NULL;
        arena_init(&u->arena, NETMAP_NODE_MEMORY);
        if (!tailcfg_user_profile_copy(&u->arena, &u->profile, profile))
                return u;
        user_free(u);
        return NULL;
}

static enum err insert_user(struct netmap *nm, size_t at, struct user *u)
{
        if (nm->user_count == nm->user_cap) {
                size_t cap = nm->user_cap ? nm->user_cap * 2 : 8;
                struct user **users = NULL;

                if (nm->user_count < NETMAP_USERS_MAX)
                        users = reallocarray(nm->users, cap, sizeof(*users));
                if (!users)
                        return ERR_NOMEM;
                nm->users = users;
                nm->user_cap = cap;
        }
        memmove(nm->users + at + 1, nm->users + at, (nm->user_count - at) * sizeof(*nm->users));
        nm->users[at] = u;
        nm->user_count++;
        return OK;
}

/* Profiles only ever come; those that nobody refers to any more do no harm. */
static enum err set_user(struct netmap *nm, const struct tailcfg_user_profile *profile)
{
        size_t at = user_position(nm, profile->id);
        bool known = at < nm->user_count && nm->users[at]->profile.id == profile->id;
        struct user *u;
        enum err e = OK;

        if (known && tailcfg_user_profile_equal(&nm->users[at]->profile, profile))
                return OK;
        u = user_new(profile);
        if (!u)
                return ERR_NOMEM;
        if (known) {
                user_free(nm->users[at]);
                nm->users[at] = u;
        } else {
                e = insert_user(nm, at, u);
                if (e)
                        user_free(u);
        }
        nm->changes.parts |= NETMAP_USERS;
        return e;
}

enum err users_apply(struct netmap *nm, const struct tailcfg_user_profiles *users)
{
        enum err e = OK;

        for (size_t i = 0; i < users->count && !e; i++)
                e = set_user(nm, &users->items[i]);
        return e;
}

const struct tailcfg_user_profile *netmap_user(const struct netmap *nm, int64_t id)
{
        size_t at = user_position(nm, id);

        return at < nm->user_count && nm->users[at]->profile.id == id ? &nm->users[at]->profile : NULL;
}

enum err parts_apply(struct netmap *nm, const struct tailcfg_map_response *m)
{
        enum err e = users_apply(nm, &m->user_profiles);

        if (!e)
                e = derp_apply(nm, m->derp_map);
        if (!e)
                e = filters_apply(nm, m);
        if (!e)
                e = dns_apply(nm, m->dns_config);
        if (!e)
                e = apply_text(nm, &nm->ssh, m->ssh_policy, NETMAP_SSH);
        collect_services_apply(nm, m->collect_services);
        if (!e)
                e = apply_text(nm, &nm->domain, m->domain, NETMAP_MISC);
        if (!e)
                e = apply_text(nm, &nm->audit_id, m->domain_audit_log_id, NETMAP_MISC);
        if (!e)
                e = health_apply(nm, m);
        return e ? e : tka_apply(nm, m->tka_info);
}

void parts_fini(struct netmap *nm)
{
        for (size_t i = 0; i < nm->user_count; i++)
                user_free(nm->users[i]);
        free(nm->users);
        arena_fini(&nm->derp_part.arena);
        arena_fini(&nm->dns_part.arena);
        arena_fini(&nm->filter_part.arena);
        arena_fini(&nm->health_part.arena);
        buf_fini(&nm->ssh);
        buf_fini(&nm->domain);
        buf_fini(&nm->audit_id);
        buf_fini(&nm->tka_head);
}
