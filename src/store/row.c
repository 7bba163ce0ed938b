/* Copies of rows, each in one allocation: the struct, then its arrays, then its text. */
#include <stdlib.h>

#include "store/store.h"

/* Lays out one copy. The first pass (mem NULL) only counts bytes. */
struct packer {
        uint8_t *mem;
        size_t used;
};

static void *pack_bytes(struct packer *p, const void *bytes, size_t n, size_t align)
{
        p->used = (p->used + align - 1) / align * align;
        void *at = p->mem ? p->mem + p->used : NULL;
        if (at && n)
                memcpy(at, bytes, n);
        p->used += n;
        return at;
}

static void pack_text(struct packer *p, struct slice *s) { s->ptr = pack_bytes(p, s->ptr, s->len, 1); }

static void pack_user(struct packer *p, struct store_user *row)
{
        pack_text(p, &row->name);
        pack_text(p, &row->display_name);
        pack_text(p, &row->email);
        pack_text(p, &row->provider_id);
        pack_text(p, &row->provider);
        pack_text(p, &row->picture_url);
}

static void pack_auth_key(struct packer *p, struct store_auth_key *row)
{
        pack_text(p, &row->prefix);
        pack_text(p, &row->hash);
        pack_text(p, &row->tags);
        pack_text(p, &row->description);
}

static void pack_api_key(struct packer *p, struct store_api_key *row)
{
        pack_text(p, &row->prefix);
        pack_text(p, &row->hash);
}

static void pack_node(struct packer *p, struct store_node *row)
{
        row->endpoints = pack_bytes(
                p, row->endpoints, row->n_endpoints * sizeof(*row->endpoints), _Alignof(struct ip_port));
        row->approved_routes = pack_bytes(p, row->approved_routes,
                row->n_approved_routes * sizeof(*row->approved_routes), _Alignof(struct ip_prefix));
        pack_text(p, &row->hostname);
        pack_text(p, &row->given_name);
        pack_text(p, &row->tags);
        pack_text(p, &row->hostinfo);
}

static void pack_policy(struct packer *p, struct store_policy *row) { pack_text(p, &row->data); }

/* Counts on a scratch copy, whose pointers the counting pass spoils, then packs. */
#define DEFINE_DUP(type, pack)                                                                               \
        struct type *type##_dup(const struct type *row)                                                      \
        {                                                                                                    \
                struct type scratch = *row;                                                                  \
                struct packer p = { NULL, sizeof(*row) };                                                    \
                pack(&p, &scratch);                                                                          \
                struct type *copy = malloc(p.used);                                                          \
                if (!copy)                                                                                   \
                        return NULL;                                                                         \
                *copy = *row;                                                                                \
                p = (struct packer){ (uint8_t *)copy, sizeof(*row) };                                        \
                pack(&p, copy);                                                                              \
                return copy;                                                                                 \
        }

DEFINE_DUP(store_user, pack_user)
DEFINE_DUP(store_auth_key, pack_auth_key)
DEFINE_DUP(store_api_key, pack_api_key)
DEFINE_DUP(store_node, pack_node)
DEFINE_DUP(store_policy, pack_policy)
