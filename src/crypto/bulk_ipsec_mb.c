/*
 * The bulk AEAD by Intel's multi-buffer library, which despite its name serves
 * every x86-64 with SSE. It is opened at run time: a node that never sees heavy
 * traffic does not map its 12 MB, and one without the library still works.
 *
 * Jobs are submitted without the library's argument checks. Every field a job of
 * this cipher reads is set here, for each job: the ring reuses old ones.
 */
#include "bulk_internal.h"

#ifdef HAVE_IPSEC_MB

#include <assert.h>
#include <dlfcn.h>
#include <stdlib.h>

#define NO_COMPAT_IMB_API_053 /* its old short names clash with OpenSSL's */
#include <intel-ipsec-mb.h>

enum { IN_FLIGHT = 32 };

struct bulk_ipsec_mb {
        IMB_MGR *mgr;
        void (*mgr_free)(IMB_MGR *);
        uint8_t nonce[IN_FLIGHT][AEAD_NONCE_LEN];
        uint8_t tag[IN_FLIGHT][AEAD_TAG_LEN]; /* as computed, when opening */
};

/* The library, opened once and never closed: its code may be running in a thread
 * we know nothing of. dlopen() itself keeps count and is safe from any thread. */
static void *library(void)
{
        return dlopen("libIPSec_MB.so.1", RTLD_NOW | RTLD_LOCAL);
}

struct bulk_ipsec_mb *bulk_ipsec_mb_new(void)
{
        void *lib = library();
        IMB_MGR *(*mgr_alloc)(uint64_t);
        void (*mgr_init)(IMB_MGR *, IMB_ARCH *);
        unsigned (*version)(void);
        struct bulk_ipsec_mb *mb;
        IMB_ARCH arch = IMB_ARCH_NONE;

        if (!lib)
                return NULL;
        *(void **)&mgr_alloc = dlsym(lib, "alloc_mb_mgr");
        *(void **)&mgr_init = dlsym(lib, "init_mb_mgr_auto");
        *(void **)&version = dlsym(lib, "imb_get_version");
        mb = calloc(1, sizeof *mb);
        if (!mb)
                return NULL;
        *(void **)&mb->mgr_free = dlsym(lib, "free_mb_mgr");
        /* Later libraries of this soname only append to the manager. */
        if (mgr_alloc && mgr_init && mb->mgr_free && version && version() >= IMB_VERSION_NUM)
                mb->mgr = mgr_alloc(0);
        if (mb->mgr)
                mgr_init(mb->mgr, &arch);
        if (arch != IMB_ARCH_NONE)
                return mb;
        bulk_ipsec_mb_free(mb);
        return NULL;
}

void bulk_ipsec_mb_free(struct bulk_ipsec_mb *mb)
{
        if (!mb)
                return;
        if (mb->mgr) {
                key_wipe(mb->tag, sizeof mb->tag);
                mb->mgr_free(mb->mgr);
        }
        free(mb);
}

static void submit(struct bulk_ipsec_mb *mb, const struct bulk_key *k, enum bulk_direction dir,
        struct bulk_packet *p, size_t slot)
{
        IMB_JOB *job = IMB_GET_NEXT_JOB(mb->mgr);

        bulk_nonce(p->counter, mb->nonce[slot]);
        job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
        job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
        job->cipher_direction = dir == BULK_SEAL ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
        job->chain_order = dir == BULK_SEAL ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
        job->enc_keys = k->key.b;
        job->dec_keys = k->key.b;
        job->key_len_in_bytes = KEY_LEN;
        job->src = p->text;
        job->dst = p->text;
        job->cipher_start_src_offset_in_bytes = 0;
        job->hash_start_src_offset_in_bytes = 0;
        job->msg_len_to_cipher_in_bytes = p->len;
        job->msg_len_to_hash_in_bytes = p->len;
        job->iv = mb->nonce[slot];
        job->iv_len_in_bytes = AEAD_NONCE_LEN;
        job->u.CHACHA20_POLY1305.aad = NULL;
        job->u.CHACHA20_POLY1305.aad_len_in_bytes = 0;
        job->auth_tag_output = dir == BULK_SEAL ? p->text + p->len : mb->tag[slot];
        job->auth_tag_output_len_in_bytes = AEAD_TAG_LEN;
        IMB_SUBMIT_JOB_NOCHECK(mb->mgr);
}

void bulk_ipsec_mb_run(struct bulk_ipsec_mb *mb, const struct bulk_key *k, enum bulk_direction dir,
        struct bulk_packet *packets, size_t n)
{
        for (size_t at = 0; at < n; at += IN_FLIGHT) {
                const size_t in_flight = n - at < IN_FLIGHT ? n - at : IN_FLIGHT;

                /* Fewer jobs than the ring holds, so none is lost by not fetching it here. */
                static_assert(IN_FLIGHT < IMB_MAX_JOBS, "the ring holds a round");
                for (size_t i = 0; i < in_flight; i++)
                        submit(mb, k, dir, &packets[at + i], i);
                while (IMB_FLUSH_JOB(mb->mgr))
                        continue;
                for (size_t i = 0; i < in_flight; i++) {
                        struct bulk_packet *p = &packets[at + i];

                        p->is_ok = dir == BULK_SEAL || bulk_tags_equal(mb->tag[i], p->text + p->len);
                }
        }
}

#else

struct bulk_ipsec_mb *bulk_ipsec_mb_new(void) { return NULL; }
void bulk_ipsec_mb_free(struct bulk_ipsec_mb *mb) { (void)mb; }
void bulk_ipsec_mb_run(struct bulk_ipsec_mb *mb, const struct bulk_key *k, enum bulk_direction dir,
        struct bulk_packet *packets, size_t n)
{
        (void)mb, (void)k, (void)dir, (void)packets, (void)n;
}

#endif
