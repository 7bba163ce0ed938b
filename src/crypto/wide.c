/*
 * The bulk AEAD by our own kernels: which block goes into which lane, the ends of
 * packets that fill no whole block, and the last steps of the tags.
 */
#include "wide.h"

#include <assert.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "bulk_internal.h"

enum {
        GROUP = 16, /* packets worked on together: they fit into the first-level cache */
        POLY_BLOCK = 16,
};

/* Whose copy lies in edges[lane]. */
struct edge {
        uint8_t *text;
        uint8_t len, lane;
};

struct bulk_wide {
        const struct wide_kernel *kernel;
        struct wide_mac mac;
        struct wide_blocks blocks;
        unsigned block_count;
        alignas(64) uint8_t keys[GROUP][WIDE_BLOCK];           /* the first block of each packet's key stream */
        alignas(64) uint8_t edges[WIDE_CIPHER_MAX][WIDE_BLOCK]; /* copies of what is no whole block; and scratch */
        struct edge edge[WIDE_CIPHER_MAX];
        unsigned edge_count;
        uint8_t tags[GROUP][AEAD_TAG_LEN];
};

static const struct wide_kernel *kernel_of_cpu(void)
{
#ifdef HAVE_AVX512
        if (wide_avx512.is_usable())
                return &wide_avx512;
#endif
        return NULL;
}

struct bulk_wide *bulk_wide_new(void)
{
        const struct wide_kernel *kernel = kernel_of_cpu();
        struct bulk_wide *w = kernel ? aligned_alloc(alignof(struct bulk_wide), sizeof(*w)) : NULL;

        if (!w)
                return NULL;
        memset(w, 0, sizeof(*w));
        w->kernel = kernel;
        return w;
}

void bulk_wide_free(struct bulk_wide *w)
{
        if (!w)
                return;
        key_wipe(w, sizeof(*w));
        free(w);
}

const char *bulk_wide_name(const struct bulk_wide *w) { return w->kernel->name; }

/* ---- the cipher ---------------------------------------------------------- */

static void cipher_flush(struct bulk_wide *w, const struct bulk_key *k)
{
        if (w->block_count == 0)
                return;
        for (unsigned i = w->block_count; i < w->kernel->cipher_lanes; i++)
                w->blocks.text[i] = w->edges[i];
        w->kernel->cipher(k->key.b, &w->blocks);
        for (; w->edge_count > 0; w->edge_count--) {
                const struct edge *e = &w->edge[w->edge_count - 1];
                memcpy(e->text, w->edges[e->lane], e->len);
        }
        w->block_count = 0;
}

/* Whole blocks of one packet, from this number on. */
static void cipher_blocks(struct bulk_wide *w, const struct bulk_key *k, uint64_t counter, uint32_t number,
        uint8_t *text, size_t count)
{
        const unsigned lanes = w->kernel->cipher_lanes;

        while (count > 0) {
                unsigned lane = w->block_count;
                unsigned end = count < lanes - lane ? lane + (unsigned)count : lanes;

                count -= end - lane;
                for (; lane < end; lane++, text += WIDE_BLOCK) {
                        w->blocks.number[lane] = number++;
                        w->blocks.counter[lane] = counter;
                        w->blocks.text[lane] = text;
                }
                w->block_count = end;
                if (end == lanes)
                        cipher_flush(w, k);
        }
}

/* The end of a packet that fills no block is worked on in a copy. */
static void cipher_edge(struct bulk_wide *w, const struct bulk_key *k, uint64_t counter, uint32_t number,
        uint8_t *text, size_t len)
{
        const unsigned lane = w->block_count;

        memcpy(w->edges[lane], text, len);
        w->edge[w->edge_count++] = (struct edge){ text, (uint8_t)len, (uint8_t)lane };
        cipher_blocks(w, k, counter, number, w->edges[lane], 1);
}

