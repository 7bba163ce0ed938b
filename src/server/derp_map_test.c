/* Relay maps from files and URLs, one over the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "serve.h"

static const char yaml[] = "regions:\n"
                           "  900:\n    regionid: 900\n    regioncode: lab\n    regionname: Lab\n    nodes:\n"
                           "      - name: 900a\n        regionid: 900\n        hostname: relay.example\n"
                           "        ipv4: 192.0.2.1\n        ipv6: none\n        stunport: 3478\n"
                           "        derpport: 8443\n        canport80: true\n";
static const char json[] =
        "{\"Regions\":{\"900\":{\"RegionID\":900,\"RegionCode\":\"old\",\"RegionName\":\"Old\","
        "\"Nodes\":[{\"Name\":\"x\",\"RegionID\":900,\"HostName\":\"old.example\"}]},"
        "\"7\":{\"RegionID\":7,\"RegionCode\":\"seven\",\"RegionName\":\"Seven\","
        "\"Nodes\":[{\"Name\":\"7a\",\"RegionID\":7,\"HostName\":\"seven.example\"}]}}}";

static bool written(const struct derp_sources *src, const char *text)
{
        struct buf out = BUF_INIT(1 << 16);

        derp_map_write(src, &out);
        bool found = strstr(buf_cstr(&out), text) != NULL;
        buf_fini(&out);
        return found;
}

static void later_sources_win(void **state)
{
        struct arena a = ARENA_INIT(8 << 20);
        struct derp_sources src = { .arena = &a };
        struct diag diag;

        (void)state;
        assert_int_equal(derp_map_add_json(&src, "url", slice_str(json), &diag), OK);
        assert_int_equal(derp_map_add_yaml(&src, "file", slice_str(yaml), &diag), OK);
        assert_int_equal(src.n, 2);
        assert_true(written(&src, "\"7\":{\"RegionID\":7,"));
        assert_true(written(&src, "\"HostName\":\"relay.example\""));
        assert_true(written(&src, "\"DERPPort\":8443"));
        assert_true(written(&src, "\"omitDefaultRegions\":true"));
        assert_false(written(&src, "old.example"));

        assert_int_equal(derp_map_add_yaml(&src, "file", slice_str("regions: {7: null}"), &diag), OK);
        assert_int_equal(src.n, 1);
        assert_false(written(&src, "seven"));
        arena_fini(&a);
}

static void mistakes_are_named(void **state)
{
        static const char *const bad[] = {
                "",
                "regions: []",
                "regions: {x: {nodes: [{name: a, hostname: b}]}}",
                "regions: {0: {nodes: [{name: a, hostname: b}]}}",
                "regions: {1: {nodes: []}}",
                "regions: {1: {nodes: [a]}}",
                "regions: {1: {nodes: [{name: a}]}}",
                "regions: {1: {nodes: [{name: a, hostname: b, stunport: x}]}}",
                "%YAML",
        };

        (void)state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                struct arena a = ARENA_INIT(8 << 20);
                struct derp_sources src = { .arena = &a };
                struct diag diag = { "" };

                assert_int_not_equal(derp_map_add_yaml(&src, "map.yaml", slice_str(bad[i]), &diag), OK);
                assert_non_null(strstr(diag.text, "map.yaml"));
                arena_fini(&a);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(later_sources_win),
                cmocka_unit_test(mistakes_are_named),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
