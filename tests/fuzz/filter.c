/* Any packet, through decoding and both directions of a filter. Checking twice
 * (the second time from the verdict cache) must not change the answer. */
#include <assert.h>

#include "filter/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char rules_json[] =
        "[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":1023}}]},"
        "{\"SrcIPs\":[\"100.64.0.0/10\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":65535}}],\"IPProto\":[47]}]";

static struct filter *build(void)
{
        struct arena arena = ARENA_INIT(1 << 16);
        struct tailcfg_filter_rules rules;
        struct ip_prefix local[] = { { { .family = IP_V4 }, 1 }, { { .family = IP_V6 }, 1 } };

        if (tailcfg_filter_rules_decode(SLICE_LIT(rules_json), &arena, &rules) != OK)
                return NULL;
        struct filter_options o = {
                .rules = rules.items, .rule_count = rules.count, .local = local, .local_count = 2
        };
        struct filter *f = filter_new(&o);
        arena_fini(&arena);
        return f;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static struct filter *f;
        static struct filter_flows *flows;
        static struct filter_cache cache;
        struct packet p;

        if (!f) {
                f = build();
                flows = filter_flows_new();
        }
        assert(f && flows);
        if (packet_decode(slice_make(data, len), &p) != OK)
                assert(p.version == 0);
        enum filter_verdict in = filter_check_in(f, flows, &cache, &p);
        assert(filter_check_in(f, flows, &cache, &p) == in);
        assert(filter_check_out(flows, &p) != FILTER_TOO_SHORT || p.version == 0);
        assert(filter_verdict_text(in)[0] != '?');
        return 0;
}
