/* The backend's memory, shared by backend.c, backend_control.c and backend_status.c. */
#ifndef NODE_BACKEND_INTERNAL_H
#define NODE_BACKEND_INTERNAL_H

#include "node/backend.h"

struct backend {
        const struct backend_ops *ops;
        void *ctx;
        struct rng *rng;
        struct state_map *state;
        struct backend_host host;
        bool is_ephemeral;

        struct secret_key machine_key;
        struct profiles profiles;
        struct netmap *netmap;
        enum ipn_state ipn;

        bool has_control;     /* between control_start() and control_stop() */
        bool is_paused;
        bool in_poll;
        bool wants_login;     /* a person or an auth key is logging in: errors are theirs */
        uint64_t logout_until_us; /* logging out until then; 0: not */
        enum control_login_state login;
        uint64_t trouble_since_us; /* login has failed since then; 0: it has not */
        struct buf auth_key;  /* for the next registration; wiped once it is done */
        struct buf auth_url;
        struct tailcfg_user_profile registered; /* of the last registration, in `texts` */
        struct arena texts;

        unsigned live_peers, live_derps;
        bool key_expired;
        int64_t next_unix_us;
        char *warnings[WARN_COUNT];
};

extern const struct log backend_log;

static inline const struct prefs *prefs_of(const struct backend *b)
{
        return &b->profiles.prefs;
}

void backend_say(struct backend *b, const struct notify *n);
/* The state map goes to disk if it changed. */
void backend_save(struct backend *b);
/* Works out the state anew and tells whom it concerns. */
void backend_update_state(struct backend *b);
/* Looks at our key's expiry and the peers'. */
void backend_update_expiry(struct backend *b, const struct now *now);
/* Forgets the profile, whatever control has answered. */
void backend_finish_logout(struct backend *b);
void backend_report(const struct backend *b, const char *what, enum err err);

#endif
