#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cursor.h"
#include "base/random.h"
#include "base/text.h"
#include "coalesce.h"
#include "ip/checksum.h"
#include "segment.h"
#include "test_super.h"

static size_t from_hex(const char *text, uint8_t *out)
{
        size_t n = strlen(text) / 2;

        assert_int_equal(hex_decode(slice_str(text), out, n), OK);
        return n;
}

static void assert_hex(const uint8_t *bytes, size_t len, const char *expected)
{
        char text[256];

        assert_true(len * 2 < sizeof(text));
        hex_encode(slice_make(bytes, len), text);
        assert_string_equal(text, expected);
}

/* The vector of spec/dataplane.md, section 5. */
static const char super_header[] = "01012800040014001000";
static const char super_packet[] =
        "45000032123440004006600f64400001644000029c4001bb000003e80000000750180200c8a7000000010203040506070809";
static const char *const segments[] = {
        "4500002c123440004006601564400001644000029c4001bb000003e80000000750100200415f000000010203",
        "4500002c123540004006601464400001644000029c4001bb000003ec00000007501002003953000004050607",
        "4500002a123640004006601564400001644000029c4001bb000003f000000007501802003b4c00000809",
};

static void splits_the_vector(void **state)
{
        (void)state;
        uint8_t head[VNET_LEN], packet[64], out[64];
        size_t len = from_hex(super_packet, packet);
        struct segmenter s;

        from_hex(super_header, head);
        struct vnet_header vnet = vnet_read(head);
        assert_int_equal(segment_begin(&s, &vnet, slice_make(packet, len)), OK);
        assert_int_equal(segment_max_len(&s), 44);
        for (size_t i = 0; i < 3; i++) {
                assert_int_equal(segment_left(&s), 3 - i);
                size_t n = segment_next(&s, out);
                assert_hex(out, n, segments[i]);
        }
        assert_int_equal(segment_next(&s, out), 0);
}

static void merges_the_vector_back(void **state)
{
        (void)state;
        static struct coalescer c;
        uint8_t packets[3][64], head[COALESCE_HEAD_MAX], whole[256];
        struct iovec iov[COALESCE_IOV_MAX];

        coalesce_reset(&c);
        for (size_t i = 0; i < 3; i++) {
                struct packet p;
                size_t len = from_hex(segments[i], packets[i]);
                assert_int_equal(packet_decode(slice_make(packets[i], len), &p), OK);
                coalesce_add(&c, &p);
        }
        assert_int_equal(c.item_count, 1);
        unsigned n = coalesce_gather(&c, 0, head, iov);
        size_t len = 0;
        for (unsigned i = 0; i < n; i++) {
                memcpy(whole + len, iov[i].iov_base, iov[i].iov_len);
                len += iov[i].iov_len;
        }
        assert_hex(whole, VNET_LEN, super_header);
        assert_hex(whole + VNET_LEN, len - VNET_LEN, super_packet);
}

/* ---- packets of all kinds ------------------------------------------------- */

/* What must hold of segment i, found without the code under test. */
static void check_segment(const struct shape *sh, const uint8_t *super, const uint8_t *seg, size_t len, size_t i,
        bool is_last)
{
        struct packet p;
        size_t ip = sh->is_v6 ? IP6 : IP4;
        size_t headers = ip + (sh->is_tcp ? 20 + sh->options : 8);

        assert_int_equal(packet_decode(slice_make(seg, len), &p), OK);
        assert_int_equal(p.bytes.len, len);
        assert_int_equal(p.data_offset, headers);
        assert_memory_equal(seg + headers, super + headers + i * sh->mss, len - headers);
        size_t addr_len = sh->is_v6 ? 16 : 4, addr_at = sh->is_v6 ? 8 : 12;
        uint64_t sum = checksum_pseudo(slice_make(seg + addr_at, addr_len),
                slice_make(seg + addr_at + addr_len, addr_len), p.proto, (uint32_t)(len - ip));
        assert_int_equal(checksum_finish(checksum_add(sum, slice_make(seg + ip, len - ip))), 0);
        if (!sh->is_v6) {
                assert_int_equal(checksum_finish(checksum_add(0, slice_make(seg, IP4))), 0);
                assert_int_equal(get_be16(seg + 4), (uint16_t)(get_be16(super + 4) + i));
        }
        if (!sh->is_tcp)
                return;
        assert_int_equal(get_be32(seg + ip + 4), (uint32_t)(sh->seq + i * sh->mss));
        assert_memory_equal(seg + ip + 20, super + ip + 20, sh->options);
        uint8_t flags = sh->tcp_flags;
        if (!is_last)
                flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        if (sh->has_ecn && i > 0)
                flags &= 0x7f;
        assert_int_equal(seg[ip + 13], flags);
}

