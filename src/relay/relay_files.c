#include "relay/relay_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "json/reader.h"
#include "os/file.h"

enum { FILE_BYTES_MAX = 64 << 10 };

/* what is for the sentence: "the key file". */
static enum err read_file(const char *path, const char *what, struct buf *out, struct diag *d)
{
        enum err e = file_read(path, out);

        if (e != OK && errno == EFBIG)
                return diag_set(d, e, "%s %s is longer than %d bytes: is it the right file?", what, path, FILE_BYTES_MAX);
        return e == OK ? OK : diag_set(d, e, "cannot read %s %s: %s", what, path, strerror(errno));
}

/* ---- The relay's key ---------------------------------------------------- */

static enum err key_parse_json(struct slice text, struct secret_key *key)
{
        struct arena arena = ARENA_INIT(FILE_BYTES_MAX);
        struct json_reader r;
        struct slice name;
        enum err e = ERR_FORMAT;

        json_reader_init(&r, text, &arena);
        json_object_begin(&r);
        while (json_member(&r, &name)) {
                if (slice_equal_nocase(name, SLICE_LIT("PrivateKey")))
                        e = secret_parse(json_string(&r), key);
                else
                        json_skip(&r);
        }
        if (json_finish(&r) != OK)
                e = ERR_FORMAT;
        arena_fini(&arena);
        if (e == OK && secret_is_zero(key))
                e = ERR_FORMAT;
        return e;
}

static enum err key_read(int fd, const char *path, struct secret_key *key, struct diag *d)
{
        struct buf text = BUF_INIT(FILE_BYTES_MAX);
        struct stat st;

        if (fstat(fd, &st) != 0)
                return diag_set(d, err_from_errno(errno), "cannot read the key file %s: %s", path, strerror(errno));
        if (st.st_mode & 077)
                return diag_set(d, ERR_DENIED, "the key file %s can be read by others: run chmod 600 on it", path);
        enum err e = file_read_fd(fd, &text);
        if (e == OK)
                e = key_parse_json(buf_slice(&text), key);
        buf_wipe(&text);
        if (e != OK)
                return diag_set(d, ERR_FORMAT, "the key file %s does not hold {\"PrivateKey\":\"privkey:...\"}: restore it, or "
                                "move it away to get a new key", path);
        return OK;
}

/* The last folder only: one that is missing further up is more likely a typing error. */
static void make_folder(const char *path)
{
        const char *slash = strrchr(path, '/');
        char *folder = slash && slash != path ? strndup(path, (size_t)(slash - path)) : NULL;

        if (folder && mkdir(folder, 0700) != 0 && errno != EEXIST)
                errno = 0; /* making the file fails next and says why */
        free(folder);
}

/* A new file, whole or not at all: half a key would stop the next start. */
static enum err write_new_file(const char *path, const char *what, mode_t mode, struct slice bytes, struct diag *d)
{
        make_folder(path);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd < 0)
                return diag_set(d, err_from_errno(errno), "cannot make %s %s: %s", what, path, strerror(errno));
        bool is_written = file_write_fd(fd, bytes) == OK && fsync(fd) == 0;
        int cause = errno;
        close(fd);
        if (is_written)
                return OK;
        unlink(path);
        return diag_set(d, ERR_SYS, "cannot write %s %s: %s", what, path, strerror(cause));
}

static enum err key_create(const char *path, struct rng *rng, struct secret_key *key, struct diag *d)
{
        char text[KEY_TEXT_MAX], json[KEY_TEXT_MAX + 32];

        key_generate(rng, key);
        secret_format(key, text);
        snprintf(json, sizeof(json), "{\"PrivateKey\":\"%s\"}\n", text);
        enum err e = write_new_file(path, "the key file", 0600, slice_str(json), d);
        key_wipe(text, sizeof(text));
        key_wipe(json, sizeof(json));
        return e;
}

enum err relay_key_file(const char *path, struct rng *rng, struct secret_key *key, bool *is_new, struct diag *d)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        *is_new = fd < 0 && errno == ENOENT;
        if (*is_new)
                return key_create(path, rng, key, d);
        if (fd < 0)
                return diag_set(d, err_from_errno(errno), "cannot read the key file %s: %s", path, strerror(errno));
        enum err e = key_read(fd, path, key, d);
        close(fd);
        return e;
}

/* ---- Mesh key and rates ------------------------------------------------- */

enum err relay_mesh_key_file(const char *path, struct derp_mesh_key *key, struct diag *d)
{
        struct buf text = BUF_INIT(FILE_BYTES_MAX);

        enum err e = read_file(path, "the mesh key file", &text, d);
        if (e == OK && derp_mesh_key_parse(buf_slice(&text), key) != OK)
                e = diag_set(d, ERR_FORMAT, "the mesh key file %s does not hold 64 hex digits: make it with "
                             "'openssl rand -hex 32'", path);
        buf_wipe(&text);
        return e;
}

enum err relay_rate_file(const char *path, struct relay_rate *rate, struct diag *d)
{
        struct buf text = BUF_INIT(FILE_BYTES_MAX);
        struct arena arena = ARENA_INIT(FILE_BYTES_MAX);
        struct relay_rate got = { 0 };
        struct json_reader r;
        struct slice name;

