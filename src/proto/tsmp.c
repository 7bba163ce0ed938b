#include "proto/tsmp.h"

#include <assert.h>

#include "base/cursor.h"
#include "ip/checksum.h"
#include "ip/packet.h"

enum { IP4_HEADER = 20, IP6_HEADER = 40, HOP_LIMIT = 64 };

enum err tsmp_parse(struct slice body, struct tsmp *out)
{
        struct reader r = reader_of(body);

        *out = (struct tsmp){ .kind = rd_u8(&r) };
        switch (out->kind) {
        case TSMP_PING:
                rd_copy(&r, out->token, sizeof(out->token));
                break;
        case TSMP_PONG:
                rd_copy(&r, out->token, sizeof(out->token));
                if (rd_left(&r) >= 2)
                        out->peerapi_port = rd_be16(&r);
                break;
        case TSMP_REJECT:
                out->proto = rd_u8(&r);
                out->reason = rd_u8(&r);
                out->src_port = rd_be16(&r);
                out->dst_port = rd_be16(&r);
                break;
        case TSMP_DISCO_KEY:
                rd_copy(&r, out->disco_key.b, KEY_LEN);
                break;
        default:
                return r.failed ? ERR_SHORT : ERR_FORMAT;
        }
        return rd_finish_open(&r);
}

static void write_body(struct writer *w, const struct tsmp *m)
{
        wr_u8(w, (uint8_t)m->kind);
        switch (m->kind) {
        case TSMP_PING:
                wr_bytes(w, m->token, sizeof(m->token));
                break;
        case TSMP_PONG:
                wr_bytes(w, m->token, sizeof(m->token));
                wr_be16(w, m->peerapi_port);
                break;
        case TSMP_REJECT:
                wr_u8(w, m->proto);
                wr_u8(w, m->reason);
                wr_be16(w, m->src_port);
                wr_be16(w, m->dst_port);
                break;
        case TSMP_DISCO_KEY:
                wr_bytes(w, m->disco_key.b, KEY_LEN);
                break;
        }
}

static void write_ip_header(uint8_t *p, size_t len, const struct ip_addr *src, const struct ip_addr *dst)
{
        if (src->family == IP_V6) {
                p[0] = 0x60;
                put_be16(p + 4, (uint16_t)(len - IP6_HEADER));
                p[6] = IP_PROTO_TSMP;
                p[7] = HOP_LIMIT;
                memcpy(p + 8, src->b, 16);
                memcpy(p + 24, dst->b, 16);
                return;
        }
        p[0] = 0x45;
        put_be16(p + 2, (uint16_t)len);
        p[8] = HOP_LIMIT;
        p[9] = IP_PROTO_TSMP;
        memcpy(p + 12, src->b, 4);
        memcpy(p + 16, dst->b, 4);
        put_be16(p + 10, checksum_finish(checksum_add(0, slice_make(p, IP4_HEADER))));
}

size_t tsmp_packet_write(const struct tsmp *m, const struct ip_addr *src, const struct ip_addr *dst,
        uint8_t out[static TSMP_PACKET_MAX])
{
        size_t header = src->family == IP_V6 ? IP6_HEADER : IP4_HEADER;
        struct writer w = writer_of(out, TSMP_PACKET_MAX);

        assert(src->family == dst->family);
        wr_zero(&w, header);
        write_body(&w, m);
        assert(!w.failed);
        size_t len = (size_t)(w.p - w.start);
        write_ip_header(out, len, src, dst);
        return len;
}
