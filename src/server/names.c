/* Names that people give and names that DNS takes (spec/server.md 4.8). */
#include <stdio.h>

#include "state.h"

static bool is_alnum(uint8_t c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static struct slice without_suffix(struct slice s, const char *suffix)
{
        struct slice end = slice_str(suffix);

        return slice_has_suffix(s, end) ? slice_first(s, s.len - end.len) : s;
}

size_t name_sanitize(struct slice hostname, char out[static LABEL_MAX + 1])
{
        size_t n = 0;

        hostname = without_suffix(hostname, ".local");
        hostname = without_suffix(hostname, ".localdomain");
        hostname = without_suffix(hostname, ".lan");
        hostname = slice_first(hostname, LABEL_MAX);
        while (hostname.len && !is_alnum(hostname.ptr[0]))
                hostname = slice_after(hostname, 1);
        while (hostname.len && !is_alnum(hostname.ptr[hostname.len - 1]))
                hostname.len--;
        for (size_t i = 0; i < hostname.len; i++) {
                uint8_t c = hostname.ptr[i];
                if (c >= 'A' && c <= 'Z')
                        c = (uint8_t)(c - 'A' + 'a');
                if (c == ' ' || c == '.' || c == '@' || c == '_')
                        c = '-';
                if (is_alnum(c) || c == '-')
                        out[n++] = (char)c;
        }
        out[n] = '\0';
        return n;
}

static bool is_free(const struct tailnet *t, struct slice name, const struct node *self)
{
        const struct node *holder = tailnet_node_by_name(t, name);

        return !holder || holder == self;
}

size_t name_choose(const struct tailnet *t, struct slice hostname, const struct node *self,
        char out[static LABEL_MAX + 1])
{
        char base[LABEL_MAX + 1], suffix[16];
        size_t base_len = name_sanitize(hostname, base);

        if (base_len == 0)
                base_len = (size_t)snprintf(base, sizeof(base), "node");
        memcpy(out, base, base_len + 1);
        for (unsigned i = 1; !is_free(t, slice_str(out), self); i++) {
                size_t suffix_len = (size_t)snprintf(suffix, sizeof(suffix), "-%u", i);
                size_t keep = base_len + suffix_len <= LABEL_MAX ? base_len : LABEL_MAX - suffix_len;
                memcpy(out, base, keep);
                memcpy(out + keep, suffix, suffix_len + 1);
        }
        return strlen(out);
}

bool name_follows_hostname(const struct store_node *row)
{
        char base[LABEL_MAX + 1];
        size_t len = name_sanitize(row->hostname, base);
        struct slice rest;

        if (len == 0 || !slice_has_prefix(row->given_name, slice_make(base, len)))
                return false;
        rest = slice_after(row->given_name, len);
        if (rest.len == 0)
                return true;
        if (rest.ptr[0] != '-' || rest.len == 1)
                return false;
        for (size_t i = 1; i < rest.len; i++) {
                if (rest.ptr[i] < '0' || rest.ptr[i] > '9')
                        return false;
        }
        return true;
}

bool name_is_label(struct slice name)
{
        if (name.len == 0 || name.len > LABEL_MAX || !is_alnum(name.ptr[0]) ||
                !is_alnum(name.ptr[name.len - 1]))
                return false;
        for (size_t i = 0; i < name.len; i++) {
                if (!is_alnum(name.ptr[i]) && name.ptr[i] != '-')
                        return false;
        }
        return true;
}

bool name_is_user(struct slice name)
{
        unsigned at_signs = 0;

        if (name.len < 2 || name.len > 255 || !is_alnum(name.ptr[0]) ||
                (name.ptr[0] >= '0' && name.ptr[0] <= '9'))
                return false;
        for (size_t i = 0; i < name.len; i++) {
                uint8_t c = name.ptr[i];
                at_signs += c == '@';
                if (!is_alnum(c) && c != '-' && c != '.' && c != '_' && c != '@')
                        return false;
        }
        return at_signs <= 1;
}

bool name_is_tag(struct slice tag)
{
        struct slice name;

        if (!slice_has_prefix(tag, SLICE_LIT("tag:")))
                return false;
        name = slice_after(tag, 4);
        if (name.len == 0 || name.len > LABEL_MAX || name.ptr[0] < 'a' || name.ptr[0] > 'z')
                return false;
        for (size_t i = 0; i < name.len; i++) {
                uint8_t c = name.ptr[i];
                if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
                        return false;
        }
        return true;
}
