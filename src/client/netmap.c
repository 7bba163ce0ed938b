/* The netmap as a whole: one message after the other; see netmap.h. */
#include "netmap_internal.h"

#include <stdlib.h>

enum { TEXT_MAX = 16 << 20, SKEW_NOTICED_S = 60 };

const struct log netmap_log = { "netmap" };

struct netmap *netmap_new(void)
{
        struct netmap *nm = calloc(1, sizeof(*nm));

        if (!nm)
                return NULL;
        nm->is_fresh = true;
        nm->mark = 1;
        table_init(&nm->peers_by_key, 0);
        part_clear(&nm->derp_part);
        part_clear(&nm->dns_part);
        part_clear(&nm->filter_part);
        part_clear(&nm->health_part);
        arena_init(&nm->scratch, NETMAP_PART_MEMORY);
        buf_init(&nm->ssh, TEXT_MAX);
        buf_init(&nm->domain, TEXT_MAX);
        buf_init(&nm->audit_id, TEXT_MAX);
        buf_init(&nm->tka_head, TEXT_MAX);
        return nm;
}

void netmap_free(struct netmap *nm)
{
        if (!nm)
                return;
        peers_fini(nm);
        parts_fini(nm);
        arena_fini(&nm->scratch);
        free(nm);
}

void netmap_begin_session(struct netmap *nm)
{
        nm->is_fresh = true;
}

static void begin_call(struct netmap *nm, const struct now *now)
{
        peers_bury(nm);
        arena_fini(&nm->scratch);
        arena_init(&nm->scratch, NETMAP_PART_MEMORY);
        nm->changes = (struct netmap_changes){ 0 };
        nm->now = now;
}

static enum err end_call(struct netmap *nm, enum err e, const struct netmap_changes **changes)
{
        enum err noted = peers_note_changes(nm);

        nm->now = NULL;
        if (changes)
                *changes = &nm->changes;
        return e ? e : noted;
}

void netmap_note_control_time(struct netmap *nm, const struct tailcfg_time *t, const struct now *now)
{
        int64_t skew;

        if (!t->set || t->unix_ns == UNIX_ZERO_DATE)
                return;
        skew = t->unix_ns / 1000 - now->unix_us;
        if (skew < (int64_t)TIME_S(SKEW_NOTICED_S) && skew > -(int64_t)TIME_S(SKEW_NOTICED_S))
                skew = 0;
        nm->skew_us = skew;
}

int64_t netmap_control_time_us(const struct netmap *nm, const struct now *now)
{
        return now->unix_us + nm->skew_us;
}

enum err netmap_apply(struct netmap *nm, const struct tailcfg_map_response *m, const struct now *now,
                      const struct netmap_changes **changes)
{
        enum err e;

        begin_call(nm, now);
        if (changes)
                *changes = &nm->changes;
        if (nm->is_fresh && !m->node)
                return ERR_FORMAT;
        netmap_note_control_time(nm, &m->control_time, now);
        nm->changes.is_first = nm->is_fresh;
        e = peers_apply(nm, m);
        if (!e && m->node)
                e = peers_set_self(nm, m->node);
        if (!e)
                e = parts_apply(nm, m);
        nm->is_fresh = false;
        return end_call(nm, e, changes);
}

static int64_t next_expiry(const struct netmap *nm, const struct now *now)
{
        int64_t next = INT64_MAX;

        for (size_t i = 0; i < nm->peer_count; i++) {
                const struct tailcfg_node *n = &nm->peers[i]->node;
                int64_t at = n->key_expiry.unix_ns / 1000;

                if (n->key_expiry.set && at > netmap_control_time_us(nm, now) && at < next)
                        next = at;
        }
        return next;
}

void netmap_expire_peers(struct netmap *nm, const struct now *now, int64_t *next_unix_us,
                         const struct netmap_changes **changes)
{
        enum err e;

        begin_call(nm, now);
        e = peers_expire(nm);
        *next_unix_us = next_expiry(nm, now);
        if (*next_unix_us != INT64_MAX)
                *next_unix_us -= nm->skew_us;
        if (end_call(nm, e, changes))
                log_warn(&netmap_log, "out of memory: an expired peer may still be used", NULL);
}

const struct tailcfg_node *netmap_self(const struct netmap *nm)
{
        return nm->self ? &nm->self->node : NULL;
}

const struct tailcfg_derp_map *netmap_derp_map(const struct netmap *nm)
{
        return nm->derp_part.is_set ? &nm->derp : NULL;
}

const struct tailcfg_dns_config *netmap_dns(const struct netmap *nm)
{
        return nm->dns_part.is_set ? &nm->dns : NULL;
}

struct slice netmap_ssh_policy(const struct netmap *nm)
{
        return buf_slice(&nm->ssh);
}

struct slice netmap_domain(const struct netmap *nm)
{
        return buf_slice(&nm->domain);
}

enum tailcfg_opt_bool netmap_collect_services(const struct netmap *nm)
{
        return nm->collect_services;
}

bool netmap_tka_enabled(const struct netmap *nm)
{
        return nm->tka_enabled;
}

struct slice netmap_tka_head(const struct netmap *nm)
{
        return buf_slice(&nm->tka_head);
}

const struct tailcfg_strings *netmap_health(const struct netmap *nm)
{
        return &nm->health;
}

const struct tailcfg_named_display_messages *netmap_display_messages(const struct netmap *nm)
{
        return &nm->messages;
}

static bool owns(const struct tailcfg_node *n, const struct ip_addr *ip)
{
        for (size_t i = 0; i < n->addresses.count; i++) {
                if (ip_prefix_is_host(&n->addresses.items[i]) && ip_equal(&n->addresses.items[i].ip, ip))
                        return true;
        }
        return false;
}

const struct tailcfg_node *netmap_node_by_ip(const struct netmap *nm, const struct ip_addr *ip)
{
        if (nm->self && owns(&nm->self->node, ip))
                return &nm->self->node;
        for (size_t i = 0; i < nm->peer_count; i++) {
                if (owns(&nm->peers[i]->node, ip))
                        return nm->peers[i]->shown;
        }
        return NULL;
}

struct slice netmap_magic_dns_suffix(const struct netmap *nm)
{
        struct slice name = nm->self ? nm->self->node.name : (struct slice){ 0 };
        struct slice suffix = slice_after(name, slice_find(name, '.') + 1);

        if (slice_has_suffix(suffix, SLICE_LIT(".")))
                suffix.len--;
        return suffix;
}
