/* Shared by the files of TLS. */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

/* OpenSSL has a type of the name of one of our results. */
#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#include "net/loop.h"
#include "net/tls.h"

/* What a client checks once the handshake is done. */
struct tls_check {
        char name[256];           /* for sentences, and the name a pinned certificate must have */
        bool is_pinned, log_only;
        uint8_t pin_sha256[32];
};

/* A context that speaks TLS 1.2 and 1.3 with small buffers; NULL: out of memory. */
SSL_CTX *tls_context_new(const SSL_METHOD *method);

/* The context of clients, with the system's roots (SSL_CERT_FILE, SSL_CERT_DIR, else
 * OpenSSL's folders) or none; a new reference, or NULL. Not to be changed. Any thread. */
SSL_CTX *tls_client_context(bool needs_roots);

/* A stream over lower, which it takes, on failure too; takes ssl. check: clients only. */
enum err MUST_USE tls_stream_new(
        SSL *ssl, struct net_stream *lower, const struct tls_check *check, struct net_stream **out);

/* The reason at the front of OpenSSL's queue, which is emptied. Static storage. */
const char *tls_reason(void);

/* The common name of a certificate; "" if there is none or it is too long. */
void tls_common_name(const X509 *cert, char out[static 256]);
/* OK if the peer's certificate is the pinned one, fits the name and is valid now. */
enum err MUST_USE tls_check_pin(const SSL *ssl, const struct tls_check *check, struct diag *d);

#endif
