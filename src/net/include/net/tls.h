/*
 * TLS 1.2 and 1.3 over any stream, both sides (OpenSSL 3 on memory buffers).
 *
 * A TLS stream is created over a lower stream at once and opens (on_open) when the
 * handshake succeeds; a handshake that fails ends it with ERR_AUTH (certificate),
 * ERR_FORMAT (not TLS) or ERR_TIMEOUT (10 s), and net_stream_why() says why.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/buf.h"
#include "crypto/key.h"
#include "ip/addr.h"
#include "net/stream.h"

/* Server side: certificate and key, shared by all connections of a listener. */
struct tls_server;
struct tls_server_options {
        const char *cert_file, *key_file;  /* PEM; the certificate's chain follows it */
        struct slice cert_pem, key_pem;    /* or the same from memory */
        struct slice extra_chain_der;      /* sent last in the chain: DERP's metacert (spec/paths.md 3.2) */
        bool offer_h2; /* ALPN h2 beside http/1.1; off: http/1.1 only, as the protocol's servers do */
};
/* d names the file and what is wrong with it. */
enum err MUST_USE tls_server_new(
        const struct tls_server_options *options, struct tls_server **out, struct diag *d);
/* Reads the certificate and key again (files, or the memory given); connections keep
 * what they have. On failure the old ones stay in use. */
enum err MUST_USE tls_server_reload(
        struct tls_server *t, const struct tls_server_options *options, struct diag *d);
/* Streams made from it live on. NULL is fine. */
void tls_server_free(struct tls_server *t);
/* Takes lower, on failure too. */
enum err MUST_USE tls_accept(struct tls_server *t, struct net_stream *lower, struct net_stream **out);

struct tls_client_options {
        const char *server_name;        /* SNI, and the name to verify; an IP literal is verified as one */
        const char *verify_name;        /* verify this name instead (DERP map's CertName), SNI unchanged */
        const uint8_t *pin_sha256; /* 32 bytes: SHA-256 of the one certificate (DERP map's "sha256-raw:") */
        struct slice ca_pem;            /* trust these roots instead of the system's */
        bool insecure;                  /* no verification at all */
        bool log_only;                  /* verify, log a failure, go on: when Noise inside authenticates */
        bool offer_h2;                  /* ALPN h2, http/1.1; off: no ALPN */
};
/* Takes lower, on failure too. Roots: SSL_CERT_FILE/SSL_CERT_DIR, else the system's. */
enum err MUST_USE tls_connect(const struct tls_client_options *options, struct net_stream *lower,
        struct net_stream **out, struct diag *d);

/* Facts of an open TLS stream; of the nearest TLS stream at or below s. */
bool tls_is(const struct net_stream *s);
bool tls_is_1_3(const struct net_stream *s);
bool tls_chose_h2(const struct net_stream *s);
/* Looks among the certificates that the peer sent for one whose common name begins
 * with prefix: name gets the common name, serial the serial number if it fits 32 bits,
 * else 0. ERR_NOTFOUND. */
enum err MUST_USE tls_find_peer_cert(
        const struct net_stream *s, const char *prefix, char name[static 256], uint32_t *serial);

/* A self-signed P-256 certificate for a name or IP literal, valid ten years: tests, and
 * relays known by pin. Both buffers get PEM; sha256 (may be NULL) the pin. */
enum err MUST_USE tls_make_self_signed(
        const char *host, struct buf *cert_pem, struct buf *key_pem, uint8_t *sha256);
/* DERP's metacert (spec/paths.md 3.2): version as serial number, DER. */
enum err MUST_USE tls_make_derp_metacert(const struct public_key *derp_key, unsigned version, int64_t unix_s,
        struct buf *der);

#endif
