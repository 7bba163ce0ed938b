#include "test_util.h"

#include "node/prefs.h"

static void write_text(const struct prefs *p, enum prefs_secrets secrets, struct buf *out)
{
        struct json_writer w;

        buf_clear(out);
        json_writer_init(&w, out, NULL);
        prefs_write(&w, p, secrets);
}

static const char defaults[] =
        "{\"ControlURL\":\"\",\"RouteAll\":false,\"ExitNodeID\":\"\",\"ExitNodeIP\":\"\",\"InternalExitNodePrior\":\"\","
        "\"ExitNodeAllowLANAccess\":false,\"CorpDNS\":true,\"RunSSH\":false,\"RunWebClient\":false,"
        "\"WantRunning\":false,\"LoggedOut\":false,\"ShieldsUp\":false,\"AdvertiseTags\":null,\"Hostname\":\"\","
        "\"NotepadURLs\":false,\"AdvertiseRoutes\":null,\"AdvertiseServices\":null,\"Sync\":null,\"NoSNAT\":false,"
        "\"NoStatefulFiltering\":true,\"NetfilterMode\":2,\"AutoUpdate\":{\"Check\":true,\"Apply\":null},"
        "\"AppConnector\":{\"Advertise\":false},\"PostureChecking\":false,\"NetfilterKind\":\"\","
        "\"RemoteConfig\":false,\"DriveShares\":null,\"Config\":null}";

static void defaults_are_written_in_the_official_order(void **state)
{
        struct buf out = BUF_INIT(1 << 16);
        struct prefs p;

        (void)state;
        prefs_init(&p);
        write_text(&p, PREFS_WITH_SECRETS, &out);
        assert_text(&out, defaults);
        prefs_fini(&p);
        buf_fini(&out);
}

/* Written, read and written again: the same, keys included; hidden keys are zero. */
static void keys_travel_only_when_asked_for(void **state)
{
        static const char config[] =
                "{\"hostname\":\"a\",\"AdvertiseRoutes\":[\"10.0.0.0/8\"],\"Sync\":false,\"Config\":{"
                "\"PrivateNodeKey\":\"privkey:1111111111111111111111111111111111111111111111111111111111111111\","
                "\"NodeID\":\"n1\",\"Unknown\":[1,{\"x\":2}]},\"AutoUpdate\":{\"Apply\":true}}";
        struct buf out = BUF_INIT(1 << 16), again = BUF_INIT(1 << 16);
        struct prefs p, q;
        struct diag diag;

        (void)state;
        prefs_init(&p);
        assert_int_equal(prefs_decode(SLICE_LIT(config), &p, NULL, &diag), OK);
        assert_slice(p.hostname, "a");
        assert_int_equal(p.sync, TRI_FALSE);
        assert_int_equal(p.update_apply, TRI_TRUE);
        assert_true(p.update_check);
        write_text(&p, PREFS_WITH_SECRETS, &out);
        prefs_init(&q);
        assert_int_equal(prefs_decode(buf_slice(&out), &q, NULL, &diag), OK);
        write_text(&q, PREFS_WITH_SECRETS, &again);
        assert_string_equal(buf_cstr(&out), buf_cstr(&again));
        assert_non_null(strstr(buf_cstr(&out), "privkey:1111"));
        write_text(&q, PREFS_HIDE_SECRETS, &out);
        assert_null(strstr(buf_cstr(&out), "1111"));
        assert_non_null(strstr(buf_cstr(&out), "\"PrivateNodeKey\":\"privkey:0000"));
        prefs_fini(&p);
        prefs_fini(&q);
        buf_fini(&out);
        buf_fini(&again);
}

static void a_mask_selects_what_is_applied(void **state)
{
        static const char edit_json[] =
                "{\"RouteAll\":true,\"RouteAllSet\":true,\"Hostname\":\"x\",\"ShieldsUp\":true,\"ShieldsUpSet\":false,"
                "\"AutoUpdate\":{\"Check\":false},\"AutoUpdateSet\":{\"CheckSet\":true}}";
        struct prefs p, edit;
        struct prefs_mask mask = { 0 };
        struct diag diag;

        (void)state;
        prefs_init(&p);
        prefs_init(&edit);
        assert_int_equal(prefs_decode(SLICE_LIT(edit_json), &edit, &mask, &diag), OK);
        assert_int_equal(mask.bits, prefs_mask_bit("RouteAll") | prefs_mask_bit("AutoUpdate.Check"));
        assert_int_equal(prefs_apply(&p, &edit, mask.bits), OK);
        assert_true(p.route_all);
        assert_false(p.update_check);
        assert_false(p.shields_up);
        assert_int_equal(p.hostname.len, 0);
        assert_false(prefs_equal(&p, &edit, UINT64_MAX));
        assert_true(prefs_equal(&p, &edit, mask.bits));
        prefs_fini(&p);
        prefs_fini(&edit);
}

