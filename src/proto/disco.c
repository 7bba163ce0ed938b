#include "proto/disco.h"

static const uint8_t magic[DISCO_MAGIC_LEN] = { 'T', 'S', 0xf0, 0x9f, 0x92, 0xac };

struct ip_port disco_endpoint(const struct disco_endpoints *e, size_t i)
{
        struct reader r =
                reader_of(slice_first(slice_after(e->wire, i * DISCO_ENDPOINT_LEN), DISCO_ENDPOINT_LEN));

        return rd_ip_port18(&r);
}

/* ---- parsing ---- */

static void rd_key(struct reader *r, struct public_key *out) { rd_copy(r, out->b, KEY_LEN); }

static void parse_ping(struct reader *r, struct disco_ping *out)
{
        *out = (struct disco_ping){ 0 };
        rd_copy(r, out->txid.b, DISCO_TXID_LEN);
        if (rd_left(r) >= KEY_LEN)
                rd_key(r, &out->node_key);
        out->padding = rd_left(r);
}

static void parse_pong(struct reader *r, struct disco_pong *out)
{
        rd_copy(r, out->txid.b, DISCO_TXID_LEN);
        out->src = rd_ip_port18(r);
}

/* A list that is not whole, or of another version, is an empty one, not an error. */
static void parse_call_me_maybe(struct reader *r, uint8_t version, struct disco_endpoints *out)
{
        struct slice rest = rd_rest(r);
        bool usable = version == 0 && rest.len % DISCO_ENDPOINT_LEN == 0;

        out->wire = usable ? rest : (struct slice){ 0 };
}

static void parse_bind(struct reader *r, struct disco_bind *out)
{
        out->vni = rd_be32(r);
        out->generation = rd_be32(r);
        rd_key(r, &out->remote);
        rd_copy(r, out->challenge, DISCO_CHALLENGE_LEN);
}

static void parse_relay_endpoint(struct reader *r, struct disco_relay_endpoint *out)
{
        rd_key(r, &out->server);
        rd_key(r, &out->clients[0]);
        rd_key(r, &out->clients[1]);
        out->lamport_id = rd_be64(r);
        out->vni = rd_be32(r);
        out->bind_lifetime_ns = (int64_t)rd_be64(r);
        out->steady_lifetime_ns = (int64_t)rd_be64(r);
        out->addrs.wire = rd_rest(r);
}

static bool relay_endpoint_is_whole(const struct disco_relay_endpoint *e)
{
        return e->addrs.wire.len > 0 && e->addrs.wire.len % DISCO_ENDPOINT_LEN == 0;
}

static void parse_allocate_request(struct reader *r, struct disco_allocate_request *out)
{
        rd_key(r, &out->clients[0]);
        rd_key(r, &out->clients[1]);
        out->generation = rd_be32(r);
}

enum err disco_parse(struct slice plain, struct disco_message *out)
{
        struct reader r = reader_of(plain);
        uint8_t type = rd_u8(&r);
        uint8_t version = rd_u8(&r);

        *out = (struct disco_message){ .type = (enum disco_type)type };
        if (r.failed)
                return ERR_SHORT;
        switch (out->type) {
        case DISCO_PING:
                parse_ping(&r, &out->ping);
                break;
        case DISCO_PONG:
                parse_pong(&r, &out->pong);
                break;
        case DISCO_CALL_ME_MAYBE:
                parse_call_me_maybe(&r, version, &out->call_me_maybe);
                break;
        case DISCO_BIND:
        case DISCO_BIND_CHALLENGE:
        case DISCO_BIND_ANSWER:
                parse_bind(&r, &out->bind);
                break;
        case DISCO_CALL_ME_MAYBE_VIA:
                if (version != 0)
                        return OK;
                parse_relay_endpoint(&r, &out->via);
                if (!r.failed && !relay_endpoint_is_whole(&out->via))
                        return ERR_FORMAT;
                break;
        case DISCO_ALLOCATE_REQUEST:
                if (version != 0)
                        return OK;
                parse_allocate_request(&r, &out->request);
                break;
        case DISCO_ALLOCATE_RESPONSE:
                if (version != 0)
                        return OK;
                out->response.generation = rd_be32(&r);
                parse_relay_endpoint(&r, &out->response.endpoint);
                if (!r.failed && !relay_endpoint_is_whole(&out->response.endpoint))
                        return ERR_FORMAT;
                break;
        default: /* a byte from outside: no enumerator need match */
                return ERR_UNSUPPORTED;
        }
        return rd_finish_open(&r);
}

/* ---- writing ---- */

static void write_ping(struct writer *w, const struct disco_ping *ping)
{
        wr_bytes(w, ping->txid.b, DISCO_TXID_LEN);
        if (!key_is_zero(&ping->node_key))
                wr_bytes(w, ping->node_key.b, KEY_LEN);
        wr_zero(w, ping->padding);
}

static void write_bind(struct writer *w, const struct disco_bind *bind)
{
        wr_be32(w, bind->vni);
        wr_be32(w, bind->generation);
        wr_bytes(w, bind->remote.b, KEY_LEN);
        wr_bytes(w, bind->challenge, DISCO_CHALLENGE_LEN);
}