        enum err e = read_file(path, "the rate file", &text, d);
        if (e == OK) {
                json_reader_init(&r, buf_slice(&text), &arena);
                json_object_begin(&r);
                while (json_member(&r, &name)) {
                        if (slice_equal_nocase(name, SLICE_LIT("PerClientRateLimitBytesPerSec")))
                                got.bytes_per_second = json_u64(&r);
                        else if (slice_equal_nocase(name, SLICE_LIT("PerClientRateBurstBytes")))
                                got.burst_bytes = json_u64(&r);
                        else
                                json_skip(&r);
                }
                if (json_finish(&r) != OK)
                        e = diag_set(d, ERR_FORMAT, "the rate file %s is not JSON with whole numbers: see byte %zu", path,
                                     r.error_pos);
        }
        if (e == OK)
                *rate = got;
        buf_fini(&text);
        arena_fini(&arena);
        return e;
}

/* ---- Certificate -------------------------------------------------------- */

/* A host name as file name: only what may stand in one. */
static void file_name(const char *host, char *out, size_t cap)
{
        size_t n = 0;

        for (; *host && n + 1 < cap; host++) {
                char c = *host;
                bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
                if (is_alnum || c == '-' || c == '.')
                        out[n++] = c;
        }
        out[n] = '\0';
}

static enum err self_signed(const char *host, const char *cert_path, const char *key_path, struct diag *d)
{
        struct buf cert = BUF_INIT(FILE_BYTES_MAX), key = BUF_INIT(FILE_BYTES_MAX);

        enum err e = tls_make_self_signed(host, &cert, &key, NULL);
        if (e != OK)
                e = diag_set(d, e, "cannot make a certificate for %s", host);
        if (e == OK)
                e = write_new_file(key_path, "the certificate's key", 0600, buf_slice(&key), d);
        if (e == OK)
                e = write_new_file(cert_path, "the certificate", 0644, buf_slice(&cert), d);
        buf_fini(&cert);
        buf_wipe(&key);
        return e;
}

/* SHA-256 of the first certificate in PEM text, as "sha256-raw:" in a DERP map wants. */
static enum err pem_pin(struct slice pem, uint8_t pin[static 32])
{
        struct buf text = BUF_INIT(FILE_BYTES_MAX);
        uint8_t der[FILE_BYTES_MAX];
        struct slice line;
        size_t len = 0;
        bool is_inside = false;

        while (slice_split(&pem, '\n', &line)) {
                line = slice_trim(line);
                if (slice_is(line, "-----END CERTIFICATE-----"))
                        break;
                if (is_inside)
                        buf_append_slice(&text, line);
                is_inside |= slice_is(line, "-----BEGIN CERTIFICATE-----");
        }
        enum err e = buf_status(&text);
        if (e == OK)
                e = base64_decode(buf_slice(&text), der, sizeof(der), &len);
        if (e == OK && len == 0)
                e = ERR_FORMAT;
        if (e == OK)
                sha256(slice_make(der, len), pin);
        buf_fini(&text);
        return e;
}

/* Who has no name cannot have a certificate that others know: clients know it by
 * its pin, which therefore outlives the process. */
static enum err ip_cert(const char *host, const char *cert_path, const char *key_path, uint8_t pin[static 32],
                        struct diag *d)
{
        struct buf pem = BUF_INIT(FILE_BYTES_MAX);
        enum err e = OK;

        if (access(cert_path, F_OK) != 0 && access(key_path, F_OK) != 0)
                e = self_signed(host, cert_path, key_path, d);
        if (e == OK)
                e = read_file(cert_path, "the certificate", &pem, d);
        if (e == OK && pem_pin(buf_slice(&pem), pin) != OK)
                e = diag_set(d, ERR_FORMAT, "the certificate %s is not PEM", cert_path);
        buf_fini(&pem);
        return e;
}

enum err relay_cert_load(const char *folder, const char *host, const struct public_key *key, int64_t unix_s,
                         struct tls_server **tls, uint8_t pin[static 32], struct diag *d)
{
        char name[256], cert_path[1024], key_path[1024];
        struct buf metacert = BUF_INIT(4096);
        struct ip_addr ip;
        enum err e = OK;

        memset(pin, 0, 32);
        file_name(host, name, sizeof(name));
        snprintf(cert_path, sizeof(cert_path), "%s/%s.crt", folder, name);
        snprintf(key_path, sizeof(key_path), "%s/%s.key", folder, name);
        if (ip_parse(slice_str(host), &ip) == OK)
                e = ip_cert(host, cert_path, key_path, pin, d);
        if (e != OK)
                return e;
        if (tls_make_derp_metacert(key, DERP_VERSION, unix_s, &metacert) != OK)
                return diag_set(d, ERR_NOMEM, "cannot make the certificate that carries the relay's key");
        struct tls_server_options options = {
                .cert_file = cert_path,
                .key_file = key_path,
                .extra_chain_der = buf_slice(&metacert),
        };
        e = *tls ? tls_server_reload(*tls, &options, d) : tls_server_new(&options, tls, d);
        buf_fini(&metacert);
        return e;
}
