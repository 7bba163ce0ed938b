/*
 * Any bytes as a stream of DERP frames, and each payload to its parser. The first
 * byte chooses the side, the second the size of the pieces; whole and in pieces
 * the frames must be the same. The rest is also tried as the sealed JSON of the
 * greeting, which no fuzzer could seal.
 */
#include <stdlib.h>

#include "proto/derp.h"

#include "fuzz.h"

static void parse_payload(const struct derp_frame *f)
{
        struct public_key a, b;
        struct slice packet;
        struct derp_peer_gone gone;
        struct derp_peer_present present;
        struct derp_restarting restarting;

        derp_type_name(f->type);
        if (derp_packet_parse(f->payload, &a, &packet) == OK)
                derp_looks_like_disco(packet);
        if (derp_forward_parse(f->payload, &a, &b, &packet) == OK)
                derp_looks_like_disco(packet);
        (void)!derp_server_key_parse(f->payload, &a);
        (void)!derp_peer_gone_parse(f->payload, &gone);
        (void)!derp_peer_present_parse(f->payload, &present);
        (void)!derp_restarting_parse(f->payload, &restarting);
}

/* The frames and their bytes, summed up so that two ways can be compared. */
static uint64_t decode(struct slice all, size_t piece, enum derp_side side)
{
        struct derp_decoder d;
        struct derp_frame f;
        uint64_t sum = 0;
        enum err e = ERR_SHORT;

        derp_decoder_init(&d, side);
        while (all.len && e == ERR_SHORT) {
                struct slice in = slice_first(all, piece);
                all = slice_after(all, piece);
                while ((e = derp_decode(&d, &in, &f)) == OK) {
                        parse_payload(&f);
                        sum = sum * 31 + f.type;
                        for (size_t i = 0; i < f.payload.len; i++)
                                sum = sum * 31 + f.payload.ptr[i];
                }
        }
        derp_decoder_fini(&d);
        return sum * 31 + (e == ERR_RANGE);
}

static void greeting(struct slice json)
{
        static const struct secret_key client = { { 1 } }, server = { { 2 } };
        static const uint8_t nonce[BOX_NONCE_LEN];
        struct arena arena = ARENA_INIT(1 << 20);
        struct public_key client_pub, server_pub, who;
        struct shared_key k;
        struct derp_client_info client_info;
        struct derp_server_info server_info;
        size_t sealed_len = KEY_LEN + BOX_NONCE_LEN + json.len + BOX_TAG_LEN;
        uint8_t *sealed = malloc(sealed_len);

        key_public(&client, &client_pub);
        key_public(&server, &server_pub);
        if (!sealed || box_precompute(&server_pub, &client, &k) != OK)
                abort();
        memcpy(sealed, client_pub.b, KEY_LEN);
        memcpy(sealed + KEY_LEN, nonce, BOX_NONCE_LEN);
        box_seal(&k, nonce, json, sealed + KEY_LEN + BOX_NONCE_LEN);
        enum err e = derp_client_info_parse(slice_make(sealed, sealed_len), &server, &arena, &who, &client_info);
        if (e != OK && e != ERR_FORMAT)
                abort();
        e = derp_server_info_parse(slice_after(slice_make(sealed, sealed_len), KEY_LEN), &client, &server_pub, &arena, &server_info);
        if (e != OK && e != ERR_FORMAT)
                abort();
        arena_fini(&arena);
        free(sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        if (len < 2)
                return 0;
        struct slice rest = slice_make(data + 2, len - 2);
        enum derp_side side = data[0] & 1 ? DERP_AT_SERVER : DERP_AT_CLIENT;

        if (decode(rest, data[1] + 1u, side) != decode(rest, rest.len, side))
                abort();
        if (rest.len < 1024)
                greeting(rest);
        return 0;
}
