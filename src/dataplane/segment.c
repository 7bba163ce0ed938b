#include "segment.h"

#include "base/cursor.h"
#include "ip/checksum.h"
#include "ip/packet.h"

enum {
        IP4_HEADER_MIN = 20,
        IP6_HEADER_LEN = 40,
        TCP_HEADER_MIN = 20,
        UDP_HEADER_LEN = 8,

        IP4_TOTAL_LENGTH = 2, /* offsets of the fields that differ by segment */
        IP4_ID = 4,
        IP4_CHECKSUM = 10,
        IP6_PAYLOAD_LENGTH = 4,
        TCP_SEQ = 4,
        TCP_DATA_OFFSET = 12,
        TCP_FLAGS = 13,
        TCP_CHECKSUM = 16,
        UDP_LENGTH = 4,
        UDP_CHECKSUM = 6,

        TCP_CWR = 0x80,
};

static enum err check_checksum_bounds(const struct segmenter *s)
{
        size_t field = (size_t)s->vnet.csum_start + s->vnet.csum_offset;

        return field + 2 > s->packet.len ? ERR_FORMAT : OK;
}

/* The IP header must be plain: no IPv6 extension headers, the transport header
 * right where the checksum is said to begin. */
static enum err check_ip_header(struct segmenter *s)
{
        const uint8_t *p = s->packet.ptr;

        if (s->packet.len < IP4_HEADER_MIN)
                return ERR_FORMAT;
        if (p[0] >> 4 == 4) {
                size_t ip_len = (size_t)(p[0] & 0x0f) * 4;
                if (ip_len < IP4_HEADER_MIN || ip_len != s->vnet.csum_start)
                        return ERR_FORMAT;
                s->proto = p[9];
        } else if (p[0] >> 4 == 6) {
                if (s->packet.len < IP6_HEADER_LEN || s->vnet.csum_start != IP6_HEADER_LEN)
                        return ERR_FORMAT;
                s->is_v6 = true;
                s->proto = p[6];
        } else {
                return ERR_FORMAT;
        }
        s->l4_offset = s->vnet.csum_start;
        return OK;
}

/* The header length is recomputed: for forwarded packets the kernel's hdr_len
 * covers the whole first segment. */
static enum err measure_headers(struct segmenter *s)
{
        size_t l4_len = UDP_HEADER_LEN;

        if (s->proto == IP_PROTO_TCP) {
                if (s->packet.len < (size_t)s->l4_offset + TCP_HEADER_MIN)
                        return ERR_FORMAT;
                l4_len = (size_t)(s->packet.ptr[s->l4_offset + TCP_DATA_OFFSET] >> 4) * 4;
                if (l4_len < TCP_HEADER_MIN)
                        return ERR_FORMAT;
        }
        if (s->packet.len < s->l4_offset + l4_len)
                return ERR_FORMAT;
        s->header_len = (uint16_t)(s->l4_offset + l4_len);
        return OK;
}

enum err segment_begin(struct segmenter *s, const struct vnet_header *vnet, struct slice packet)
{
        *s = (struct segmenter){ .packet = packet, .vnet = *vnet };
        if (packet.len == 0 || packet.len > UINT16_MAX)
                return ERR_FORMAT;
        if (vnet->gso_type == VNET_GSO_NONE)
                return vnet->flags & VNET_NEEDS_CSUM ? check_checksum_bounds(s) : OK;

        if (vnet->gso_size == 0 || check_ip_header(s) != OK)
                return ERR_FORMAT;
        switch (vnet->gso_type & ~VNET_GSO_ECN) {
        case VNET_GSO_TCP4:
        case VNET_GSO_TCP6:
                if (s->proto != IP_PROTO_TCP ||
                        s->is_v6 != ((vnet->gso_type & ~VNET_GSO_ECN) == VNET_GSO_TCP6))
                        return ERR_FORMAT;
                break;
        case VNET_GSO_UDP:
                if (s->proto != IP_PROTO_UDP)
                        return ERR_FORMAT;
                break;
        default:
                return ERR_UNSUPPORTED;
        }
        return measure_headers(s);
}

size_t segment_max_len(const struct segmenter *s)
{
        size_t whole = s->packet.len;

        if (s->vnet.gso_type == VNET_GSO_NONE)
                return whole;
        return s->header_len + (size_t)s->vnet.gso_size < whole ? s->header_len + (size_t)s->vnet.gso_size
                                                                : whole;
}

