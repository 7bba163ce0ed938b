/* Any messages, one a line, applied to one netmap, "!" beginning a new session: the map
 * stays sound, and its cache brings the same map back. */
#include <stdlib.h>

#include "client/netmap.h"

#include "fuzz.h"

enum { MEMORY_MAX = 4 << 20 };

static void check_peers(const struct netmap *nm)
{
        for (size_t i = 0; i < netmap_peer_count(nm); i++) {
                const struct tailcfg_node *n = netmap_peer_at(nm, i);

                if (netmap_peer_by_id(nm, n->id) != n || !n->allowed_ips.items)
                        abort();
                if (i && netmap_peer_at(nm, i - 1)->id >= n->id)
                        abort();
        }
}

static void apply(struct netmap *nm, struct slice json, const struct now *now)
{
        struct arena arena = ARENA_INIT(MEMORY_MAX);
        const struct netmap_changes *changes;
        struct tailcfg_map_response m;
        int64_t next;

        if (!tailcfg_map_response_decode(json, &arena, &m) && !netmap_apply(nm, &m, now, &changes)) {
                check_peers(nm);
                netmap_expire_peers(nm, now, &next, &changes);
                check_peers(nm);
        }
        arena_fini(&arena);
}

static void load(void *ctx, struct slice key, struct slice bytes)
{
        if (netmap_load(ctx, key, bytes))
                abort();
}

static void forget(void *ctx, struct slice key)
{
        (void)ctx;
        (void)key;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct netmap *nm = netmap_new(), *copy = netmap_new();
        struct now now = { .mono_us = 1, .unix_us = INT64_C(1767225600000000) };
        const struct netmap_store store = { load, forget, copy };
        struct slice rest = slice_make(data, len), line;

        while (slice_split(&rest, '\n', &line)) {
                if (slice_is(line, "!"))
                        netmap_begin_session(nm);
                else
                        apply(nm, line, &now);
                now.unix_us += (int64_t)TIME_S(60);
        }
        if (netmap_save(nm, NULL, &store) || netmap_peer_count(copy) != netmap_peer_count(nm))
                abort();
        netmap_free(nm);
        netmap_free(copy);
        return 0;
}
