/* Map message framing and its zstd frames; see map_frame.h. */
#include "proto/map_frame.h"

#include <zstd.h>

#include "base/cursor.h"

/* Windows beyond this are refused: what a peer may make us allocate. */
enum { ZSTD_WINDOW_LOG_MAX = 27 };

static enum err decompress_step(ZSTD_DStream *ds, ZSTD_inBuffer *in, struct buf *out, size_t *hint)
{
        size_t room = out->max - out->len, piece = ZSTD_DStreamOutSize();
        ZSTD_outBuffer to;

        if (room == 0)
                return ERR_LIMIT;
        to.size = room < piece ? room : piece;
        to.pos = 0;
        to.dst = buf_extend(out, to.size);
        if (!to.dst)
                return ERR_NOMEM;
        *hint = ZSTD_decompressStream(ds, &to, in);
        out->len -= to.size - to.pos;
        return ZSTD_isError(*hint) ? ERR_FORMAT : OK;
}

enum err map_frame_decompress(struct slice frames, struct buf *out)
{
        ZSTD_inBuffer in = { frames.ptr, frames.len, 0 };
        ZSTD_DStream *ds;
        size_t hint = 0, before;
        enum err e = OK;

        if (frames.len == 0)
                return OK;
        ds = ZSTD_createDStream();
        if (!ds)
                return ERR_NOMEM;
        ZSTD_DCtx_setParameter(ds, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
        do {
                before = out->len;
                e = decompress_step(ds, &in, out, &hint);
        } while (!e && (in.pos < in.size || (hint && out->len > before)));
        ZSTD_freeDStream(ds);
        if (e)
                return e;
        return hint ? ERR_SHORT : OK; /* the last frame is not complete */
}

enum err map_frame_compress(struct slice json, struct buf *out)
{
        size_t start = out->len, bound = ZSTD_compressBound(json.len), n;
        ZSTD_CCtx *cc = ZSTD_createCCtx();
        void *room = cc ? buf_extend(out, bound) : NULL;

        if (!room) {
                ZSTD_freeCCtx(cc);
                return cc ? ERR_LIMIT : ERR_NOMEM;
        }
        ZSTD_CCtx_setParameter(cc, ZSTD_c_compressionLevel, 1);
        ZSTD_CCtx_setParameter(cc, ZSTD_c_checksumFlag, 1);
        n = ZSTD_compress2(cc, room, bound, json.ptr, json.len);
        ZSTD_freeCCtx(cc);
        out->len = ZSTD_isError(n) ? start : start + n;
        return ZSTD_isError(n) ? ERR_NOMEM : OK;
}

static enum err seal_header(struct buf *out, size_t start, enum err e)
{
        size_t body;

        if (!e)
                e = buf_status(out);
        body = e ? 0 : out->len - start - MAP_FRAME_HEADER_LEN;
        if (body > MAP_FRAME_MAX)
                e = ERR_LIMIT;
        if (e) {
                out->len = start;
                return e;
        }
        put_le32(out->ptr + start, (uint32_t)body);
        return OK;
}

enum err map_frame_write(struct slice json, struct buf *out)
{
        size_t start = out->len;
        enum err e;

        if (!buf_extend(out, MAP_FRAME_HEADER_LEN))
                return ERR_LIMIT;
        e = map_frame_compress(json, out);
        return seal_header(out, start, e);
}

enum err map_frame_write_plain(struct slice json, struct buf *out)
{
        size_t start = out->len;

        if (!buf_extend(out, MAP_FRAME_HEADER_LEN))
                return ERR_LIMIT;
        buf_append_slice(out, json);
        return seal_header(out, start, OK);
}

void map_splitter_init(struct map_splitter *s, size_t max_message)
{
        /* While one message is awaited, at most its own length is kept. */
        *s = (struct map_splitter){ .max_message = max_message };
        buf_init(&s->pending, SIZE_MAX);
}

void map_splitter_fini(struct map_splitter *s)
{
        buf_fini(&s->pending);
}

/* What is pending begins with the header of the next message. */
static struct slice rest(const struct map_splitter *s)
{
        return slice_after(buf_slice(&s->pending), s->taken);
}

enum err map_splitter_push(struct map_splitter *s, struct slice bytes)
{
        if (s->status)
                return s->status;
        buf_consume(&s->pending, s->taken);
        s->taken = 0;
        buf_append_slice(&s->pending, bytes);
        s->status = buf_status(&s->pending);
        return s->status;
}

bool map_splitter_next(struct map_splitter *s, struct slice *message)
{
        struct slice left = rest(s);
        uint32_t len;

        if (s->status || left.len < MAP_FRAME_HEADER_LEN)
                return false;
        len = get_le32(left.ptr);
        if (len > s->max_message) {
                s->status = ERR_LIMIT;
                return false;
        }
        if (left.len - MAP_FRAME_HEADER_LEN < len)
                return false;
        *message = slice_first(slice_after(left, MAP_FRAME_HEADER_LEN), len);
        s->taken += MAP_FRAME_HEADER_LEN + len;
        return true;
}
