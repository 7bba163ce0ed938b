/* Start, run, reload, stop. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "serve.h"
#include "server/serve.h"
#include "store/sqlite.h"

const struct log serve_log = { "serve" };

void serve_rearm(struct serve *sv)
{
        uint64_t at = server_deadline(sv->server);

        if (at == TIME_NEVER)
                net_timer_stop(sv->loop, &sv->deadline);
        else
                net_timer_start_at(sv->loop, &sv->deadline, at);
}

static void deadline_due(struct timer *timer, const struct now *now)
{
        struct serve *sv = container_of(timer, struct serve, deadline);

        server_run(sv->server, now);
        serve_rearm(sv);
}

/* ---- the store's news ------------------------------------------------------------- */

static void store_notify(void *ctx)
{
        struct serve *sv = ctx;

        if (!atomic_exchange(&sv->news_posted, true))
                net_loop_post(sv->loop, &sv->store_news);
}

static void store_news(struct net_task *task)
{
        struct serve *sv = container_of(task, struct serve, store_news);
        struct now now = net_loop_now(sv->loop);

        atomic_store(&sv->news_posted, false);
        if (!sv->server)
                return;
        server_store_ready(sv->server, &now);
        serve_rearm(sv);
}

/* ---- signals ------------------------------------------------------------------------ */

static void stop_signal(void *ctx, int signum)
{
        struct serve *sv = ctx;

        log_info(&serve_log, "stopping", "signal=%d", signum);
        net_loop_stop(sv->loop);
}

static void reload_signal(void *ctx, int signum)
{
        struct serve *sv = ctx;
        struct diag diag;

        (void)signum;
        log_info(&serve_log, "reading certificates, relay files, the policy and extra DNS records again", NULL);
        if (sv->tls) {
                struct tls_server_options options = { .cert_file = sv->config->tls_cert_path,
                        .key_file = sv->config->tls_key_path };
                if (tls_server_reload(sv->tls, &options, &diag) != OK)
                        log_error(&serve_log, "the old certificate stays in use", "why=\"%s\"", diag.text);
        }
        serve_derp_reload(sv);
        serve_policy_reload(sv);
        serve_records_reload(sv);
}

static enum err watch_signals(struct serve *sv, struct diag *diag)
{
        static const struct {
                int signum;
                void (*caught)(void *ctx, int signum);
        } watched[] = { { SIGINT, stop_signal }, { SIGTERM, stop_signal }, { SIGQUIT, stop_signal },
                { SIGHUP, reload_signal } };

        for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++) {
                if (net_signal_start(sv->loop, watched[i].signum, watched[i].caught, sv, &sv->signals[i]) !=
                        OK)
                        return diag_set(diag, ERR_SYS, "cannot watch signals: %s", strerror(errno));
        }
        return OK;
}

/* ---- listeners ------------------------------------------------------------------------- */

static enum err listen_outer(struct serve *sv, struct diag *diag)
{
        const struct config *c = sv->config;
        struct ip_port addr = { 0 };
        struct tls_server_options tls = { .cert_file = c->tls_cert_path, .key_file = c->tls_key_path };
        enum err e = OK;

        if (*c->tls_cert_path)
                e = tls_server_new(&tls, &sv->tls, diag);
        if (e != OK)
                return e;
        if (!*c->listen_addr)
                addr.ip = ip_v4(127, 0, 0, 1);
        else if (ip_listen_parse(slice_str(c->listen_addr), &addr) != OK)
                return diag_set(diag, ERR_FORMAT, "listen_addr: \"%s\" is no address such as 0.0.0.0:8080",
                        c->listen_addr);
        return http_server_listen(sv->outer, &addr, sv->tls, &sv->listener, diag);
}

static void on_local_accept(void *ctx, struct net_stream *s)
{
        struct serve *sv = ctx;

        http_serve(sv->local, s, NULL);
}

/* The folder is made for the owner alone: the socket is trusted like a password. */
static enum err listen_local(struct serve *sv, struct diag *diag)
{
        static const struct net_listener_calls calls = { .on_accept = on_local_accept };
        const char *path = sv->config->unix_socket;
        char folder[512];

        snprintf(folder, sizeof(folder), "%s", path);
        char *slash = strrchr(folder, '/');
        if (slash && slash != folder) {
                *slash = '\0';
                if (mkdir(folder, 0700) != 0 && errno != EEXIST)
                        return diag_set(diag, err_from_errno(errno), "cannot create %s for unix_socket: %s",
                                folder, strerror(errno));
        }
        return net_listen_unix(
                sv->loop, path, sv->config->unix_socket_mode, 0, &calls, sv, &sv->unix_listener, diag);
}

