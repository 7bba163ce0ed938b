#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Blocks double from 4 KiB to 64 KiB; the newest is at the head of the list and
 * is the only one with free space. An allocation larger than a block gets one of
 * its own, linked behind the head so that the head's space is not lost.
 */
struct arena_block {
        struct arena_block *next;
        size_t used, cap;
        alignas(max_align_t) uint8_t bytes[];
};

enum { BLOCK_MIN = 4096, BLOCK_MAX = 65536 };

void arena_init(struct arena *a, size_t max)
{
        *a = ARENA_INIT(max);
}

void arena_fini(struct arena *a)
{
        for (struct arena_block *b = a->blocks, *next; b; b = next) {
                next = b->next;
                free(b);
        }
        arena_init(a, a->max);
}

static struct arena_block *block_new(size_t cap)
{
        struct arena_block *b = calloc(1, sizeof(*b) + cap);
        if (b)
                b->cap = cap;
        return b;
}

static struct arena_block *block_for(struct arena *a, size_t n)
{
        struct arena_block *head = a->blocks;
        size_t grown = head ? head->cap * 2 : BLOCK_MIN;

        if (head && n <= head->cap - head->used)
                return head;
        if (grown > BLOCK_MAX)
                grown = BLOCK_MAX;

        bool oversize = n > grown;
        struct arena_block *b = block_new(oversize ? n : grown);
        if (!b)
                return NULL;
        if (oversize && head) {
                b->next = head->next;
                head->next = b;
        } else {
                b->next = head;
                a->blocks = b;
        }
        return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
        size_t align = alignof(max_align_t);

        if (n == 0)
                n = 1;
        if (a->failed || n > a->max - a->used || n > SIZE_MAX - align)
                goto fail;
        size_t rounded = (n + align - 1) & ~(align - 1);
        struct arena_block *b = block_for(a, rounded);
        if (!b)
                goto fail;
        void *at = b->bytes + b->used;
        b->used += rounded;
        a->used += n;
        return at;
fail:
        a->failed = true;
        return NULL;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
        size_t total;

        if (__builtin_mul_overflow(n, size, &total)) {
                a->failed = true;
                return NULL;
        }
        return arena_alloc(a, total);
}

char *arena_cstr(struct arena *a, struct slice s)
{
        char *copy = s.len < SIZE_MAX ? arena_alloc(a, s.len + 1) : NULL;
        if (copy && s.len)
                memcpy(copy, s.ptr, s.len);
        return copy;
}

struct slice arena_copy(struct arena *a, struct slice s)
{
        char *copy = arena_cstr(a, s);
        return slice_make(copy, copy ? s.len : 0);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
        va_list ap, again;
        char *text = NULL;

        va_start(ap, fmt);
        va_copy(again, ap);
        int n = vsnprintf(NULL, 0, fmt, ap);
        if (n >= 0)
                text = arena_alloc(a, (size_t)n + 1);
        if (text)
                vsnprintf(text, (size_t)n + 1, fmt, again);
        va_end(again);
        va_end(ap);
        return text;
}
