#include "ip/packet.h"

enum {
        IP4_HEADER_MIN = 20,
        IP6_HEADER = 40,
        IP6_FRAGMENT = 44,
        IP6_FRAGMENT_LEN = 8,
        /* A later fragment may not begin inside the largest IPv4 header plus the
         * largest transport header we look at, lest it overwrite what was judged. */
        FRAGMENT_OFFSET_MIN = (60 + 20) / 8,
        TCP_HEADER = 20,
        UDP_HEADER = 8,
        ICMP_HEADER = 8,
        SCTP_HEADER = 12,
};

/* The transport header must be whole; what is not is refused, not an error. */
static size_t l4_header_len(uint8_t proto)
{
        switch (proto) {
        case IP_PROTO_TCP:
                return TCP_HEADER;
        case IP_PROTO_UDP:
                return UDP_HEADER;
        case IP_PROTO_SCTP:
                return SCTP_HEADER;
        case IP_PROTO_ICMP4:
        case IP_PROTO_ICMP6:
                return ICMP_HEADER;
        default:
                return 0;
        }
}

static void decode_l4(struct packet *p)
{
        size_t need = l4_header_len(p->proto);
        size_t have = p->bytes.len - p->l4_offset;
        const uint8_t *l4 = p->bytes.ptr + p->l4_offset;

        if (have < need) {
                p->proto = IP_PROTO_UNKNOWN;
                return;
        }
        p->data_offset = (uint16_t)(p->l4_offset + need);
        if (p->proto == IP_PROTO_TCP || p->proto == IP_PROTO_UDP || p->proto == IP_PROTO_SCTP) {
                p->src.port = get_be16(l4);
                p->dst.port = get_be16(l4 + 2);
        }
        if (p->proto == IP_PROTO_TCP) {
                size_t header = (size_t)(l4[12] >> 4) * 4;
                if (header < TCP_HEADER || header > have) {
                        p->proto = IP_PROTO_UNKNOWN;
                        return;
                }
                p->tcp_flags = l4[13] & 0x3f;
                p->data_offset = (uint16_t)(p->l4_offset + header);
        }
}

/* offset_blocks and more as in the fragment fields of either IP version. */
static void decode_fragment_or_l4(struct packet *p, unsigned offset_blocks, bool more)
{
        if (p->proto == IP_PROTO_FRAGMENT) { /* 255 on the wire is reserved */
                p->proto = IP_PROTO_UNKNOWN;
        } else if (offset_blocks == 0) {
                if (more && p->proto == IP_PROTO_TSMP)
                        p->proto = IP_PROTO_UNKNOWN;
                else
                        decode_l4(p);
        } else {
                p->proto = offset_blocks < FRAGMENT_OFFSET_MIN ? IP_PROTO_UNKNOWN : IP_PROTO_FRAGMENT;
        }
}

static enum err decode_v4(struct slice bytes, struct packet *p)
{
        if (bytes.len < IP4_HEADER_MIN)
                return ERR_SHORT;
        const uint8_t *b = bytes.ptr;
        size_t header = (size_t)(b[0] & 0x0f) * 4, total = get_be16(b + 2);
        if (header < IP4_HEADER_MIN || total < header)
                return ERR_FORMAT;
        if (total > bytes.len)
                return ERR_SHORT;

        p->bytes = slice_first(bytes, total);
        p->tos = b[1];
        p->proto = b[9];
        p->src.ip = ip_v4(b[12], b[13], b[14], b[15]);
        p->dst.ip = ip_v4(b[16], b[17], b[18], b[19]);
        p->l4_offset = p->data_offset = (uint16_t)header;
        unsigned fragment = get_be16(b + 6);
        decode_fragment_or_l4(p, fragment & 0x1fff, fragment & 0x2000);
        return OK;
}

static enum err decode_v6(struct slice bytes, struct packet *p)
{
        if (bytes.len < IP6_HEADER)
                return ERR_SHORT;
        const uint8_t *b = bytes.ptr;
        size_t total = IP6_HEADER + (size_t)get_be16(b + 4);
        if (total > bytes.len)
                return ERR_SHORT;

        p->bytes = slice_first(bytes, total);
        p->tos = (uint8_t)(b[0] << 4 | b[1] >> 4);
        p->proto = b[6];
        p->src.ip = ip_v6(b + 8);
        p->dst.ip = ip_v6(b + 24);
        p->l4_offset = p->data_offset = IP6_HEADER;
        if (p->proto != IP6_FRAGMENT) {
                /* Other extension headers stay what they are: protocols nobody allows. */
                decode_fragment_or_l4(p, 0, false);
                return OK;
        }
        if (total < IP6_HEADER + IP6_FRAGMENT_LEN) {
                p->proto = IP_PROTO_UNKNOWN;
                return OK;
        }
        p->proto = b[IP6_HEADER];
        p->l4_offset = p->data_offset = IP6_HEADER + IP6_FRAGMENT_LEN;
        unsigned fragment = get_be16(b + IP6_HEADER + 2);
        decode_fragment_or_l4(p, fragment >> 3, fragment & 1);
        return OK;
}

enum err packet_decode(struct slice bytes, struct packet *out)
{
        *out = (struct packet){ 0 };
        if (bytes.len == 0)
                return ERR_SHORT;
        out->version = bytes.ptr[0] >> 4;
        enum err e = out->version == 4 ? decode_v4(bytes, out) : out->version == 6 ? decode_v6(bytes, out) : ERR_FORMAT;
        if (e)
                *out = (struct packet){ 0 };
        return e;
}

bool packet_is_icmp_reply(const struct packet *p)
{
        if (p->proto == IP_PROTO_ICMP4) { /* RFC 792: echo reply and the error types */
                uint8_t type = p->bytes.ptr[p->l4_offset];
                return type == 0 || type == 3 || type == 11 || type == 12;
        }
        if (p->proto == IP_PROTO_ICMP6) { /* RFC 4443: errors are below 128 */
                uint8_t type = p->bytes.ptr[p->l4_offset];
                return type == 129 || (type >= 1 && type <= 4);
        }
        return false;
}

bool packet_is_echo_request(const struct packet *p)
{
        return (p->proto == IP_PROTO_ICMP4 && p->bytes.ptr[p->l4_offset] == 8) ||
                (p->proto == IP_PROTO_ICMP6 && p->bytes.ptr[p->l4_offset] == 128);
}
