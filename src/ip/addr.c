#include "ip/addr.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/text.h"

struct ip_addr ip_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
        return (struct ip_addr){ .family = IP_V4, .b = { a, b, c, d } };
}

struct ip_addr ip_v4_u32(uint32_t host_order)
{
        struct ip_addr a = { .family = IP_V4 };
        put_be32(a.b, host_order);
        return a;
}

struct ip_addr ip_v6(const uint8_t b[static 16])
{
        struct ip_addr a = { .family = IP_V6 };
        memcpy(a.b, b, 16);
        return a;
}

uint32_t ip_v4_to_u32(const struct ip_addr *a)
{
        return get_be32(a->b);
}

unsigned ip_bits(const struct ip_addr *a)
{
        return a->family == IP_V4 ? 32 : a->family == IP_V6 ? 128 : 0;
}

int ip_compare(const struct ip_addr *a, const struct ip_addr *b)
{
        if (a->family != b->family)
                return a->family < b->family ? -1 : 1;
        int order = memcmp(a->b, b->b, sizeof(a->b));
        if (order)
                return order;
        return (a->scope_id > b->scope_id) - (a->scope_id < b->scope_id);
}

bool ip_equal(const struct ip_addr *a, const struct ip_addr *b)
{
        return ip_compare(a, b) == 0;
}

int ip_port_compare(const struct ip_port *a, const struct ip_port *b)
{
        int order = ip_compare(&a->ip, &b->ip);
        return order ? order : (a->port > b->port) - (a->port < b->port);
}

bool ip_port_equal(const struct ip_port *a, const struct ip_port *b)
{
        return ip_port_compare(a, b) == 0;
}

int ip_prefix_compare(const struct ip_prefix *a, const struct ip_prefix *b)
{
        int order = ip_compare(&a->ip, &b->ip);
        return order ? order : (a->bits > b->bits) - (a->bits < b->bits);
}

bool ip_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b)
{
        return ip_prefix_compare(a, b) == 0;
}

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

struct ip_addr ip_unmap(struct ip_addr a)
{
        if (a.family != IP_V6 || memcmp(a.b, mapped_prefix, sizeof(mapped_prefix)) != 0)
                return a;
        return ip_v4(a.b[12], a.b[13], a.b[14], a.b[15]);
}

void ip_to_mapped16(const struct ip_addr *a, uint8_t out[static 16])
{
        if (a->family == IP_V4) {
                memcpy(out, mapped_prefix, sizeof(mapped_prefix));
                memcpy(out + 12, a->b, 4);
        } else {
                memcpy(out, a->b, 16);
        }
}

struct ip_addr ip_from_mapped16(const uint8_t b[static 16])
{
        return ip_unmap(ip_v6(b));
}

struct ip_port rd_ip_port18(struct reader *r)
{
        uint8_t b[16];
        struct ip_port a;

        rd_copy(r, b, sizeof(b));
        a.ip = ip_from_mapped16(b);
        a.port = rd_be16(r);
        return r->failed ? (struct ip_port){ 0 } : a;
}

void wr_ip_port18(struct writer *w, const struct ip_port *a)
{
        uint8_t b[16];

        ip_to_mapped16(&a->ip, b);
        wr_bytes(w, b, sizeof(b));
        wr_be16(w, a->port);
}

struct ip_prefix ip_host_prefix(struct ip_addr a)
{
        return (struct ip_prefix){ a, (uint8_t)ip_bits(&a) };
}

/* True if the first bits of a and b agree. */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
        unsigned whole = bits / 8, rest = bits % 8;

        if (whole && memcmp(a, b, whole) != 0)
                return false;
        return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

struct ip_prefix ip_prefix_masked(struct ip_prefix p)
{
        unsigned whole = p.bits / 8, rest = p.bits % 8;

        if (whole < sizeof(p.ip.b)) {
                p.ip.b[whole] &= (uint8_t)(0xff00 >> rest);
                memset(p.ip.b + whole + 1, 0, sizeof(p.ip.b) - whole - 1);
        }
        p.ip.scope_id = 0;
        return p;
}

