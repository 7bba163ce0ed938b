/* Shared by the files that put the engine on sockets. */
#ifndef SERVER_SERVE_INTERNAL_H
#define SERVER_SERVE_INTERNAL_H

#include <stdatomic.h>

#include "base/log.h"
#include "net/http.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/tls.h"
#include "proto/tailcfg.h"
#include "server/config.h"
#include "server/server.h"

struct serve_derp;

/* Of a file that may be replaced at any time; zero at the start. */
struct file_watch {
        struct net_loop *loop;
        void (*changed)(void *ctx);
        void *ctx;
        struct net_watch *watch; /* of its folder */
        struct timer quiet;      /* nothing happened there for a moment */
};

struct serve {
        struct config *config;
        struct server_settings settings;
        struct net_loop *loop;
        struct store *store;
        struct server *server;
        struct secret_key noise_key;
        struct public_key noise_public;
        struct http_server *outer, *inner, *local; /* the world, inside Noise, the Unix socket */
        struct http_server *metrics;
        struct net_listener *listener, *unix_listener, *metrics_listener;
        int64_t started_us; /* date */
        struct tls_server *tls;
        struct serve_derp *derp;
        struct timer deadline;      /* the engine's next one */
        struct net_task store_news; /* posted from the store's thread */
        atomic_bool news_posted;
        struct net_signal *signals[4];
        struct file_watch policy_watch, records_watch;
};

extern const struct log serve_log;

/* After anything that may have moved the engine's deadline. */
void serve_rearm(struct serve *sv);

/* ---- serve_call.c: an HTTP exchange as a call to the engine ----------------------- */

/* The exchange is answered by the engine from here on. NULL: out of memory, answered. */
struct server_call *serve_call_new(struct serve *sv, struct http_exchange *x);

/* ---- serve_http.c, serve_noise.c, serve_api.c --------------------------------------- */

extern const struct http_server_calls serve_outer_calls, serve_inner_calls, serve_local_calls;
void serve_noise_upgrade(struct serve *sv, struct http_exchange *x);
/* A request below /api/v1/ of someone who has been let in. */
void serve_api_request(struct serve *sv, struct http_exchange *x);
/* The same from the world: a Bearer key is needed. */
void serve_api_remote(struct serve *sv, struct http_exchange *x);
void serve_api_remote_head(void *ctx, struct http_exchange *x);

/* ---- serve_derp.c, derp_map.c ---------------------------------------------------------- */

/* Relays: the map from config and files, the embedded one. */
enum err MUST_USE serve_derp_start(struct serve *sv, struct diag *diag);
void serve_derp_stop(struct serve *sv);
/* Reads the files again; a mistake keeps the map that was. */
void serve_derp_reload(struct serve *sv);
/* The embedded relay's counters, if there is one, as Prometheus text. */
void serve_derp_metrics(struct serve *sv, struct buf *out);
/* True if the request was for the embedded relay and has been taken. */
bool serve_derp_request(struct serve *sv, struct http_exchange *x);

/* A region map as YAML text (headscale's derp.paths) or JSON (derp.urls) into regions
 * that a later source overrides by id; a null region deletes. ERR_FORMAT with a
 * sentence. Lists live in the arena. */
struct derp_sources {
        struct arena *arena;
        struct tailcfg_derp_region *regions;
        size_t n, cap;
};
enum err MUST_USE derp_map_add_yaml(
        struct derp_sources *src, const char *name, struct slice text, struct diag *diag);
enum err MUST_USE derp_map_add_json(
        struct derp_sources *src, const char *name, struct slice text, struct diag *diag);
enum err MUST_USE derp_map_add(struct derp_sources *src, const struct tailcfg_derp_region *region);
void derp_map_write(const struct derp_sources *src, struct buf *json);

/* ---- serve_policy.c: policy.path ------------------------------------------------------ */

/* Puts the file's policy in force and watches it. */
enum err MUST_USE serve_policy_start(struct serve *sv, struct diag *diag);
/* Reads the file again; one with a mistake leaves the policy as it is. */
void serve_policy_reload(struct serve *sv);

/* ---- serve_records.c: dns.extra_records_path ------------------------------------------ */

enum err MUST_USE serve_records_start(struct serve *sv, struct diag *diag);
/* Reads the file again; one with a mistake leaves the records as they are. */
void serve_records_reload(struct serve *sv);
/* [{"name","type","value"}], in the arena. ERR_FORMAT, ERR_LIMIT with a sentence. */
enum err MUST_USE records_parse(
        struct slice text, struct arena *a, struct server_dns_record **out, size_t *count, struct diag *diag);

/* ---- serve_file.c -------------------------------------------------------------------- */

/* Appends the whole file. key: of the configuration, for the sentence that says what
 * is wrong. */
enum err MUST_USE serve_file_read(const char *key, const char *path, struct buf *out, struct diag *diag);
/* Calls changed() some moments after the file was written or replaced; perhaps also
 * when another file in its folder was. */
void serve_file_watch(struct file_watch *w, struct net_loop *loop, const char *path, void (*changed)(void *ctx),
        void *ctx);
void serve_file_unwatch(struct file_watch *w);

/* ---- serve_metrics.c: metrics_listen_addr ------------------------------------------------ */

enum err MUST_USE serve_metrics_start(struct serve *sv, struct diag *diag);
void serve_metrics_stop(struct serve *sv);

/* ---- serve_relay.c ----------------------------------------------------------------------- */

struct serve_relay;
/* On failure *out may still have to be stopped. */
enum err MUST_USE serve_relay_start(struct serve *sv, struct serve_relay **out, struct diag *diag);
void serve_relay_stop(struct serve_relay *r); /* NULL is fine */
bool serve_relay_request(struct serve_relay *r, struct http_exchange *x);
void serve_relay_metrics(struct serve_relay *r, struct buf *out);
/* Adds the region that stands for us to the map. */
enum err MUST_USE serve_relay_region(
        const struct serve_relay *r, struct derp_sources *src, struct diag *diag);

void serve_relay_set_names(struct serve_relay *r, const struct derp_sources *src);

/* ---- key_file.c -------------------------------------------------------------------------- */

/* "privkey:<64 hex>" in a file of mode 0600, made (with its folder, 0700) if absent. */
enum err MUST_USE key_file_load(
        const char *what, const char *path, struct rng *rng, struct secret_key *out, struct diag *diag);

#endif
