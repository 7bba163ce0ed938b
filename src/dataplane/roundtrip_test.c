/*
 * What the kernel of one host hands to the tunnel is what the kernel of the other
 * receives: random flows, split, mixed on the way and merged, come out byte for
 * byte once the receiving kernel has split the merged packets again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coalesce.h"
#include "segment.h"
#include "test_super.h"

enum { FLOWS = 7, HEADERS_MAX = 100, SEGMENT_MAX = 1600, BATCH = 200, IN_FLIGHT = 512 };

/* A flow: the headers its packets share, and what it sent that has not arrived. */
struct flow {
        struct shape shape;
        uint8_t headers[HEADERS_MAX];
        size_t headers_len;
        uint16_t id; /* of the next IPv4 packet */
        uint8_t sent[IN_FLIGHT][SEGMENT_MAX];
        size_t len[IN_FLIGHT];
        unsigned first, last;
};

static struct flow flows[FLOWS];

static void write_checksums(uint8_t *p, const struct shape *sh, size_t len)
{
        size_t ip = sh->is_v6 ? IP6 : IP4, field = ip + (sh->is_tcp ? 16u : 6u);
        size_t addr_at = sh->is_v6 ? 8 : 12, addr_len = sh->is_v6 ? 16 : 4;
        uint8_t proto = sh->is_tcp ? IP_PROTO_TCP : IP_PROTO_UDP;

        if (!sh->is_v6) {
                put_be16(p + 10, 0);
                put_be16(p + 10, checksum_finish(checksum_add(0, slice_make(p, IP4))));
        }
        put_be16(p + field, 0);
        uint64_t sum = checksum_pseudo(slice_make(p + addr_at, addr_len), slice_make(p + addr_at + addr_len, addr_len),
                proto, (uint32_t)(len - ip));
        uint16_t value = checksum_finish(checksum_add(sum, slice_make(p + ip, len - ip)));
        put_be16(p + field, value == 0 && !sh->is_tcp ? 0xffff : value);
}

static void begin_flow(struct flow *f, struct rng *rng)
{
        static uint8_t packet[PACKET_MAX];
        struct vnet_header vnet;

        f->shape = (struct shape){
                .is_v6 = rng_below(rng, 2),
                .is_tcp = rng_below(rng, 3) > 0,
                .options = rng_below(rng, 4) * 4,
                .mss = (uint16_t)rng_between(rng, 100, 1400),
                .seq = rng_below(rng, 2) ? 0xffff0000u : rng_u32(rng),
        };
        f->shape.payload = f->shape.mss;
        make_super(&f->shape, rng, &vnet, packet);
        f->headers_len = vnet.hdr_len;
        memcpy(f->headers, packet, f->headers_len);
        f->id = rng_u32(rng) & 0xffff;
        f->first = f->last = 0;
}

/* What may change within a flow: acknowledgements, windows, congestion marks,
 * differentiated services, time to live. */
static void change_headers(struct flow *f, struct rng *rng)
{
        size_t ip = f->shape.is_v6 ? IP6 : IP4;

        switch (rng_below(rng, 8)) {
        case 0:
                if (f->shape.is_tcp)
                        f->headers[ip + 8 + rng_below(rng, 4)]++;
                break;
        case 1:
                if (f->shape.is_tcp)
                        f->headers[ip + 15]++;
                break;
        case 2:
                f->headers[1] ^= f->shape.is_v6 ? 0x30 : 0x03; /* ECN */
                break;
        case 3:
                f->headers[1] ^= f->shape.is_v6 ? 0x80 : 0x20; /* DSCP */
                break;
        case 4:
                f->headers[f->shape.is_v6 ? 7 : 8]++;
                break;
        default:
                break;
        }
}

/* The flow sends: the super-packet, as the kernel makes it, goes through the
 * splitter, and each segment is kept for the comparison. */
static void send(struct flow *f, struct rng *rng)
{
        static uint8_t super[PACKET_MAX];
        struct shape *sh = &f->shape;
        struct vnet_header vnet;
        struct segmenter s;
        size_t ip = sh->is_v6 ? IP6 : IP4, n;

        change_headers(f, rng);
        sh->payload = rng_between(rng, 1, 40u * sh->mss);
        if (rng_below(rng, 2)) /* without a short tail: the next may join it */
                sh->payload = rng_between(rng, 1, 20) * sh->mss;
        sh->tcp_flags = TCP_ACK | (rng_below(rng, 3) ? 0 : TCP_PSH) | (rng_below(rng, 20) ? 0 : TCP_FIN);
        sh->has_ecn = sh->is_tcp && rng_below(rng, 10) == 0;
        if (sh->has_ecn)
                sh->tcp_flags |= 0x80;
        size_t len = make_super(sh, rng, &vnet, super);
        memcpy(super, f->headers, f->headers_len);
        if (sh->is_v6) {
                put_be16(super + 4, (uint16_t)(len - IP6));
        } else {
                put_be16(super + 2, (uint16_t)len);
                put_be16(super + 4, f->id);
        }
        if (sh->is_tcp) {
                put_be32(super + ip + 4, sh->seq);
                super[ip + 13] = sh->tcp_flags;
        } else {
                put_be16(super + ip + 4, (uint16_t)(len - ip));
        }
        assert_int_equal(segment_begin(&s, &vnet, slice_make(super, len)), OK);
        for (; (n = segment_next(&s, f->sent[f->last % IN_FLIGHT])) > 0; f->last++, f->id++)
                f->len[f->last % IN_FLIGHT] = n;
        sh->seq += (uint32_t)sh->payload;
}