static void cipher_all(struct bulk_wide *w, const struct bulk_key *k, const struct bulk_packet *packets, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                const struct bulk_packet *p = &packets[i];
                const size_t whole = p->len / WIDE_BLOCK, rest = p->len % WIDE_BLOCK;

                cipher_blocks(w, k, p->counter, 1, p->text, whole);
                if (rest > 0)
                        cipher_edge(w, k, p->counter, (uint32_t)whole + 1, p->text + p->len - rest, rest);
        }
        cipher_flush(w, k);
}

static void make_keys(struct bulk_wide *w, const struct bulk_key *k, const struct bulk_packet *packets, size_t n)
{
        memset(w->keys, 0, sizeof(w->keys));
        for (size_t i = 0; i < n; i++)
                cipher_blocks(w, k, packets[i].counter, 0, w->keys[i], 1);
        cipher_flush(w, k);
}

/* ---- the tags ------------------------------------------------------------ */

/* The packets in the lanes of one authenticator. All texts end at the same step, so
 * the shorter ones begin later: a lane absorbs zeros before, which leave its empty
 * sum as it is. */
struct mac_lanes {
        const uint8_t *text[WIDE_MAC_MAX];
        size_t len[WIDE_MAC_MAX];
        size_t lead[WIDE_MAC_MAX]; /* bytes of zeros before the text */
        size_t steps;
        size_t plain_from, plain_to; /* steps that lie within the text in all lanes */
};

static void mac_lanes_init(struct mac_lanes *m, unsigned lanes, const struct bulk_packet *packets, size_t n)
{
        *m = (struct mac_lanes){ 0 };
        for (unsigned i = 0; i < lanes; i++) {
                /* A lane without a packet repeats the first. */
                const struct bulk_packet *p = &packets[i < n ? i : 0];
                m->text[i] = p->text;
                m->len[i] = p->len;
                size_t steps = (p->len + WIDE_BLOCK - 1) / WIDE_BLOCK;
                m->steps = steps > m->steps ? steps : m->steps;
        }
        m->plain_to = m->steps;
        for (unsigned i = 0; i < lanes; i++) {
                size_t blocks = (m->len[i] + POLY_BLOCK - 1) / POLY_BLOCK;
                m->lead[i] = m->steps * WIDE_BLOCK - blocks * POLY_BLOCK;
                size_t from = (m->lead[i] + WIDE_BLOCK - 1) / WIDE_BLOCK, to = (m->lead[i] + m->len[i]) / WIDE_BLOCK;
                m->plain_from = from > m->plain_from ? from : m->plain_from;
                m->plain_to = to < m->plain_to ? to : m->plain_to;
        }
        if (m->plain_from > m->plain_to)
                m->plain_from = m->plain_to = m->steps;
}

/* One lane's bytes of a step that is not plain everywhere. */
static const uint8_t *mac_edge(const struct mac_lanes *m, unsigned lane, size_t step, uint8_t edge[WIDE_BLOCK],
        uint64_t is_text[4][WIDE_MAC_MAX])
{
        size_t lead = m->lead[lane], len = m->len[lane], at = step * WIDE_BLOCK;

        for (size_t b = 0; b < 4; b++)
                is_text[b][lane] = at + b * POLY_BLOCK >= lead ? UINT64_MAX : 0;
        if (at >= lead && at + WIDE_BLOCK <= lead + len)
                return m->text[lane] + (at - lead);
        memset(edge, 0, WIDE_BLOCK);
        size_t from = at > lead ? at : lead, to = at + WIDE_BLOCK < lead + len ? at + WIDE_BLOCK : lead + len;
        if (from < to)
                memcpy(edge + (from - at), m->text[lane] + (from - lead), to - from);
        return edge;
}

static void mac_edges(struct bulk_wide *w, const struct mac_lanes *m, size_t from, size_t to)
{
        const uint8_t *at[WIDE_MAC_MAX];
        uint64_t is_text[4][WIDE_MAC_MAX];

        for (size_t step = from; step < to; step++) {
                for (unsigned i = 0; i < w->kernel->mac_lanes; i++)
                        at[i] = mac_edge(m, i, step, w->edges[i], is_text);
                w->kernel->mac_absorb(&w->mac, at, 1, is_text);
        }
}

