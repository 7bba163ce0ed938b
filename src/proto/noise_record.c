/* Noise records and the early payload (spec/control.md, sections 2 and 3). */
#include <string.h>

#include "base/cursor.h"
#include "crypto/aead.h"
#include "proto/noise.h"

/* "\xff\xff\xffTS": no HTTP/2 frame begins so, its length would be 16 MiB. */
static const uint8_t early_magic[] = { 0xff, 0xff, 0xff, 'T', 'S' };

/* Big-endian, unlike Noise's own (trap 1). */
static void put_nonce(uint8_t nonce[static AEAD_NONCE_LEN], uint64_t counter)
{
        struct writer w = writer_of(nonce, AEAD_NONCE_LEN);
        wr_zero(&w, 4);
        wr_be64(&w, counter);
}

enum err noise_seal(struct noise_cipher *c, struct slice plain, uint8_t *out, size_t *len)
{
        uint8_t nonce[AEAD_NONCE_LEN];

        if (plain.len > NOISE_PLAIN_MAX)
                return ERR_RANGE;
        if (c->failed || c->counter == UINT64_MAX) {
                c->failed = true;
                return ERR_STATE;
        }
        put_nonce(nonce, c->counter++);
        out[0] = NOISE_RECORD;
        put_be16(out + 1, (uint16_t)(plain.len + NOISE_TAG_LEN));
        aead_seal(&c->key, nonce, (struct slice){ 0 }, plain, out + NOISE_RECORD_HEADER_LEN);
        *len = NOISE_RECORD_HEADER_LEN + plain.len + NOISE_TAG_LEN;
        return OK;
}

enum err noise_frame_len(struct slice bytes, enum noise_type want, size_t *len)
{
        struct reader r = reader_of(bytes);

        /* The type is judged as soon as it is there. */
        if (bytes.len > 0 && bytes.ptr[0] != want)
                return ERR_FORMAT;
        if (bytes.len < NOISE_RECORD_HEADER_LEN)
                return ERR_SHORT;
        rd_skip(&r, 1);
        *len = NOISE_RECORD_HEADER_LEN + (size_t)rd_be16(&r);
        if (*len > NOISE_RECORD_MAX)
                return ERR_FORMAT;
        if (want == NOISE_RESPONSE && *len != NOISE_RESPONSE_LEN)
                return ERR_FORMAT;
        if (want == NOISE_RECORD && *len < NOISE_RECORD_HEADER_LEN + NOISE_TAG_LEN)
                return ERR_FORMAT;
        return OK;
}

static enum err open_record(struct noise_cipher *c, struct slice record, uint8_t *plain, size_t *len)
{
        uint8_t nonce[AEAD_NONCE_LEN];
        size_t frame_len;

        enum err e = noise_frame_len(record, NOISE_RECORD, &frame_len);
        if (e != OK || frame_len != record.len)
                return ERR_FORMAT;
        put_nonce(nonce, c->counter);
        e = aead_open(&c->key, nonce, (struct slice){ 0 }, slice_after(record, NOISE_RECORD_HEADER_LEN), plain);
        if (e != OK)
                return e;
        c->counter++;
        *len = record.len - NOISE_RECORD_HEADER_LEN - NOISE_TAG_LEN;
        return OK;
}

enum err noise_open(struct noise_cipher *c, struct slice record, uint8_t *plain, size_t *len)
{
        *len = 0;
        if (c->failed || c->counter == UINT64_MAX)
                return ERR_STATE;
        enum err e = open_record(c, record, plain, len);
        c->failed = e != OK;
        return e;
}

void noise_early_head(uint32_t json_len, uint8_t out[static NOISE_EARLY_HEAD_LEN])
{
        struct writer w = writer_of(out, NOISE_EARLY_HEAD_LEN);
        wr_bytes(&w, early_magic, sizeof(early_magic));
        wr_be32(&w, json_len);
}

enum err noise_early_parse(struct slice head, uint32_t *json_len)
{
        struct reader r = reader_of(head);

        if (head.len < NOISE_EARLY_HEAD_LEN)
                return ERR_SHORT;
        if (!slice_equal(rd_take(&r, sizeof(early_magic)), SLICE_ARRAY(early_magic)))
                return ERR_NOTFOUND;
        *json_len = rd_be32(&r);
        return *json_len <= NOISE_EARLY_JSON_MAX ? OK : ERR_LIMIT;
}
