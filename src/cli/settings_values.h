/* Between settings.c and settings_values.c: what flags say, put into preferences and back. */
#ifndef CLI_SETTINGS_VALUES_H
#define CLI_SETTINGS_VALUES_H

#include "settings.h"

/* Into the preferences. ERR_FORMAT, ERR_NOTFOUND and the like with a sentence. */

/* Of the two flags about advertised routes the one that id names; what the other would
 * say stays as it is. */
enum err MUST_USE settings_set_routes(const struct settings *s, enum setting id, struct prefs *p, struct diag *diag);
enum err MUST_USE settings_set_tags(struct prefs *p, const char *list, struct diag *diag);
/* An address, a name among the peers of st, "auto:..." or "" for none. */
enum err MUST_USE settings_set_exit_node(struct prefs *p, const char *word, const struct status *st, struct diag *diag);
/* A port, 0 for any; "": no relay. */
enum err MUST_USE settings_set_relay_port(struct prefs *p, const char *text, struct diag *diag);
/* Kept in order, each once. */
enum err MUST_USE settings_set_relay_endpoints(struct prefs *p, const char *list, struct diag *diag);

/* And back, as the flag's value. */
void settings_put_routes(const struct prefs *p, struct buf *out);
void settings_put_exit_node(const struct prefs *p, const struct status *st, struct buf *out);

#endif
