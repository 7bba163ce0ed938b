/*
 * weft-stages: one stage of the packet path, over and over, for bench/instructions,
 * which counts what it executes. A round is a super-packet of 48 segments of MTU
 * 1280, or the 48 packets in it.
 *
 *   weft-stages STAGE ROUNDS
 */
#include <stdio.h>
#include <string.h>

#include "base/cursor.h"
#include "base/text.h"
#include "coalesce.h"
#include "crypto/bulk.h"
#include "demux.h"
#include "fair.h"
#include "filter/filter.h"
#include "ip/checksum.h"
#include "ip/trie.h"
#include "segment.h"
#include "tunnel/session.h"

enum { MTU = 1280, HEADERS = 40, MSS = MTU - HEADERS, PACKETS = 48, SUPER_LEN = HEADERS + PACKETS * MSS };

static uint8_t super[VNET_LEN + SUPER_LEN];
static uint8_t cells[PACKETS][TUNNEL_OVERHEAD + MTU];
static struct packet packets[PACKETS];
static struct bulk *bulk;
static struct bulk_key seal_key, open_key;
static struct fair_queue *fair;
static struct filter *filter;
static struct filter_flows *flows;
static struct filter_cache cache;
static struct ip_trie *routes;
static struct coalescer coalescer;
static unsigned long sum; /* of what the stages find, so that none is left out */

static void make_super(void)
{
        uint8_t *p = super + VNET_LEN;
        struct vnet_header vnet = { VNET_NEEDS_CSUM, VNET_GSO_TCP4, HEADERS, MSS, 20, 16 };

        vnet_write(&vnet, super);
        p[0] = 0x45;
        put_be16(p + 2, SUPER_LEN);
        p[8] = 64;
        p[9] = IP_PROTO_TCP;
        put_be32(p + 12, 0x64400001);
        put_be32(p + 16, 0x64400002);
        put_be16(p + 20, 40000);
        put_be16(p + 22, 5201);
        p[32] = 5 << 4;
        p[33] = TCP_ACK;
        for (size_t i = HEADERS; i < SUPER_LEN; i++)
                p[i] = (uint8_t)(i * 31);
}

static void segment(void)
{
        struct vnet_header vnet = vnet_read(super);
        struct segmenter s;

        if (segment_begin(&s, &vnet, slice_make(super + VNET_LEN, SUPER_LEN)) != OK)
                return;
        for (size_t i = 0; i < PACKETS; i++)
                sum += segment_next(&s, cells[i] + TUNNEL_HEADER_LEN);
}

static void decode(void)
{
        for (size_t i = 0; i < PACKETS; i++)
                sum += packet_decode(slice_make(cells[i] + TUNNEL_HEADER_LEN, MTU), &packets[i]) == OK;
}

static void wait_turn(void)
{
        uint64_t dropped = 0;

        for (size_t i = 0; i < PACKETS; i++) {
                uint8_t *at = fair_reserve(fair);
                memcpy(at, super, 64); /* the kernel's copy is not ours */
                if (fair_add(fair, VNET_LEN + SUPER_LEN, &dropped) == OK)
                        sum += fair_take(fair) != NULL;
        }
}

static void route(void)
{
        for (size_t i = 0; i < PACKETS; i++)
                sum += ip_trie_lookup(routes, &packets[i].dst.ip) != NULL;
}

static void filter_in(void)
{
        for (size_t i = 0; i < PACKETS; i++)
                sum += filter_accepts(filter_check_in(filter, flows, &cache, &packets[i]));
}

static void filter_out(void)
{
        for (size_t i = 0; i < PACKETS; i++)
                sum += filter_accepts(filter_check_out(flows, &packets[i]));
}

static void run_bulk(void (*work)(struct bulk *, struct bulk_key *, struct bulk_packet *, size_t), struct bulk_key *key)
{
        struct bulk_packet batch[PACKETS];

        for (size_t i = 0; i < PACKETS; i++)
                batch[i] = (struct bulk_packet){ cells[i] + TUNNEL_HEADER_LEN, MTU, i, false };
        work(bulk, key, batch, PACKETS);
        sum += batch[0].is_ok;
}

static void seal(void) { run_bulk(bulk_seal, &seal_key); }
/* Mostly of what is not authentic: it costs the same. */
static void open_sealed(void) { run_bulk(bulk_open, &open_key); }

static void classify(void)
{
        for (size_t i = 0; i < PACKETS; i++)
                sum += datagram_classify(slice_make(cells[i], sizeof(cells[i])));
}

static void coalesce(void)
{
        uint8_t head[COALESCE_HEAD_MAX];
        struct iovec iov[COALESCE_IOV_MAX];

        coalesce_reset(&coalescer);
        for (size_t i = 0; i < PACKETS; i++)
                coalesce_add(&coalescer, &packets[i]);
        for (unsigned i = 0; i < coalescer.item_count; i++)
                sum += coalesce_gather(&coalescer, i, head, iov);
}

static const struct stage {
        const char *name;
        void (*run)(void);
} stages[] = {
        { "fair-queue", wait_turn },
        { "segment", segment },
        { "decode", decode },
        { "route", route },
        { "filter-out", filter_out },
        { "filter-in", filter_in },
        { "seal", seal },
        { "classify", classify },
        { "open", open_sealed },
        { "coalesce", coalesce },
};

static bool make_filter(void)
{
        static const char text[] = "[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":65535}}]}]";
        struct arena arena = ARENA_INIT(1 << 20);
        struct tailcfg_filter_rules rules;
        struct ip_prefix own = ip_host_prefix(ip_v4(100, 64, 0, 2));

        flows = filter_flows_new();
        routes = ip_trie_new();
        if (tailcfg_filter_rules_decode(slice_str(text), &arena, &rules) == OK) {
                struct filter_options o = {
                        .rules = rules.items, .rule_count = rules.count, .local = &own, .local_count = 1
                };
                filter = filter_new(&o);
        }
        arena_fini(&arena);
        return filter && flows && routes && ip_trie_insert(routes, &own, &own) == OK;
}

static bool prepare(void)
{
        const struct shared_key key = { { 1, 2, 3 } };

        if (!make_filter() || !(fair = fair_new()))
                return false;
        if (!(bulk = bulk_new(BULK_IPSEC_MB)) && !(bulk = bulk_new(BULK_OPENSSL)))
                return false;
        bulk_key_init(&seal_key, &key);
        bulk_key_init(&open_key, &key);
        make_super();
        segment();
        decode();
        return true;
}

int main(int argc, char **argv)
{
        uint64_t rounds = 0;

        if (argc != 3 || parse_u64(slice_str(argv[2]), 1000000, &rounds) != OK || !prepare()) {
                fprintf(stderr, "usage: %s STAGE ROUNDS; stages:", argv[0]);
                for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
                        fprintf(stderr, " %s", stages[i].name);
                fputc('\n', stderr);
                return 2;
        }
        for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
                for (uint64_t r = 0; strcmp(stages[i].name, argv[1]) == 0 && r < rounds; r++)
                        stages[i].run();
        printf("%s %s %lu\n", argv[1], bulk_name(bulk), sum);
        return 0;
}
