/*
 * Our own endpoints: the addresses at which peers may reach us (spec/paths.md 2.9).
 *
 * A determination runs netcheck (and lets the port mapper look), then builds the
 * list anew. At most one runs; asked for meanwhile, one more follows. While the
 * user's traffic flows it repeats every 20 to 26 s, which keeps the NAT's mapping
 * of our socket open and the list true.
 */
#include "path_internal.h"

#include <stdlib.h>

#include "base/log.h"

static const struct log log_path = { "path" };

/* ---- a list without doubles, in order of worth ---- */

struct list_builder {
        struct path_endpoint *list;
        size_t count;
};

static bool list_has(const struct path_endpoint *list, size_t n, const struct ip_port *addr)
{
        for (size_t i = 0; i < n; i++) {
                if (ip_port_equal(&list[i].addr, addr))
                        return true;
        }
        return false;
}

static void add(struct list_builder *b, const struct ip_port *addr, enum path_endpoint_type type)
{
        if (!path_candidate_addr_usable(addr) || b->count == PATH_ENDPOINTS_MAX ||
                list_has(b->list, b->count, addr))
                return;
        b->list[b->count++] = (struct path_endpoint){ *addr, type };
}

/* ---- found from outside ---- */

static void add_discovered(struct path_manager *m, struct list_builder *b, const struct now *now)
{
        const struct netcheck_report *r = m->report;
        struct ip_port mapped;

        if (m->portmap && portmap_client_external(m->portmap, now, &mapped))
                add(b, &mapped, PATH_ENDPOINT_PORTMAP);
        add(b, &r->global_v4, PATH_ENDPOINT_STUN);
        for (size_t i = 0; i < r->extra_count; i++)
                add(b, &r->extra[i], PATH_ENDPOINT_STUN);
        add(b, &r->global_v6, PATH_ENDPOINT_STUN);
        if (r->mapping_varies == NETCHECK_TRUE && m->net.fixed_port && ip_valid(&r->global_v4.ip)) {
                /* Perhaps the user forwarded that port by hand. */
                struct ip_port guess = { r->global_v4.ip, m->net.fixed_port };
                add(b, &guess, PATH_ENDPOINT_STUN_LOCAL_PORT);
        }
}

static size_t count_of_ip(const struct list_builder *b, const struct ip_addr *ip)
{
        size_t n = 0;

        for (size_t i = 0; i < b->count; i++)
                n += ip_equal(&b->list[i].addr.ip, ip);
        return n;
}

/* Adds what was found in the last minutes, then remembers all of it: a NAT keeps
 * a mapping longer than we keep looking at it. */
static void add_cached(struct path_manager *m, struct list_builder *b, const struct now *now)
{
        struct own_endpoints *own = &m->own;
        struct cached_endpoint next[PATH_ENDPOINTS_MAX];
        size_t n = 0;

        for (; n < b->count; n++)
                next[n] = (struct cached_endpoint){ b->list[n], now->mono_us };
        for (size_t i = 0; i < own->cache_count && n < PATH_ENDPOINTS_MAX; i++) {
                const struct cached_endpoint *c = &own->cache[i];
                if (since_us(now, c->seen_us) > ENDPOINT_CACHE_US ||
                        list_has(b->list, b->count, &c->endpoint.addr) ||
                        count_of_ip(b, &c->endpoint.addr.ip) >= ENDPOINT_CACHE_PER_IP)
                        continue;
                next[n++] = *c;
                add(b, &c->endpoint.addr, c->endpoint.type);
        }
        memcpy(own->cache, next, n * sizeof(next[0]));
        own->cache_count = n;
}

/* ---- found on our interfaces ---- */

static bool starts_with(const char *s, const char *prefix) { return strncmp(s, prefix, strlen(prefix)) == 0; }

static bool is_ula(const struct ip_addr *ip) { return ip->family == IP_V6 && ip_is_private(ip); }

/* Interfaces of other overlays lead nowhere, and tunnels in tunnels help nobody. */
static bool local_counts(const struct path_local *l)
{
        return l->up && !starts_with(l->ifname, "zt") && strcmp(l->ifname, "wt0") != 0 &&
               !ip_is_tailscale(&l->ip) && !(l->ip.family == IP_V6 && ip_is_link_local(&l->ip));
}

/* Of the many temporary addresses of one IPv6 subnet, two are enough. */
static bool is_third_of_subnet(const struct path_manager *m, size_t at)
{
        const struct path_local *l = &m->locals[at];
        struct ip_prefix subnet = { l->ip, l->bits };
        unsigned before = 0;

        if (l->ip.family != IP_V6)
                return false;
        for (size_t i = 0; i < at; i++) {
                const struct path_local *o = &m->locals[i];
                before += local_counts(o) && strcmp(o->ifname, l->ifname) == 0 && o->bits == l->bits &&
                          ip_prefix_contains(&subnet, &o->ip);
        }
        return before >= 2;
}

enum local_class { LOCAL_ORDINARY, LOCAL_LAST_RESORT, LOCAL_LOOPBACK };

static enum local_class classify(const struct ip_addr *ip)
{
        if (ip_is_loopback(ip))
                return LOCAL_LOOPBACK;
        return ip_is_link_local(ip) || is_ula(ip) ? LOCAL_LAST_RESORT : LOCAL_ORDINARY;
}

static size_t add_locals_of(struct path_manager *m, struct list_builder *b, enum local_class class)
{
        size_t n = 0;

        for (size_t i = 0; i < m->net.local_count; i++) {
                const struct path_local *l = &m->locals[i];
                uint16_t port = l->ip.family == IP_V6 ? m->net.port_v6 : m->net.port_v4;
                if (!local_counts(l) || classify(&l->ip) != class || is_third_of_subnet(m, i))
                        continue;
                add(b, &(struct ip_port){ l->ip, port }, PATH_ENDPOINT_LOCAL);
                n++;
        }
        return n;
}