static void a_masked_edit_reads_back(void **state)
{
        const uint64_t mask = prefs_mask_bit("OperatorUser") | prefs_mask_bit("AutoUpdate.Apply") |
                              prefs_mask_bit("AppConnector.Advertise");
        struct buf out = BUF_INIT(1 << 16);
        struct prefs_mask read = { 0 };
        struct json_writer w;
        struct prefs p, q;
        struct diag diag;

        (void)state;
        prefs_init(&p);
        json_writer_init(&w, &out, NULL);
        prefs_write_masked(&w, &p, mask);
        assert_text(&out, "{\"OperatorUser\":\"\",\"AutoUpdate\":{\"Apply\":null},\"AppConnector\":{\"Advertise\":false},"
                          "\"OperatorUserSet\":true,\"AppConnectorSet\":true,"
                          "\"AutoUpdateSet\":{\"CheckSet\":false,\"ApplySet\":true}}");
        prefs_init(&q);
        assert_int_equal(prefs_decode(buf_slice(&out), &q, &read, &diag), OK);
        assert_int_equal(read.bits, mask);
        prefs_fini(&p);
        prefs_fini(&q);
        buf_fini(&out);
}

static void bad_preferences_are_refused_with_a_sentence(void **state)
{
        static const struct {
                const char *json, *says;
        } cases[] = {
                { "{\"AdvertiseRoutes\":[\"10.0.0.1/8\"]}", "10.0.0.0/8" },
                { "{\"AdvertiseRoutes\":[\"ten\"]}", "\"ten\"" },
                { "{\"AdvertiseRoutes\":[\"0.0.0.0/0\"]}", "::/0" },
                { "{\"AdvertiseRoutes\":[\"0.0.0.0/0\",\"::/0\"],\"ExitNodeIP\":\"100.64.0.1\"}", "exit node" },
                { "{\"AdvertiseTags\":[\"web\"]}", "tag:name" },
                { "{\"AdvertiseTags\":[\"tag:1a\"]}", "tag:name" },
                { "{\"ControlURL\":\"ftp://x\"}", "https://" },
                { "{\"RunSSH\":true}", "(--ssh) is not supported" },
                { "{\"RunWebClient\":true}", "(--webclient) is not supported" },
                { "{\"RemoteConfig\":true}", "(--remote-config) is not supported" },
                { "{\"RelayServerPort\":0}", "(--relay-server-port) is not supported" },
                { "{\"RelayServerStaticEndpoints\":[\"192.0.2.1:4\"]}", "(--relay-server-static-endpoints) is not supported" },
                { "{\"AutoExitNode\":\"any\"}", "(--exit-node=auto:any) is not supported" },
                { "{\"NetfilterMode\":7}", "netfilter" },
        };
        struct diag diag;
        struct prefs p;

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                prefs_init(&p);
                assert_int_equal(prefs_decode(slice_str(cases[i].json), &p, NULL, &diag), OK);
                assert_int_not_equal(prefs_check(&p, NULL, &diag), OK);
                assert_non_null(strstr(diag.text, cases[i].says));
                prefs_fini(&p);
        }
        static const char *const broken[] = { "", "[]", "{", "{\"RouteAll\":1}", "{\"Hostname\":{}}", "{} x",
                "{\"Config\":{\"PrivateNodeKey\":\"privkey:12\"}}", "{\"NetfilterMode\":1.5}" };
        for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
                prefs_init(&p);
                assert_int_not_equal(prefs_decode(slice_str(broken[i]), &p, NULL, &diag), OK);
                prefs_fini(&p);
        }
}

/* They came with the state file of an official daemon: `weft down` must work all the same. */
static void what_was_on_before_does_not_block_other_edits(void **state)
{
        struct prefs old, fresh;
        struct diag diag;

        (void)state;
        prefs_init(&old);
        assert_null(prefs_unsupported(&old));
        old.run_ssh = true;
        assert_non_null(prefs_unsupported(&old));
        assert_int_equal(prefs_copy(&fresh, &old), OK);
        fresh.shields_up = true;
        assert_int_equal(prefs_check(&fresh, &old, &diag), OK);
        fresh.run_web_client = true;
        assert_int_equal(prefs_check(&fresh, &old, &diag), ERR_UNSUPPORTED);
        assert_non_null(strstr(diag.text, "--webclient"));
        prefs_fini(&old);
        prefs_fini(&fresh);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(defaults_are_written_in_the_official_order),
                cmocka_unit_test(keys_travel_only_when_asked_for),
                cmocka_unit_test(a_mask_selects_what_is_applied),
                cmocka_unit_test(a_masked_edit_reads_back),
                cmocka_unit_test(bad_preferences_are_refused_with_a_sentence),
                cmocka_unit_test(what_was_on_before_does_not_block_other_edits),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
