#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "os/firewall.h"

static struct firewall_config example(void)
{
        struct firewall_config c = {
                .tun = "weft0", .mode = FIREWALL_ON, .snat = true, .port_v4 = 41641, .port_v6 = 41642, .own_count = 2,
        };

        assert_int_equal(ip_parse(SLICE_LIT("100.64.0.1"), &c.own[0]), OK);
        assert_int_equal(ip_parse(SLICE_LIT("fd7a:115c:a1e0::1"), &c.own[1]), OK);
        return c;
}

static bool says(const struct firewall_config *c, bool v6, const char *rule)
{
        struct buf out = BUF_INIT(1 << 16);

        firewall_script(c, v6, &out);
        bool found = strstr(buf_cstr(&out), rule) != NULL;
        buf_fini(&out);
        return found;
}

static void each_family_has_its_rules(void **state)
{
        struct firewall_config c = example();

        (void)state;
        assert_true(says(&c, false, "ts-input iifname \"lo\" ip saddr 100.64.0.1 accept\n"));
        assert_true(says(&c, true, "ts-input iifname \"lo\" ip6 saddr fd7a:115c:a1e0::1 accept\n"));
        assert_true(says(&c, false, "ts-input udp dport 41641 accept\n"));
        assert_true(says(&c, true, "ts-input udp dport 41642 accept\n"));
        assert_true(says(&c, false, "ip saddr 100.64.0.0/10 drop\n"));
        assert_false(says(&c, true, "100.64.0.0/10"));
        assert_true(says(&c, true, "masquerade"));
        assert_false(says(&c, false, "established"));
        assert_false(says(&c, false, "policy"));
}

static void options_change_rules(void **state)
{
        struct firewall_config c = example();

        (void)state;
        c.snat = false;
        c.stateful = c.keep_cgnat = true;
        c.port_v4 = 0;
        assert_false(says(&c, false, "masquerade"));
        assert_true(says(&c, false, "oifname \"weft0\" ct state != { established, related } drop\n"));
        assert_true(says(&c, false, "iifname != \"weft0\" ip saddr 100.64.0.0/10 return\n"));
        assert_false(says(&c, false, "udp dport"));
}

static enum err through_the_channel(const struct firewall_config *in, struct firewall_config *out)
{
        uint8_t bytes[256];
        struct slice s;
        struct writer w = writer_of(bytes, sizeof(bytes));

        firewall_config_write(&w, in);
        assert_int_equal(wr_finish(&w, &s), OK);
        struct reader r = reader_of(s);
        firewall_config_read(&r, out);
        return rd_finish(&r);
}

static void survives_the_channel(void **state)
{
        struct firewall_config in = example(), out;

        (void)state;
        assert_int_equal(through_the_channel(&in, &out), OK);
        assert_memory_equal(&in, &out, sizeof(in));
        in.tun[1] = '"';
        assert_int_not_equal(through_the_channel(&in, &out), OK);
        in = example();
        in.mode = 3;
        assert_int_not_equal(through_the_channel(&in, &out), OK);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_family_has_its_rules), cmocka_unit_test(options_change_rules),
                cmocka_unit_test(survives_the_channel),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