static struct shape random_shape(struct rng *rng)
{
        struct shape sh = {
                .is_v6 = rng_below(rng, 2),
                .is_tcp = rng_below(rng, 2),
                .options = rng_below(rng, 11) * 4,
                .mss = (uint16_t)rng_between(rng, 1, rng_below(rng, 2) ? 1460 : 60),
                .seq = rng_below(rng, 2) ? 0xffffff00u : rng_u32(rng),
                .tcp_flags = TCP_ACK | (rng_below(rng, 2) ? TCP_PSH : 0),
        };
        sh.payload = rng_between(rng, sh.mss + 1u, rng_below(rng, 4) ? 64u * sh.mss : 60000);
        if (sh.payload > 60000)
                sh.payload = 60000;
        return sh;
}

static void splits_whatever_comes(void **state)
{
        (void)state;
        static uint8_t super[PACKET_MAX], seg[2048];
        struct rng_seeded rng;
        struct vnet_header vnet;
        struct segmenter s;

        rng_seed(&rng, 1);
        for (int round = 0; round < 300; round++) {
                struct shape sh = random_shape(&rng.rng);
                if (sh.is_tcp && rng_below(&rng.rng, 3) == 0) {
                        sh.tcp_flags |= 0x80 | TCP_FIN;
                        sh.has_ecn = true;
                }
                size_t len = make_super(&sh, &rng.rng, &vnet, super);
                vnet.hdr_len = (uint16_t)rng_u32(&rng.rng); /* must not matter */
                assert_int_equal(segment_begin(&s, &vnet, slice_make(super, len)), OK);
                size_t count = segment_left(&s), max = segment_max_len(&s);
                assert_int_equal(count, (sh.payload + sh.mss - 1) / sh.mss);
                for (size_t i = 0; i < count; i++) {
                        size_t n = segment_next(&s, seg);
                        assert_true(n > 0 && n <= max);
                        check_segment(&sh, super, seg, n, i, i + 1 == count);
                }
                assert_int_equal(segment_next(&s, seg), 0);
        }
}

