#include "coalesce.h"

#include "base/cursor.h"
#include "ip/checksum.h"

enum {
        IP4_HEADER = 20,
        IP6_HEADER = 40,
        TCP_CHECKSUM = 16,
        UDP_HEADER = 8,
        UDP_CHECKSUM = 6,
        TCP_FLAGS_ALL = 0xff,
        PACKET_MAX = 65535,
};

/* A packet that may join a run, with what decides whether it does. */
struct candidate {
        const struct packet *p;
        enum coalesce_kind kind;
        uint16_t payload_len;
        uint32_t seq;
        bool has_psh;
};

void coalesce_reset(struct coalescer *c)
{
        c->packet_count = c->item_count = 0;
        memset(c->slots, 0, sizeof(c->slots));
}

/* ---- what may be merged at all ------------------------------------------- */

static bool ip_header_is_plain(const struct packet *p)
{
        const uint8_t *b = p->bytes.ptr;

        if (p->version == 4) /* no options, no fragment */
                return p->l4_offset == IP4_HEADER && (get_be16(b + 6) & 0x3fff) == 0;
        return p->l4_offset == IP6_HEADER;
}

static struct slice addresses(const struct packet *p)
{
        return p->version == 4 ? slice_make(p->bytes.ptr + 12, 8) : slice_make(p->bytes.ptr + 8, 32);
}

static uint64_t pseudo_sum(const struct packet *p, size_t l4_len)
{
        struct slice both = addresses(p);

        return checksum_pseudo(
                slice_first(both, both.len / 2), slice_after(both, both.len / 2), p->proto, (uint32_t)l4_len);
}

/* A merged packet is marked "checksum to be completed", which would turn a bad
 * checksum into a good one: only what verifies may be merged. */
static bool checksum_is_good(const struct packet *p)
{
        struct slice l4 = slice_after(p->bytes, p->l4_offset);

        return checksum_fold(checksum_add(pseudo_sum(p, l4.len), l4)) == 0xffff;
}

static bool candidate_of_tcp(const struct packet *p, struct candidate *out)
{
        const uint8_t *tcp = p->bytes.ptr + p->l4_offset;
        uint8_t flags = tcp[13] & TCP_FLAGS_ALL;

        if (flags != TCP_ACK && flags != (TCP_ACK | TCP_PSH))
                return false;
        out->kind = COALESCE_TCP;
        out->seq = get_be32(tcp + 4);
        out->has_psh = flags & TCP_PSH;
        return true;
}

static bool candidate_of_udp(const struct packet *p, struct candidate *out)
{
        const uint8_t *udp = p->bytes.ptr + p->l4_offset;

        if (get_be16(udp + 4) != p->bytes.len - p->l4_offset || get_be16(udp + UDP_CHECKSUM) == 0)
                return false;
        out->kind = COALESCE_UDP;
        return true;
}

static bool candidate_of(const struct coalescer *c, const struct packet *p, struct candidate *out)
{
        *out = (struct candidate){ .p = p };
        if ((p->proto != IP_PROTO_TCP || c->no_tcp) && (p->proto != IP_PROTO_UDP || c->no_udp))
                return false;
        if (!ip_header_is_plain(p) || p->bytes.len <= p->data_offset)
                return false;
        out->payload_len = (uint16_t)(p->bytes.len - p->data_offset);
        if (!(p->proto == IP_PROTO_TCP ? candidate_of_tcp(p, out) : candidate_of_udp(p, out)))
                return false;
        if (checksum_is_good(p))
                return true;
        out->kind = COALESCE_SINGLE;
        return false;
}

/* ---- what may be merged with what ---------------------------------------- */

static bool same_flow(const struct coalesce_item *item, const uint8_t *head, const struct packet *p)
{
        struct slice addrs = addresses(p);

        return item->is_v6 == (p->version == 6) && item->l4_offset == p->l4_offset &&
               head[item->is_v6 ? 6 : 9] == p->proto &&
               memcmp(head + (item->is_v6 ? 8 : 12), addrs.ptr, addrs.len) == 0 &&
               memcmp(head + item->l4_offset, p->bytes.ptr + p->l4_offset, 4) == 0; /* both ports */
}

static bool same_ip_treatment(const struct coalesce_item *item, const uint8_t *head, const uint8_t *b)
{
        if (item->is_v6) /* traffic class and hop limit; the flow label may differ */
                return head[0] == b[0] && (head[1] & 0xf0) == (b[1] & 0xf0) && head[7] == b[7];
        return head[1] == b[1] && head[8] == b[8] && (head[6] & 0xe0) == (b[6] & 0xe0);
}

