/*
 * Who must be told what. Every change gets the next number of the tailnet; a session
 * remembers the number up to which its node knows everything (session.cursor). Changed
 * nodes are kept in the order of their latest change, so what a session lacks is the
 * tail of that list, and no session keeps a list of its own.
 */
#include <stdlib.h>

#include "state.h"

static struct peer_chunk *chunk_of(struct tailnet *t, int64_t id)
{
        size_t at = (size_t)(id >> PEER_CHUNK_SHIFT);

        if (at >= t->n_chunks) {
                size_t n = at + 16;
                struct peer_chunk *chunks = realloc(t->chunks, n * sizeof(*chunks));
                if (!chunks)
                        abort();
                memset(chunks + t->n_chunks, 0, (n - t->n_chunks) * sizeof(*chunks));
                for (size_t i = t->n_chunks; i < n; i++)
                        chunks[i].frame = BUF_INIT(16 << 20);
                t->chunks = chunks;
                t->n_chunks = n;
        }
        return &t->chunks[at];
}

void change_mark(struct server *s, struct node *n, enum change what)
{
        struct tailnet *t = &s->tailnet;
        uint64_t seq = ++t->change_seq;

        n->seq[what] = seq;
        if (what < CHANGE_SELF) {
                n->changed_seq = seq;
                list_remove(&n->changed);
                list_push_back(&t->changed, &n->changed);
                buf_clear(&n->peer_json);
                chunk_of(t, n->id)->changed_seq = seq;
        }
        session_schedule_flush(s);
}

void change_mark_all(struct server *s, struct node *n, unsigned changes)
{
        for (enum change what = 0; what < N_CHANGES; what++) {
                if (changes & 1U << what)
                        change_mark(s, n, what);
        }
}

void change_removed(struct server *s, int64_t node_id)
{
        struct tailnet *t = &s->tailnet;
        uint64_t seq = ++t->change_seq;

        t->tombstones[t->n_tombstones++ % N_TOMBSTONES] = (struct tombstone){ seq, node_id };
        chunk_of(t, node_id)->changed_seq = seq;
        session_schedule_flush(s);
}

void change_mark_common(struct server *s, uint64_t *seq)
{
        *seq = ++s->tailnet.change_seq;
        session_schedule_flush(s);
}
