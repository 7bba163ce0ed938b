#include "policy/ipset.h"

#include <stdlib.h>

static ip_num num_of(const struct ip_addr *a)
{
        ip_num n = 0;

        for (unsigned i = 0; i < ip_bits(a) / 8; i++)
                n = n << 8 | a->b[i];
        return n;
}

static struct ip_addr addr_of(uint8_t family, ip_num n)
{
        struct ip_addr a = { .family = family };
        unsigned len = family == IP_V4 ? 4 : 16;

        for (unsigned i = len; i-- > 0; n >>= 8)
                a.b[i] = (uint8_t)n;
        return a;
}

static ip_num host_mask(unsigned host_bits)
{
        return host_bits == 128 ? ~(ip_num)0 : ((ip_num)1 << host_bits) - 1;
}

struct ip_range ip_range_of(const struct ip_prefix *p)
{
        struct ip_prefix masked = ip_prefix_masked(*p);
        ip_num first = num_of(&masked.ip);

        return (struct ip_range){ masked.ip.family, first,
                first | host_mask(ip_bits(&masked.ip) - masked.bits) };
}

bool ip_range_overlaps(const struct ip_range *a, const struct ip_range *b)
{
        return a->family == b->family && a->first <= b->last && b->first <= a->last;
}

bool ip_range_equal(const struct ip_range *a, const struct ip_range *b)
{
        return a->family == b->family && a->first == b->first && a->last == b->last;
}

void ipset_add(struct ipset *s, struct arena *a, struct ip_range r)
{
        if (s->count == s->cap) {
                size_t cap = s->cap ? s->cap * 2 : 4;
                struct ip_range *grown = ARENA_ARRAY(a, cap, struct ip_range);
                if (!grown)
                        return;
                if (s->count)
                        memcpy(grown, s->items, s->count * sizeof(*grown));
                s->items = grown;
                s->cap = cap;
        }
        s->items[s->count++] = r;
}

void ipset_add_prefix(struct ipset *s, struct arena *a, const struct ip_prefix *p)
{
        if (ip_valid(&p->ip))
                ipset_add(s, a, ip_range_of(p));
}

void ipset_add_addr(struct ipset *s, struct arena *a, const struct ip_addr *addr)
{
        struct ip_prefix p = ip_host_prefix(*addr);

        ipset_add_prefix(s, a, &p);
}

void ipset_add_set(struct ipset *s, struct arena *a, const struct ipset *other)
{
        for (size_t i = 0; i < other->count; i++)
                ipset_add(s, a, other->items[i]);
}

static int by_first(const void *a, const void *b)
{
        const struct ip_range *x = a, *y = b;

        if (x->family != y->family)
                return x->family < y->family ? -1 : 1;
        return x->first < y->first ? -1 : x->first > y->first;
}

void ipset_sort(struct ipset *s)
{
        size_t kept = 0;

        if (s->count == 0)
                return;
        qsort(s->items, s->count, sizeof(s->items[0]), by_first);
        for (size_t i = 1; i < s->count; i++) {
                struct ip_range *last = &s->items[kept], *next = &s->items[i];
                bool joins = last->family == next->family &&
                             (next->first <= last->last || next->first - 1 == last->last);
                if (!joins)
                        s->items[++kept] = *next;
                else if (next->last > last->last)
                        last->last = next->last;
        }
        s->count = kept + 1;
}

