/* Tables of the filter rules, and the texts inside them (spec/control.md 6.9). */
#include "proto/tailcfg_filter.h"

#include "tailcfg_tables.h"

static const struct shape_field cap_fields[] = {
        FIELD(cap, "", name, STRING, ALWAYS),
        FIELD_LIST(cap, "", values, RAW, ALWAYS),
};
SHAPE(cap);

static const struct shape_field port_range_fields[] = {
        FIELD(port_range, "First", first, U16, ALWAYS),
        FIELD(port_range, "Last", last, U16, ALWAYS),
};
static SHAPE(port_range);

static const struct shape_field dst_port_fields[] = {
        FIELD(dst_port, "IP", ip, STRING, ALWAYS),
        FIELD(dst_port, "Bits", has_bits, PRESENT, OPTIONAL),
        FIELD_SHAPED(dst_port, "Ports", ports, OBJECT, port_range, ALWAYS),
};
static SHAPE(dst_port);

static const struct shape_field cap_grant_fields[] = {
        FIELD_LIST(cap_grant, "Dsts", dsts, PREFIX, ALWAYS),
        FIELD_LIST(cap_grant, "Caps", caps, STRING, OPTIONAL),
        FIELD_SHAPED(cap_grant, "CapMap", cap_map, MAP, cap, OPTIONAL),
};
static SHAPE(cap_grant);

static const struct shape_field filter_rule_fields[] = {
        FIELD_LIST(filter_rule, "SrcIPs", src_ips, STRING, ALWAYS),
        FIELD(filter_rule, "SrcBits", has_src_bits, PRESENT, OPTIONAL),
        FIELD_OBJECTS(filter_rule, "DstPorts", dst_ports, dst_port, OPTIONAL),
        FIELD_LIST(filter_rule, "IPProto", ip_proto, I64, OPTIONAL),
        FIELD_OBJECTS(filter_rule, "CapGrant", cap_grant, cap_grant, OPTIONAL),
};
SHAPE(filter_rule);

SHAPE_MESSAGE(filter_rule)

/* A bare list: the one message that is no object. */
static const struct shape_field filter_rules_field = { .kind = SHAPE_LIST, .of = SHAPE_OBJECT, .shape = &shape_filter_rule };

void tailcfg_filter_rules_parse(struct json_reader *r, struct tailcfg_filter_rules *out)
{
        *out = (struct tailcfg_filter_rules){ 0 };
        shape_value_parse(r, &filter_rules_field, out);
}

enum err tailcfg_filter_rules_decode(struct slice json, struct arena *arena, struct tailcfg_filter_rules *out)
{
        struct json_reader r;

        json_reader_init(&r, json, arena);
        tailcfg_filter_rules_parse(&r, out);
        return json_finish(&r);
}

void tailcfg_filter_rules_write(struct json_writer *w, const struct tailcfg_filter_rules *in)
{
        shape_value_write(w, &filter_rules_field, in);
}

enum err tailcfg_filter_rules_copy(struct arena *arena, struct tailcfg_filter_rules *out, const struct tailcfg_filter_rules *in)
{
        shape_value_copy(arena, &filter_rules_field, out, in);
        return arena_failed(arena) ? ERR_NOMEM : OK;
}

bool tailcfg_filter_rules_equal(const struct tailcfg_filter_rules *a, const struct tailcfg_filter_rules *b)
{
        return shape_value_equal(&filter_rules_field, a, b);
}

bool tailcfg_filter_is_legacy(const struct tailcfg_filter_rules *rules)
{
        for (size_t i = 0; i < rules->count; i++) {
                const struct tailcfg_filter_rule *rule = &rules->items[i];

                if (rule->has_src_bits)
                        return true;
                for (size_t j = 0; j < rule->dst_ports.count; j++) {
                        if (rule->dst_ports.items[j].has_bits)
                                return true;
                }
        }
        return false;
}

static enum err range_parse(struct slice low, struct slice high, struct tailcfg_match *out)
{
        if (ip_parse(low, &out->first) || ip_parse(high, &out->last))
                return ERR_FORMAT;
        if (out->first.family != out->last.family || ip_compare(&out->first, &out->last) > 0)
                return ERR_FORMAT;
        out->kind = TAILCFG_MATCH_RANGE;
        return OK;
}

enum err tailcfg_match_parse(struct slice text, struct tailcfg_match *out)
{
        size_t dash = slice_find(text, '-');
        struct ip_prefix masked;

        *out = (struct tailcfg_match){ 0 };
        if (slice_is(text, "*"))
                return OK; /* TAILCFG_MATCH_ANY */
        if (slice_has_prefix(text, SLICE_LIT("cap:"))) {
                out->kind = TAILCFG_MATCH_CAP;
                out->cap = slice_after(text, 4);
                return out->cap.len ? OK : ERR_FORMAT;
        }
        if (dash < text.len)
                return range_parse(slice_first(text, dash), slice_after(text, dash + 1), out);
        out->kind = TAILCFG_MATCH_PREFIX;
        if (slice_find(text, '/') == text.len) {
                struct ip_addr ip;
                if (ip_parse(text, &ip))
                        return ERR_FORMAT;
                out->prefix = ip_host_prefix(ip);
                return OK;
        }
        if (ip_prefix_parse(text, &out->prefix))
                return ERR_FORMAT;
        masked = ip_prefix_masked(out->prefix);
        return ip_prefix_equal(&masked, &out->prefix) ? OK : ERR_FORMAT;
}
