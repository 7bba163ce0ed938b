/* Shared by the files of the command line. */
#ifndef SERVER_CLI_INTERNAL_H
#define SERVER_CLI_INTERNAL_H

#include "base/arena.h"
#include "base/buf.h"
#include "server/config.h"
#include "json/writer.h"

/* ---- cli_value.c: JSON as a tree, for tables and for writing it again --------------- */

enum value_type { VALUE_NULL, VALUE_BOOL, VALUE_NUMBER, VALUE_TEXT, VALUE_LIST, VALUE_OBJECT };

struct value {
        enum value_type type;
        struct slice name; /* as a member of an object */
        struct slice text; /* of a text, unescaped; of a number as it stood */
        bool is_true;
        struct value *children, *next; /* members or items */
};

/* The tree of a JSON text, in the arena; NULL if it is none. Members are sorted by name. */
struct value *value_parse(struct arena *a, struct slice json);
/* The member, or NULL. v may be NULL. */
const struct value *value_get(const struct value *v, const char *name);
/* The text of a member of type text; empty otherwise. */
struct slice value_text(const struct value *v, const char *name);
bool value_true(const struct value *v, const char *name);

enum output { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_JSON_LINE, OUTPUT_YAML };
/* The tree in one of the machine-readable forms, with a line break at the end. */
void value_write(const struct value *v, enum output form, struct buf *out);

/* ---- cli_args.c ----------------------------------------------------------------------- */

enum { CLI_FLAGS_MAX = 16, CLI_WORDS_MAX = 16 };

struct cli_flag {
        const char *name;  /* long name */
        const char *value; /* "" for a switch that was given */
};

struct cli {
        struct config config;
        char *const *env;
        const char *config_path;
        enum output output;
        bool force, help;
        const char *words[CLI_WORDS_MAX]; /* verbs and arguments in order */
        size_t n_words;
        struct cli_flag flags[CLI_FLAGS_MAX];
        size_t n_flags;
        size_t first_argument;  /* index into words: what follows the verb */
        const char *verb_flags; /* which flags the verb takes */
        struct arena arena;
};

/* False with a sentence in diag. */
bool cli_args_parse(struct cli *cli, int argc, char **argv, struct diag *diag);
/*
 * Whether every flag given is one of the verb's, which are one text, such as
 * "user:u= reusable expiration:e=": long name, letter after ':', '=' if it has a value.
 */
bool cli_args_check(const struct cli *cli, struct diag *diag);
/* The flag's value, or NULL if it was not given. */
const char *cli_flag(const struct cli *cli, const char *name);
/* The n-th argument after the verb, or NULL. */
const char *cli_argument(const struct cli *cli, size_t n);

/* ---- cli_call.c: the server's answers ----------------------------------------------------- */

/* One request over the Unix socket, or to cli.address. NULL after the error was told. */
const struct value *cli_call(struct cli *cli, const char *method, const char *path, struct slice body);

/* The value of an answer; NULL after its error was told. */
const struct value *cli_answer(struct cli *cli, unsigned status, struct slice body);
/* Whether there is a server to ask: cli.address is set or the Unix socket is there. */
bool cli_has_server(const struct cli *cli);

/* ---- cli_direct.c: the same without a server, which must not run ------------------------------ */

const struct value *cli_direct(struct cli *cli, const char *method, const char *path, struct slice body);

/* ---- cli_out.c ------------------------------------------------------------------------------ */

/* "Error: ..." or {"error": ...} as -o asks. Returns 1, the exit status. */
int cli_fail(const struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The answer as -o asks; for people the sentence instead. Returns 0. */
int cli_done(const struct cli *cli, const struct value *v, const char *sentence);
/* Asks yes or no on the terminal; --force says yes. */
bool cli_confirm(const struct cli *cli, const char *question);

enum { TABLE_COLUMNS_MAX = 16 };
struct table_out {
        struct buf text; /* cells, each ended by a NUL */
        size_t columns, cells;
};
void table_begin(struct table_out *t, const char *const *titles, size_t n);
void table_cell(struct table_out *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Prints it with aligned columns and releases it. */
void table_end(struct table_out *t);

/* "2006-01-02 15:04:05" of an RFC 3339 time; "N/A" for none. */
const char *cli_time(struct arena *a, struct slice rfc3339);

/* ---- the verbs ------------------------------------------------------------------------------- */

struct cli_verb {
        const char *group, *name; /* name NULL: the group is the verb */
        const char *aliases;      /* of the name, comma-separated */
        const char *arguments;    /* for --help */
        const char *flags;        /* see cli_args_check() */
        int (*run)(struct cli *cli);
        const char *help;         /* NULL: not listed */
};

int cli_serve(struct cli *cli);
int cli_configtest(struct cli *cli);
int cli_version(struct cli *cli);
int cli_health(struct cli *cli);
int cli_generate(struct cli *cli);
int cli_not_yet(struct cli *cli);

int cli_users_create(struct cli *cli);
int cli_users_list(struct cli *cli);
int cli_users_destroy(struct cli *cli);
int cli_users_rename(struct cli *cli);

int cli_nodes_list(struct cli *cli);
int cli_nodes_list_routes(struct cli *cli);
int cli_nodes_approve_routes(struct cli *cli);
int cli_nodes_register(struct cli *cli);
int cli_nodes_expire(struct cli *cli);
int cli_nodes_rename(struct cli *cli);
int cli_nodes_delete(struct cli *cli);
int cli_nodes_tag(struct cli *cli);
int cli_nodes_backfillips(struct cli *cli);

int cli_preauthkeys_create(struct cli *cli);
int cli_preauthkeys_list(struct cli *cli);
int cli_preauthkeys_expire(struct cli *cli);
int cli_preauthkeys_delete(struct cli *cli);

int cli_apikeys_create(struct cli *cli);
int cli_apikeys_list(struct cli *cli);
int cli_apikeys_expire(struct cli *cli);
int cli_apikeys_delete(struct cli *cli);

int cli_auth_register(struct cli *cli);
int cli_auth_reject(struct cli *cli);

int cli_policy_get(struct cli *cli);
int cli_policy_set(struct cli *cli);
int cli_policy_check(struct cli *cli);
int cli_policy_test(struct cli *cli);

/* Body text and paths of requests. */
struct slice cli_json_end(struct cli *cli, struct json_writer *w); /* closes the object */
struct json_writer cli_json_begin(struct cli *cli);
char *cli_escape(struct cli *cli, const char *text); /* for a path segment or a query value */
/* now + a Prometheus duration as RFC 3339; NULL after the error was told. */
const char *cli_expiration(struct cli *cli, const char *flag, const char *fallback);
/* A CSV flag as a JSON list of texts. */
void cli_put_csv(struct json_writer *w, const char *csv);
/* The id flag -i, which must be there: a decimal number. NULL after the error was told. */
const char *cli_id(struct cli *cli);

#endif