/* Splitting and merging again yields the super-packet, byte for byte. */
static void split_then_merge_is_identity(void **state)
{
        (void)state;
        static uint8_t super[PACKET_MAX], pool[64][2048], whole[PACKET_MAX + VNET_LEN];
        static struct coalescer c;
        struct rng_seeded rng;
        struct vnet_header vnet;
        struct segmenter s;
        struct iovec iov[COALESCE_IOV_MAX];
        uint8_t head[COALESCE_HEAD_MAX], vnet_bytes[VNET_LEN];

        rng_seed(&rng, 2);
        for (int round = 0; round < 300; round++) {
                struct shape sh = random_shape(&rng.rng);
                if (sh.payload > 64u * sh.mss)
                        sh.payload = 64u * sh.mss;
                size_t len = make_super(&sh, &rng.rng, &vnet, super), n, count = 0, total = 0;
                assert_int_equal(segment_begin(&s, &vnet, slice_make(super, len)), OK);
                coalesce_reset(&c);
                size_t lens[64];
                while ((n = segment_next(&s, pool[count])) > 0)
                        lens[count++] = n;
                for (size_t i = 0; i < count; i++) {
                        /* Swapped neighbours are put right, but for the last two. */
                        bool swap = sh.is_tcp && round % 3 == 0 && count > 4;
                        size_t k = swap && i < 2 ? 1 - i : i;
                        struct packet p;
                        assert_int_equal(packet_decode(slice_make(pool[k], lens[k]), &p), OK);
                        coalesce_add(&c, &p);
                }
                assert_int_equal(c.item_count, 1);
                unsigned parts = coalesce_gather(&c, 0, head, iov);
                for (unsigned i = 0; i < parts; i++) {
                        memcpy(whole + total, iov[i].iov_base, iov[i].iov_len);
                        total += iov[i].iov_len;
                }
                vnet_write(&vnet, vnet_bytes);
                assert_int_equal(total, VNET_LEN + len);
                assert_memory_equal(whole, vnet_bytes, VNET_LEN);
                assert_memory_equal(whole + VNET_LEN, super, len);
        }
}

static void completes_a_single_checksum(void **state)
{
        (void)state;
        uint8_t packet[PACKET_MAX], out[PACKET_MAX];
        struct rng_seeded rng;
        struct vnet_header vnet;
        struct segmenter s;
        struct shape sh = { .payload = 333, .mss = 1200 };

        rng_seed(&rng, 3);
        size_t len = make_super(&sh, &rng.rng, &vnet, packet);
        vnet.gso_type = VNET_GSO_NONE;
        assert_int_equal(segment_begin(&s, &vnet, slice_make(packet, len)), OK);
        assert_int_equal(segment_next(&s, out), len);
        check_segment(&sh, packet, out, len, 0, true);
        assert_int_equal(segment_next(&s, out), 0);
}

static void refuses_offsets_that_lie(void **state)
{
        (void)state;
        uint8_t packet[64];
        size_t len = from_hex(super_packet, packet);
        struct slice bytes = slice_make(packet, len);
        struct segmenter s;
        struct vnet_header good = { VNET_NEEDS_CSUM, VNET_GSO_TCP4, 40, 4, 20, 16 }, bad;

        bad = good, bad.gso_size = 0;
        assert_int_equal(segment_begin(&s, &bad, bytes), ERR_FORMAT);
        bad = good, bad.csum_start = 24;
        assert_int_equal(segment_begin(&s, &bad, bytes), ERR_FORMAT);
        bad = good, bad.gso_type = VNET_GSO_TCP6;
        assert_int_equal(segment_begin(&s, &bad, bytes), ERR_FORMAT);
        bad = good, bad.gso_type = VNET_GSO_UDP;
        assert_int_equal(segment_begin(&s, &bad, bytes), ERR_FORMAT);
        bad = good, bad.gso_type = 3;
        assert_int_equal(segment_begin(&s, &bad, bytes), ERR_UNSUPPORTED);
        bad = good, bad.gso_type = VNET_GSO_NONE, bad.csum_start = 49;
        assert_int_equal(segment_begin(&s, &bad, bytes), ERR_FORMAT);
        for (size_t cut = 0; cut < 40; cut++)
                assert_int_equal(segment_begin(&s, &good, slice_first(bytes, cut)), ERR_FORMAT);
        packet[32] = 0xf0; /* a TCP header longer than the packet */
        assert_int_equal(segment_begin(&s, &good, bytes), ERR_FORMAT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(splits_the_vector),
                cmocka_unit_test(merges_the_vector_back),
                cmocka_unit_test(splits_whatever_comes),
                cmocka_unit_test(split_then_merge_is_identity),
                cmocka_unit_test(completes_a_single_checksum),
                cmocka_unit_test(refuses_offsets_that_lie),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
