#include "proto/portmap.h"

#include "base/cursor.h"

enum {
        PMP_VERSION = 0,
        PMP_OP_ADDRESS = 0,
        PMP_OP_MAP_UDP = 1,
        PCP_VERSION = 2,
        PCP_OP_ANNOUNCE = 0,
        PCP_OP_MAP = 1,
        PCP_PROTO_UDP = 17,
        RESPONSE = 0x80, /* bit of the opcode in both protocols */
        PMP_ADDR_RESPONSE_LEN = 12,
        PMP_MAP_RESPONSE_LEN = 16,
};

/* ---- NAT-PMP ---- */

void pmp_address_request(uint8_t out[static PMP_ADDR_REQUEST_LEN])
{
        out[0] = PMP_VERSION;
        out[1] = PMP_OP_ADDRESS;
}

void pmp_map_request(uint16_t internal_port, uint16_t external_port, uint32_t lifetime_s,
        uint8_t out[static PMP_MAP_REQUEST_LEN])
{
        out[0] = PMP_VERSION;
        out[1] = PMP_OP_MAP_UDP;
        put_be16(out + 2, 0);
        put_be16(out + 4, internal_port);
        put_be16(out + 6, external_port);
        put_be32(out + 8, lifetime_s);
}

static struct ip_addr rd_v4(struct reader *r) { return ip_v4_u32(rd_be32(r)); }

enum err pmp_response_parse(struct slice datagram, struct pmp_response *out)
{
        struct reader r = reader_of(datagram);
        uint8_t version = rd_u8(&r);
        uint8_t op = rd_u8(&r);

        *out = (struct pmp_response){ .result = rd_be16(&r), .epoch_s = rd_be32(&r) };
        if (r.failed)
                return ERR_SHORT;
        if (version != PMP_VERSION)
                return ERR_FORMAT;
        if (op == (RESPONSE | PMP_OP_ADDRESS)) {
                out->external = rd_v4(&r);
        } else if (op == (RESPONSE | PMP_OP_MAP_UDP)) {
                out->is_map = true;
                out->internal_port = rd_be16(&r);
                out->external_port = rd_be16(&r);
                out->lifetime_s = rd_be32(&r);
        } else {
                return ERR_FORMAT;
        }
        return rd_finish(&r); /* the RFC gives exact lengths */
}

/* ---- PCP ---- */

static void pcp_header(struct writer *w, uint8_t op, uint32_t lifetime_s, const struct ip_addr *client)
{
        uint8_t mapped[16];

        ip_to_mapped16(client, mapped);
        wr_u8(w, PCP_VERSION);
        wr_u8(w, op);
        wr_be16(w, 0);
        wr_be32(w, lifetime_s);
        wr_bytes(w, mapped, sizeof(mapped));
}

void pcp_announce(const struct ip_addr *client, uint8_t out[static PCP_ANNOUNCE_LEN])
{
        struct writer w = writer_of(out, PCP_ANNOUNCE_LEN);

        pcp_header(&w, PCP_OP_ANNOUNCE, 0, client);
}

void pcp_map_request(const struct pcp_map *req, uint8_t out[static PCP_MAP_LEN])
{
        static const uint8_t any_v4[16] = { [10] = 0xff, [11] = 0xff };
        struct writer w = writer_of(out, PCP_MAP_LEN);

        pcp_header(&w, PCP_OP_MAP, req->lifetime_s, &req->client);
        wr_bytes(&w, req->nonce.b, PCP_NONCE_LEN);
        wr_u8(&w, PCP_PROTO_UDP);
        wr_zero(&w, 3);
        wr_be16(&w, req->internal_port);
        wr_be16(&w, req->external_port);
        wr_bytes(&w, any_v4, sizeof(any_v4));
}

static enum err parse_pcp_map(struct reader *r, struct pcp_response *out)
{
        uint8_t mapped[16];

        rd_copy(r, out->nonce.b, PCP_NONCE_LEN);
        uint8_t proto = rd_u8(r);
        rd_skip(r, 3);
        out->internal_port = rd_be16(r);
        out->external.port = rd_be16(r);
        rd_copy(r, mapped, sizeof(mapped));
        out->external.ip = ip_from_mapped16(mapped);
        if (!r->failed && proto != PCP_PROTO_UDP)
                return ERR_FORMAT;
        return rd_finish_open(r); /* options may follow */
}

enum err pcp_response_parse(struct slice datagram, struct pcp_response *out)
{
        struct reader r = reader_of(datagram);
        uint8_t version = rd_u8(&r);
        uint8_t op = rd_u8(&r);

        *out = (struct pcp_response){ 0 };
        rd_skip(&r, 1);
        out->result = rd_u8(&r);
        out->lifetime_s = rd_be32(&r);
        out->epoch_s = rd_be32(&r);
        rd_skip(&r, 12);
        if (r.failed)
                return ERR_SHORT;
        if (version != PCP_VERSION)
                return ERR_FORMAT;
        if (op == (RESPONSE | PCP_OP_ANNOUNCE))
                return OK;
        if (op != (RESPONSE | PCP_OP_MAP))
                return ERR_FORMAT;
        out->is_map = true;
        if (out->result != PCP_OK)
                return OK; /* the rest repeats our request */
        return parse_pcp_map(&r, out);
}
