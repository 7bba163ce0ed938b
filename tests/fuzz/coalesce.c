/* Packets, each behind a 16-bit length. Every one must come out in exactly one
 * item, and every item that was merged must split into its packets again. */
#include <assert.h>

#include "coalesce.h"
#include "segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct coalescer c;

static void check_item(unsigned i)
{
        static uint8_t whole[VNET_LEN + 65536], segment[65536];
        uint8_t head[COALESCE_HEAD_MAX];
        struct iovec iov[COALESCE_IOV_MAX];
        struct segmenter s;
        size_t total = 0;

        unsigned parts = coalesce_gather(&c, i, head, iov);
        for (unsigned k = 0; k < parts; k++) {
                assert(total + iov[k].iov_len <= sizeof(whole));
                memcpy(whole + total, iov[k].iov_base, iov[k].iov_len);
                total += iov[k].iov_len;
        }
        if (c.items[i].count == 1)
                return;
        struct vnet_header vnet = vnet_read(whole);
        enum err e = segment_begin(&s, &vnet, slice_make(whole + VNET_LEN, total - VNET_LEN));
        assert(e == OK && segment_left(&s) == c.items[i].count);
        while (segment_next(&s, segment) > 0)
                ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct reader r = reader_of(slice_make(data, len));
        unsigned seen = 0;

        coalesce_reset(&c);
        while (rd_left(&r) > 2 && !coalesce_full(&c)) {
                struct packet p;
                size_t n = rd_le16(&r);
                if (packet_decode(rd_take(&r, n < rd_left(&r) ? n : rd_left(&r)), &p) == OK)
                        coalesce_add(&c, &p);
        }
        for (unsigned i = 0; i < c.item_count; i++) {
                check_item(i);
                seen += c.items[i].count;
        }
        assert(seen == c.packet_count);
        return 0;
}
