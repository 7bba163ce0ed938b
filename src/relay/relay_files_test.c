#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/loop.h"
#include "relay/relay_files.h"

static char folder[] = "/tmp/weft-relay-XXXXXX";

static int set_up(void **state)
{
        (void)state;
        return mkdtemp(folder) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *place)
{
        (void)st;
        (void)kind;
        (void)place;
        return remove(path);
}

static int tear_down(void **state)
{
        (void)state;
        return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *path_of(const char *name)
{
        static char path[128];

        snprintf(path, sizeof(path), "%s/%s", folder, name);
        return path;
}

static const char *put(const char *name, const char *text, mode_t mode)
{
        const char *path = path_of(name);
        FILE *f = fopen(path, "w");

        assert_non_null(f);
        fputs(text, f);
        fclose(f);
        assert_int_equal(chmod(path, mode), 0);
        return path;
}

static void key_is_made_once(void **state)
{
        struct secret_key first, second;
        struct stat st;
        struct diag d;
        bool is_new;

        (void)state;
        assert_int_equal(relay_key_file(path_of("deep/derper.key"), net_rng(), &first, &is_new, &d), OK);
        assert_true(is_new);
        assert_int_equal(stat(path_of("deep/derper.key"), &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(relay_key_file(path_of("deep/derper.key"), net_rng(), &second, &is_new, &d), OK);
        assert_false(is_new);
        assert_memory_equal(&first, &second, sizeof(first));
}

static void bad_keys(void **state)
{
        static const char *const texts[] = {
                "", "{}", "not JSON", "{\"PrivateKey\":\"privkey:00\"}", "{\"PrivateKey\":7}",
                "{\"PrivateKey\":\"privkey:0000000000000000000000000000000000000000000000000000000000000000\"}",
        };
        struct secret_key key;
        struct diag d;
        bool is_new;

        (void)state;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                assert_int_equal(relay_key_file(put("bad.key", texts[i], 0600), net_rng(), &key, &is_new, &d), ERR_FORMAT);
        assert_int_equal(relay_key_file(put("open.key", "{}", 0644), net_rng(), &key, &is_new, &d), ERR_DENIED);
        assert_non_null(strstr(d.text, "chmod 600"));
        assert_int_not_equal(relay_key_file(path_of("no/such/folder/key"), net_rng(), &key, &is_new, &d), OK);
}

static void mesh_keys_and_rates(void **state)
{
        struct derp_mesh_key mesh;
        struct relay_rate rate = { 1, 1 };
        struct diag d;

        (void)state;
        const char *path = put("mesh", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n", 0600);
        assert_int_equal(relay_mesh_key_file(path, &mesh, &d), OK);
        assert_int_equal(mesh.b[15], 0xff);
        assert_int_equal(relay_mesh_key_file(put("mesh", "0011", 0600), &mesh, &d), ERR_FORMAT);
        assert_int_equal(relay_mesh_key_file(path_of("absent"), &mesh, &d), ERR_NOTFOUND);

        path = put("rate", "{\"PerClientRateLimitBytesPerSec\":1000,\"PerClientRateBurstBytes\":99999}", 0644);
        assert_int_equal(relay_rate_file(path, &rate, &d), OK);
        assert_int_equal(rate.bytes_per_second, 1000);
        assert_int_equal(rate.burst_bytes, 99999);
        assert_int_equal(relay_rate_file(put("rate", "{\"PerClientRateLimitBytesPerSec\":-1}", 0644), &rate, &d), ERR_FORMAT);
        assert_int_equal(rate.bytes_per_second, 1000); /* the old stays in force */
}

static void certificates(void **state)
{
        struct secret_key secret;
        struct public_key key;
        struct tls_server *tls = NULL;
        uint8_t pin[32], again[32], none[32] = { 0 };
        struct diag d;

        (void)state;
        key_generate(net_rng(), &secret);
        key_public(&secret, &key);
        assert_int_equal(relay_cert_load(folder, "192.0.2.7", &key, 1700000000, &tls, pin, &d), OK);
        assert_memory_not_equal(pin, none, sizeof(pin));
        assert_int_equal(access(path_of("192.0.2.7.key"), F_OK), 0);
        assert_int_equal(relay_cert_load(folder, "192.0.2.7", &key, 1700000000, &tls, again, &d), OK); /* reload */
        assert_memory_equal(pin, again, sizeof(pin));
        tls_server_free(tls);
        tls = NULL;
        assert_int_not_equal(relay_cert_load(folder, "derp.example.com", &key, 1700000000, &tls, pin, &d), OK);
        assert_non_null(strstr(d.text, "derp.example.com.crt"));
        assert_null(tls);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(key_is_made_once),
                cmocka_unit_test(bad_keys),
                cmocka_unit_test(mesh_keys_and_rates),
                cmocka_unit_test(certificates),
        };
        return cmocka_run_group_tests(tests, set_up, tear_down);
}
