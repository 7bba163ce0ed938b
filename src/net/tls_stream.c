/*
 * TLS as a layer: OpenSSL works on two memory buffers, the lower stream moves them.
 *
 *      user                 plaintext              ciphertext
 *      write ---> early (until open) ---> SSL ---> wbio ---> lower
 *      read  <--------------------------- SSL <--- rbio <--- lower
 */
#include <stdlib.h>

#include "base/log.h"
#include "net/stream_impl.h"
#include "tls_internal.h"

static const struct log tls_log = { "tls" };

enum { HANDSHAKE_MS = 10 * 1000, READ_CHUNK = 16 * 1024, BIO_KEEP = 4096 };

struct tls_stream {
        struct net_stream base;
        SSL *ssl;
        BIO *rbio, *wbio;       /* owned by ssl */
        struct buf early;       /* written before the handshake was done */
        struct tls_check check;
        bool is_client;
        struct timer handshake; /* the end of patience with it */
        struct net_task pump;   /* reads what rbio still holds, outside the user's call */
        enum err lower_end;     /* the lower stream ended; told after what came before */
};

static const struct net_stream_ops tls_ops;

static struct tls_stream *of(const struct net_stream *s)
{
        return container_of(s, struct tls_stream, base);
}

/* A memory BIO keeps the most it ever held; connections idle for hours. */
static void give_back(BIO *bio)
{
        BUF_MEM *held;

        if (BIO_ctrl_pending(bio) > 0 || BIO_get_mem_ptr(bio, &held) != 1 || held->max <= BIO_KEEP)
                return;
        BUF_MEM *fresh = BUF_MEM_new();
        if (fresh)
                BIO_set_mem_buf(bio, fresh, BIO_CLOSE); /* frees the other */
}

/* Moves ciphertext down, as much as the lower stream takes. */
static void flush(struct tls_stream *t)
{
        char *bytes;
        size_t waiting = (size_t)BIO_get_mem_data(t->wbio, &bytes);
        size_t room = net_stream_room(t->base.lower);
        uint8_t dropped[READ_CHUNK];

        if (waiting > room)
                waiting = room;
        if (waiting == 0)
                return;
        enum err e = net_stream_write(t->base.lower, slice_make(bytes, waiting));
        if (e && e != ERR_LIMIT) /* its end comes by on_end */
                return;
        if (e == OK)
                while (waiting) {
                        int n = BIO_read(
                                t->wbio, dropped, (int)(waiting < READ_CHUNK ? waiting : READ_CHUNK));
                        if (n <= 0)
                                break;
                        waiting -= (size_t)n;
                }
        give_back(t->wbio);
}

static void fail_handshake(struct tls_stream *t)
{
        const char *who = t->check.name[0] ? t->check.name : "the peer";
        long verify = SSL_get_verify_result(t->ssl);
        unsigned long error = ERR_peek_error();

        flush(t); /* the alert */
        if (t->is_client && ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED)
                net_stream_emit_end(&t->base, ERR_AUTH, "the certificate of %s cannot be trusted: %s", who,
                        X509_verify_cert_error_string(verify));
        else
                net_stream_emit_end(&t->base, ERR_FORMAT, "TLS with %s failed: %s", who, tls_reason());
        ERR_clear_error();
}

/* The certificate, as far as OpenSSL did not judge it itself. */
static bool check_peer(struct tls_stream *t)
{
        struct diag d;

        if (t->check.is_pinned && tls_check_pin(t->ssl, &t->check, &d) != OK) {
                net_stream_emit_end(&t->base, ERR_AUTH, "%s", d.text);
                return false;
        }
        long verify = SSL_get_verify_result(t->ssl);
        if (t->check.log_only && verify != X509_V_OK)
                log_debug(&tls_log, "certificate not verified", "peer=%s why=\"%s\"", t->check.name,
                        X509_verify_cert_error_string(verify));
        return true;
}

static enum err write_plain(struct tls_stream *t, struct slice bytes)
{
        while (bytes.len) {
                size_t n = 0;
                ERR_clear_error();
                if (SSL_write_ex(t->ssl, bytes.ptr, bytes.len < READ_CHUNK ? bytes.len : READ_CHUNK, &n) != 1)
                        return ERR_CLOSED;
                bytes = slice_after(bytes, n);
        }
        return OK;
}

static void opened(struct tls_stream *t)
{
        net_timer_stop(t->base.loop, &t->handshake);
        if (!check_peer(t))
                return;
        enum err e = write_plain(t, buf_slice(&t->early));
        buf_wipe(&t->early);
        if (e) {
                net_stream_emit_end(&t->base, e, "TLS refused to write");
                return;
        }
        if (t->base.shut)
                (void)SSL_shutdown(t->ssl);
        flush(t);
        net_stream_emit_open(&t->base);
}

