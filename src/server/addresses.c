/*
 * Addresses for nodes (spec/server.md 4.7): the lowest free one, or a random one,
 * of each configured prefix. Addresses of removed nodes are used again.
 */
#include "state.h"

/* An address by its offset in the prefix; offsets use the low 62 bits, which is more
 * of a /48 than anyone can fill. */
static struct ip_addr address_at(const struct ip_prefix *p, uint64_t offset)
{
        struct ip_addr a = ip_prefix_masked(*p).ip;
        size_t last = a.family == IP_V4 ? 3 : 15;

        for (size_t i = 0; i < 8 && i <= last && offset; i++) {
                unsigned sum = a.b[last - i] + (unsigned)(offset & 0xff);
                a.b[last - i] = (uint8_t)sum;
                offset = (offset >> 8) + (sum >> 8);
        }
        return a;
}

static uint64_t offset_of(const struct ip_prefix *p, const struct ip_addr *a)
{
        struct ip_addr base = ip_prefix_masked(*p).ip;
        size_t last = a->family == IP_V4 ? 3 : 15, first = last >= 8 ? last - 7 : 0;
        uint64_t offset = 0, base_offset = 0;

        for (size_t i = first; i <= last; i++) {
                offset = offset << 8 | a->b[i];
                base_offset = base_offset << 8 | base.b[i];
        }
        return offset - base_offset;
}

/* The number of addresses, cut to what offsets can tell. */
static uint64_t prefix_size(const struct ip_prefix *p)
{
        unsigned host_bits = ip_bits(&p->ip) - p->bits;

        return 1ULL << (host_bits > 62 ? 62 : host_bits);
}

/* Chrome OS's range and the resolver's addresses are never given to a node. */
static bool is_reserved(const struct ip_addr *a)
{
        static const uint8_t resolver6[16] = { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, [15] = 0x53 };

        if (a->family == IP_V4) {
                uint32_t v = ip_v4_to_u32(a);
                return (v & 0xfffffe00) == 0x64735c00 /* 100.115.92.0/23 */ ||
                       v == 0x64646464 /* 100.100.100.100 */;
        }
        return memcmp(a->b, resolver6, 16) == 0;
}

static bool is_free(const struct tailnet *t, const struct ip_addr *a)
{
        return !is_reserved(a) && !table_get(&t->by_ip, slice_make(a->b, a->family == IP_V4 ? 4 : 16));
}

/* From `start` upwards, wrapping once; the network's and the last address excluded. */
static enum err search(const struct tailnet *t, const struct ip_prefix *p, uint64_t start, uint64_t *found,
        struct ip_addr *out)
{
        uint64_t size = prefix_size(p);

        if (size <= 2) { /* a prefix of one or two addresses has no network address */
                *out = address_at(p, 0);
                *found = 0;
                return is_free(t, out) ? OK : ERR_LIMIT;
        }
        for (uint64_t tried = 0, at = start; tried < size; tried++, at++) {
                if (at >= size - 1)
                        at = 1;
                *out = address_at(p, at);
                if (is_free(t, out)) {
                        *found = at;
                        return OK;
                }
        }
        return ERR_LIMIT;
}

static enum err allocate_one(
        struct server *s, const struct ip_prefix *p, uint64_t *lowest_free, struct ip_addr *out)
{
        uint64_t start, found;

        *out = (struct ip_addr){ 0 };
        if (!ip_valid(&p->ip))
                return OK;
        if (s->settings->random_addresses && prefix_size(p) > 2)
                start = rng_between(s->rng, 1, prefix_size(p) - 2);
        else
                start = *lowest_free ? *lowest_free : 1;
        enum err e = search(&s->tailnet, p, start, &found, out);
        if (e == OK && !s->settings->random_addresses)
                *lowest_free = found; /* taken as soon as the node is linked */
        return e;
}

enum err address_allocate(struct server *s, struct ip_addr *v4, struct ip_addr *v6)
{
        enum err e = allocate_one(s, &s->settings->prefix_v4, &s->tailnet.lowest_free_v4, v4);

        return e == OK ? allocate_one(s, &s->settings->prefix_v6, &s->tailnet.lowest_free_v6, v6) : e;
}

enum err address_allocate_family(struct server *s, enum ip_family family, struct ip_addr *out)
{
        if (family == IP_V4)
                return allocate_one(s, &s->settings->prefix_v4, &s->tailnet.lowest_free_v4, out);
        return allocate_one(s, &s->settings->prefix_v6, &s->tailnet.lowest_free_v6, out);
}

void address_released(struct server *s, const struct ip_addr *a)
{
        if (!ip_valid(a))
                return;
        const struct ip_prefix *p = a->family == IP_V4 ? &s->settings->prefix_v4 : &s->settings->prefix_v6;
        uint64_t *lowest = a->family == IP_V4 ? &s->tailnet.lowest_free_v4 : &s->tailnet.lowest_free_v6;

        if (ip_valid(&p->ip) && ip_prefix_contains(p, a) && offset_of(p, a) < *lowest)
                *lowest = offset_of(p, a);
}
