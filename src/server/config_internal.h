/* Shared by the files that read the configuration. */
#ifndef SERVER_CONFIG_INTERNAL_H
#define SERVER_CONFIG_INTERNAL_H

#include "server/config.h"

enum config_type {
        CONFIG_TEXT,
        CONFIG_BOOL,
        CONFIG_INT,
        CONFIG_DURATION, /* Go syntax; a bare number is nanoseconds */
        CONFIG_PROM,     /* Prometheus syntax: 90d, 1w; unreadable text means none */
        CONFIG_LIST,
        CONFIG_SPLIT,   /* dns.nameservers.split: domain -> list */
        CONFIG_RECORDS, /* dns.extra_records */
        CONFIG_ANY,     /* nothing here depends on its value */
};

/* What this release makes of a key that somebody sets. */
enum config_support {
        CONFIG_DONE,  /* it has its effect */
        CONFIG_MOOT,  /* concerns how headscale is built; nothing to do here */
        CONFIG_LATER, /* warned about by name */
};

struct config_key {
        const char *name;
        enum config_type type;
        enum config_support support;
        size_t offset;       /* in struct config; unused for CONFIG_ANY */
        const char *initial; /* the default as text, or NULL */
        bool is_path;        /* relative to the config file's folder */
};
extern const struct config_key config_keys[];
extern const size_t n_config_keys;

/* A key that headscale once had. replacement NULL: there is none. */
struct config_removed {
        const char *name;
        const char *unless_set; /* only an error while this key is not set */
        const char *advice;
};
extern const struct config_removed config_removed[];
extern const size_t n_config_removed;

/* The key of that name (case does not matter), or NULL. */
const struct config_key *config_key_find(struct slice name);
/* Whether keys begin with "name.". */
bool config_is_section(struct slice name);
bool config_was_set(const struct config *c, const char *name);

/* config_value.c: a value of a key from text, as the environment and defaults have it. */
enum err MUST_USE config_set_text(
        struct config *c, const struct config_key *key, struct slice text, struct diag *diag);
void config_set_list(struct config *c, const struct config_key *key, const struct slice *items, size_t n);

/* config_yaml.c: every value of a YAML text into c. */
enum err MUST_USE config_read_yaml(struct config *c, struct slice text, struct diag *diag);

void config_warn(struct config *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