static void handshake(struct tls_stream *t)
{
        ERR_clear_error();
        int r = SSL_do_handshake(t->ssl);
        if (r == 1) {
                opened(t);
                return;
        }
        if (SSL_get_error(t->ssl, r) == SSL_ERROR_WANT_READ)
                flush(t);
        else
                fail_handshake(t);
}

/* What remains to be said once everything that came has been read. */
static void tell_lower_end(struct tls_stream *t)
{
        if (t->lower_end == OK)
                return;
        if (!SSL_is_init_finished(t->ssl))
                net_stream_emit_end(&t->base, ERR_FORMAT, "%s closed the connection during the TLS handshake",
                        t->check.name[0] ? t->check.name : "the peer");
        else
                net_stream_emit_end(&t->base, t->lower_end, "%s", net_stream_why(t->base.lower));
}

static void read_plain(struct tls_stream *t)
{
        uint8_t bytes[READ_CHUNK];
        size_t n;

        while (!t->base.closed && t->base.reading && t->base.is_open) {
                ERR_clear_error();
                int r = SSL_read_ex(t->ssl, bytes, sizeof(bytes), &n);
                if (r == 1) {
                        net_stream_emit_data(&t->base, slice_make(bytes, n));
                        continue;
                }
                switch (SSL_get_error(t->ssl, r)) {
                case SSL_ERROR_WANT_READ:
                        give_back(t->rbio);
                        tell_lower_end(t);
                        break;
                case SSL_ERROR_ZERO_RETURN:
                        net_stream_emit_end(&t->base, ERR_CLOSED, "the other side closed the connection");
                        break;
                default:
                        net_stream_emit_end(&t->base, ERR_FORMAT, "broken TLS record: %s", tls_reason());
                }
                break;
        }
}

static void step(struct tls_stream *t)
{
        if (!SSL_is_init_finished(t->ssl))
                handshake(t);
        if (!t->base.closed && SSL_is_init_finished(t->ssl)) {
                read_plain(t);
                if (!t->base.closed)
                        flush(t); /* what TLS itself had to say */
        } else if (!t->base.closed) {
                tell_lower_end(t);
        }
}

static void on_lower_open(struct net_stream *lower, void *ctx)
{
        (void)lower;
        step(ctx);
}

static void on_lower_data(struct net_stream *lower, void *ctx, struct slice data)
{
        struct tls_stream *t = ctx;

        (void)lower;
        if (BIO_write(t->rbio, data.ptr, (int)data.len) != (int)data.len)
                net_stream_emit_end(&t->base, ERR_NOMEM, "out of memory");
        else
                step(t);
}

static void on_lower_writable(struct net_stream *lower, void *ctx)
{
        struct tls_stream *t = ctx;

        (void)lower;
        flush(t);
        if (t->base.shut && BIO_ctrl_pending(t->wbio) == 0 && SSL_is_init_finished(t->ssl))
                net_stream_shutdown(t->base.lower);
        net_stream_emit_drained(&t->base);
}

static void on_lower_end(struct net_stream *lower, void *ctx, enum err why)
{
        struct tls_stream *t = ctx;

        (void)lower;
        t->lower_end = why;
        step(t);
}

static const struct net_stream_handler lower_handler = { on_lower_open, on_lower_data, on_lower_writable,
        on_lower_end };

static void on_handshake_time(struct timer *timer, const struct now *now)
{
        struct tls_stream *t = container_of(timer, struct tls_stream, handshake);

        (void)now;
        net_stream_emit_end(&t->base, ERR_TIMEOUT, "%s did not finish the TLS handshake within %d s",
                t->check.name[0] ? t->check.name : "the peer", HANDSHAKE_MS / 1000);
}

static void on_pump(struct net_task *task)
{
        struct tls_stream *t = container_of(task, struct tls_stream, pump);

        if (!t->base.closed)
                step(t);
}

/* During the handshake the lower stream is read whatever the user of ours wants. */
static void tls_set_reading(struct net_stream *s, bool on)
{
        struct tls_stream *t = of(s);

        if (!s->lower)
                return;
        if (on) {
                net_stream_resume(s->lower);
                net_loop_defer(s->loop, &t->pump);
        } else if (SSL_is_init_finished(t->ssl)) {
                net_stream_pause(s->lower);
        }
}

static enum err tls_writev(struct net_stream *s, const struct slice *pieces, size_t n)
{
        struct tls_stream *t = of(s);
        enum err e = OK;