bool ip_prefix_contains(const struct ip_prefix *p, const struct ip_addr *a)
{
        return p->ip.family == a->family && ip_valid(a) && same_bits(p->ip.b, a->b, p->bits);
}

bool ip_prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b)
{
        unsigned bits = a->bits < b->bits ? a->bits : b->bits;
        return a->ip.family == b->ip.family && ip_valid(&a->ip) && same_bits(a->ip.b, b->ip.b, bits);
}

bool ip_prefix_is_host(const struct ip_prefix *p)
{
        return ip_valid(&p->ip) && p->bits == ip_bits(&p->ip);
}

bool ip_prefix_is_default(const struct ip_prefix *p)
{
        return ip_valid(&p->ip) && p->bits == 0;
}

/* Does a lie in one of the prefixes written as bytes and length? */
static bool in_v4(const struct ip_addr *a, uint32_t net, unsigned bits)
{
        return a->family == IP_V4 && ((ip_v4_to_u32(a) ^ net) >> (32 - bits)) == 0;
}

static bool in_v6(const struct ip_addr *a, const uint8_t *net, unsigned bits)
{
        return a->family == IP_V6 && same_bits(a->b, net, bits);
}

bool ip_is_loopback(const struct ip_addr *a)
{
        static const uint8_t one[16] = { [15] = 1 };
        return in_v4(a, 0x7f000000, 8) || in_v6(a, one, 128);
}

bool ip_is_link_local(const struct ip_addr *a)
{
        return in_v4(a, 0xa9fe0000, 16) || in_v6(a, (const uint8_t[]){ 0xfe, 0x80 }, 10);
}

bool ip_is_multicast(const struct ip_addr *a)
{
        return in_v4(a, 0xe0000000, 4) || in_v6(a, (const uint8_t[]){ 0xff }, 8);
}

bool ip_is_unspecified(const struct ip_addr *a)
{
        static const uint8_t zero[16];
        return ip_valid(a) && memcmp(a->b, zero, sizeof(zero)) == 0;
}

bool ip_is_private(const struct ip_addr *a)
{
        return in_v4(a, 0x0a000000, 8) || in_v4(a, 0xac100000, 12) || in_v4(a, 0xc0a80000, 16) ||
                in_v6(a, (const uint8_t[]){ 0xfc }, 7);
}

bool ip_is_tailscale(const struct ip_addr *a)
{
        static const uint8_t ula[6] = { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0 };
        return (in_v4(a, 0x64400000, 10) && !in_v4(a, 0x64735c00, 23)) || in_v6(a, ula, 48);
}

bool ip_is_far_v6(const struct ip_addr *a)
{
        return a->family == IP_V6 && !ip_is_tailscale(a) && ((a->b[0] & 0xe0) == 0x20 || (a->b[0] & 0xfe) == 0xfc);
}

size_t ip_format(const struct ip_addr *a, char out[static IP_TEXT_MAX])
{
        if (a->family == IP_V4)
                return (size_t)snprintf(out, IP_TEXT_MAX, "%u.%u.%u.%u", a->b[0], a->b[1], a->b[2], a->b[3]);
        if (a->family != IP_V6 || !inet_ntop(AF_INET6, a->b, out, INET6_ADDRSTRLEN)) {
                out[0] = '\0';
                return 0;
        }
        size_t n = strlen(out);
        if (a->scope_id)
                n += (size_t)snprintf(out + n, IP_TEXT_MAX - n, "%%%u", a->scope_id);
        return n;
}

size_t ip_port_format(const struct ip_port *a, char out[static IP_TEXT_MAX])
{
        char ip[IP_TEXT_MAX];

        if (!ip_format(&a->ip, ip)) {
                out[0] = '\0';
                return 0;
        }
        return (size_t)snprintf(out, IP_TEXT_MAX, a->ip.family == IP_V6 ? "[%.54s]:%u" : "%.54s:%u", ip, a->port);
}

