/*
 * The node's will: preferences, profiles, login and the seven states of
 * spec/node.md 1.10, without I/O. It decides; its driver (node_io, or the simulator)
 * carries out what struct backend_ops asks for and reports back what happened.
 *
 *      LocalAPI ---> backend_start / _edit_prefs / _login / _logout
 *      control  ---> backend_control_*                               ---> ops
 *      engine   ---> backend_set_live
 *
 * The backend owns the state map's content, the profiles and the netmap; the control
 * client writes the netmap between control_start() and control_stop(). One thread.
 * Ops are called from within the functions below and must not call back into it.
 */
#ifndef NODE_BACKEND_H
#define NODE_BACKEND_H

#include "client/control.h"
#include "node/notify.h"
#include "node/profiles.h"

struct backend;

/* What a control client is to be created with. Borrowed for the call. */
struct backend_control {
        const char *server_url;
        const struct secret_key *machine_key;
        struct control_keys keys;
        struct netmap *netmap;
        bool is_ephemeral;
};

struct backend_ops {
        /* One client at a time; control_stop() comes before the next start. */
        void (*control_start)(void *ctx, const struct backend_control *config);
        void (*control_stop)(void *ctx);
        void (*control_login)(void *ctx, unsigned flags, const char *auth_key);
        void (*control_logout)(void *ctx);
        void (*control_pause)(void *ctx, bool paused);
        /* backend_hostinfo() says something new. */
        void (*hostinfo_changed)(void *ctx);
        /* The packet path is to follow the backend's state, preferences and netmap;
         * changes NULL: any of it may be different. */
        void (*apply)(void *ctx, const struct netmap_changes *changes);
        /* The state map is dirty: write it before returning. */
        void (*save_state)(void *ctx);
        /* Fill an empty netmap from the cache of this profile, if there is one. False:
         * it is damaged and nm of no use. */
        bool (*load_cache)(void *ctx, const char *profile_id, struct netmap *nm);
        /* Bring the profile's cache up to date; changes NULL: all of it. nm NULL: remove it. */
        void (*save_cache)(void *ctx, const char *profile_id, const struct netmap *nm,
                const struct netmap_changes *changes);
        void (*notify)(void *ctx, const struct notify *n);
        /* Live facts of a peer for the status: addresses, bytes, handshake, relay. */
        void (*fill_peer)(void *ctx, const struct tailcfg_node *node, struct arena *arena, struct status_peer *out);
        void (*fill_self)(void *ctx, struct arena *arena, struct status_peer *out);
};

/* Facts about this machine for Hostinfo; texts are borrowed for the backend's life. */
struct backend_host {
        const char *hostname, *os_version, *distro, *distro_version, *machine;
        bool has_tun, is_container;
};

struct backend_config {
        const struct backend_ops *ops; /* borrowed */
        void *ctx;
        struct rng *rng;               /* borrowed */
        struct state_map *state;       /* borrowed: read at creation, written ever after */
        struct backend_host host;
        bool is_ephemeral;             /* the state is lost at the end: --state=mem: */
};

/* Reads the profiles; makes the machine key if there is none. Nothing is called
 * before backend_run_first(). *diag says what is wrong with the state. */
enum err MUST_USE backend_new(const struct backend_config *config, struct backend **out, struct diag *diag);
void backend_free(struct backend *b);
/* Daemon start: loads the cached netmap, and goes on where the last run ended. */
void backend_run_first(struct backend *b, const struct now *now);

/* ---- what users ask for ---------------------------------------------------- */

/* spec/node.md 3.2 "start": update (may be NULL) replaces the preferences, keys stay;
 * auth_key (may be empty) is used by the next registration. */
enum err MUST_USE backend_start(struct backend *b, const struct prefs *update, struct slice auth_key,
        const struct now *now, struct diag *diag);
enum err MUST_USE backend_check_prefs(const struct backend *b, const struct prefs *p, struct diag *diag);
enum err MUST_USE backend_edit_prefs(struct backend *b, const struct prefs *edit, uint64_t mask,
        const struct now *now, struct diag *diag);
void backend_login_interactive(struct backend *b, const struct now *now);
/* Ends the key at control and here; done when backend_is_logging_out() is false, at
 * the latest after LOGOUT_PATIENCE_S. The last notify of it carries new preferences. */
