/* Arguments as people type them, and answers as programs read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli.h"

static void parse(struct cli *cli, const char *line, const char *flags)
{
        static char words[512];
        char *argv[32] = { (char *)"weft-control" };
        int argc = 1;
        struct diag diag;

        snprintf(words, sizeof(words), "%s", line);
        for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
                argv[argc++] = word;
        *cli = (struct cli){ .verb_flags = flags };
        if (!cli_args_parse(cli, argc, argv, &diag))
                fail_msg("%s: %s", line, diag.text);
}

static void flags_stand_anywhere(void **state)
{
        struct cli cli;
        struct diag diag;

        (void)state;
        parse(&cli,
                "-c /x/config.yaml preauthkeys create --user 3 --reusable -e=2h --tags=tag:a,tag:b -o json",
                "user:u= reusable ephemeral expiration:e= tags:t=");
        assert_true(cli_args_check(&cli, &diag));
        assert_string_equal(cli.config_path, "/x/config.yaml");
        assert_int_equal(cli.output, OUTPUT_JSON);
        assert_int_equal(cli.n_words, 2);
        assert_string_equal(cli_flag(&cli, "user"), "3");
        assert_string_equal(cli_flag(&cli, "expiration"), "2h");
        assert_string_equal(cli_flag(&cli, "tags"), "tag:a,tag:b");
        assert_non_null(cli_flag(&cli, "reusable"));
        assert_null(cli_flag(&cli, "ephemeral"));

        parse(&cli, "users create bob -e b@example.net -dBob --output=yaml",
                "display-name:d= email:e= picture-url:p=");
        assert_true(cli_args_check(&cli, &diag));
        assert_string_equal(cli_flag(&cli, "email"), "b@example.net");
        assert_string_equal(cli_flag(&cli, "display-name"), "Bob");
        assert_string_equal(cli.words[2], "bob");

        parse(&cli, "nodes expire -i 4 -d", "identifier:i= expiry:e= disable:d");
        assert_true(cli_args_check(&cli, &diag));
        assert_non_null(cli_flag(&cli, "disable"));

        parse(&cli, "nodes list --reusable", "user:u=");
        assert_false(cli_args_check(&cli, &diag));
        assert_non_null(strstr(diag.text, "--reusable"));
}

static void mistakes_are_told(void **state)
{
        static const char *const lines[][3] = {
                { "weft-control", "--no-such", NULL },
                { "weft-control", "-c", NULL },
                { "weft-control", "-o", "xml" },
        };
        struct diag diag;

        (void)state;
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
                struct cli cli = { .verb_flags = "" };
                assert_false(cli_args_parse(&cli, lines[i][2] ? 3 : 2, (char **)lines[i], &diag));
        }
}

static void written(const char *json, enum output form, const char *expected)
{
        struct arena a = ARENA_INIT(1 << 20);
        struct buf out = BUF_INIT(1 << 16);
        const struct value *v = value_parse(&a, slice_str(json));

        assert_non_null(v);
        value_write(v, form, &out);
        assert_string_equal(buf_cstr(&out), expected);
        buf_fini(&out);
        arena_fini(&a);
}

static void answers_are_written_again(void **state)
{
        (void)state;
        written("{\"b\":[],\"a\":{\"z\":1,\"y\":null}}", OUTPUT_JSON_LINE,
                "{\"a\":{\"y\":null,\"z\":1},\"b\":[]}\n");
        written("{\"b\":2,\"a\":\"x\"}", OUTPUT_JSON, "{\n\t\"a\": \"x\",\n\t\"b\": 2\n}\n");
        written("[]", OUTPUT_JSON, "[]\n");
        written("\"hskey\"", OUTPUT_JSON_LINE, "\"hskey\"\n");
        written("[{\"givenName\":\"pc\",\"ipAddresses\":[\"100.64.0.1\"],\"tags\":[]}]", OUTPUT_YAML,
                "- givenname: \"pc\"\n  ipaddresses:\n      - \"100.64.0.1\"\n  tags: []\n");
        /* A node without owner comes out with an owner of zero values. */
        written("{\"user\":null}", OUTPUT_JSON_LINE,
                "{\"user\":{\"createdAt\":\"0001-01-01T00:00:00Z\",\"displayName\":\"\",\"email\":\"\","
                "\"id\":\"\",\"name\":\"\","
                "\"profilePicUrl\":\"\",\"provider\":\"\",\"providerId\":\"\"}}\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(flags_stand_anywhere),
                cmocka_unit_test(mistakes_are_told),
                cmocka_unit_test(answers_are_written_again),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
