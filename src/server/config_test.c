/* Configuration files as people write them, and what is said to mistakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/timer.h"
#include "server/config.h"

static const char good[] = "server_url: http://control.example:8080/\n"
                           "listen_addr: 0.0.0.0:8080\n"
                           "noise:\n  private_key_path: noise.key\n"
                           "prefixes:\n  v4: 100.64.0.0/10\n  v6: fd7a:115c:a1e0::/48\n"
                           "database:\n  type: sqlite\n  sqlite:\n    path: /var/lib/x/db.sqlite\n"
                           "dns:\n  base_domain: example.net\n  override_local_dns: false\n"
                           "  nameservers:\n    global: [1.1.1.1, 9.9.9.9]\n"
                           "    split:\n      Corp.Example: [10.0.0.53]\n"
                           "  extra_records:\n    - {name: a.example.net, type: A, value: 100.64.0.9}\n"
                           "tailnet:\n  login_domain: example.org\n  roles:\n    it_admin: [ann, bob@example.org]\n";

static void parse(struct config *c, const char *text, char *const *env)
{
        struct diag diag = { "" };

        if (config_parse(c, slice_str(text), "/etc/headscale/config.yaml", env, &diag) != OK)
                fail_msg("%s", diag.text);
}

static bool warned(const struct config *c, const char *text)
{
        for (size_t i = 0; i < c->warnings.n; i++) {
                if (strstr((const char *)c->warnings.items[i].ptr, text))
                        return true;
        }
        return false;
}

static void a_plain_file_is_read(void **state)
{
        struct server_settings settings;
        struct config c;
        struct diag diag;

        (void)state;
        parse(&c, good, NULL);
        assert_int_equal(config_check_serve(&c, &diag), OK);
        assert_string_equal(c.noise_key_path, "/etc/headscale/noise.key");
        assert_string_equal(c.sqlite_path, "/var/lib/x/db.sqlite");
        assert_int_equal(c.unix_socket_mode, 0770);
        assert_string_equal(c.unix_socket, "/var/run/headscale/headscale.sock");
        assert_int_equal(c.warnings.n, 0);
        assert_int_equal(config_settings(&c, &settings, &diag), OK);
        assert_true(slice_is(settings.server_url, "http://control.example:8080"));
        assert_int_equal(settings.n_nameservers, 2);
        assert_true(slice_is(settings.split[0].domain, "corp.example"));
        assert_true(slice_is(settings.extra_records[0].value, "100.64.0.9"));
        assert_true(slice_is(settings.login_domain, "example.org"));
        assert_int_equal(settings.roles[2].n_users, 2);
        assert_true(slice_is(settings.roles[2].users[1], "bob@example.org"));
        assert_int_equal(settings.ephemeral_timeout_us, TIME_S(120));
        assert_true(settings.disable_logtail);
        config_fini(&c);
}

static void the_environment_wins(void **state)
{
        char *const env[] = { (char *)"HEADSCALE_DNS_BASE_DOMAIN=other.net",
                (char *)"HEADSCALE_DNS_NAMESERVERS_GLOBAL=127.0.0.11 1.1.1.1",
                (char *)"HEADSCALE_LISTEN_ADDR=", (char *)"HEADSCALE_NODE_EXPIRY=90d", NULL };
        struct config c;

        (void)state;
        parse(&c, good, env);
        assert_string_equal(c.base_domain, "other.net");
        assert_string_equal(c.listen_addr, "0.0.0.0:8080");
        assert_int_equal(c.nameservers.n, 2);
        assert_true(slice_is(c.nameservers.items[0], "127.0.0.11"));
        assert_int_equal(c.node_expiry_ns, 90LL * 86400 * 1000000000);
        config_fini(&c);
}

static void the_unknown_and_the_unsupported_are_named(void **state)
{
        struct config c;
        char text[sizeof(good) + 256];

        (void)state;
        snprintf(text, sizeof(text),
                "%sacme_email: a@example.net\noidc:\n  issuer: https://x\nno_such_key: "
                "1\ngrpc_listen_addr: x\n",
                good);
        parse(&c, text, NULL);
        assert_true(warned(&c, "no_such_key"));
        assert_true(warned(&c, "acme_email, oidc.issuer"));
        assert_false(warned(&c, "grpc"));
        config_fini(&c);
}

/* Text to append to the good file, and what the refusal must name. */
static const struct {
        const char *extra, *names;
} refused[] = {
        { "dns_config:\n  magic_dns: true\n", "dns.magic_dns" },
        { "acl_policy_path: x\n", "policy.path" },
        { "randomize_client_port: true\n", "randomizeClientPort" },
        { "oidc:\n  expiry: 90d\n", "node.expiry" },
        { "log:\n  level: [\n", "not valid YAML: line 27, column 1: " },
        { "taildrop:\n  enabled: perhaps\n", "taildrop.enabled" },
        { "unix_socket_permission: \"999\"\n", "unix_socket_permission" },
        { "policy:\n  mode: databse\n", "policy.mode" },
        { "tls_letsencrypt_hostname: x.example\n", "tls_letsencrypt_hostname" },
        { "tls_cert_path: x\n", "tls_key_path" },
        { "derp:\n  server:\n    enabled: true\n", "stun_listen_addr" },
        { "node:\n  ephemeral:\n    inactivity_timeout: 30s\n", "inactivity_timeout" },
        { "trusted_proxies: [0.0.0.0/0]\n", "trusted_proxies" },
        { "metrics_listen_addr: everywhere\n", "metrics_listen_addr" },
        { "- a\n- b\n", "not valid YAML: line 25, column 1: " },
};

static void mistakes_are_named(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
                char text[sizeof(good) + 256];
                struct diag diag = { "" };
                struct config c;

                snprintf(text, sizeof(text), "%s%s", good, refused[i].extra);
                enum err e = config_parse(&c, slice_str(text), "", NULL, &diag);
                if (e == OK) {
                        e = config_check_serve(&c, &diag);
                        config_fini(&c);
                }
                if (e == OK || !strstr(diag.text, refused[i].names))
                        fail_msg("%s: \"%s\"", refused[i].extra, diag.text);
        }
}

static void the_server_must_not_lie_in_its_base_domain(void **state)
{
        char *const inside[] = { (char *)"HEADSCALE_SERVER_URL=https://control.example.net", NULL };
        char *const beside[] = { (char *)"HEADSCALE_SERVER_URL=https://controlexample.net", NULL };
        struct config c;
        struct diag diag;

        (void)state;
        parse(&c, good, inside);
        assert_int_not_equal(config_check_serve(&c, &diag), OK);
        config_fini(&c);
        parse(&c, good, beside);
        assert_int_equal(config_check_serve(&c, &diag), OK);
        config_fini(&c);
}

static const char *example_path;

static void the_example_is_accepted_without_a_word(void **state)
{
        struct config c;
        struct diag diag = { "" };

        (void)state;
        if (config_load(&c, example_path, NULL, &diag) != OK || config_check_serve(&c, &diag) != OK)
                fail_msg("%s", diag.text);
        assert_int_equal(c.warnings.n, 0);
        config_fini(&c);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_plain_file_is_read),
                cmocka_unit_test(the_environment_wins),
                cmocka_unit_test(the_unknown_and_the_unsupported_are_named),
                cmocka_unit_test(mistakes_are_named),
                cmocka_unit_test(the_server_must_not_lie_in_its_base_domain),
                cmocka_unit_test(the_example_is_accepted_without_a_word),
        };
        assert_int_equal(argc, 2);
        example_path = argv[1];
        return cmocka_run_group_tests(tests, NULL, NULL);
}
