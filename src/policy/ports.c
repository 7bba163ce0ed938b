/* Ports, protocols, and the two forms that hold both (spec/policy.md 5). */
#include "base/text.h"
#include "policy_internal.h"

static const struct {
        const char *name;
        int number;
        bool official_only; /* read by name, but numbers do not become it */
} protocols[] = {
        { "icmp", 1, false },
        { "igmp", 2, false },
        { "ipv4", 4, false },
        { "ip-in-ip", 4, false },
        { "tcp", 6, false },
        { "egp", 8, false },
        { "igp", 9, false },
        { "udp", 17, false },
        { "gre", 47, false },
        { "esp", 50, false },
        { "ah", 51, false },
        { "ipv6-icmp", 58, false },
        { "sctp", 132, false },
        { "fc", 133, false },
        { "dccp", 33, true },
        { "icmpv4", 1, true },
        { "icmpv6", 58, true },
        { "tsmp", 99, true },
};

static bool has_name(uint64_t number)
{
        for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
                if (!protocols[i].official_only && (uint64_t)protocols[i].number == number)
                        return true;
        return false;
}

static bool all_digits(struct slice s)
{
        for (size_t i = 0; i < s.len; i++)
                if (s.ptr[i] < '0' || s.ptr[i] > '9')
                        return false;
        return s.len > 0;
}

static bool proto_number(struct slice text, bool lenient, int *out, struct arena *a, const char **why)
{
        uint64_t n;

        if (parse_u64(text, UINT32_MAX, &n) != OK) {
                *why = arena_printf(a, "invalid protocol number: \"%.*s\"", SLICE_ARGS(text));
                return false;
        }
        if (text.ptr[0] == '0' && !(lenient && has_name(n))) {
                *why = arena_printf(
                        a, "leading 0 not permitted in protocol number: \"%.*s\"", SLICE_ARGS(text));
                return false;
        }
        if (n > 255) {
                *why = arena_printf(a, "protocol number out of range (0-255): %llu", (unsigned long long)n);
                return false;
        }
        *out = (int)n;
        return true;
}

bool proto_parse(struct slice text, bool lenient, int *out, struct arena *a, const char **why)
{
        *out = -1;
        if (text.len == 0)
                return true;
        for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
                struct slice name = slice_str(protocols[i].name);
                if (lenient ? slice_equal_nocase(name, text) : slice_equal(name, text)) {
                        *out = protocols[i].number;
                        return true;
                }
        }
        if (all_digits(text))
                return proto_number(text, lenient, out, a, why);
        *why = arena_printf(a, "proto name \"%.*s\" not known; use protocol number 0-255%s", SLICE_ARGS(text),
                slice_is(text, "*") ? " or protocol name (icmp, tcp, udp, etc.)" : "");
        return false;
}

bool proto_has_ports(int proto) { return proto == -1 || proto == 6 || proto == 17 || proto == 132; }

/* One number of a port list; false with the reason. */
static bool port_number(struct slice text, const char *not_a_number, uint16_t *out, const char **why)
{
        uint64_t n;
        enum err e = parse_u64(text, UINT16_MAX, &n);

        if (!all_digits(text))
                *why = not_a_number;
        else if (e != OK)
                *why = "port number out of range";
        else
                *out = (uint16_t)n;
        return all_digits(text) && e == OK;
}

static bool port_range_parse(struct slice text, struct port_range *out, const char **why)
{
        struct slice part, parts[2] = { { 0 } };
        size_t n = 0;

        if (slice_find(text, '-') == text.len) {
                if (!port_number(text, "invalid first integer", &out->first, why))
                        return false;
                out->last = out->first;
                *why = "first port must be >0, or use '*' for wildcard";
                return out->first != 0;
        }
        while (slice_split(&text, '-', &part)) {
                if (part.len == 0)
                        continue;
                if (n < 2)
                        parts[n] = part;
                n++;
        }
        *why = "invalid port range format";
        if (n != 2 || !port_number(parts[0], "invalid first integer", &out->first, why) ||
                !port_number(parts[1], "invalid last integer", &out->last, why))
                return false;
        *why = "invalid port range: first port is greater than last port";
        return out->first <= out->last;
}

bool ports_parse(struct slice text, struct vec *out, struct arena *a, const char **why)
{
        struct slice rest = text, part;
        const char *inner = "invalid first integer";

        if (slice_is(text, "*")) {
                struct port_range *all = VEC_PUSH(out, a, struct port_range);
                if (all)
                        *all = (struct port_range){ 0, 65535 };
                return true;
        }
        bool ok = text.len && text.ptr[text.len - 1] != ',';
        while (ok && slice_split(&rest, ',', &part)) {
                struct port_range r;
                ok = port_range_parse(part, &r, &inner);
                struct port_range *added = ok ? VEC_PUSH(out, a, struct port_range) : NULL;
                if (added)
                        *added = r;
        }
        if (!ok)
                *why = arena_printf(a, "port range \"%.*s\": %s", SLICE_ARGS(text), inner);
        return ok;
}

static size_t find_last(struct slice s, uint8_t c)
{
        for (size_t i = s.len; i-- > 0;)
                if (s.ptr[i] == c)
                        return i;
        return s.len;
}

/* "[v6]" and "[v6]/len" without their brackets. */
static bool unbracket(struct slice *host, struct arena *a, const char **why)
{
        size_t close = slice_find(*host, ']');
        struct slice inner = slice_first(slice_after(*host, 1), close ? close - 1 : 0),
                     rest = slice_after(*host, close + 1);
        struct ip_addr ip;

        if (close == host->len || ip_parse(inner, &ip) != OK || ip.family != IP_V6 ||
                (rest.len && rest.ptr[0] != '/')) {
                *why = arena_printf(a, "square brackets are only valid around IPv6 addresses: \"%.*s\"",
                        SLICE_ARGS(*host));
                return false;
        }
        *host = slice_str(arena_printf(a, "%.*s%.*s", SLICE_ARGS(inner), SLICE_ARGS(rest)));
        return true;
}

bool host_port_parse(
        struct slice text, struct slice *host, struct slice *ports, struct arena *a, const char **why)
{
        size_t colon = find_last(text, ':');

        *why = "hostport must contain a colon";
        if (colon == text.len)
                return false;
        *why = "input cannot start with a colon character";
        if (text.ptr[0] == ':')
                return false;
        *why = "input cannot end with a colon character";
        if (colon == text.len - 1)
                return false;
        *host = slice_first(text, colon);
        *ports = slice_after(text, colon + 1);
        return host->ptr[0] != '[' || unbracket(host, a, why);
}

bool ip_spec_parse(struct slice text, struct ip_spec *out, struct arena *a, const char **why)
{
        size_t colon = slice_find(text, ':');

        *out = (struct ip_spec){ .proto = -1 };
        if (colon == text.len)
                return ports_parse(text, &out->ports, a, why);
        if (find_last(text, ':') != colon) {
                *why = arena_printf(a,
                        "expected only one colon in Internet protocol and port type, got: \"%.*s\"",
                        SLICE_ARGS(text));
                return false;
        }
        return proto_parse(slice_first(text, colon), false, &out->proto, a, why) &&
               ports_parse(slice_after(text, colon + 1), &out->ports, a, why);
}