size_t segment_left(const struct segmenter *s)
{
        if (s->done)
                return 0;
        if (s->vnet.gso_type == VNET_GSO_NONE)
                return 1;
        size_t left = s->packet.len - s->header_len - s->taken;
        size_t count = (left + s->vnet.gso_size - 1) / s->vnet.gso_size;
        return count ? count : 1; /* headers without payload are one packet */
}

/* A packet that is whole already, but for its checksum perhaps. The seed in the
 * checksum field is the pseudo-header's share and is summed with the rest. */
static size_t copy_whole(struct segmenter *s, uint8_t *out)
{
        size_t len = s->packet.len;

        memcpy(out, s->packet.ptr, len);
        s->done = true;
        if (s->vnet.flags & VNET_NEEDS_CSUM) {
                size_t start = s->vnet.csum_start, field = start + s->vnet.csum_offset;
                uint16_t sum = checksum_finish(checksum_add(0, slice_make(out + start, len - start)));
                bool is_udp = s->vnet.csum_offset == UDP_CHECKSUM;
                put_be16(out + field, sum == 0 && is_udp ? 0xffff : sum);
        }
        return len;
}

static void fix_ip_header(const struct segmenter *s, uint8_t *out, size_t len)
{
        if (s->is_v6) {
                put_be16(out + IP6_PAYLOAD_LENGTH, (uint16_t)(len - IP6_HEADER_LEN));
                return;
        }
        put_be16(out + IP4_TOTAL_LENGTH, (uint16_t)len);
        put_be16(out + IP4_ID, (uint16_t)(get_be16(out + IP4_ID) + s->index));
        put_be16(out + IP4_CHECKSUM, 0);
        put_be16(out + IP4_CHECKSUM, checksum_finish(checksum_add(0, slice_make(out, s->l4_offset))));
}

static void fix_tcp_header(const struct segmenter *s, uint8_t *tcp, bool is_last)
{
        /* 32-bit arithmetic: sequence numbers wrap. */
        put_be32(tcp + TCP_SEQ, get_be32(tcp + TCP_SEQ) + (uint32_t)s->taken);
        if (!is_last)
                tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        if (s->vnet.gso_type & VNET_GSO_ECN && s->index > 0)
                tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
}

/* In full: the seed that the kernel stored covers the length of the whole. */
static void fix_l4_checksum(const struct segmenter *s, uint8_t *out, size_t len)
{
        size_t l4_len = len - s->l4_offset;
        uint8_t *l4 = out + s->l4_offset;
        uint8_t *field = l4 + (s->proto == IP_PROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
        size_t addr_len = s->is_v6 ? 16 : 4, addr_at = s->is_v6 ? 8 : 12;

        put_be16(field, 0);
        uint64_t sum = checksum_pseudo(slice_make(out + addr_at, addr_len),
                slice_make(out + addr_at + addr_len, addr_len), s->proto, (uint32_t)l4_len);
        uint16_t value = checksum_finish(checksum_add(sum, slice_make(l4, l4_len)));
        put_be16(field, value == 0 && s->proto == IP_PROTO_UDP ? 0xffff : value);
}

size_t segment_next(struct segmenter *s, uint8_t *out)
{
        if (s->done)
                return 0;
        if (s->vnet.gso_type == VNET_GSO_NONE)
                return copy_whole(s, out);

        size_t left = s->packet.len - s->header_len - s->taken;
        size_t payload = left < s->vnet.gso_size ? left : s->vnet.gso_size;
        bool is_last = payload == left;
        size_t len = s->header_len + payload;

        memcpy(out, s->packet.ptr, s->header_len);
        memcpy(out + s->header_len, s->packet.ptr + s->header_len + s->taken, payload);
        fix_ip_header(s, out, len);
        if (s->proto == IP_PROTO_TCP)
                fix_tcp_header(s, out + s->l4_offset, is_last);
        else
                put_be16(out + s->l4_offset + UDP_LENGTH, (uint16_t)(len - s->l4_offset));
        fix_l4_checksum(s, out, len);

        s->taken += payload;
        s->index++;
        s->done = is_last;
        return len;
}