/* Acknowledgement, header length, window and options, as the kernel's own GRO asks:
 * a window update inside a run would be lost. */
static bool same_tcp_header(const struct coalesce_item *item, const uint8_t *head, const struct packet *p)
{
        const uint8_t *a = head + item->l4_offset, *b = p->bytes.ptr + p->l4_offset;
        size_t options = item->header_len - item->l4_offset - 20u;

        return item->header_len == p->data_offset && memcmp(a + 8, b + 8, 4) == 0 &&
               memcmp(a + 14, b + 14, 2) == 0 && memcmp(a + 20, b + 20, options) == 0;
}

static bool fits(const struct coalesce_item *item, const struct candidate *cand)
{
        return item->count < COALESCE_SEGMENTS &&
               item->header_len + (size_t)item->payload_len + cand->payload_len <= PACKET_MAX;
}

static bool may_append(const struct coalesce_item *item, const struct candidate *cand)
{
        if (item->has_short_tail || item->has_psh || cand->payload_len > item->gso_size)
                return false;
        return item->kind == COALESCE_UDP || cand->seq == item->seq_end;
}

/* The kernel or the network swapped two neighbours: put them right. */
static bool may_prepend(const struct coalesce_item *item, const struct candidate *cand)
{
        if (item->kind != COALESCE_TCP || cand->has_psh || cand->seq + cand->payload_len != item->seq_start)
                return false;
        return cand->payload_len == item->gso_size ||
               (cand->payload_len > item->gso_size && item->count == 1);
}

/* ---- building the items -------------------------------------------------- */

static uint16_t new_packet(struct coalescer *c, const struct packet *p, uint16_t payload_len)
{
        c->packets[c->packet_count] =
                (struct coalesce_packet){ .bytes = p->bytes, .payload_len = payload_len };
        return (uint16_t)c->packet_count++;
}

static void append(struct coalescer *c, struct coalesce_item *item, const struct candidate *cand)
{
        uint16_t index = new_packet(c, cand->p, cand->payload_len);

        c->packets[item->last].next = (uint16_t)(index + 1);
        item->last = index;
        item->has_short_tail = cand->payload_len < item->gso_size;
        item->has_psh = cand->has_psh;
        item->seq_end += cand->payload_len;
}

static void prepend(struct coalescer *c, struct coalesce_item *item, const struct candidate *cand)
{
        uint16_t index = new_packet(c, cand->p, cand->payload_len);

        c->packets[index].next = (uint16_t)(item->first + 1);
        item->first = index;
        item->has_short_tail = item->has_short_tail || cand->payload_len > item->gso_size;
        item->gso_size = cand->payload_len;
        item->seq_start = cand->seq;
}

static bool join(struct coalescer *c, struct coalesce_item *item, const struct candidate *cand)
{
        const uint8_t *head = c->packets[item->first].bytes.ptr;

        if (item->kind != cand->kind || !same_ip_treatment(item, head, cand->p->bytes.ptr) ||
                !fits(item, cand))
                return false;
        if (item->kind == COALESCE_TCP && !same_tcp_header(item, head, cand->p))
                return false;
        if (may_append(item, cand))
                append(c, item, cand);
        else if (may_prepend(item, cand))
                prepend(c, item, cand);
        else
                return false;
        item->count++;
        item->payload_len += cand->payload_len;
        return true;
}

static unsigned slot_of(const struct packet *p)
{
        struct slice addrs = addresses(p);
        uint32_t h = get_be32(p->bytes.ptr + p->l4_offset); /* ports: the decoder saw them whole */

        for (size_t i = 0; i < addrs.len; i += 4)
                h = (h ^ get_be32(addrs.ptr + i)) * 0x9e3779b1u;
        return h >> 26;
}

static_assert(COALESCE_SLOTS == 1 << (32 - 26), "slot_of() takes the top bits");

static struct coalesce_item *new_item(struct coalescer *c, const struct candidate *cand)
{
        const struct packet *p = cand->p;
        struct coalesce_item *item = &c->items[c->item_count++];

        *item = (struct coalesce_item){
                .kind = (uint8_t)cand->kind,
                .is_v6 = p->version == 6,
                .l4_offset = p->l4_offset,
                .header_len = p->data_offset,
                .gso_size = cand->payload_len,
                .count = 1,
                .payload_len = cand->payload_len,
                .seq_start = cand->seq,
                .seq_end = cand->seq + cand->payload_len,
                .has_psh = cand->has_psh,
        };
        item->first = item->last = new_packet(c, p, cand->payload_len);
        return item;
}

