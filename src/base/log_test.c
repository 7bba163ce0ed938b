#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/log.h"

static const struct log lg = { "test" };
static char seen[1024];

static void keep(void *ctx, enum log_level level, const char *line)
{
        (void)ctx;
        (void)level;
        snprintf(seen, sizeof(seen), "%s", line);
}

/* What a stranger says may be the message itself; one line stays one line. */
static void control_characters_do_not_pass(void **state)
{
        (void)state;
        log_set_sink(keep, NULL);
        log_warn(&lg, "no\nerror forged: \033[2J", "why=\"a\r\nb\"");
        log_set_sink(NULL, NULL);
        assert_non_null(strstr(seen, "no error forged:  [2J"));
        assert_non_null(strstr(seen, "why=\"a  b\""));
        for (const char *p = seen; *p; p++)
                assert_true(*p >= 0x20);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(control_characters_do_not_pass) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
