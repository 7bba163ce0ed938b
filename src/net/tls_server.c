/* The server's side: certificates, keys, and the streams made from them. */
#include <stdlib.h>
#include <string.h>

#include "tls_internal.h"

struct tls_server {
        SSL_CTX *ctx; /* streams hold references of their own */
};

const char *tls_reason(void)
{
        unsigned long error = ERR_peek_error();
        const char *reason = ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error)) : ERR_reason_error_string(error);

        ERR_clear_error();
        return reason ? reason : "unknown error";
}

SSL_CTX *tls_context_new(const SSL_METHOD *method)
{
        SSL_CTX *ctx = SSL_CTX_new(method);

        if (!ctx)
                return NULL;
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
        SSL_CTX_set_mode(
                ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(ctx, 0);
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        return ctx;
}

/* Takes the first protocol of ours that the client offers; none is no failure. */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
        unsigned in_len, void *arg)
{
        static const unsigned char with_h2[] = "\x02h2\x08http/1.1", http1_only[] = "\x08http/1.1";
        bool offer_h2 = arg != NULL;
        unsigned char *chosen;
        const unsigned char *ours = offer_h2 ? with_h2 : http1_only;
        unsigned ours_len = (unsigned)(offer_h2 ? sizeof(with_h2) : sizeof(http1_only)) - 1;

        (void)ssl;
        if (SSL_select_next_proto(&chosen, out_len, ours, ours_len, in, in_len) != OPENSSL_NPN_NEGOTIATED)
                return SSL_TLSEXT_ERR_NOACK;
        *out = chosen;
        return SSL_TLSEXT_ERR_OK;
}

static enum err use_pem(SSL_CTX *ctx, struct slice cert_pem, struct slice key_pem, struct diag *d)
{
        BIO *cert_bio = BIO_new_mem_buf(cert_pem.ptr, (int)cert_pem.len),
            *key_bio = BIO_new_mem_buf(key_pem.ptr, (int)key_pem.len);
        X509 *cert = cert_bio ? PEM_read_bio_X509(cert_bio, NULL, NULL, NULL) : NULL;
        EVP_PKEY *key = key_bio ? PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL) : NULL;
        enum err e = OK;

        if (!cert || SSL_CTX_use_certificate(ctx, cert) != 1)
                e = diag_set(d, ERR_FORMAT, "the certificate is not readable: %s", tls_reason());
        for (X509 *next; !e && (next = PEM_read_bio_X509(cert_bio, NULL, NULL, NULL));)
                if (SSL_CTX_add0_chain_cert(ctx, next) != 1) {
                        X509_free(next);
                        e = diag_set(d, ERR_NOMEM, "out of memory");
                }
        ERR_clear_error(); /* the end of the chain counts as an error there */
        if (!e && (!key || SSL_CTX_use_PrivateKey(ctx, key) != 1))
                e = diag_set(d, ERR_FORMAT, "the private key is not readable: %s", tls_reason());
        EVP_PKEY_free(key);
        X509_free(cert);
        BIO_free(key_bio);
        BIO_free(cert_bio);
        return e;
}

static enum err use_files(SSL_CTX *ctx, const char *cert_file, const char *key_file, struct diag *d)
{
        if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
                return diag_set(d, ERR_FORMAT, "cannot read the certificate %s: %s", cert_file, tls_reason());
        if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1)
                return diag_set(d, ERR_FORMAT, "cannot read the private key %s: %s", key_file, tls_reason());
        return OK;
}

static enum err add_extra_chain(SSL_CTX *ctx, struct slice der, struct diag *d)
{
        const unsigned char *p = der.ptr;
        X509 *extra = d2i_X509(NULL, &p, (long)der.len);

        if (extra && SSL_CTX_add0_chain_cert(ctx, extra) == 1)
                return OK;
        X509_free(extra);
        return diag_set(d, ERR_FORMAT, "the extra certificate is not readable: %s", tls_reason());
}

static enum err context_from(const struct tls_server_options *o, SSL_CTX **out, struct diag *d)
{
        SSL_CTX *ctx = tls_context_new(TLS_server_method());
        enum err e;

        ERR_clear_error();
        if (!ctx)
                return diag_set(d, ERR_NOMEM, "out of memory");
        e = o->cert_file ? use_files(ctx, o->cert_file, o->key_file, d)
                         : use_pem(ctx, o->cert_pem, o->key_pem, d);
        if (!e && SSL_CTX_check_private_key(ctx) != 1)
                e = diag_set(d, ERR_FORMAT, "the private key %s does not belong to the certificate",
                        o->key_file ? o->key_file : "");
        if (!e && o->extra_chain_der.len)
                e = add_extra_chain(ctx, o->extra_chain_der, d);
        if (e) {
                SSL_CTX_free(ctx);
                return e;
        }
        SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, o->offer_h2 ? ctx : NULL);
        *out = ctx;
        return OK;
}

enum err tls_server_new(const struct tls_server_options *options, struct tls_server **out, struct diag *d)
{
        struct tls_server *t = calloc(1, sizeof(*t));

        *out = NULL;
        if (!t)
                return diag_set(d, ERR_NOMEM, "out of memory");
        enum err e = context_from(options, &t->ctx, d);
        if (e) {
                free(t);
                return e;
        }
        *out = t;
        return OK;
}

enum err tls_server_reload(struct tls_server *t, const struct tls_server_options *options, struct diag *d)
{
        SSL_CTX *fresh;
        enum err e = context_from(options, &fresh, d);

        if (e)
                return e;
        SSL_CTX_free(t->ctx);
        t->ctx = fresh;
        return OK;
}

void tls_server_free(struct tls_server *t)
{
        if (!t)
                return;
        SSL_CTX_free(t->ctx);
        free(t);
}

enum err tls_accept(struct tls_server *t, struct net_stream *lower, struct net_stream **out)
{
        SSL *ssl = SSL_new(t->ctx);

        *out = NULL;
        if (!ssl) {
                net_stream_close(lower);
                return ERR_NOMEM;
        }
        SSL_set_accept_state(ssl);
        return tls_stream_new(ssl, lower, NULL, out);
}