static void arrive(const uint8_t *bytes, size_t len)
{
        for (struct flow *f = flows; f < flows + FLOWS; f++) {
                size_t ip = f->shape.is_v6 ? IP6 : IP4, addr = f->shape.is_v6 ? 8 : 12;
                if (bytes[0] >> 4 != (f->shape.is_v6 ? 6 : 4) || memcmp(bytes + addr, f->headers + addr, ip - addr) != 0)
                        continue;
                assert_true(f->first < f->last);
                assert_int_equal(len, f->len[f->first % IN_FLIGHT]);
                assert_memory_equal(bytes, f->sent[f->first % IN_FLIGHT], len);
                f->first++;
                return;
        }
        fail();
}

/* As the receiving kernel sees a write: whole, or split by its header. */
static void receive(const struct coalescer *c, unsigned item)
{
        static uint8_t whole[VNET_LEN + PACKET_MAX], out[SEGMENT_MAX];
        struct iovec iov[COALESCE_IOV_MAX];
        uint8_t head[COALESCE_HEAD_MAX];
        struct segmenter s;
        size_t len = 0, n;

        unsigned parts = coalesce_gather(c, item, head, iov);
        for (unsigned i = 0; i < parts; i++) {
                memcpy(whole + len, iov[i].iov_base, iov[i].iov_len);
                len += iov[i].iov_len;
        }
        struct vnet_header vnet = vnet_read(whole);
        assert_int_equal(segment_begin(&s, &vnet, slice_make(whole + VNET_LEN, len - VNET_LEN)), OK);
        while ((n = segment_next(&s, out)) > 0)
                arrive(out, n);
}

static unsigned writes, packets;

/* The packets of all flows, mixed but in each flow's order, some of them marked by
 * a congested router, through the coalescer in one batch. */
static void deliver(struct rng *rng)
{
        static struct coalescer c;
        unsigned next[FLOWS];

        coalesce_reset(&c);
        for (unsigned i = 0; i < FLOWS; i++)
                next[i] = flows[i].first;
        for (unsigned i = 0; c.packet_count < BATCH; i = rng_below(rng, 4) ? i : (unsigned)rng_below(rng, FLOWS)) {
                bool is_over = true;
                for (unsigned k = 0; k < FLOWS; k++)
                        is_over &= next[k] == flows[k].last;
                if (is_over)
                        break;
                if (next[i] == flows[i].last) {
                        i = (unsigned)rng_below(rng, FLOWS);
                        continue;
                }
                struct flow *f = &flows[i];
                uint8_t *bytes = f->sent[next[i] % IN_FLIGHT];
                size_t len = f->len[next[i]++ % IN_FLIGHT];
                struct packet p;
                if (rng_below(rng, 30) == 0) {
                        bytes[1] |= f->shape.is_v6 ? 0x30 : 0x03;
                        write_checksums(bytes, &f->shape, len);
                }
                assert_int_equal(packet_decode(slice_make(bytes, len), &p), OK);
                coalesce_add(&c, &p);
        }
        packets += c.packet_count;
        writes += c.item_count;
        for (unsigned i = 0; i < c.item_count; i++)
                receive(&c, i);
}

static void every_byte_arrives(void **state)
{
        struct rng_seeded rng;

        (void)state;
        for (uint64_t seed = 1; seed <= 60; seed++) {
                rng_seed(&rng, seed);
                for (struct flow *f = flows; f < flows + FLOWS; f++)
                        begin_flow(f, &rng.rng);
                for (int round = 0; round < 40; round++) {
                        struct flow *f = &flows[rng_below(&rng.rng, FLOWS)];
                        if (f->last - f->first < IN_FLIGHT / 4)
                                send(f, &rng.rng);
                        if (rng_below(&rng.rng, 3) == 0)
                                deliver(&rng.rng);
                }
                for (int rest = 0; rest < 40; rest++)
                        deliver(&rng.rng);
                for (struct flow *f = flows; f < flows + FLOWS; f++)
                        assert_int_equal(f->first, f->last);
        }
        assert_true(packets > 10000 && writes < packets / 2); /* and much was merged */
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(every_byte_arrives) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
