#include "proto/dns.h"

#include <string.h>

#include "base/cursor.h"
#include "base/text.h"

enum {
        HEADER = 12,
        LABEL_MAX = 63,
        OPT = 41,
        FLAG_QR = 0x8000, FLAG_AA = 0x0400, FLAG_TC = 0x0200, FLAG_RD = 0x0100, FLAG_RA = 0x0080, FLAG_AD = 0x0020, FLAG_CD = 0x0010,
        OPCODE_MASK = 0x7800,
};

/* ---- reading ---- */

static bool is_host_byte(uint8_t c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* A name without compression, which no first question has use for. */
static void read_name(struct reader *r, struct dns_query *q)
{
        size_t len = 0, wire = 0;

        for (;;) {
                uint8_t n = rd_u8(r);
                struct slice label = rd_take(r, n);
                wire += 1u + n;
                if (r->failed || n > LABEL_MAX || wire > 255) {
                        r->failed = true;
                        return;
                }
                if (n == 0)
                        break;
                if (len)
                        q->name[len++] = '.';
                for (size_t i = 0; i < label.len; i++) {
                        uint8_t c = label.ptr[i];
                        q->is_odd |= !is_host_byte(c);
                        q->name[len++] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
                }
        }
        q->name[q->is_odd ? 0 : len] = '\0';
}

/* The size that an OPT record at the very end of the message offers. */
static void read_opt(struct reader *r, unsigned records, struct dns_query *q)
{
        for (unsigned i = 0; i < records; i++) {
                if (rd_u8(r) != 0)
                        return; /* no OPT: its name is the root */
                uint16_t type = rd_be16(r), size = rd_be16(r);
                rd_skip(r, 4);
                rd_skip(r, rd_be16(r));
                if (r->failed)
                        return;
                if (type == OPT && size > q->udp_size)
                        q->udp_size = size < DNS_UDP_MAX ? size : DNS_UDP_MAX;
        }
}

enum err dns_query_parse(struct slice message, struct dns_query *out)
{
        struct reader r = reader_of(message);
        uint16_t counts[4];

        *out = (struct dns_query){ .udp_size = DNS_UDP_MIN };
        out->id = rd_be16(&r);
        out->flags = rd_be16(&r);
        for (int i = 0; i < 4; i++)
                counts[i] = rd_be16(&r);
        if (r.failed)
                return ERR_SHORT;
        if (out->flags & FLAG_QR)
                return ERR_STATE;
        const uint8_t *question = r.p;
        read_name(&r, out);
        out->type = rd_be16(&r);
        out->class = rd_be16(&r);
        if (r.failed || counts[0] != 1 || counts[1] || counts[2]) {
                out->name[0] = '\0';
                return ERR_FORMAT;
        }
        out->question_len = (size_t)(r.p - question);
        read_opt(&r, counts[3], out);
        return OK;
}

bool dns_is_answer(struct slice message, struct slice query, const struct dns_query *q)
{
        return message.len >= HEADER + q->question_len && get_be16(message.ptr) == q->id &&
               (get_be16(message.ptr + 2) & FLAG_QR) && get_be16(message.ptr + 4) == 1 &&
               slice_equal_nocase(slice_make(message.ptr + HEADER, q->question_len),
                       slice_make(query.ptr + HEADER, q->question_len));
}

enum dns_rcode dns_rcode_of(struct slice message)
{
        return (enum dns_rcode)(message.ptr[3] & 15);
}

bool dns_is_truncated(struct slice message)
{
        return message.len >= HEADER && (get_be16(message.ptr + 2) & FLAG_TC);
}

/* ---- writing ---- */

static void put16(struct buf *out, unsigned v)
{
        buf_append_byte(out, (uint8_t)(v >> 8));
        buf_append_byte(out, (uint8_t)v);
}

static void put32(struct buf *out, uint32_t v)
{
        put16(out, v >> 16);
        put16(out, v & 0xffff);
}

/* Labels of a host name; one that no message can carry fails the whole. */
static enum err put_name(struct buf *out, struct slice name)
{
        struct slice label;

        while (slice_split(&name, '.', &label)) {
                if (label.len > LABEL_MAX)
                        return ERR_FORMAT;
                if (!label.len)
                        continue; /* after the final dot */
                buf_append_byte(out, (uint8_t)label.len);
                buf_append_slice(out, label);
        }
        buf_append_byte(out, 0);
        return OK;
}

static void put_question(struct buf *out, struct slice query, const struct dns_query *q)
{
        buf_append(out, query.ptr + HEADER, q->question_len);
}

static void put_header(struct buf *out, const struct dns_query *q, unsigned flags, unsigned answers, unsigned authorities)
{
        put16(out, q->id);
        put16(out, flags);
        put16(out, q->question_len ? 1 : 0);
        put16(out, answers);
        put16(out, authorities);
        put16(out, 0);
}

enum err dns_truncate(struct slice message, const struct dns_query *q, struct buf *out)
{
        put_header(out, q, get_be16(message.ptr + 2) | FLAG_TC, 0, 0);
        put_question(out, message, q);
        return buf_status(out);
}

/* The name asked for, again, and what every record begins with. */
static void put_record(struct buf *out, struct slice query, const struct dns_query *q, uint16_t type, size_t len)
{
        buf_append(out, query.ptr + HEADER, q->question_len - 4);
        put16(out, type);
        put16(out, DNS_CLASS_IN);
        put32(out, DNS_TTL_S);
        put16(out, (unsigned)len);
}

static enum err put_pointer(struct buf *out, struct slice query, const struct dns_query *q, struct slice name)
{
        struct buf data = BUF_INIT(2 * DNS_NAME_MAX);
        enum err e = put_name(&data, name);

        put_record(out, query, q, DNS_PTR, data.len);
        buf_append_slice(out, buf_slice(&data));
        if (!e)
                e = buf_status(&data);
        buf_fini(&data);
        return e;
}

/* spec/node.md 5.3: the zone is its own server and its own master. */
static enum err put_soa(struct buf *out, struct slice zone, uint32_t serial)
{
        struct buf name = BUF_INIT(2 * DNS_NAME_MAX);
        enum err e = put_name(&name, zone);

        buf_append_slice(out, buf_slice(&name));
        put16(out, DNS_SOA);
        put16(out, DNS_CLASS_IN);
        put32(out, DNS_NEGATIVE_TTL_S);
        put16(out, (unsigned)(2 * name.len + 5 * 4));
        buf_append_slice(out, buf_slice(&name));
        buf_append_slice(out, buf_slice(&name));
        put32(out, serial);
        for (int i = 0; i < 4; i++) /* refresh, retry, expire, minimum */
                put32(out, DNS_NEGATIVE_TTL_S);
        if (!e)
                e = buf_status(&name);
        buf_fini(&name);
        return e;
}

enum err dns_answer_write(struct slice query, const struct dns_query *q, const struct dns_answer *a, struct buf *out)
{
        unsigned flags = FLAG_QR | FLAG_AA | FLAG_RA | (q->flags & (OPCODE_MASK | FLAG_RD | FLAG_AD | FLAG_CD)) | a->rcode;
        size_t answers = a->addr_count + (a->name.len > 0);
        bool has_soa = !answers && a->zone.len;
        enum err e = OK;

        if (!(q->flags & FLAG_RD))
                flags &= ~(unsigned)FLAG_RA; /* RA follows RD */
        put_header(out, q, flags, (unsigned)answers, has_soa);
        put_question(out, query, q);
        for (size_t i = 0; i < a->addr_count; i++) {
                bool v6 = a->addrs[i].family == IP_V6;
                put_record(out, query, q, v6 ? DNS_AAAA : DNS_A, v6 ? 16 : 4);
                buf_append(out, a->addrs[i].b, v6 ? 16 : 4);
        }
        if (a->name.len)
                e = put_pointer(out, query, q, a->name);
        if (has_soa && !e)
                e = put_soa(out, a->zone, a->serial);
        return e ? e : buf_status(out);
}

/* ---- names of addresses ---- */

static enum err reverse_v4(struct slice rest, struct ip_addr *out)
{
        struct slice part;
        uint64_t n;

        *out = (struct ip_addr){ .family = IP_V4 };
        for (int i = 3; i >= 0; i--) {
                if (!slice_split(&rest, '.', &part) || parse_u64(part, 255, &n) != OK)
                        return ERR_FORMAT;
                out->b[i] = (uint8_t)n;
        }
        return rest.len ? ERR_FORMAT : OK;
}

static enum err reverse_v6(struct slice rest, struct ip_addr *out)
{
        *out = (struct ip_addr){ .family = IP_V6 };
        if (rest.len != 63)
                return ERR_FORMAT;
        for (size_t i = 0; i < 32; i++) {
                uint8_t c = rest.ptr[2 * i], v = c >= 'a' ? (uint8_t)(c - 'a' + 10) : (uint8_t)(c - '0');
                if (v > 15 || (i < 31 && rest.ptr[2 * i + 1] != '.'))
                        return ERR_FORMAT;
                out->b[15 - i / 2] |= (uint8_t)(v << (i % 2 * 4));
        }
        return OK;
}

enum err dns_reverse_parse(const char *name, struct ip_addr *out)
{
        const struct slice v4 = SLICE_LIT(".in-addr.arpa"), v6 = SLICE_LIT(".ip6.arpa"), s = slice_str(name);

        if (slice_has_suffix(s, v4))
                return reverse_v4(slice_first(s, s.len - v4.len), out);
        if (slice_has_suffix(s, v6))
                return reverse_v6(slice_first(s, s.len - v6.len), out);
        return ERR_FORMAT;
}