static void write_relay_endpoint(struct writer *w, const struct disco_relay_endpoint *e)
{
        wr_bytes(w, e->server.b, KEY_LEN);
        wr_bytes(w, e->clients[0].b, KEY_LEN);
        wr_bytes(w, e->clients[1].b, KEY_LEN);
        wr_be64(w, e->lamport_id);
        wr_be32(w, e->vni);
        wr_be64(w, (uint64_t)e->bind_lifetime_ns);
        wr_be64(w, (uint64_t)e->steady_lifetime_ns);
        wr_slice(w, e->addrs.wire);
}

enum err disco_write(const struct disco_message *msg, void *buf, size_t cap, struct slice *out)
{
        struct writer w = writer_of(buf, cap);

        wr_u8(&w, (uint8_t)msg->type);
        wr_u8(&w, 0);
        switch (msg->type) {
        case DISCO_PING:
                write_ping(&w, &msg->ping);
                break;
        case DISCO_PONG:
                wr_bytes(&w, msg->pong.txid.b, DISCO_TXID_LEN);
                wr_ip_port18(&w, &msg->pong.src);
                break;
        case DISCO_CALL_ME_MAYBE:
                wr_slice(&w, msg->call_me_maybe.wire);
                break;
        case DISCO_BIND:
        case DISCO_BIND_CHALLENGE:
        case DISCO_BIND_ANSWER:
                write_bind(&w, &msg->bind);
                break;
        case DISCO_CALL_ME_MAYBE_VIA:
                write_relay_endpoint(&w, &msg->via);
                break;
        case DISCO_ALLOCATE_REQUEST:
                wr_bytes(&w, msg->request.clients[0].b, KEY_LEN);
                wr_bytes(&w, msg->request.clients[1].b, KEY_LEN);
                wr_be32(&w, msg->request.generation);
                break;
        case DISCO_ALLOCATE_RESPONSE:
                wr_be32(&w, msg->response.generation);
                write_relay_endpoint(&w, &msg->response.endpoint);
                break;
        }
        return wr_finish(&w, out);
}

/* ---- the outer packet ---- */

bool disco_is(struct slice packet)
{
        return packet.len >= DISCO_PACKET_MIN && memcmp(packet.ptr, magic, DISCO_MAGIC_LEN) == 0;
}

void disco_sender(struct slice packet, struct public_key *out)
{
        memcpy(out->b, packet.ptr + DISCO_MAGIC_LEN, KEY_LEN);
}

enum err disco_open(
        const struct shared_key *key, struct slice packet, void *buf, size_t cap, struct slice *plain)
{
        if (!disco_is(packet))
                return ERR_SHORT;
        if (packet.len - DISCO_OVERHEAD > cap)
                return ERR_LIMIT;

        const uint8_t *nonce = packet.ptr + DISCO_MAGIC_LEN + KEY_LEN;
        enum err e = box_open(key, nonce, slice_after(packet, DISCO_HEADER_LEN), buf);
        if (e == OK)
                *plain = slice_make(buf, packet.len - DISCO_OVERHEAD);
        return e;
}

enum err disco_seal(const struct public_key *sender, const struct shared_key *key, struct rng *rng,
        struct slice plain, void *buf, size_t cap, struct slice *out)
{
        struct writer w = writer_of(buf, cap);

        wr_bytes(&w, magic, DISCO_MAGIC_LEN);
        wr_bytes(&w, sender->b, KEY_LEN);
        uint8_t *nonce = wr_reserve(&w, BOX_NONCE_LEN);
        uint8_t *boxed = wr_reserve(&w, BOX_TAG_LEN + plain.len);
        if (nonce && boxed) {
                rng_fill(rng, nonce, BOX_NONCE_LEN);
                box_seal(key, nonce, plain, boxed);
        }
        return wr_finish(&w, out);
}

/* ---- Geneve ---- */

enum { GENEVE_CONTROL = 0x80 };

enum err geneve_parse(struct slice datagram, struct geneve_header *out)
{
        struct reader r = reader_of(datagram);
        uint8_t version_optlen = rd_u8(&r);
        uint8_t flags = rd_u8(&r);

        out->protocol = rd_be16(&r);
        uint32_t vni_reserved = rd_be32(&r);
        if (r.failed)
                return ERR_SHORT;

        out->control = flags & GENEVE_CONTROL;
        out->vni = vni_reserved >> 8;
        bool plain_header =
                version_optlen == 0 && (flags & ~GENEVE_CONTROL) == 0 && (vni_reserved & 0xff) == 0;
        bool known = out->protocol == GENEVE_DISCO || out->protocol == GENEVE_WIREGUARD;
        return plain_header && known ? OK : ERR_FORMAT;
}

void geneve_write(const struct geneve_header *h, uint8_t out[static GENEVE_HEADER_LEN])
{
        out[0] = 0;
        out[1] = h->control ? GENEVE_CONTROL : 0;
        put_be16(out + 2, h->protocol);
        put_be32(out + 4, h->vni << 8);
}
