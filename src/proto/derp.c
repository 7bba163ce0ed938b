#include "proto/derp.h"

#include <assert.h>

#include "base/text.h"
#include "json/reader.h"
#include "json/writer.h"

static const uint8_t server_key_magic[8] = { 0x44, 0x45, 0x52, 0x50, 0xf0, 0x9f, 0x94, 0x91 };
static const uint8_t disco_magic[6] = { 0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac };
#define METACERT_PREFIX "derpkey"

enum {
        DISCO_MIN_LEN = 62,
        SERVER_INFO_JSON_MAX = 1024,
        CLIENT_INFO_JSON_MAX = 1024,
};

const char *derp_type_name(uint8_t type)
{
        static const char *const names[] = {
                [DERP_SERVER_KEY] = "ServerKey",         [DERP_CLIENT_INFO] = "ClientInfo",
                [DERP_SERVER_INFO] = "ServerInfo",       [DERP_SEND_PACKET] = "SendPacket",
                [DERP_RECV_PACKET] = "RecvPacket",       [DERP_KEEP_ALIVE] = "KeepAlive",
                [DERP_NOTE_PREFERRED] = "NotePreferred", [DERP_PEER_GONE] = "PeerGone",
                [DERP_PEER_PRESENT] = "PeerPresent",     [DERP_FORWARD_PACKET] = "ForwardPacket",
                [DERP_WATCH_CONNS] = "WatchConns",       [DERP_CLOSE_PEER] = "ClosePeer",
                [DERP_PING] = "Ping",                    [DERP_PONG] = "Pong",
                [DERP_HEALTH] = "Health",                [DERP_RESTARTING] = "Restarting",
        };

        if (type >= sizeof(names) / sizeof(names[0]) || !names[type])
                return "unknown";
        return names[type];
}

/* ---- Header and packets ------------------------------------------------- */

void derp_header_write(struct writer *w, enum derp_type type, size_t len)
{
        assert(len <= UINT32_MAX);
        wr_u8(w, (uint8_t)type);
        wr_be32(w, (uint32_t)len);
}

void derp_frame_write(struct writer *w, enum derp_type type, struct slice payload)
{
        derp_header_write(w, type, payload.len);
        wr_slice(w, payload);
}

void derp_packet_head_write(struct writer *w, enum derp_type type, const struct public_key *src,
                            const struct public_key *key, size_t packet_len)
{
        derp_header_write(w, type, (src ? 2 * KEY_LEN : KEY_LEN) + packet_len);
        if (src)
                wr_bytes(w, src->b, KEY_LEN);
        wr_bytes(w, key->b, KEY_LEN);
}

enum err derp_packet_parse(struct slice payload, struct public_key *key, struct slice *packet)
{
        struct reader r = reader_of(payload);

        rd_copy(&r, key->b, KEY_LEN);
        *packet = rd_rest(&r);
        return packet->len > DERP_PACKET_MAX ? ERR_RANGE : rd_finish(&r);
}

enum err derp_forward_parse(struct slice payload, struct public_key *src, struct public_key *dst,
                            struct slice *packet)
{
        struct reader r = reader_of(payload);

        rd_copy(&r, src->b, KEY_LEN);
        rd_copy(&r, dst->b, KEY_LEN);
        *packet = rd_rest(&r);
        return packet->len > DERP_PACKET_MAX ? ERR_RANGE : rd_finish(&r);
}

bool derp_looks_like_disco(struct slice packet)
{
        return packet.len >= DISCO_MIN_LEN && memcmp(packet.ptr, disco_magic, sizeof(disco_magic)) == 0;
}

/* ---- Greeting ----------------------------------------------------------- */

enum err derp_server_key_parse(struct slice payload, struct public_key *out)
{
        struct reader r = reader_of(payload);
        struct slice magic = rd_take(&r, sizeof(server_key_magic));

        rd_copy(&r, out->b, KEY_LEN);
        if (r.failed)
                return ERR_SHORT;
        return slice_equal(magic, SLICE_ARRAY(server_key_magic)) ? rd_finish_open(&r) : ERR_FORMAT;
}

void derp_server_key_write(const struct public_key *key, uint8_t out[static DERP_SERVER_KEY_FRAME_LEN])
{
        struct writer w = writer_of(out, DERP_SERVER_KEY_FRAME_LEN);

        derp_header_write(&w, DERP_SERVER_KEY, sizeof(server_key_magic) + KEY_LEN);
        wr_bytes(&w, server_key_magic, sizeof(server_key_magic));
        wr_bytes(&w, key->b, KEY_LEN);
}

/* Appends header, plain bytes (sender's key or nothing), nonce and box to out. */
static enum err sealed_frame_write(enum derp_type type, struct slice plain, const struct shared_key *k,
                                   const uint8_t nonce[static BOX_NONCE_LEN], const struct buf *json,
                                   struct buf *out)
{
        size_t box_len = json->len + BOX_TAG_LEN;
        uint8_t *p = buf_extend(out, DERP_HEADER_LEN + plain.len + BOX_NONCE_LEN + box_len);

