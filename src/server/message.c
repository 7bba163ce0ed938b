/* Map messages as shared bytes. */
#include <stdlib.h>

#include "mapper_internal.h"

struct server_message *server_message_ref(struct server_message *m)
{
        m->refs++;
        return m;
}

void server_message_unref(struct server_message *m)
{
        if (--m->refs == 0)
                free(m);
}

struct server_message *message_of(struct slice bytes)
{
        struct server_message *m = malloc(sizeof(*m) + bytes.len);

        if (!m)
                return NULL;
        m->refs = 1;
        m->len = bytes.len;
        if (bytes.len)
                memcpy(m->bytes, bytes.ptr, bytes.len);
        return m;
}

struct server_message *message_of_json(struct buf *json, bool zstd)
{
        struct buf framed = BUF_INIT(MESSAGE_MAX);
        struct server_message *m = NULL;

        if (buf_status(json) == OK && (zstd ? map_frame_write(buf_slice(json), &framed)
                                            : map_frame_write_plain(buf_slice(json), &framed)) == OK)
                m = message_of(buf_slice(&framed));
        buf_fini(&framed);
        return m;
}

struct server_message *mapper_keepalive(bool zstd)
{
        struct buf json = BUF_INIT(64);

        buf_append_str(&json, "{\"KeepAlive\":true}");
        struct server_message *m = message_of_json(&json, zstd);
        buf_fini(&json);
        return m;
}
