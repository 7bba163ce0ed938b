/* The pieces of an http or https URL. */
#include <stdio.h>

#include "base/text.h"
#include "net/http_client.h"

enum err http_url_parse(const char *url, struct http_url *out)
{
        struct slice rest = slice_str(url);
        uint64_t port;

        *out = (struct http_url){ 0 };
        if (slice_has_prefix(rest, SLICE_LIT("https://")))
                out->is_https = true;
        else if (!slice_has_prefix(rest, SLICE_LIT("http://")))
                return ERR_FORMAT;
        rest = slice_after(rest, out->is_https ? 8 : 7);
        size_t end = slice_find(rest, '/');
        if (slice_find(rest, '?') < end)
                end = slice_find(rest, '?');
        out->target = (const char *)rest.ptr + end;
        struct slice authority = slice_first(rest, end);
        if (authority.len == 0 || authority.len >= sizeof(out->authority) ||
                slice_find(authority, '@') < authority.len)
                return ERR_FORMAT;
        for (size_t i = 0; i < rest.len; i++) /* nothing that could end a request line */
                if (rest.ptr[i] <= ' ' || rest.ptr[i] == 0x7f)
                        return ERR_FORMAT;
        snprintf(out->authority, sizeof(out->authority), "%.*s", SLICE_ARGS(authority));

        bool bracketed = authority.ptr[0] == '[';
        struct slice host = bracketed ? slice_after(authority, 1) : authority;
        size_t host_len = slice_find(host, bracketed ? ']' : ':');
        struct slice after = slice_after(host, host_len + bracketed);
        if (host_len == 0 || host_len >= sizeof(out->host) || (bracketed && host_len == host.len))
                return ERR_FORMAT;
        snprintf(out->host, sizeof(out->host), "%.*s", (int)host_len, (const char *)host.ptr);
        out->port = out->is_https ? 443 : 80;
        if (after.len) {
                if (after.ptr[0] != ':' || parse_u64(slice_after(after, 1), 65535, &port) != OK || port == 0)
                        return ERR_FORMAT;
                out->port = (uint16_t)port;
        }
        return OK;
}
