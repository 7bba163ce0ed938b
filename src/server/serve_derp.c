/*
 * Which relays nodes are told of: files and URLs of the configuration, and the embedded
 * relay, which wins over a region of the same id. Files and URLs are read at start,
 * at SIGHUP and (with derp.auto_update_enabled) every derp.update_frequency. A source
 * that cannot be read leaves the map as it was; the last good answer of each URL is
 * kept in memory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/http_client.h"
#include "proto/tailcfg.h"
#include "serve.h"

enum { URLS_MAX = 16, MAP_MAX = 4 << 20 };

struct remote_map {
        struct serve_derp *derp;
        char *url;
        struct http_fetch *fetch;
        struct buf json; /* the last good answer */
};

struct serve_derp {
        struct serve *sv;
        struct serve_relay *relay; /* NULL: not enabled */
        struct remote_map remote[URLS_MAX];
        size_t n_remote;
        struct timer refresh;
};

static enum err add_file(struct derp_sources *src, const char *path, struct diag *diag)
{
        struct buf text = BUF_INIT(MAP_MAX);
        enum err e = serve_file_read("derp.paths", path, &text, diag);

        if (e == OK)
                e = derp_map_add_yaml(src, path, buf_slice(&text), diag);
        buf_fini(&text);
        return e;
}

/* Everything that is known by now, told to the engine. */
static enum err publish(struct serve *sv, struct diag *diag)
{
        struct arena a = ARENA_INIT(16 << 20);
        struct derp_sources src = { .arena = &a };
        struct buf json = BUF_INIT(MAP_MAX);
        struct now now = net_loop_now(sv->loop);
        enum err e = OK;

        for (size_t i = 0; i < sv->derp->n_remote && e == OK; i++) {
                const struct remote_map *remote = &sv->derp->remote[i];
                if (remote->json.len)
                        e = derp_map_add_json(&src, remote->url, buf_slice(&remote->json), diag);
        }
        for (size_t i = 0; i < sv->config->derp_paths.n && e == OK; i++) {
                const char *path = arena_cstr(&a, sv->config->derp_paths.items[i]);
                e = path ? add_file(&src, path, diag) : ERR_NOMEM;
        }
        if (e == OK && sv->derp->relay && sv->config->derp_auto_region)
                e = serve_relay_region(sv->derp->relay, &src, diag);
        if (e == OK) {
                derp_map_write(&src, &json);
                e = buf_status(&json);
        }
        if (e == OK)
                e = server_set_derp_map(sv->server, &now, buf_slice(&json));
        if (e == OK) {
                log_info(&serve_log, "relays", "regions=%zu", src.n);
                if (sv->derp->relay)
                        serve_relay_set_names(sv->derp->relay, &src);
                serve_rearm(sv);
        }
        buf_fini(&json);
        arena_fini(&a);
        return e;
}

/* ---- URLs ---------------------------------------------------------------------------- */

static void on_fetched(void *ctx, const struct http_fetch_result *result)
{
        struct remote_map *remote = ctx;
        struct diag diag = result->diag;
        struct arena a = ARENA_INIT(16 << 20);
        struct derp_sources trial = { .arena = &a };
        enum err e = result->e;

        remote->fetch = NULL;
        if (e == OK && result->response.status != 200)
                e = diag_set(&diag, ERR_UNSUPPORTED, "%s answered %u", remote->url, result->response.status);
        if (e == OK)
                e = derp_map_add_json(&trial, remote->url, result->body, &diag);
        arena_fini(&a);
        if (e == OK) {
                buf_clear(&remote->json);
                buf_append_slice(&remote->json, result->body);
                e = publish(remote->derp->sv, &diag);
        }
        if (e != OK)
                log_warn(&serve_log, "a relay map could not be fetched; the last one stays",
                        "url=%s why=\"%s\"", remote->url, diag.text);
}

static const struct http_fetch_events fetch_events = { .on_done = on_fetched };

static void fetch_all(struct serve_derp *derp)
{
        for (size_t i = 0; i < derp->n_remote; i++) {
                struct remote_map *remote = &derp->remote[i];
                struct http_fetch_options options = { .url = remote->url, .max_body = MAP_MAX };
                if (!remote->fetch && http_fetch_start(derp->sv->loop, &options, &fetch_events, remote,
                                              &remote->fetch) != OK)
                        log_error(&serve_log, "derp.urls: not a URL", "url=%s", remote->url);
        }
}

static void refresh_due(struct timer *timer, const struct now *now)
{
        struct serve_derp *derp = container_of(timer, struct serve_derp, refresh);
        int64_t ns = derp->sv->config->derp_update_ns;

        (void)now;
        serve_derp_reload(derp->sv);
        net_timer_start(derp->sv->loop, timer, (uint64_t)(ns / 1000000));
}

/* ---- life ------------------------------------------------------------------------------ */

enum err serve_derp_start(struct serve *sv, struct diag *diag)
{
        const struct config *c = sv->config;
        struct serve_derp *derp = calloc(1, sizeof(*derp));
        enum err e;

        if (!derp)
                return diag_set(diag, ERR_NOMEM, "out of memory");
        sv->derp = derp;
        derp->sv = sv;
        derp->refresh.fire = refresh_due;
        if (c->derp_enabled) {
                e = serve_relay_start(sv, &derp->relay, diag);
                if (e != OK)
                        return e;
        }
        if (c->derp_urls.n > URLS_MAX)
                return diag_set(diag, ERR_LIMIT, "derp.urls: at most %d URLs", URLS_MAX);
        for (size_t i = 0; i < c->derp_urls.n; i++) {
                struct remote_map *remote = &derp->remote[derp->n_remote++];
                remote->derp = derp;
                remote->url = arena_cstr(&sv->config->arena, c->derp_urls.items[i]);
                remote->json = BUF_INIT(MAP_MAX);
                if (!remote->url)
                        return diag_set(diag, ERR_NOMEM, "out of memory");
        }
        e = publish(sv, diag);
        if (e != OK)
                return e;
        fetch_all(derp);
        if (c->derp_auto_update && c->derp_update_ns >= 1000000000)
                net_timer_start(sv->loop, &derp->refresh, (uint64_t)(c->derp_update_ns / 1000000));
        if (!c->derp_enabled && c->derp_paths.n == 0 && c->derp_urls.n == 0)
                log_warn(&serve_log,
                        "no relay is configured (derp.server, derp.paths, derp.urls): nodes behind hard NATs "
                        "will not connect",
                        NULL);
        return OK;
}

void serve_derp_reload(struct serve *sv)
{
        struct diag diag;

        if (publish(sv, &diag) != OK)
                log_error(&serve_log, "the relay map stays as it was", "why=\"%s\"", diag.text);
        fetch_all(sv->derp);
}

void serve_derp_metrics(struct serve *sv, struct buf *out)
{
        if (sv->derp->relay)
                serve_relay_metrics(sv->derp->relay, out);
}

bool serve_derp_request(struct serve *sv, struct http_exchange *x)
{
        return serve_relay_request(sv->derp->relay, x);
}

void serve_derp_stop(struct serve *sv)
{
        struct serve_derp *derp = sv->derp;

        if (!derp)
                return;
        net_timer_stop(sv->loop, &derp->refresh);
        serve_relay_stop(derp->relay);
        for (size_t i = 0; i < derp->n_remote; i++) {
                http_fetch_cancel(derp->remote[i].fetch);
                buf_fini(&derp->remote[i].json);
        }
        free(derp);
        sv->derp = NULL;
}
