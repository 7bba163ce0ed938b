/*
 * Preferences of a profile: what the user has asked for, in the official JSON form
 * (spec/node.md 1.6), and the keys that make the profile who it is.
 *
 * One table (prefs_fields) says name, kind and place of every field; reading,
 * writing, masked edits and comparison all walk it, in the order of the official
 * output. Text and lists live in the arena inside the struct, so a struct prefs is
 * changed by making a changed copy.
 */
#ifndef NODE_PREFS_H
#define NODE_PREFS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/random.h"
#include "base/slice.h"
#include "crypto/key.h"
#include "ip/addr.h"
#include "json/reader.h"
#include "json/writer.h"

/* The protocol's opt.Bool: left out, true, false, or null (which stays null). */
enum tristate { TRI_EMPTY, TRI_FALSE, TRI_TRUE, TRI_NULL };

enum netfilter_mode { NETFILTER_OFF = 0, NETFILTER_NODIVERT = 1, NETFILTER_ON = 2 };

enum { PREFS_TEXT_MAX = 256 << 10, PREFS_LIST_MAX = 4096 };

struct prefs_list {
        struct slice *items;
        size_t count;
        bool present; /* false: null */
};

/* Keys of a profile, "Config" in the JSON. Never shown to clients of the LocalAPI. */
struct persist {
        bool present;
        struct secret_key node_key, old_node_key;
        struct secret_key pending_node_key; /* ours: see client/control.h, control_keys */
        struct slice user_profile;     /* raw JSON object */
        struct slice network_lock_key; /* "nlpriv:" and 128 hex digits, kept as text */
        struct slice node_id;          /* stable id */
        struct slice disallowed_tka;   /* raw JSON, kept */
};

struct prefs {
        struct arena arena;

        struct slice control_url;
        bool route_all; /* accept other nodes' subnet routes */
        struct slice exit_node_id, exit_node_ip, auto_exit_node, exit_node_prior;
        bool exit_node_allow_lan;
        bool corp_dns; /* accept DNS settings */
        bool run_ssh, run_web_client;
        bool want_running, logged_out;
        bool shields_up;
        struct prefs_list advertise_tags;
        struct slice hostname;
        bool notepad_urls, force_daemon, egg;
        struct prefs_list advertise_routes; /* CIDR text */
        struct prefs_list advertise_services;
        enum tristate sync;
        bool no_snat;
        enum tristate no_stateful_filtering;
        int64_t netfilter_mode;
        struct slice operator_user, profile_name;
        bool update_check;
        enum tristate update_apply;
        bool app_connector;
        bool posture_checking;
        struct slice netfilter_kind;
        bool remote_config;
        struct slice drive_shares;      /* raw JSON array, or empty for null */
        struct slice relay_server_port; /* raw JSON number, or empty */
        struct prefs_list relay_endpoints;
        struct persist persist;
};

/* Which fields a masked edit touches: bit i is field i of the table. */
struct prefs_mask {
        uint64_t bits;
};
/* The bit of a field by its official name ("RouteAll", "AutoUpdate.Check"); the
 * name must exist. */
uint64_t prefs_mask_bit(const char *name);

/* Defaults on Linux; what a decoder starts from. */
void prefs_init(struct prefs *p);
/* Wipes the keys, frees the arena. */
void prefs_fini(struct prefs *p);
/* dst is initialised to a deep copy. ERR_NOMEM (dst is then finished). */
enum err MUST_USE prefs_copy(struct prefs *dst, const struct prefs *src);
/* Equal in all fields of the mask; keys are not compared. */
bool prefs_equal(const struct prefs *a, const struct prefs *b, uint64_t mask);
/* Copies the fields of the mask from src to dst. ERR_NOMEM. */
enum err MUST_USE prefs_apply(struct prefs *dst, const struct prefs *src, uint64_t mask);

/* Writers of single fields, which copy into p's arena. ERR_NOMEM. */
enum err MUST_USE prefs_set_text(struct prefs *p, struct slice *field, struct slice value);
enum err MUST_USE prefs_set_list(struct prefs *p, struct prefs_list *field, const struct slice *items, size_t count);

enum prefs_secrets { PREFS_HIDE_SECRETS, PREFS_WITH_SECRETS };
/* One JSON object. Hidden secrets are written as zero keys (spec 1.6). */
void prefs_write(struct json_writer *w, const struct prefs *p, enum prefs_secrets secrets);
/* MaskedPrefs: only the masked fields, each with its "...Set". */
void prefs_write_masked(struct json_writer *w, const struct prefs *p, uint64_t mask);

/*
 * Reads an object over the defaults into an initialised p (what is absent keeps its
 * value). mask (may be NULL) receives the "...Set" members that are true. Unknown
 * members are skipped. A field of the wrong type fails the reader.
 */
void prefs_parse(struct json_reader *r, struct prefs *p, struct prefs_mask *mask);
/* The same for a whole text; diag says what is wrong with it. */
enum err MUST_USE prefs_decode(struct slice json, struct prefs *p, struct prefs_mask *mask, struct diag *diag);

/* The rules of spec/node.md 1.6, "Validation". ERR_FORMAT or ERR_UNSUPPORTED with a
 * sentence. What we do not support yet is refused here, by name, when it is switched on;
 * where old (those in force, or NULL) has it on, it came with another daemon's state and
 * may stay, so that everything else can still be changed. */
enum err MUST_USE prefs_check(const struct prefs *p, const struct prefs *old, struct diag *diag);
/* A feature that is on and that we do not support, for people; NULL: none. */
const char *prefs_unsupported(const struct prefs *p);

/* The address of the control server: control_url, or the hosted default. */
#define PREFS_DEFAULT_CONTROL_URL "https://controlplane.tailscale.com"
struct slice prefs_control_url(const struct prefs *p);
bool prefs_is_default_control(struct slice url);
/* 0.0.0.0/0 and ::/0 both advertised. */
bool prefs_advertises_exit_node(const struct prefs *p);
bool prefs_has_exit_node(const struct prefs *p);
/* Advertised routes as prefixes, those that do not parse left out; at most max. */
size_t prefs_routes(const struct prefs *p, struct ip_prefix *out, size_t max);

#endif