static void add_locals(struct path_manager *m, struct list_builder *b)
{
        if (add_locals_of(m, b, LOCAL_ORDINARY) == 0)
                add_locals_of(m, b, LOCAL_LAST_RESORT);
        if (b->count == 0)
                add_locals_of(m, b, LOCAL_LOOPBACK);
}

/* ---- a determination ---- */

static bool same_set(const struct own_endpoints *own, const struct list_builder *b)
{
        if (own->count != b->count)
                return false;
        for (size_t i = 0; i < b->count; i++) {
                if (!list_has(own->list, own->count, &b->list[i].addr))
                        return false;
        }
        return true;
}

static void rebuild(struct path_manager *m, const struct now *now)
{
        struct path_endpoint list[PATH_ENDPOINTS_MAX];
        struct list_builder b = { list, 0 };
        struct own_endpoints *own = &m->own;

        if (!m->options.only_tcp_443) {
                add_discovered(m, &b, now);
                add_cached(m, &b, now);
                for (size_t i = 0; i < own->static_count; i++)
                        add(&b, &own->statics[i], PATH_ENDPOINT_EXPLICIT);
                add_locals(m, &b);
        }
        bool news = !own->told || !same_set(own, &b);
        memcpy(own->list, list, b.count * sizeof(list[0]));
        own->count = b.count;
        own->told = true;
        if (!news)
                return;
        log_debug(&log_path, "endpoints changed", "count=%zu", own->count);
        m->ops->endpoints_changed(m->ctx, own->list, own->count);
}

/* Worth repeating while somebody might want to reach us directly. */
static bool wants_periodic(const struct path_manager *m, const struct now *now)
{
        bool active = m->options.always_stun || since_us(now, m->active_us) <= SESSION_ACTIVE_US;

        return m->net.up && !key_is_zero(&m->node_key) && m->peers.count > 0 && active;
}

static void arm_periodic(struct path_manager *m, const struct now *now)
{
        if (wants_periodic(m, now))
                timer_arm(&m->timers, &m->own.periodic,
                        now->mono_us + rng_between(m->rng, RESTUN_MIN_US, RESTUN_MAX_US));
}

void path_endpoints_report_done(
        struct path_manager *m, const struct netcheck_report *report, const struct now *now)
{
        struct own_endpoints *own = &m->own;

        if (!m->report)
                m->report = malloc(sizeof(*m->report));
        if (!m->report)
                return;
        *m->report = *report;
        if (m->portmap) {
                struct portmap_seen seen = portmap_client_seen(m->portmap, now);
                m->report->pmp = seen.pmp ? NETCHECK_TRUE : NETCHECK_FALSE;
                m->report->pcp = seen.pcp ? NETCHECK_TRUE : NETCHECK_FALSE;
                m->report->upnp = seen.upnp ? NETCHECK_TRUE : NETCHECK_FALSE;
        }
        path_home_report_done(m, now);
        rebuild(m, now);
        own->updated_us = now->mono_us;
        path_calls_send_waiting(m, now);
        arm_periodic(m, now);
        if (own->again)
                path_restun(m, "asked again meanwhile", now);
        own->again = false;
}

static void start(struct timer *t, const struct now *now)
{
        struct path_manager *m = container_of(t, struct path_manager, own.soon);
        struct netcheck_start how = {
                .have_v4 = m->net.have_v4 && m->net.port_v4,
                .have_v6 = m->net.have_v6 && m->net.port_v6,
                .os_has_v6 = m->net.port_v6 != 0,
                .no_udp = m->options.only_tcp_443,
                .home = m->home,
        };

        if (!m->net.up || key_is_zero(&m->node_key))
                return;
        if (m->portmap)
                portmap_client_refresh(m->portmap, now);
        if (netcheck_start(m->netcheck, &how, now) == OK)
                m->stats.restuns++;
}

static void periodic(struct timer *t, const struct now *now)
{
        struct path_manager *m = container_of(t, struct path_manager, own.periodic);

        if (wants_periodic(m, now))
                path_restun(m, "periodic", now);
}

void path_endpoints_init(struct path_manager *m)
{
        m->own.soon.fire = start;
        m->own.periodic.fire = periodic;
}

bool path_endpoints_fresh(const struct path_manager *m, const struct now *now)
{
        return since_us(now, m->own.updated_us) <= ENDPOINTS_FRESH_US;
}

/* The addresses of another network are of no use on this one. */
void path_endpoints_forget(struct path_manager *m)
{
        m->own.cache_count = 0;
        m->own.updated_us = 0;
}

void path_restun(struct path_manager *m, const char *why, const struct now *now)
{
        log_debug(&log_path, "endpoints wanted", "why=%s", why);
        if (netcheck_running(m->netcheck))
                m->own.again = true;
        else if (!timer_armed(&m->own.soon))
                timer_arm(&m->timers, &m->own.soon, now->mono_us);
}

void path_set_static_endpoints(
        struct path_manager *m, const struct ip_port *list, size_t n, const struct now *now)
{
        m->own.static_count = n < PATH_STATICS_MAX ? n : PATH_STATICS_MAX;
        for (size_t i = 0; i < m->own.static_count; i++)
                m->own.statics[i] = list[i];
        path_restun(m, "static endpoints changed", now);
}

size_t path_endpoints(const struct path_manager *m, struct path_endpoint *out, size_t cap)
{
        for (size_t i = 0; i < m->own.count && i < cap; i++)
                out[i] = m->own.list[i];
        return m->own.count;
}