/* The first range that does not end before the address. */
static size_t lower_bound(const struct ipset *s, uint8_t family, ip_num n)
{
        size_t lo = 0, hi = s->count;

        while (lo < hi) {
                size_t mid = (lo + hi) / 2;
                const struct ip_range *r = &s->items[mid];
                if (r->family < family || (r->family == family && r->last < n))
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return lo;
}

static bool touches(const struct ip_range *a, const struct ip_range *b)
{
        if (a->family != b->family)
                return false;
        return ip_range_overlaps(a, b) || (a->last < b->first && b->first - a->last == 1) ||
               (b->last < a->first && a->first - b->last == 1);
}

void ipset_put(struct ipset *s, const struct ip_range *r)
{
        size_t at = lower_bound(s, r->family, r->first), end;
        struct ip_range joined = *r;

        if (at > 0 && touches(&s->items[at - 1], r))
                at--;
        for (end = at; end < s->count && touches(&s->items[end], &joined); end++) {
                const struct ip_range *old = &s->items[end];
                joined.first = old->first < joined.first ? old->first : joined.first;
                joined.last = old->last > joined.last ? old->last : joined.last;
        }
        memmove(s->items + at + 1, s->items + end, (s->count - end) * sizeof(*s->items));
        s->items[at] = joined;
        s->count = s->count - (end - at) + 1;
}

void ipset_cut(struct ipset *s, uint8_t family, ip_num num)
{
        size_t at = lower_bound(s, family, num);
        struct ip_range *r = &s->items[at];

        if (at == s->count || r->family != family || r->first > num)
                return;
        if (r->first == num && r->last == num) {
                memmove(r, r + 1, (s->count - at - 1) * sizeof(*r));
                s->count--;
        } else if (r->first == num) {
                r->first++;
        } else if (r->last == num) {
                r->last--;
        } else {
                memmove(r + 1, r, (s->count - at) * sizeof(*r));
                s->count++;
                r[0].last = num - 1;
                r[1].first = num + 1;
        }
}

bool ipset_overlaps_range(const struct ipset *s, const struct ip_range *r)
{
        size_t i = lower_bound(s, r->family, r->first);

        return i < s->count && ip_range_overlaps(&s->items[i], r);
}

bool ipset_contains(const struct ipset *s, const struct ip_addr *a)
{
        ip_num n = num_of(a);

        return ip_valid(a) && ipset_overlaps_range(s, &(struct ip_range){ a->family, n, n });
}

bool ipset_overlaps_prefix(const struct ipset *s, const struct ip_prefix *p)
{
        struct ip_range r = ip_range_of(p);

        return ipset_overlaps_range(s, &r);
}

bool ipset_overlaps(const struct ipset *a, const struct ipset *b)
{
        const struct ipset *small = a->count <= b->count ? a : b, *large = small == a ? b : a;

        for (size_t i = 0; i < small->count; i++)
                if (ipset_overlaps_range(large, &small->items[i]))
                        return true;
        return false;
}

bool ipset_covers_range(const struct ipset *s, const struct ip_range *r)
{
        size_t i = lower_bound(s, r->family, r->first);

        return i < s->count && s->items[i].family == r->family && s->items[i].first <= r->first &&
               s->items[i].last >= r->last;
}

bool ipset_covers(const struct ipset *s, const struct ipset *part)
{
        for (size_t i = 0; i < part->count; i++)
                if (!ipset_covers_range(s, &part->items[i]))
                        return false;
        return true;
}

bool ipset_equal(const struct ipset *a, const struct ipset *b)
{
        if (a->count != b->count)
                return false;
        for (size_t i = 0; i < a->count; i++)
                if (!ip_range_equal(&a->items[i], &b->items[i]))
                        return false;
        return true;
}

bool ip_range_next_prefix(struct ip_range *r, bool *done, struct ip_prefix *out)
{
        unsigned bits = r->family == IP_V4 ? 32 : 128, host = 0;

        if (*done || r->first > r->last)
                return false;
        while (host < bits) {
                ip_num mask = host_mask(host + 1);
                if ((r->first & mask) != 0 || (r->first | mask) > r->last)
                        break;
                host++;
        }
        *out = (struct ip_prefix){ addr_of(r->family, r->first), (uint8_t)(bits - host) };
        ip_num end = r->first | host_mask(host);
        *done = end == r->last;
        if (!*done)
                r->first = end + 1;
        return true;
}

bool ipset_prefix_of(const struct ipset *s, const struct ip_addr *a, struct ip_prefix *out)
{
        ip_num n = num_of(a);
        size_t i = lower_bound(s, a->family, n);
        bool done = false;

        if (!ip_valid(a) || !ipset_contains(s, a))
                return false;
        struct ip_range rest = s->items[i];
        while (ip_range_next_prefix(&rest, &done, out))
                if (ip_prefix_contains(out, a))
                        return true;
        return false;
}

struct slice ip_range_text(const struct ip_range *r, struct arena *a)
{
        struct ip_range rest = *r;
        struct ip_prefix p;
        bool done = false;
        char text[IP_TEXT_MAX], other[IP_TEXT_MAX];
        struct ip_addr first = addr_of(r->family, r->first), last = addr_of(r->family, r->last);

        if (ip_range_next_prefix(&rest, &done, &p) && done) {
                if (ip_prefix_is_host(&p))
                        ip_format(&p.ip, text);
                else
                        ip_prefix_format(&p, text);
                return arena_copy(a, slice_str(text));
        }
        ip_format(&first, text);
        ip_format(&last, other);
        const char *range = arena_printf(a, "%s-%s", text, other);
        return slice_str(range);
}