        if (!p)
                return buf_status(out);
        struct writer w = writer_of(p, DERP_HEADER_LEN + plain.len + BOX_NONCE_LEN);
        derp_header_write(&w, type, plain.len + BOX_NONCE_LEN + box_len);
        wr_slice(&w, plain);
        wr_bytes(&w, nonce, BOX_NONCE_LEN);
        box_seal(k, nonce, buf_slice(json), w.p);
        return OK;
}

/* Opens `nonce || box` into memory of the arena. */
static enum err sealed_open(struct reader *r, const struct public_key *from, const struct secret_key *to,
                            struct arena *arena, struct slice *plain)
{
        uint8_t nonce[BOX_NONCE_LEN];
        struct shared_key k;

        rd_copy(r, nonce, sizeof(nonce));
        struct slice boxed = rd_rest(r);
        if (r->failed || boxed.len < BOX_TAG_LEN)
                return ERR_SHORT;
        uint8_t *out = arena_alloc(arena, boxed.len);
        if (!out)
                return ERR_NOMEM;
        enum err e = box_precompute(from, to, &k);
        if (e == OK)
                e = box_open(&k, nonce, boxed, out);
        key_wipe(&k, sizeof(k));
        *plain = slice_make(out, boxed.len - BOX_TAG_LEN);
        return e;
}

enum err derp_client_info_write(const struct derp_client_info *info, const struct secret_key *client,
                                const struct public_key *server, const uint8_t nonce[static BOX_NONCE_LEN],
                                struct buf *out)
{
        struct buf json = BUF_INIT(CLIENT_INFO_JSON_MAX);
        struct json_writer w;
        struct public_key self;
        struct shared_key k;

        json_writer_init(&w, &json, NULL);
        json_object_open(&w);
        if (info->has_mesh_key) { /* an empty one would be refused: leave it out */
                char hex[2 * sizeof(info->mesh_key.b) + 1];
                hex_encode(SLICE_ARRAY(info->mesh_key.b), hex);
                json_field_str(&w, "meshKey", hex);
                key_wipe(hex, sizeof(hex));
        }
        json_field_i64(&w, "version", info->version);
        json_field_bool(&w, "CanAckPings", info->can_ack_pings);
        if (info->is_prober)
                json_field_bool(&w, "IsProber", true);
        if (info->app_name.len)
                json_field_slice(&w, "AppName", info->app_name);
        json_object_close(&w);

        key_public(client, &self);
        enum err e = buf_status(&json);
        if (e == OK)
                e = box_precompute(server, client, &k);
        if (e == OK)
                e = sealed_frame_write(DERP_CLIENT_INFO, key_slice(&self), &k, nonce, &json, out);
        key_wipe(&k, sizeof(k));
        buf_wipe(&json);
        return e;
}

static void client_info_json(struct json_reader *r, struct derp_client_info *info)
{
        struct slice name;

        json_object_begin(r);
        while (json_member(r, &name)) {
                if (slice_equal_nocase(name, SLICE_LIT("meshKey"))) {
                        if (json_take_null(r))
                                continue;
                        info->has_mesh_key = true;
                        if (hex_decode(json_string(r), info->mesh_key.b, sizeof(info->mesh_key.b)) != OK)
                                json_fail(r, ERR_FORMAT, "meshKey is not 64 hex digits");
                } else if (slice_equal_nocase(name, SLICE_LIT("version")))
                        info->version = json_i64(r);
                else if (slice_equal_nocase(name, SLICE_LIT("CanAckPings")))
                        info->can_ack_pings = json_bool(r);
                else if (slice_equal_nocase(name, SLICE_LIT("IsProber")))
                        info->is_prober = json_bool(r);
                else if (slice_equal_nocase(name, SLICE_LIT("AppName")))
                        info->app_name = json_string(r);
                else
                        json_skip(r);
        }
}

enum err derp_client_info_parse(struct slice payload, const struct secret_key *server, struct arena *arena,
                                struct public_key *client, struct derp_client_info *info)
{
        struct reader r = reader_of(payload);
        struct json_reader j;
        struct slice json;

        *info = (struct derp_client_info){ 0 };
        rd_copy(&r, client->b, KEY_LEN);
        enum err e = sealed_open(&r, client, server, arena, &json);
        if (e != OK)
                return e;
        json_reader_init(&j, json, arena);
        client_info_json(&j, info);
        return json_finish(&j) == OK ? OK : ERR_FORMAT;
}

enum err derp_server_info_write(const struct derp_server_info *info, const struct secret_key *server,
                                const struct public_key *client, const uint8_t nonce[static BOX_NONCE_LEN],
                                struct buf *out)
{
        struct buf json = BUF_INIT(SERVER_INFO_JSON_MAX);
        struct json_writer w;
        struct shared_key k;

