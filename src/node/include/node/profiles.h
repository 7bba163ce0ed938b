/*
 * Login profiles: which identities this machine has, and which one is current
 * (spec/node.md 1.5). They live in the state map; this module reads and writes its
 * keys `_profiles`, `_current-profile`, `profile-<id>` and, once, the old `_daemon`.
 *
 * The current profile's preferences are in profiles.prefs. A profile is in memory
 * only (no id) until a login gives it a node id and a login name.
 */
#ifndef NODE_PROFILES_H
#define NODE_PROFILES_H

#include "base/random.h"
#include "base/timer.h"
#include "json/writer.h"
#include "node/prefs.h"
#include "node/state_file.h"

enum { PROFILES_MAX = 64, PROFILE_ID_LEN = 4, PROFILE_KEY_MAX = 32 };

/* One entry of `_profiles`. Texts live in profiles.arena. */
struct profile {
        char id[PROFILE_ID_LEN + 1]; /* "" until first saved */
        char key[PROFILE_KEY_MAX];   /* state key, "profile-<id>" */
        struct slice name;           /* nickname or login name */
        struct slice network;        /* raw JSON of NetworkProfile, or empty */
        struct slice user_profile;   /* raw JSON of the owner */
        struct slice login_name;     /* from user_profile */
        struct slice node_id;        /* stable id */
        struct slice control_url;
        int64_t created_ns; /* UNIX_ZERO_DATE: unknown */
};

struct profiles {
        struct state_map *state; /* borrowed */
        struct arena arena;
        struct profile list[PROFILES_MAX];
        size_t count;
        struct profile current; /* a copy of the list's entry, or a new profile without id */
        struct prefs prefs;     /* of the current profile */
};

/*
 * Reads the profiles out of the state map and the preferences of the current one;
 * without any, a new empty profile is current. ERR_FORMAT with a sentence when the
 * map's content cannot be understood. profiles_fini() is due in any case.
 */
enum err MUST_USE profiles_init(struct profiles *ps, struct state_map *state, struct diag *diag);
void profiles_fini(struct profiles *ps);

/* Replaces the current preferences by a copy of p and, if the profile has an id,
 * puts them into the state map. */
enum err MUST_USE profiles_set_prefs(struct profiles *ps, const struct prefs *p);

/* Gives the current profile an id, if it has none, and writes it: from now on its
 * keys survive the process. ERR_LIMIT: too many profiles. */
enum err MUST_USE profiles_keep(struct profiles *ps, struct rng *rng, const struct now *now);

/* What a login tells of the profile; slices are copied. */
struct profile_login {
        struct slice login_name, display_name, profile_pic_url;
        int64_t user_id;
        struct slice node_id;
        struct slice network_name, magic_dns_name, domain_name;
};
/* The current profile has logged in: keeps it, drops others of the same user and node,
 * and writes all of it to the state map. */
enum err MUST_USE profiles_logged_in(struct profiles *ps, const struct profile_login *login, struct rng *rng,
        const struct now *now);

/* Makes a fresh profile current; the old one stays. */
enum err MUST_USE profiles_switch_new(struct profiles *ps);
/* ERR_NOTFOUND. */
enum err MUST_USE profiles_switch(struct profiles *ps, struct slice id, struct diag *diag);
/* Deletes a profile with its keys; the current one is replaced by a fresh one. */
enum err MUST_USE profiles_delete(struct profiles *ps, struct slice id);
/* Deletes the current profile: logout. */
enum err MUST_USE profiles_delete_current(struct profiles *ps);

/* One LoginProfile, and the list of all, newest first. */
void profile_write(struct json_writer *w, const struct profile *p);
void profiles_write(struct json_writer *w, const struct profiles *ps);
const struct profile *profiles_find(const struct profiles *ps, struct slice id);

#endif
