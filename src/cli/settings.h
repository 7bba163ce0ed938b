/*
 * The settings that `up`, `login` and `set` share: flags on one side, preferences on
 * the other (spec/node.md 2.2, 2.3).
 */
#ifndef CLI_SETTINGS_H
#define CLI_SETTINGS_H

#include "cli.h"

enum setting {
        SETTING_ACCEPT_DNS, SETTING_ACCEPT_ROUTES, SETTING_ADVERTISE_CONNECTOR, SETTING_ADVERTISE_EXIT_NODE,
        SETTING_ADVERTISE_ROUTES, SETTING_ADVERTISE_TAGS, SETTING_AUTO_UPDATE, SETTING_EXIT_NODE, SETTING_EXIT_NODE_LAN, SETTING_HOSTNAME,
        SETTING_LOGIN_SERVER, SETTING_NETFILTER_MODE, SETTING_NICKNAME, SETTING_OPERATOR,
        SETTING_RELAY_ENDPOINTS, SETTING_RELAY_PORT, SETTING_REMOTE_CONFIG, SETTING_REPORT_POSTURE,
        SETTING_SHIELDS_UP, SETTING_SNAT, SETTING_SSH, SETTING_STATEFUL, SETTING_SYNC, SETTING_UPDATE_CHECK, SETTING_WEB_CLIENT,
        SETTING_COUNT,
};

enum { SETTINGS_UP = 1, SETTINGS_LOGIN = 2, SETTINGS_SET = 4 }; /* which verbs have the flag */

/* Where the flags put their values; one of the two by the setting's kind. */
struct settings {
        bool on[SETTING_COUNT];
        const char *text[SETTING_COUNT];
};

void settings_init(struct settings *s);
/* Appends a flag for every setting of the verb; returns how many. flags has room for
 * SETTING_COUNT; ids (as large) says which setting each flag is. */
size_t settings_flags(struct settings *s, unsigned verb, struct flag *flags, enum setting *ids);

/* Puts one setting into the preferences and its fields into the mask. st finds exit
 * nodes by name. ERR_FORMAT with a sentence. */
enum err MUST_USE settings_apply(const struct settings *s, enum setting id, const struct status *st, struct prefs *p,
        uint64_t *mask, struct diag *diag);
/* The flag's value that these preferences amount to: "true", "false" or text. */
void settings_text(const struct prefs *p, enum setting id, const struct status *st, struct buf *out);
/* Says so if routes were mentioned that the machine does not forward, or p, with the
 * flags in it, makes an exit node whose traffic finds no way back. */
void settings_warn(struct cli *cli, const struct flag *flags, const enum setting *ids, size_t count, const struct prefs *p);
bool setting_is_bool(enum setting id);
const char *setting_flag(enum setting id);

#endif
