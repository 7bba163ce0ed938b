/* Packets that wait for their peer's session. */
#include <stdlib.h>

#include "sender.h"

static struct staged_packet *stage_take(struct sender *s, struct dataplane_peer *peer)
{
        struct staged_packet *p = peer->stage_first;

        if (!p)
                return NULL;
        peer->stage_first = p->next;
        if (!p->next)
                peer->stage_last = NULL;
        peer->stage_count--;
        peer->stage_bytes -= p->len;
        s->staged_bytes -= p->len;
        return p;
}

void stage_add(
        struct sender *s, struct dataplane_peer *peer, const uint8_t *plain, const struct send_cell *cell)
{
        uint32_t len = cell->inner_len;

        while (peer->stage_count > 0 &&
                (peer->stage_count == STAGE_PACKETS || peer->stage_bytes + len > STAGE_BYTES)) {
                free(stage_take(s, peer));
                count_add(&s->dp->counters.out_stage_dropped, 1);
        }
        struct staged_packet *p = NULL;
        if (s->staged_bytes + len <= STAGE_BYTES_ALL)
                p = malloc(sizeof(*p) + len);
        if (!p) {
                count_add(&s->dp->counters.out_stage_dropped, 1);
                return;
        }
        p->next = NULL;
        p->len = len;
        memcpy(p->bytes, plain, len);
        if (peer->stage_last)
                peer->stage_last->next = p;
        else
                peer->stage_first = p;
        peer->stage_last = p;
        peer->stage_count++;
        peer->stage_bytes += len;
        s->staged_bytes += len;
}

bool stage_flush(struct sender *s, struct dataplane_peer *peer)
{
        unsigned n = peer->stage_count; /* what cannot be sent comes back to the stage */

        for (unsigned i = 0; i < n; i++) {
                struct staged_packet *p = stage_take(s, peer);
                if (!p)
                        break;
                uint8_t *out = batch_reserve(s, p->len);
                if (out) {
                        memcpy(out, p->bytes, p->len);
                        batch_commit(s, peer, p->len);
                }
                free(p);
        }
        return n > 0;
}

void stage_drop(struct sender *s, struct dataplane_peer *peer)
{
        struct staged_packet *p;

        while ((p = stage_take(s, peer)))
                free(p);
}
