/*
 * Framing of /machine/map (spec/control.md 4.2): each message is its size as a
 * 32-bit little-endian number, then that many bytes: JSON, or zstd frames of JSON,
 * one or several one after the other, decoded without memory of earlier messages.
 */
#ifndef PROTO_MAP_FRAME_H
#define PROTO_MAP_FRAME_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
        MAP_FRAME_HEADER_LEN = 4,
        MAP_FRAME_MAX = 64 << 20,         /* one message on the wire */
        MAP_FRAME_DECODED_MAX = 256 << 20 /* and its JSON */
};

/* Decodes the zstd frames of one message into out, whose own maximum bounds the
 * result. Empty input gives empty output. ERR_FORMAT, ERR_LIMIT, ERR_NOMEM. */
enum err MUST_USE map_frame_decompress(struct slice frames, struct buf *out);
/* Appends json to out as one zstd frame (single segment, checksum) with the size
 * in front. ERR_LIMIT, ERR_NOMEM; out is then as it was. */
enum err MUST_USE map_frame_write(struct slice json, struct buf *out);
/* The same without compression, for requests that did not ask for it. */
enum err MUST_USE map_frame_write_plain(struct slice json, struct buf *out);
/* Appends a zstd frame alone, without the size: a chunk several messages share. */
enum err MUST_USE map_frame_compress(struct slice json, struct buf *out);

/*
 * Cuts a stream of arbitrary pieces into messages:
 *     map_splitter_push(&s, piece);
 *     while (map_splitter_next(&s, &message)) ...
 */
struct map_splitter {
        struct buf pending;
        size_t taken;       /* bytes of pending already handed out */
        size_t max_message; /* the longest message accepted */
        enum err status;
};

void map_splitter_init(struct map_splitter *s, size_t max_message);
void map_splitter_fini(struct map_splitter *s);
/* ERR_LIMIT once a message announced more than the maximum, or ERR_NOMEM: the
 * stream is then lost for good. Messages cut before the failure are still valid. */
enum err MUST_USE map_splitter_push(struct map_splitter *s, struct slice bytes);
/* The next whole message, valid until the next push. False: none is complete, or
 * the stream failed (s->status). */
bool map_splitter_next(struct map_splitter *s, struct slice *message);

#endif