static void mac_plain(struct bulk_wide *w, const struct mac_lanes *m)
{
        const uint8_t *at[WIDE_MAC_MAX];
        uint64_t is_text[4][WIDE_MAC_MAX];

        if (m->plain_from == m->plain_to)
                return;
        memset(is_text, 0xff, sizeof(is_text));
        for (unsigned i = 0; i < w->kernel->mac_lanes; i++)
                at[i] = m->text[i] + (m->plain_from * WIDE_BLOCK - m->lead[i]);
        w->kernel->mac_absorb(&w->mac, at, m->plain_to - m->plain_from, is_text);
}

/* The accumulator modulo 2^130 - 5, plus the second half of the packet's key. */
static void mac_tag(uint64_t a, uint64_t b, uint64_t c, const uint8_t addend[POLY_BLOCK], uint8_t tag[AEAD_TAG_LEN])
{
        const uint64_t mask = (UINT64_C(1) << 44) - 1, top_mask = (UINT64_C(1) << 42) - 1;

        for (int i = 0; i < 2; i++) {
                b += a >> 44;
                a &= mask;
                c += b >> 44;
                b &= mask;
                a += 5 * (c >> 42);
                c &= top_mask;
        }
        b += a >> 44;
        a &= mask;
        /* Less 2^130 - 5 if it is no less than that. */
        uint64_t a5 = a + 5, b5 = b + (a5 >> 44), c5 = c + (b5 >> 44);
        uint64_t is_more = -(c5 >> 42);
        __asm__("" : "+r"(is_more)); /* a mask, not a condition */
        a = (a & ~is_more) | (a5 & mask & is_more);
        b = (b & ~is_more) | (b5 & mask & is_more);
        c = (c & ~is_more) | (c5 & is_more);

        uint64_t low = a | b << 44, high = b >> 20 | c << 24;
        uint64_t sum = low + get_le64(addend);
        high += get_le64(addend + 8) + (sum < low);
        put_le64(tag, sum);
        put_le64(tag + 8, high);
}

static void mac_all(struct bulk_wide *w, const struct bulk_packet *packets, size_t n)
{
        const unsigned lanes = w->kernel->mac_lanes;

        for (size_t first = 0; first < n; first += lanes) {
                size_t count = n - first < lanes ? n - first : lanes;
                uint64_t lens[WIDE_MAC_MAX], sum[3][WIDE_MAC_MAX];
                struct mac_lanes m;

                mac_lanes_init(&m, lanes, packets + first, count);
                w->kernel->mac_begin(&w->mac, (const uint8_t (*)[WIDE_BLOCK])&w->keys[first]);
                mac_edges(w, &m, 0, m.plain_from);
                mac_plain(w, &m);
                mac_edges(w, &m, m.plain_to, m.steps);
                for (unsigned i = 0; i < lanes; i++)
                        lens[i] = m.len[i];
                w->kernel->mac_end(&w->mac, lens, sum);
                for (size_t i = 0; i < count; i++)
                        mac_tag(sum[0][i], sum[1][i], sum[2][i], w->keys[first + i] + POLY_BLOCK, w->tags[first + i]);
        }
}

/* ---- both ---------------------------------------------------------------- */

void bulk_wide_run(struct bulk_wide *w, const struct bulk_key *k, enum bulk_direction dir,
        struct bulk_packet *packets, size_t n)
{
        for (; n > 0; packets += GROUP) {
                size_t count = n < GROUP ? n : GROUP;

                make_keys(w, k, packets, count);
                if (dir == BULK_SEAL)
                        cipher_all(w, k, packets, count);
                mac_all(w, packets, count);
                for (size_t i = 0; i < count; i++) {
                        uint8_t *tag = packets[i].text + packets[i].len;

                        packets[i].is_ok = dir == BULK_SEAL || bulk_tags_equal(w->tags[i], tag);
                        if (dir == BULK_SEAL)
                                memcpy(tag, w->tags[i], AEAD_TAG_LEN);
                }
                if (dir == BULK_OPEN)
                        cipher_all(w, k, packets, count);
                n -= count;
        }
}