size_t ip_prefix_format(const struct ip_prefix *p, char out[static IP_TEXT_MAX])
{
        size_t n = ip_format(&p->ip, out);
        return n ? n + (size_t)snprintf(out + n, IP_TEXT_MAX - n, "/%u", p->bits) : 0;
}

/* Four decimal numbers without leading zeroes, as Go and inet_pton read them. */
static enum err parse_v4(struct slice text, struct ip_addr *out)
{
        struct slice field;
        uint64_t v;
        unsigned n = 0;

        *out = (struct ip_addr){ .family = IP_V4 };
        while (slice_split(&text, '.', &field)) {
                if (n == 4 || field.len > 3 || (field.len > 1 && field.ptr[0] == '0') || parse_u64(field, 255, &v) != OK)
                        return ERR_FORMAT;
                out->b[n++] = (uint8_t)v;
        }
        return n == 4 ? OK : ERR_FORMAT;
}

static enum err parse_v6(struct slice text, struct ip_addr *out)
{
        char copy[INET6_ADDRSTRLEN];
        size_t percent = slice_find(text, '%');
        uint64_t scope = 0;

        if (percent < text.len && parse_u64(slice_after(text, percent + 1), UINT32_MAX, &scope) != OK)
                return ERR_FORMAT;
        text = slice_first(text, percent);
        if (text.len >= sizeof(copy) || slice_find(text, 0) < text.len)
                return ERR_FORMAT;
        memcpy(copy, text.ptr, text.len);
        copy[text.len] = '\0';
        *out = (struct ip_addr){ .family = IP_V6, .scope_id = (uint32_t)scope };
        return inet_pton(AF_INET6, copy, out->b) == 1 ? OK : ERR_FORMAT;
}

enum err ip_parse(struct slice text, struct ip_addr *out)
{
        enum err e = slice_find(text, ':') < text.len ? parse_v6(text, out) : parse_v4(text, out);

        if (e)
                *out = (struct ip_addr){ 0 };
        return e;
}

enum err ip_port_parse(struct slice text, struct ip_port *out)
{
        size_t colon = text.len;
        uint64_t port;

        *out = (struct ip_port){ 0 };
        while (colon > 0 && text.ptr[colon - 1] != ':')
                colon--;
        if (colon == 0 || parse_u64(slice_after(text, colon), 65535, &port) != OK)
                return ERR_FORMAT;
        struct slice host = slice_first(text, colon - 1);
        bool bracketed = host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
        if (bracketed)
                host = slice_make(host.ptr + 1, host.len - 2);
        if (bracketed != (slice_find(host, ':') < host.len) || ip_parse(host, &out->ip) != OK)
                return ERR_FORMAT;
        out->port = (uint16_t)port;
        return OK;
}

enum err ip_listen_parse(struct slice text, struct ip_port *out)
{
        struct slice host = slice_first(text, slice_find(text, ':')), port_text = slice_after(text, host.len + 1);
        bool is_local = slice_is(host, "localhost");
        uint64_t port;

        if (host.len && !is_local)
                return ip_port_parse(text, out);
        *out = (struct ip_port){ 0 };
        if (parse_u64(port_text, UINT16_MAX, &port) != OK)
                return ERR_FORMAT;
        *out = (struct ip_port){ is_local ? ip_v4(127, 0, 0, 1) : (struct ip_addr){ .family = IP_V6 }, (uint16_t)port };
        return OK;
}

enum err ip_prefix_parse(struct slice text, struct ip_prefix *out)
{
        size_t slash = slice_find(text, '/');
        struct slice bits_text = slice_after(text, slash + 1);
        uint64_t bits;

        *out = (struct ip_prefix){ 0 };
        if (slash == text.len || bits_text.len > 3 || (bits_text.len > 1 && bits_text.ptr[0] == '0'))
                return ERR_FORMAT;
        if (ip_parse(slice_first(text, slash), &out->ip) != OK || out->ip.scope_id ||
                parse_u64(bits_text, ip_bits(&out->ip), &bits) != OK) {
                out->ip = (struct ip_addr){ 0 };
                return ERR_FORMAT;
        }
        out->bits = (uint8_t)bits;
        return OK;
}
