/*
 * /bootstrap-dns: addresses of a few names, for nodes whose own DNS is broken. The
 * names are resolved in the background, so that a question costs a look-up in
 * memory; an address that does not resolve any more is kept.
 */
#include "relay_io_internal.h"

#include <stdlib.h>

#include "json/writer.h"
#include "net/dial.h"

enum { REFRESH_MS = 10 * 60 * 1000 };

struct name {
        char *host;
        struct net_resolve *resolve;
        struct ip_addr addrs[NET_DIAL_ADDRS_MAX];
        size_t count;
};

struct bootstrap {
        struct net_loop *loop;
        struct timer refresh;
        size_t count;
        struct name names[];
};

static void on_resolved(void *ctx, enum err e, const struct ip_addr *addrs, size_t count, const struct diag *d)
{
        struct name *n = ctx;

        n->resolve = NULL;
        if (e != OK) {
                log_warn(&relay_io_log, "bootstrap name does not resolve", "name=%s why=%s", n->host, d->text);
                return;
        }
        n->count = count < NET_DIAL_ADDRS_MAX ? count : NET_DIAL_ADDRS_MAX;
        memcpy(n->addrs, addrs, n->count * sizeof(addrs[0]));
}

static void refresh(struct timer *t, const struct now *now)
{
        struct bootstrap *b = container_of(t, struct bootstrap, refresh);

        (void)now;
        for (size_t i = 0; i < b->count; i++) {
                struct name *n = &b->names[i];
                struct net_resolve_options options = { .name = n->host };
                if (n->resolve)
                        continue;
                enum err e = net_resolve_start(b->loop, &options, on_resolved, n, &n->resolve);
                if (e != OK)
                        log_warn(&relay_io_log, "bootstrap name not resolved", "name=%s why=%s", n->host, err_str(e));
        }
        net_timer_start(b->loop, &b->refresh, REFRESH_MS);
}

void relay_bootstrap_free(struct bootstrap *b)
{
        if (!b)
                return;
        net_timer_stop(b->loop, &b->refresh);
        for (size_t i = 0; i < b->count; i++) {
                if (b->names[i].resolve)
                        net_resolve_cancel(b->names[i].resolve);
                free(b->names[i].host);
        }
        free(b);
}

enum err relay_io_set_bootstrap_names(struct relay_io *io, const char *const *names, size_t count)
{
        if (count > RELAY_BOOTSTRAP_NAMES_MAX)
                return ERR_LIMIT;
        struct bootstrap *b = calloc(1, sizeof(*b) + count * sizeof(b->names[0]));
        if (!b)
                return ERR_NOMEM;
        b->loop = io->loop;
        b->refresh.fire = refresh;
        for (; b->count < count; b->count++) {
                struct name *n = &b->names[b->count];
                n->host = strdup(names[b->count]);
                if (!n->host) {
                        relay_bootstrap_free(b);
                        return ERR_NOMEM;
                }
        }
        relay_bootstrap_free(io->bootstrap);
        io->bootstrap = b;
        struct now now = net_loop_now(io->loop);
        refresh(&b->refresh, &now);
        return OK;
}

static void put_name(struct json_writer *w, const struct name *n)
{
        json_name(w, n->host);
        json_array_open(w);
        for (size_t i = 0; i < n->count; i++) {
                char text[IP_TEXT_MAX];
                ip_format(&n->addrs[i], text);
                json_put_str(w, text);
        }
        json_array_close(w);
}

static const struct name *find(const struct bootstrap *b, struct slice host)
{
        for (size_t i = 0; b && i < b->count; i++)
                if (slice_equal_nocase(host, slice_str(b->names[i].host)))
                        return &b->names[i];
        return NULL;
}

/* ?q=name gives that one if it is ours; anything else gives them all. */
void relay_bootstrap_answer(struct bootstrap *b, struct http_exchange *x)
{
        struct buf body = BUF_INIT(1 << 20);
        struct slice q = { 0 };
        struct json_writer w;

        const struct name *only = http_query(x, "q", &q) ? find(b, q) : NULL;
        json_writer_init(&w, &body, NULL);
        json_object_open(&w);
        if (only)
                put_name(&w, only);
        for (size_t i = 0; b && !only && i < b->count; i++)
                put_name(&w, &b->names[i]);
        json_object_close(&w);
        if (buf_status(&body) == OK) {
                http_add_header_str(x, "Connection", "close"); /* each asks once */
                http_respond(x, 200, "application/json", buf_slice(&body));
        } else {
                http_respond_text(x, 500, "not enough memory\n");
        }
        buf_fini(&body);
}
