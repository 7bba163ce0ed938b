/* Certificates of our own making: self-signed ones, and DERP's metacert. */
#include <stdio.h>

#include "base/text.h"
#include "tls_internal.h"

enum { DAY_S = 24 * 60 * 60 };

static bool add_extension(X509 *cert, int nid, const char *value)
{
        X509V3_CTX ctx;

        X509V3_set_ctx_nodb(&ctx);
        X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
        X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
        bool ok = ext && X509_add_ext(cert, ext, -1) == 1;
        X509_EXTENSION_free(ext);
        return ok;
}

/* A certificate of key for itself, not signed yet; not_before and not_after are
 * seconds since 1970. NULL on failure. The name goes in as it is: DERP's is longer
 * than the 64 characters that X.520 grants and OpenSSL would otherwise insist on. */
static X509 *cert_new(
        EVP_PKEY *key, const char *common_name, uint64_t serial, int64_t not_before, int64_t not_after)
{
        X509 *cert = X509_new();
        X509_NAME *name = cert ? X509_get_subject_name(cert) : NULL;

        if (cert && X509_set_version(cert, X509_VERSION_3) == 1 && X509_set_pubkey(cert, key) == 1 &&
                ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial) == 1 &&
                ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)not_before) &&
                ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)not_after) &&
                X509_NAME_add_entry_by_NID(name, NID_commonName, V_ASN1_UTF8STRING,
                        (const unsigned char *)common_name, -1, -1, 0) == 1 &&
                X509_set_issuer_name(cert, name) == 1)
                return cert;
        X509_free(cert);
        return NULL;
}

static enum err append_pem(struct buf *out, BIO *bio, bool written)
{
        char *bytes;

        if (!written)
                return ERR_NOMEM;
        size_t n = (size_t)BIO_get_mem_data(bio, &bytes);
        buf_append(out, bytes, n);
        return buf_status(out);
}

static enum err write_pem(X509 *cert, EVP_PKEY *key, struct buf *cert_pem, struct buf *key_pem)
{
        BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_secmem());
        enum err e = append_pem(cert_pem, cert_bio, cert_bio && PEM_write_bio_X509(cert_bio, cert) == 1);

        if (!e)
                e = append_pem(key_pem, key_bio,
                        key_bio && PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) == 1);
        BIO_free(cert_bio);
        BIO_free(key_bio);
        return e;
}

enum err tls_make_self_signed(const char *host, struct buf *cert_pem, struct buf *key_pem, uint8_t *sha256)
{
        char san[300];
        struct ip_addr ip;
        uint64_t serial;
        unsigned len;
        int64_t now_s = net_clock().unix_us / 1000000;
        EVP_PKEY *key = EVP_EC_gen("P-256");
        enum err e = ERR_NOMEM;

        rng_fill(net_rng(), &serial, sizeof(serial));
        snprintf(san, sizeof(san), "%s:%.250s", ip_parse(slice_str(host), &ip) == OK ? "IP" : "DNS", host);
        /* From a day ago, so that a peer whose clock is a little behind believes it. */
        X509 *cert = key ? cert_new(key, host, serial >> 1, now_s - DAY_S, now_s + 3650LL * DAY_S) : NULL;
        if (cert && add_extension(cert, NID_subject_alt_name, san) &&
                add_extension(cert, NID_basic_constraints, "critical,CA:TRUE") &&
                X509_sign(cert, key, EVP_sha256()) > 0)
                e = write_pem(cert, key, cert_pem, key_pem);
        if (!e && sha256 && X509_digest(cert, EVP_sha256(), sha256, &len) != 1)
                e = ERR_NOMEM;
        X509_free(cert);
        EVP_PKEY_free(key);
        ERR_clear_error();
        return e;
}

enum err tls_make_derp_metacert(
        const struct public_key *derp_key, unsigned version, int64_t unix_s, struct buf *der)
{
        char name[KEY_TEXT_MAX];
        unsigned char *bytes = NULL;
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        enum err e = ERR_NOMEM;

        key_format("derpkey", derp_key, name);
        X509 *cert = key ? cert_new(key, name, version, unix_s - 30LL * DAY_S, unix_s + 30LL * DAY_S) : NULL;
        if (cert && add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
                X509_sign(cert, key, NULL) > 0) {
                int n = i2d_X509(cert, &bytes);
                if (n > 0) {
                        buf_append(der, bytes, (size_t)n);
                        e = buf_status(der);
                }
        }
        OPENSSL_free(bytes);
        X509_free(cert);
        EVP_PKEY_free(key);
        ERR_clear_error();
        return e;
}