void coalesce_add(struct coalescer *c, const struct packet *p)
{
        struct candidate cand;
        bool has_ports = p->proto == IP_PROTO_TCP || p->proto == IP_PROTO_UDP;

        assert(!coalesce_full(c));
        if (!has_ports) {
                cand = (struct candidate){ .p = p };
                new_item(c, &cand);
                return;
        }
        /* Also what cannot be merged takes its flow's slot: nothing that follows may
         * then be merged in front of it. */
        bool may_merge = candidate_of(c, p, &cand);
        uint16_t *slot = &c->slots[slot_of(p)];
        struct coalesce_item *last = *slot ? &c->items[*slot - 1] : NULL;
        if (may_merge && last && same_flow(last, c->packets[last->first].bytes.ptr, p) &&
                join(c, last, &cand))
                return;
        new_item(c, &cand);
        *slot = (uint16_t)c->item_count;
}

/* ---- writing an item ----------------------------------------------------- */

static void write_lengths(const struct coalesce_item *item, uint8_t *ip)
{
        size_t len = item->header_len + (size_t)item->payload_len;

        if (item->is_v6) {
                put_be16(ip + 4, (uint16_t)(len - IP6_HEADER));
        } else {
                put_be16(ip + 2, (uint16_t)len);
                put_be16(ip + 10, 0);
                put_be16(ip + 10, checksum_finish(checksum_add(0, slice_make(ip, IP4_HEADER))));
        }
        if (item->kind == COALESCE_UDP)
                put_be16(ip + item->l4_offset + 4, (uint16_t)(len - item->l4_offset));
}

/* The kernel completes the checksum: it wants the pseudo-header's sum of the
 * merged length in the field, not complemented. */
static void write_seed(const struct coalesce_item *item, uint8_t *ip, size_t field)
{
        size_t addr_at = item->is_v6 ? 8 : 12, addr_len = item->is_v6 ? 16 : 4;
        uint8_t proto = item->kind == COALESCE_TCP ? IP_PROTO_TCP : IP_PROTO_UDP;
        size_t l4_len = item->header_len + (size_t)item->payload_len - item->l4_offset;

        put_be16(
                ip + field, checksum_fold(checksum_pseudo(slice_make(ip + addr_at, addr_len),
                                    slice_make(ip + addr_at + addr_len, addr_len), proto, (uint32_t)l4_len)));
}

static void write_head(const struct coalesce_item *item, const uint8_t *first, uint8_t *head)
{
        bool is_tcp = item->kind == COALESCE_TCP;
        uint16_t csum_offset = is_tcp ? TCP_CHECKSUM : UDP_CHECKSUM;
        uint8_t tcp_type = item->is_v6 ? VNET_GSO_TCP6 : VNET_GSO_TCP4;
        struct vnet_header vnet = {
                .flags = VNET_NEEDS_CSUM,
                .gso_type = is_tcp ? tcp_type : VNET_GSO_UDP,
                .hdr_len = item->header_len,
                .gso_size = item->gso_size,
                .csum_start = item->l4_offset,
                .csum_offset = csum_offset,
        };
        uint8_t *ip = head + VNET_LEN;

        vnet_write(&vnet, head);
        memcpy(ip, first, item->header_len);
        write_lengths(item, ip);
        if (is_tcp && item->has_psh)
                ip[item->l4_offset + 13] |= TCP_PSH;
        write_seed(item, ip, item->l4_offset + (size_t)csum_offset);
}

unsigned coalesce_gather(const struct coalescer *c, unsigned i, uint8_t head[static COALESCE_HEAD_MAX],
        struct iovec iov[static COALESCE_IOV_MAX])
{
        const struct coalesce_item *item = &c->items[i];
        const struct coalesce_packet *packet = &c->packets[item->first];

        if (item->count == 1) {
                memset(head, 0, VNET_LEN);
                iov[0] = (struct iovec){ head, VNET_LEN };
                iov[1] = (struct iovec){ (void *)packet->bytes.ptr, packet->bytes.len };
                return 2;
        }
        unsigned n = 0;
        write_head(item, packet->bytes.ptr, head);
        iov[n++] = (struct iovec){ head, VNET_LEN + (size_t)item->header_len };
        for (;; packet = &c->packets[packet->next - 1]) {
                iov[n++] =
                        (struct iovec){ (void *)(packet->bytes.ptr + item->header_len), packet->payload_len };
                if (packet->next == 0)
                        return n;
        }
}
