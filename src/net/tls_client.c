/* The client's side: whom to believe. */
#include <stdio.h>

#include "tls_internal.h"

static enum err trust_pem(SSL_CTX *ctx, struct slice pem, struct diag *d)
{
        BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
        X509_STORE *store = SSL_CTX_get_cert_store(ctx);
        unsigned count = 0;

        for (X509 *cert; bio && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)); X509_free(cert))
                count += (unsigned)X509_STORE_add_cert(store, cert);
        ERR_clear_error();
        BIO_free(bio);
        return count ? OK : diag_set(d, ERR_FORMAT, "there is no certificate among the roots to trust");
}

/* The name as OpenSSL shall verify it: an address or a host name. */
static bool set_verified_name(SSL *ssl, const char *name)
{
        X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
        struct ip_addr ip;

        if (ip_parse(slice_str(name), &ip) == OK)
                return X509_VERIFY_PARAM_set1_ip(param, ip.b, ip_bits(&ip) / 8) == 1;
        X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

static bool offer_alpn(SSL *ssl)
{
        static const unsigned char both[] = "\x02h2\x08http/1.1";
        return SSL_set_alpn_protos(ssl, both, sizeof(both) - 1) == 0;
}

static bool configure(SSL *ssl, const struct tls_client_options *o, const char *verified)
{
        struct ip_addr ip;

        SSL_set_connect_state(ssl);
        /* RFC 6066, section 3: a literal address is no server name. */
        if (o->server_name && ip_parse(slice_str(o->server_name), &ip) != OK &&
                SSL_set_tlsext_host_name(ssl, o->server_name) != 1)
                return false;
        if (o->offer_h2 && !offer_alpn(ssl))
                return false;
        if (o->insecure || o->pin_sha256) { /* a pin is checked after the handshake */
                SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
                return true;
        }
        SSL_set_verify(ssl, o->log_only ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
        return verified ? set_verified_name(ssl, verified) : o->log_only;
}

enum err tls_connect(
        const struct tls_client_options *o, struct net_stream *lower, struct net_stream **out, struct diag *d)
{
        const char *verified = o->verify_name ? o->verify_name : o->server_name;
        struct tls_check check = { .is_pinned = o->pin_sha256 != NULL,
                .log_only = o->log_only && !o->insecure };
        bool has_own_roots = o->ca_pem.len > 0;
        SSL_CTX *ctx = has_own_roots ? tls_context_new(TLS_client_method())
                                     : tls_client_context(!o->insecure && !o->pin_sha256);
        SSL *ssl = NULL;
        enum err e = OK;

        *out = NULL;
        ERR_clear_error();
        snprintf(check.name, sizeof(check.name), "%s", verified ? verified : "");
        if (o->pin_sha256)
                memcpy(check.pin_sha256, o->pin_sha256, sizeof(check.pin_sha256));
        if (!ctx)
                e = ERR_NOMEM;
        else if (has_own_roots)
                e = trust_pem(ctx, o->ca_pem, d);
        if (!e && (!(ssl = SSL_new(ctx)) || !configure(ssl, o, verified)))
                e = diag_set(d, ERR_FORMAT, "cannot set up TLS to %s: %s", check.name, tls_reason());
        SSL_CTX_free(ctx); /* the connection holds its own reference */
        if (e) {
                SSL_free(ssl);
                net_stream_close(lower);
                return e;
        }
        return tls_stream_new(ssl, lower, &check, out);
}

void tls_common_name(const X509 *cert, char out[static 256])
{
        int n = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, out, 256);
        if (n < 0 || (size_t)n != strlen(out))
                out[0] = '\0';
}

static bool fits_name(X509 *cert, const char *name)
{
        struct ip_addr ip;

        if (ip_parse(slice_str(name), &ip) == OK)
                return X509_check_ip(cert, ip.b, ip_bits(&ip) / 8, 0) == 1;
        return X509_check_host(cert, name, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

/* spec/paths.md 3.1: besides DERP's own metacert exactly one certificate, the one. */
enum err tls_check_pin(const SSL *ssl, const struct tls_check *check, struct diag *d)
{
        STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
        X509 *only = NULL;
        unsigned count = 0, len = 0;
        char name[256];
        uint8_t digest[EVP_MAX_MD_SIZE];

        for (int i = 0; chain && i < sk_X509_num(chain); i++) {
                X509 *cert = sk_X509_value(chain, i);
                tls_common_name(cert, name);
                if (strncmp(name, "derpkey", 7) == 0)
                        continue;
                only = cert;
                count++;
        }
        if (count != 1)
                return diag_set(d, ERR_AUTH,
                        "%s presents %u certificates where the one pinned by the DERP map was expected",
                        check->name, count);
        if (X509_digest(only, EVP_sha256(), digest, &len) != 1 || len != sizeof(check->pin_sha256) ||
                !secret_equal(digest, check->pin_sha256, len))
                return diag_set(d, ERR_AUTH, "the certificate of %s is not the one pinned by the DERP map",
                        check->name);
        if (!fits_name(only, check->name))
                return diag_set(d, ERR_AUTH, "the pinned certificate is not for %s", check->name);
        if (X509_cmp_current_time(X509_get0_notBefore(only)) >= 0 ||
                X509_cmp_current_time(X509_get0_notAfter(only)) <= 0)
                return diag_set(d, ERR_AUTH,
                        "the certificate of %s is not valid at this time: check both clocks", check->name);
        return OK;
}
