/*
 * ChaCha20-Poly1305 for the packets of a session, many at a time.
 *
 * A struct bulk belongs to one thread and does the work; a struct bulk_key belongs
 * to one session and direction and is used with one bulk (one thread) only. Nonces
 * are WireGuard's: four zero bytes and the little-endian counter; no associated data.
 *
 * Several implementations stand behind it. Our own kernel works on many packets at
 * once and is used where the CPU has what it needs, AVX-512 with IFMA. Elsewhere
 * OpenSSL begins, its context set up once a key, and on x86-64 libipsec-mb takes over
 * when packets begin to come in batches: it is 1.6 x as fast at packet size, but costs
 * 4 MB, which an idle node does not pay.
 * Before its first packet each must agree with the one-shot AEAD, to which RFC 8439's
 * vectors are held; else it is not used.
 */
#ifndef CRYPTO_BULK_H
#define CRYPTO_BULK_H

#include "crypto/key.h"

enum bulk_choice {
        BULK_AUTO,    /* what is best here */
        BULK_OPENSSL, /* these for tests and side-by-side measurements */
        BULK_IPSEC_MB,
        BULK_WIDE, /* our own */
};

struct bulk;

/* NULL when memory is short, or when the one asked for by name is not usable. */
struct bulk *bulk_new(enum bulk_choice choice);
void bulk_free(struct bulk *b);
/* "openssl", "ipsec-mb" or "avx512": what works at present. */
const char *bulk_name(const struct bulk *b);

struct bulk_key {
        struct shared_key key;
        void *openssl; /* its context, made at the first packet */
};

void bulk_key_init(struct bulk_key *k, const struct shared_key *key);
/* Wipes. Callable from any thread once the using one has stopped. */
void bulk_key_fini(struct bulk_key *k);

struct bulk_packet {
        uint8_t *text;    /* plaintext and ciphertext share their place; the tag follows */
        size_t len;       /* of the plaintext; AEAD_TAG_LEN more bytes belong to the packet */
        uint64_t counter; /* the nonce */
        bool is_ok;       /* sealing: false only out of memory; opening: authentic.
                           * The text of a packet that is not ok is garbage. */
};

/* Work through n packets in order, in place, without allocating (but for the
 * context of a new key). The counters of one key must never repeat in sealing. */
void bulk_seal(struct bulk *b, struct bulk_key *k, struct bulk_packet *packets, size_t n);
void bulk_open(struct bulk *b, struct bulk_key *k, struct bulk_packet *packets, size_t n);

#endif