/* ---- start and stop ------------------------------------------------------------------------ */

static enum err start(struct serve *sv, struct diag *diag)
{
        const struct config *c = sv->config;
        struct now now;
        enum err e;

        if (net_loop_new(&sv->loop) != OK)
                return diag_set(diag, ERR_SYS, "cannot start the event loop: %s", strerror(errno));
        now = net_loop_now(sv->loop);
        e = key_file_load("noise.private_key_path", c->noise_key_path, net_rng(), &sv->noise_key, diag);
        if (e != OK)
                return e;
        key_public(&sv->noise_key, &sv->noise_public);
        sv->store = store_sqlite_open(&(struct store_sqlite_options){ .path = c->sqlite_path,
                                              .wal_autocheckpoint = (int)c->wal_autocheckpoint,
                                              .notify = store_notify,
                                              .ctx = sv },
                diag);
        if (!sv->store)
                return ERR_SYS;
        sv->server = server_new(&sv->settings, sv->store, net_rng(), &now, diag);
        if (!sv->server)
                return ERR_SYS;
        if (http_server_new(sv->loop, NULL, &serve_outer_calls, sv, &sv->outer) != OK ||
                http_server_new(sv->loop, NULL, &serve_inner_calls, sv, &sv->inner) != OK ||
                http_server_new(sv->loop, NULL, &serve_local_calls, sv, &sv->local) != OK)
                return diag_set(diag, ERR_NOMEM, "out of memory");
        e = serve_policy_start(sv, diag);
        if (e == OK)
                e = serve_records_start(sv, diag);
        if (e == OK)
                e = serve_derp_start(sv, diag);
        if (e == OK)
                e = serve_metrics_start(sv, diag);
        if (e == OK)
                e = listen_outer(sv, diag);
        if (e == OK)
                e = listen_local(sv, diag);
        if (e == OK)
                e = watch_signals(sv, diag);
        return e;
}

static void stop(struct serve *sv)
{
        struct server *server = sv->server;

        if (!sv->loop)
                return;
        for (size_t i = 0; i < sizeof(sv->signals) / sizeof(sv->signals[0]); i++)
                net_signal_stop(sv->signals[i]);
        net_listener_close(sv->listener);
        net_listener_close(sv->unix_listener);
        serve_metrics_stop(sv);
        serve_file_unwatch(&sv->policy_watch);
        serve_file_unwatch(&sv->records_watch);
        serve_derp_stop(sv);
        net_timer_stop(sv->loop, &sv->deadline);
        /* The engine answers every call that is open, so that no exchange is left for
         * the HTTP servers to abort. */
        sv->server = NULL;
        server_free(server);
        http_server_free(sv->local);
        http_server_free(sv->inner);
        http_server_free(sv->outer);
        tls_server_free(sv->tls);
        if (sv->store)
                store_close(sv->store); /* joins the writer: nothing is posted after this */
        net_loop_free(sv->loop);
        key_wipe(&sv->noise_key, sizeof(sv->noise_key));
}

static void announce(const struct serve *sv)
{
        struct server_counts counts;
        struct ip_port at = net_listener_addr(sv->listener);
        char text[IP_TEXT_MAX];

        server_count(sv->server, &counts);
        ip_port_format(&at, text);
        log_info(&serve_log, "weft-control " WEFT_VERSION " is serving",
                "url=%.*s listen=%s tls=%s users=%zu nodes=%zu", SLICE_ARGS(sv->settings.server_url), text,
                sv->tls ? "yes" : "no", counts.users, counts.nodes);
        if (!server_has_policy(sv->server))
                log_info(&serve_log, "no policy is configured: every node may reach every other", NULL);
}

enum err serve_run(struct config *config, struct diag *diag)
{
        struct serve sv = { .config = config };
        enum err e = config_check_serve(config, diag);

        if (e == OK)
                e = config_settings(config, &sv.settings, diag);
        if (e != OK)
                return e;
        net_raise_descriptor_limit();
        sv.deadline.fire = deadline_due;
        sv.store_news.run = store_news;
        for (size_t i = 0; i < config->warnings.n; i++)
                log_warn(&serve_log, "configuration", "%.*s", SLICE_ARGS(config->warnings.items[i]));
        e = start(&sv, diag);
        if (e == OK) {
                announce(&sv);
                serve_rearm(&sv);
                net_loop_run(sv.loop);
        }
        stop(&sv);
        return e;
}