        json_writer_init(&w, &json, NULL);
        json_object_open(&w);
        json_field_i64(&w, "version", info->version);
        if (info->bytes_per_second) {
                json_name(&w, "TokenBucketBytesPerSecond");
                json_put_u64(&w, info->bytes_per_second);
                json_name(&w, "TokenBucketBytesBurst");
                json_put_u64(&w, info->bytes_burst);
        }
        json_object_close(&w);

        enum err e = buf_status(&json);
        if (e == OK)
                e = box_precompute(client, server, &k);
        if (e == OK)
                e = sealed_frame_write(DERP_SERVER_INFO, (struct slice){ 0 }, &k, nonce, &json, out);
        key_wipe(&k, sizeof(k));
        buf_fini(&json);
        return e;
}

enum err derp_server_info_parse(struct slice payload, const struct secret_key *client,
                                const struct public_key *server, struct arena *arena,
                                struct derp_server_info *info)
{
        struct reader r = reader_of(payload);
        struct json_reader j;
        struct slice json, name;

        *info = (struct derp_server_info){ 0 };
        enum err e = sealed_open(&r, server, client, arena, &json);
        if (e != OK)
                return e;
        json_reader_init(&j, json, arena);
        json_object_begin(&j);
        while (json_member(&j, &name)) {
                if (slice_equal_nocase(name, SLICE_LIT("version")))
                        info->version = json_i64(&j);
                else if (slice_equal_nocase(name, SLICE_LIT("TokenBucketBytesPerSecond")))
                        info->bytes_per_second = json_u64(&j);
                else if (slice_equal_nocase(name, SLICE_LIT("TokenBucketBytesBurst")))
                        info->bytes_burst = json_u64(&j);
                else
                        json_skip(&j);
        }
        return json_finish(&j) == OK ? OK : ERR_FORMAT;
}

/* ---- Notices ------------------------------------------------------------ */

enum err derp_peer_gone_parse(struct slice payload, struct derp_peer_gone *out)
{
        struct reader r = reader_of(payload);

        rd_copy(&r, out->peer.b, KEY_LEN);
        out->reason = rd_left(&r) ? rd_u8(&r) : DERP_GONE_DISCONNECTED;
        return rd_finish_open(&r);
}

void derp_peer_gone_write(struct writer *w, const struct public_key *peer, enum derp_gone_reason reason)
{
        derp_header_write(w, DERP_PEER_GONE, KEY_LEN + 1);
        wr_bytes(w, peer->b, KEY_LEN);
        wr_u8(w, (uint8_t)reason);
}

enum err derp_peer_present_parse(struct slice payload, struct derp_peer_present *out)
{
        struct reader r = reader_of(payload);

        *out = (struct derp_peer_present){ 0 };
        rd_copy(&r, out->peer.b, KEY_LEN);
        if (rd_left(&r) >= 18) /* older servers end before the address or the flags */
                out->remote = rd_ip_port18(&r);
        if (rd_left(&r) >= 1)
                out->flags = rd_u8(&r);
        return rd_finish_open(&r);
}

void derp_peer_present_write(struct writer *w, const struct derp_peer_present *p)
{
        derp_header_write(w, DERP_PEER_PRESENT, KEY_LEN + 18 + 1);
        wr_bytes(w, p->peer.b, KEY_LEN);
        wr_ip_port18(w, &p->remote);
        wr_u8(w, p->flags);
}

enum err derp_restarting_parse(struct slice payload, struct derp_restarting *out)
{
        struct reader r = reader_of(payload);

        out->reconnect_in_ms = rd_be32(&r);
        out->try_for_ms = rd_be32(&r);
        return rd_finish_open(&r);
}

/* ---- Keys as text ------------------------------------------------------- */

void derp_metacert_name(const struct public_key *key, char out[static DERP_METACERT_NAME_LEN + 1])
{
        memcpy(out, METACERT_PREFIX, sizeof(METACERT_PREFIX) - 1);
        hex_encode(key_slice(key), out + sizeof(METACERT_PREFIX) - 1);
}

enum err derp_metacert_parse(struct slice common_name, uint64_t serial, struct public_key *out)
{
        struct slice prefix = SLICE_LIT(METACERT_PREFIX);

        if (!slice_has_prefix(common_name, prefix) || serial == 0 || serial > UINT8_MAX)
                return ERR_NOTFOUND;
        return hex_decode(slice_after(common_name, prefix.len), out->b, KEY_LEN) == OK ? OK : ERR_NOTFOUND;
}

enum err derp_mesh_key_parse(struct slice text, struct derp_mesh_key *out)
{
        return hex_decode(slice_trim(text), out->b, sizeof(out->b));
}
