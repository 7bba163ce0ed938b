/* serve, configtest, version, health, generate. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

#include "base/log.h"
#include "cli.h"
#include "crypto/key.h"
#include "net/loop.h"
#include "server/serve.h"

static const struct log cli_log = { "config" };

static void apply_log_settings(struct cli *cli)
{
        const struct config *c = &cli->config;
        enum log_level level;
        bool known = log_level_parse(c->log_level, &level) == OK;

        log_set_level(known ? level : LOG_DEBUG);
        log_set_json(strcmp(c->log_format, "json") == 0);
        if (!known)
                log_warn(&cli_log, "log.level is unknown; logging at debug", "level=%s", c->log_level);
}

int cli_serve(struct cli *cli)
{
        struct diag diag;

        apply_log_settings(cli);
        return serve_run(&cli->config, &diag) == OK ? 0 : cli_fail(cli, "%s", diag.text);
}

/* Without side effects: nothing is opened, made or migrated. */
int cli_configtest(struct cli *cli)
{
        struct diag diag;

        for (size_t i = 0; i < cli->config.warnings.n; i++)
                fprintf(stderr, "Warning: %.*s\n", SLICE_ARGS(cli->config.warnings.items[i]));
        return config_check_serve(&cli->config, &diag) == OK ? 0 : cli_fail(cli, "%s", diag.text);
}

int cli_version(struct cli *cli)
{
        struct json_writer w = cli_json_begin(cli);
        struct utsname system;
        const char *machine = uname(&system) == 0 ? system.machine : "";

        json_field_str(&w, "version", WEFT_VERSION);
        json_field_str(&w, "commit", "");
        json_field_str(&w, "buildTime", "");
        json_name(&w, "go");
        json_object_open(&w);
        json_field_str(&w, "version", "");
        json_field_str(&w, "os", "linux");
        json_field_str(&w, "arch", machine);
        json_object_close(&w);
        json_field_bool(&w, "dirty", false);
        const struct value *v = value_parse(&cli->arena, cli_json_end(cli, &w));
        return v ? cli_done(cli, v, "weft-control version " WEFT_VERSION) : 1;
}

int cli_health(struct cli *cli)
{
        const struct value *v = cli_call(cli, "GET", "/api/v1/health", (struct slice){ 0 });

        if (!v)
                return 1;
        return cli->output == OUTPUT_TABLE ? 0 : cli_done(cli, v, "");
}

int cli_generate(struct cli *cli)
{
        struct secret_key key;
        char text[KEY_TEXT_MAX];

        key_generate(net_rng(), &key);
        secret_format(&key, text);
        struct json_writer w = cli_json_begin(cli);
        json_field_str(&w, "private_key", text);
        const struct value *v = value_parse(&cli->arena, cli_json_end(cli, &w));
        int status = v ? cli_done(cli, v, text) : 1;
        key_wipe(&key, sizeof(key));
        key_wipe(text, sizeof(text));
        return status;
}

int cli_not_yet(struct cli *cli)
{
        return cli_fail(cli, "this release of weft-control does not support `%s%s%s`", cli->words[0],
                cli->first_argument > 1 ? " " : "", cli->first_argument > 1 ? cli->words[1] : "");
}
