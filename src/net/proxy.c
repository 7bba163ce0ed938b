#include "proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/text.h"
#include "ip/addr.h"

static const char *variable(const char *upper, const char *lower)
{
        const char *value = getenv(upper);

        if (!value || !*value)
                value = getenv(lower);
        return value && *value ? value : NULL;
}

static bool is_this_machine(const char *host)
{
        struct ip_addr ip;
        return strcasecmp(host, "localhost") == 0 ||
               (ip_parse(slice_str(host), &ip) == OK && ip_is_loopback(&ip));
}

/* One entry of NO_PROXY: "*", an address, a prefix, a domain with or without its dot. */
static bool excludes(struct slice entry, const char *host)
{
        struct slice name = slice_str(host);
        struct ip_addr ip;
        struct ip_prefix prefix;

        entry = slice_trim(entry);
        if (entry.len == 0)
                return false;
        if (slice_is(entry, "*") || slice_equal_nocase(entry, name))
                return true;
        if (ip_parse(name, &ip) == OK)
                return ip_prefix_parse(entry, &prefix) == OK && ip_prefix_contains(&prefix, &ip);
        if (entry.ptr[0] == '.')
                entry = slice_after(entry, 1);
        return name.len > entry.len && name.ptr[name.len - entry.len - 1] == '.' &&
                slice_equal_nocase(slice_after(name, name.len - entry.len), entry);
}

static bool is_excluded(const char *host)
{
        struct slice rest = slice_str(variable("NO_PROXY", "no_proxy")), entry;

        while (slice_split(&rest, ',', &entry))
                if (excludes(entry, host))
                        return true;
        return false;
}

/* [http://][user:password@]host[:port][/] */
static bool parse_url(struct slice url, struct proxy *out)
{
        uint64_t port = 80;

        if (slice_has_prefix(url, SLICE_LIT("http://")))
                url = slice_after(url, 7);
        url = slice_first(url, slice_find(url, '/'));
        size_t at = slice_find(url, '@');
        if (at < url.len) {
                if (4 * ((at + 2) / 3) >= sizeof(out->auth))
                        return false;
                base64_encode(slice_first(url, at), out->auth);
                url = slice_after(url, at + 1);
        }
        bool bracketed = url.len && url.ptr[0] == '[';
        size_t end = bracketed ? slice_find(url, ']') : slice_find(url, ':');
        struct slice host = bracketed ? slice_first(slice_after(url, 1), end - 1) : slice_first(url, end);
        struct slice rest = slice_after(url, end + bracketed);
        if (rest.len && (rest.ptr[0] != ':' || parse_u64(slice_after(rest, 1), 65535, &port) != OK))
                return false;
        if (host.len == 0 || host.len >= sizeof(out->host) ||
                slice_find(host, ':') < (bracketed ? 0 : host.len))
                return false;
        memcpy(out->host, host.ptr, host.len);
        out->host[host.len] = '\0';
        out->port = (uint16_t)port;
        return true;
}

enum err proxy_from_environment(const char *host, bool is_tls, struct proxy *out, struct diag *d)
{
        const char *url =
                is_tls ? variable("HTTPS_PROXY", "https_proxy") : variable("HTTP_PROXY", "http_proxy");

        *out = (struct proxy){ 0 };
        if (!url)
                url = variable("ALL_PROXY", "all_proxy");
        if (!url || is_this_machine(host) || is_excluded(host) || parse_url(slice_str(url), out))
                return OK;
        *out = (struct proxy){ 0 };
        return diag_set(d, ERR_FORMAT,
                "the proxy named in the environment (%s) is not of the form http://host:port",
                is_tls ? "HTTPS_PROXY" : "HTTP_PROXY");
}