        if (!s->is_open) {
                for (size_t i = 0; i < n; i++)
                        buf_append_slice(&t->early, pieces[i]);
                return buf_status(&t->early);
        }
        for (size_t i = 0; i < n && !e; i++)
                e = write_plain(t, pieces[i]);
        if (e)
                net_stream_emit_end(s, e, "TLS refused to write");
        flush(t);
        return e;
}

static size_t tls_queued(const struct net_stream *s)
{
        const struct tls_stream *t = of(s);
        return t->early.len + BIO_ctrl_pending(t->wbio) + (s->lower ? net_stream_queued(s->lower) : 0);
}

static void tls_shutdown(struct net_stream *s)
{
        struct tls_stream *t = of(s);

        if (!s->is_open)
                return; /* opened() will */
        (void)SSL_shutdown(t->ssl);
        flush(t);
        if (BIO_ctrl_pending(t->wbio) == 0)
                net_stream_shutdown(s->lower);
}

static void tls_destroy(struct net_stream *s)
{
        struct tls_stream *t = of(s);

        net_timer_stop(s->loop, &t->handshake);
        net_task_cancel(&t->pump);
        net_stream_fini(s);
        SSL_free(t->ssl);
        buf_wipe(&t->early);
        free(t);
}

static const struct net_stream_ops tls_ops = {
        .name = "tls",
        .set_reading = tls_set_reading,
        .writev = tls_writev,
        .queued = tls_queued,
        .shutdown = tls_shutdown,
        .destroy = tls_destroy,
};

enum err tls_stream_new(
        SSL *ssl, struct net_stream *lower, const struct tls_check *check, struct net_stream **out)
{
        struct tls_stream *t = calloc(1, sizeof(*t));

        *out = NULL;
        if (t) {
                t->rbio = BIO_new(BIO_s_mem());
                t->wbio = BIO_new(BIO_s_mem());
        }
        if (!t || !t->rbio || !t->wbio) {
                if (t) {
                        BIO_free(t->rbio);
                        BIO_free(t->wbio);
                }
                free(t);
                SSL_free(ssl);
                net_stream_close(lower);
                return ERR_NOMEM;
        }
        t->ssl = ssl;
        SSL_set_bio(ssl, t->rbio, t->wbio);
        t->is_client = check != NULL;
        if (check)
                t->check = *check;
        t->pump.run = on_pump;
        t->handshake.fire = on_handshake_time;
        buf_init(&t->early, NET_WRITE_LIMIT);
        net_stream_init(&t->base, &tls_ops, net_stream_loop(lower), lower, false);
        net_timer_start(t->base.loop, &t->handshake, HANDSHAKE_MS);
        net_stream_set_handler(lower, &lower_handler, t);
        if (t->is_client)
                net_loop_defer(t->base.loop, &t->pump); /* the first flight */
        *out = &t->base;
        return OK;
}

/* ---- facts ---- */

static const struct tls_stream *nearest(const struct net_stream *s)
{
        while (s && s->ops != &tls_ops)
                s = s->lower;
        return s ? of(s) : NULL;
}

bool tls_is(const struct net_stream *s)
{
        return nearest(s) != NULL;
}

bool tls_is_1_3(const struct net_stream *s)
{
        const struct tls_stream *t = nearest(s);
        return t && SSL_version(t->ssl) >= TLS1_3_VERSION;
}

bool tls_chose_h2(const struct net_stream *s)
{
        const struct tls_stream *t = nearest(s);
        const unsigned char *chosen = NULL;
        unsigned len = 0;

        if (t)
                SSL_get0_alpn_selected(t->ssl, &chosen, &len);
        return slice_is(slice_make(chosen, len), "h2");
}

enum err tls_find_peer_cert(
        const struct net_stream *s, const char *prefix, char name[static 256], uint32_t *serial)
{
        const struct tls_stream *t = nearest(s);
        STACK_OF(X509) *chain = t ? SSL_get_peer_cert_chain(t->ssl) : NULL;

        for (int i = 0; chain && i < sk_X509_num(chain); i++) {
                X509 *cert = sk_X509_value(chain, i);
                uint64_t number;
                tls_common_name(cert, name);
                if (strncmp(name, prefix, strlen(prefix)) != 0)
                        continue;
                bool fits = ASN1_INTEGER_get_uint64(&number, X509_get0_serialNumber(cert)) == 1 &&
                            number <= UINT32_MAX;
                *serial = fits ? (uint32_t)number : 0;
                ERR_clear_error();
                return OK;
        }
        return ERR_NOTFOUND;
}
