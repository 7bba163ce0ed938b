/*
 * IP addresses, address-ports and prefixes as small values, and their text forms
 * (RFC 4291, RFC 5952). IPv4 and IPv6 stay distinct; ::ffff:a.b.c.d is IPv6 until
 * ip_unmap() is asked to make it IPv4.
 */
#ifndef IP_ADDR_H
#define IP_ADDR_H

#include "base/cursor.h"
#include "base/err.h"
#include "base/slice.h"

enum ip_family { IP_NONE = 0, IP_V4 = 4, IP_V6 = 6 };

struct ip_addr {
        uint8_t family;    /* enum ip_family; IP_NONE is the zero value */
        uint8_t b[16];     /* network order; the first 4 bytes for IPv4, rest zero */
        uint32_t scope_id; /* interface of a link-local IPv6 address, or 0 */
};

struct ip_port {
        struct ip_addr ip;
        uint16_t port;
};

struct ip_prefix {
        struct ip_addr ip;
        uint8_t bits;
};

struct ip_addr ip_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d);
struct ip_addr ip_v4_u32(uint32_t host_order);
struct ip_addr ip_v6(const uint8_t b[static 16]);
uint32_t ip_v4_to_u32(const struct ip_addr *a);

static inline bool ip_valid(const struct ip_addr *a) { return a->family != IP_NONE; }
bool ip_equal(const struct ip_addr *a, const struct ip_addr *b);
/* IPv4 before IPv6, then by value. */
int ip_compare(const struct ip_addr *a, const struct ip_addr *b);
bool ip_port_equal(const struct ip_port *a, const struct ip_port *b);
int ip_port_compare(const struct ip_port *a, const struct ip_port *b);
bool ip_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b);
int ip_prefix_compare(const struct ip_prefix *a, const struct ip_prefix *b);

/* IPv4 for a v4-mapped IPv6 address, anything else unchanged. */
struct ip_addr ip_unmap(struct ip_addr a);
/* 16 bytes, IPv4 as ::ffff:a.b.c.d; and back, unmapping (disco, DERP, PCP). */
void ip_to_mapped16(const struct ip_addr *a, uint8_t out[static 16]);
struct ip_addr ip_from_mapped16(const uint8_t b[static 16]);
/* "eps18": 16 mapped bytes and a big-endian port (spec/paths.md notation). */
struct ip_port rd_ip_port18(struct reader *r);
void wr_ip_port18(struct writer *w, const struct ip_port *a);

unsigned ip_bits(const struct ip_addr *a); /* 32, 128, or 0 */
struct ip_prefix ip_host_prefix(struct ip_addr a);
/* Clears the host bits. */
struct ip_prefix ip_prefix_masked(struct ip_prefix p);
bool ip_prefix_contains(const struct ip_prefix *p, const struct ip_addr *a);
bool ip_prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b);
bool ip_prefix_is_host(const struct ip_prefix *p);
bool ip_prefix_is_default(const struct ip_prefix *p);

bool ip_is_loopback(const struct ip_addr *a);
bool ip_is_link_local(const struct ip_addr *a);
bool ip_is_multicast(const struct ip_addr *a);
bool ip_is_unspecified(const struct ip_addr *a);
/* RFC 1918 and fc00::/7; 100.64.0.0/10 counts as public (spec/paths.md 2.8). */
bool ip_is_private(const struct ip_addr *a);
/* 100.64.0.0/10 without 100.115.92.0/23, and fd7a:115c:a1e0::/48. */
bool ip_is_tailscale(const struct ip_addr *a);
/* IPv6 that reaches beyond the machine's own links: 2000::/3 and fc00::/7 but not Tailscale's (spec/paths.md 7, HaveV6). */
bool ip_is_far_v6(const struct ip_addr *a);

#define IP_TEXT_MAX 64 /* any of the forms below with its NUL */
size_t ip_format(const struct ip_addr *a, char out[static IP_TEXT_MAX]);
size_t ip_port_format(const struct ip_port *a, char out[static IP_TEXT_MAX]);
size_t ip_prefix_format(const struct ip_prefix *p, char out[static IP_TEXT_MAX]);
/* The whole text, zone "%eth0" refused unless numeric. ERR_FORMAT. */
enum err MUST_USE ip_parse(struct slice text, struct ip_addr *out);
enum err MUST_USE ip_port_parse(struct slice text, struct ip_port *out);
/* An address to listen on: as above, or ":8080" for all addresses (::, which takes IPv4
 * too), or "localhost:8080". ERR_FORMAT. */
enum err MUST_USE ip_listen_parse(struct slice text, struct ip_port *out);
/* Host bits are kept as written; ip_prefix_masked() clears them. */
enum err MUST_USE ip_prefix_parse(struct slice text, struct ip_prefix *out);

#endif
