#include "load.h"

#include <stdlib.h>

#include "base/cursor.h"
#include "base/table.h"
#include "base/timer.h"

enum {
        ALL_PER_SECOND = 500,
        ALL_BURST = 128,
        SOURCE_PER_SECOND = 20,
        SOURCE_BURST = 5,
        LOAD_SOURCES = 4096,
        PROBES = 8, /* places in the table where a source may be */
};

/*
 * A token bucket as one number, the time when it will be full again: taking one
 * token moves it on by the time one token takes. False if it is empty.
 */
static bool take(uint64_t *full_us, unsigned per_second, unsigned burst, uint64_t now_us)
{
        const uint64_t token_us = TIME_S(1) / per_second;
        uint64_t from_us = *full_us > now_us ? *full_us : now_us;

        if (from_us + token_us > now_us + burst * token_us)
                return false;
        *full_us = from_us + token_us;
        return true;
}

void load_fini(struct load *l)
{
        free(l->sources);
        *l = (struct load){ 0 };
}

bool load_is_heavy(struct load *l, uint64_t now_us)
{
        if (!take(&l->full_us, ALL_PER_SECOND, ALL_BURST, now_us))
                l->heavy_until_us = now_us + TIME_S(1);
        return now_us < l->heavy_until_us;
}

static uint64_t source_id(const struct tunnel_source *from)
{
        uint8_t bytes[40];
        struct writer w = writer_of(bytes, sizeof bytes);

        wr_u8(&w, (uint8_t)from->via);
        if (from->via == TUNNEL_VIA_DERP) {
                wr_le16(&w, from->region);
                wr_bytes(&w, from->from.b, KEY_LEN);
        } else {
                /* whoever has an IPv6 address has its /64 */
                wr_u8(&w, from->addr.ip.family);
                wr_bytes(&w, from->addr.ip.b, 8);
                if (from->via == TUNNEL_VIA_PEER_RELAY)
                        wr_le32(&w, from->vni);
        }
        return hash_bytes(slice_make(bytes, (size_t)(w.p - w.start))) | 1;
}

/* The source's bucket, or a new one in place of one that is full again, which is
 * as good as none; NULL when all its places are taken by others. */
static struct load_source *source_find(struct load *l, uint64_t id, uint64_t now_us)
{
        struct load_source *unused = NULL;

        for (uint64_t i = 0; i < PROBES; i++) {
                struct load_source *s = &l->sources[((id >> 1) + i) % LOAD_SOURCES];

                if (s->id == id)
                        return s;
                if (!unused && s->full_us <= now_us)
                        unused = s;
        }
        if (unused)
                *unused = (struct load_source){ .id = id };
        return unused;
}

bool load_admits(struct load *l, const struct tunnel_source *from, uint64_t now_us)
{
        struct load_source *s;

        if (!l->sources)
                l->sources = calloc(LOAD_SOURCES, sizeof *l->sources);
        if (!l->sources)
                return false;
        s = source_find(l, source_id(from), now_us);
        return s && take(&s->full_us, SOURCE_PER_SECOND, SOURCE_BURST, now_us);
}
