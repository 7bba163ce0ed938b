/* DERP frames out of a stream of bytes. */
#include "proto/derp.h"

/* The longest payload this side takes of a type; UNKNOWN: skip it unseen. */
#define UNKNOWN UINT32_MAX

static uint32_t server_payload_max(uint8_t type)
{
        switch (type) {
        case DERP_CLIENT_INFO:
                return DERP_CLIENT_INFO_MAX;
        case DERP_SEND_PACKET:
                return KEY_LEN + DERP_PACKET_MAX;
        case DERP_FORWARD_PACKET:
                return 2 * KEY_LEN + DERP_PACKET_MAX;
        case DERP_NOTE_PREFERRED:
                return 1;
        case DERP_WATCH_CONNS:
                return 0;
        case DERP_CLOSE_PEER:
                return KEY_LEN;
        case DERP_PING:
                return DERP_PING_MAX;
        default:
                return UNKNOWN;
        }
}

static uint32_t client_payload_max(uint8_t type)
{
        switch (type) {
        case DERP_SERVER_KEY:
                return 1024;
        case DERP_RECV_PACKET:
                return KEY_LEN + DERP_PACKET_MAX;
        case DERP_SERVER_INFO:
        case DERP_KEEP_ALIVE:
        case DERP_PEER_GONE:
        case DERP_PEER_PRESENT:
        case DERP_PING:
        case DERP_PONG:
        case DERP_HEALTH:
        case DERP_RESTARTING:
                return DERP_FRAME_MAX;
        default:
                return UNKNOWN;
        }
}

void derp_decoder_init(struct derp_decoder *d, enum derp_side side)
{
        *d = (struct derp_decoder){ .side = side, .part = BUF_INIT(DERP_FRAME_MAX) };
}

void derp_decoder_fini(struct derp_decoder *d)
{
        buf_fini(&d->part);
}

static size_t min_size(size_t a, size_t b)
{
        return a < b ? a : b;
}

static void forget_part(struct derp_decoder *d)
{
        if (d->part_is_spent)
                buf_fini(&d->part);
        d->part_is_spent = false;
}

/* True once five bytes are together. */
static bool take_header(struct derp_decoder *d, struct slice *in)
{
        size_t n = min_size((size_t)(DERP_HEADER_LEN - d->header_len), in->len);

        if (n)
                memcpy(d->header + d->header_len, in->ptr, n);
        d->header_len = (uint8_t)(d->header_len + n);
        *in = slice_after(*in, n);
        return d->header_len == DERP_HEADER_LEN;
}

static bool take_skipped(struct derp_decoder *d, struct slice *in)
{
        size_t n = min_size(d->skip, in->len);

        d->skip -= (uint32_t)n;
        *in = slice_after(*in, n);
        return d->skip == 0;
}

static enum err take_payload(struct derp_decoder *d, struct slice *in, uint32_t len, struct slice *out)
{
        if (d->part.len == 0 && in->len >= len) { /* all at hand: no copy */
                *out = slice_first(*in, len);
                *in = slice_after(*in, len);
                return OK;
        }
        if (in->len == 0) /* nothing is allocated for a promise */
                return ERR_SHORT;
        size_t n = min_size(len - d->part.len, in->len);
        buf_append_slice(&d->part, slice_first(*in, n));
        *in = slice_after(*in, n);
        if (buf_status(&d->part) != OK)
                return ERR_NOMEM;
        if (d->part.len < len)
                return ERR_SHORT;
        d->part_is_spent = true;
        *out = buf_slice(&d->part);
        return OK;
}

enum err derp_decode(struct derp_decoder *d, struct slice *in, struct derp_frame *out)
{
        forget_part(d);
        for (;;) {
                if (!take_skipped(d, in) || !take_header(d, in))
                        return ERR_SHORT;
                uint8_t type = d->header[0];
                uint32_t len = get_be32(d->header + 1);
                uint32_t max = d->side == DERP_AT_SERVER ? server_payload_max(type) : client_payload_max(type);

                if (d->side == DERP_AT_CLIENT && len > DERP_FRAME_MAX)
                        return ERR_RANGE;
                if (max == UNKNOWN) {
                        d->skip = len;
                        d->header_len = 0;
                        continue;
                }
                if (len > max)
                        return ERR_RANGE;
                out->type = type;
                enum err e = take_payload(d, in, len, &out->payload);
                if (e == OK)
                        d->header_len = 0;
                return e;
        }
}