enum { LOGOUT_PATIENCE_S = 5 };
void backend_logout(struct backend *b, const struct now *now);
bool backend_is_logging_out(const struct backend *b);
enum err MUST_USE backend_new_profile(struct backend *b, const struct now *now);
enum err MUST_USE backend_switch_profile(struct backend *b, struct slice id, const struct now *now, struct diag *diag);
enum err MUST_USE backend_delete_profile(struct backend *b, struct slice id, const struct now *now);

/* ---- what the control client tells ------------------------------------------ */

void backend_control_keys(struct backend *b, const struct control_keys *keys, const struct now *now);
void backend_control_login_changed(struct backend *b, enum control_login_state state, const struct now *now);
void backend_control_auth_url(struct backend *b, struct slice url, const struct now *now);
void backend_control_registered(struct backend *b, const struct tailcfg_register_response *r);
void backend_control_problem(struct backend *b, const char *text, const struct now *now);
/* Who waits for a login learns of a refusal at once, of other trouble when it has
 * lasted for TROUBLE_PATIENCE_S. */
enum { TROUBLE_PATIENCE_S = 8 };
void backend_control_refused(struct backend *b, const char *text);
void backend_control_netmap(struct backend *b, const struct netmap_changes *changes, const struct now *now);
void backend_control_poll(struct backend *b, bool is_up, const struct now *now);

/* ---- what the engine tells --------------------------------------------------- */

/* Peers with a session, relays connected: Starting becomes Running. */
void backend_set_live(struct backend *b, unsigned peers, unsigned derps, const struct now *now);

enum backend_warning {
        WARN_CONTROL, WARN_ROUTER, WARN_STATE, WARN_SOCKET, WARN_RELAY, WARN_FIREWALL, WARN_FORWARDING, WARN_RESOLVER,
        WARN_DNS, WARN_SYNC, WARN_UNSUPPORTED, WARN_NETWORK, WARN_COUNT
};
/* A sentence for status and bus; NULL or "": all is well. */
void backend_set_warning(struct backend *b, enum backend_warning which, const char *text);
/* NULL: all is well. */
const char *backend_warning(const struct backend *b, enum backend_warning which);

/* Expiry of our key and of peers' keys, patience with a logout. When to call
 * backend_tick(), on the monotonic clock; TIME_NEVER. Changes with every call. */
uint64_t backend_deadline(const struct backend *b, const struct now *now);
void backend_tick(struct backend *b, const struct now *now);

/* ---- asking ------------------------------------------------------------------ */

enum ipn_state backend_state(const struct backend *b);
const struct prefs *backend_prefs(const struct backend *b);
const struct profiles *backend_profiles(const struct backend *b);
/* Never NULL; empty (netmap_self() NULL) before the first map. */
const struct netmap *backend_netmap(const struct backend *b);
const struct secret_key *backend_machine_key(const struct backend *b);
struct slice backend_auth_url(const struct backend *b);
bool backend_has_node_key(const struct backend *b);
/* Packets may flow: the node wants to run and its key is good. */
bool backend_wants_engine(const struct backend *b);
bool backend_in_poll(const struct backend *b);

/* What we tell control of ourselves; texts and arrays in the arena or borrowed. */
void backend_hostinfo(const struct backend *b, struct arena *arena, struct tailcfg_hostinfo *out);
/* The whole status; all of it lives in the arena or until the next change. */
void backend_status(const struct backend *b, bool with_peers, const struct now *now, struct arena *arena,
        struct status *out);
struct tailcfg_strings backend_health(const struct backend *b, struct arena *arena);

struct backend_whois {
        const struct tailcfg_node *node;
        struct tailcfg_user_profile user;
        struct tailcfg_cap_map caps; /* granted to it toward us */
};
/* ERR_NOTFOUND. */
enum err MUST_USE backend_whois_ip(const struct backend *b, const struct ip_addr *ip, struct arena *arena,
        struct backend_whois *out);
enum err MUST_USE backend_whois_key(const struct backend *b, const struct public_key *key, struct arena *arena,
        struct backend_whois *out);

#endif
