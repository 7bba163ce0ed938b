/*
 * A request answered by an engine of one's own on the server's database: for a server
 * that does not start. The store refuses a database that a running server holds.
 */
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>

#include "cli.h"
#include "net/loop.h"
#include "server/server.h"
#include "store/sqlite.h"

struct direct {
        struct cli *cli;
        struct server_call call;
        sem_t news; /* the store has some */
        bool answered;
        unsigned status;
        struct slice body; /* in the cli's arena */
};

static void on_reply(struct server_call *call, const struct server_reply *reply)
{
        struct direct *d = container_of(call, struct direct, call);

        d->answered = true;
        d->status = (unsigned)reply->status;
        d->body = arena_copy(&d->cli->arena, reply->body);
}

static void on_end(struct server_call *call) { container_of(call, struct direct, call)->answered = true; }

/* Only map calls stream. */
static const struct server_call_ops ops = { .reply = on_reply, .end = on_end };

static void store_news(void *ctx) { sem_post(&((struct direct *)ctx)->news); }

static enum err run(struct direct *d, struct store *store, const struct server_settings *settings,
        const char *method, const char *path, struct slice body, struct diag *diag)
{
        struct now now = net_clock();
        struct server *s = server_new(settings, store, net_rng(), &now, diag);

        if (!s)
                return ERR_SYS;
        server_api(s, &now, slice_str(method), slice_str(path), (struct slice){ 0 }, body, &d->call);
        while (!d->answered) {
                while (sem_wait(&d->news) != 0 && errno == EINTR)
                        ;
                now = net_clock();
                server_store_ready(s, &now);
        }
        server_free(s);
        return OK;
}

const struct value *cli_direct(struct cli *cli, const char *method, const char *path, struct slice body)
{
        struct direct d = { .cli = cli, .call = { .ops = &ops } };
        struct store_sqlite_options options = { .path = cli->config.sqlite_path, .notify = store_news, .ctx = &d };
        struct server_settings settings;
        const struct value *v = NULL;
        struct diag diag;

        if (config_settings(&cli->config, &settings, &diag) != OK) {
                cli_fail(cli, "%s", diag.text);
                return NULL;
        }
        sem_init(&d.news, 0, 0);
        struct store *store = store_sqlite_open(&options, &diag);
        if (!store || run(&d, store, &settings, method, path, body, &diag) != OK)
                cli_fail(cli, "%s", diag.text);
        else
                v = cli_answer(cli, d.status, d.body);
        if (store)
                store_close(store);
        sem_destroy(&d.news);
        return v;
}
