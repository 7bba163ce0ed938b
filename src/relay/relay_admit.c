/* Who may use the relay (spec/paths.md 3.8): the owner, a URL or the local node knows. */
#include "relay_io_internal.h"

#include <stdio.h>

#include "json/reader.h"
#include "json/writer.h"

enum {
        VERIFY_TIMEOUT_MS = 5000,
        VERIFY_ANSWER_MAX = 4096,
};

static struct io_conn *conn_by_ticket(struct relay_io *io, uint64_t ticket)
{
        list_each(it, &io->asked) {
                struct io_conn *c = container_of(it, struct io_conn, asked);
                if (c->ticket == ticket)
                        return c;
        }
        return NULL; /* its connection has ended meanwhile */
}

static void decide(struct io_conn *c, bool allow)
{
        struct relay_io *io = c->io;
        struct now now = net_loop_now(io->loop);

        list_remove(&c->asked);
        relay_conn_admit(c->conn, &now, allow); /* c may be gone now */
        relay_io_schedule(io);
}

void relay_io_answer(struct relay_io *io, uint64_t ticket, bool allow)
{
        struct io_conn *c = conn_by_ticket(io, ticket);

        if (c)
                decide(c, allow);
}

/* ---- By HTTP ------------------------------------------------------------ */

static bool answer_allows(struct slice body)
{
        struct arena arena = ARENA_INIT(VERIFY_ANSWER_MAX);
        struct json_reader r;
        struct slice name;
        bool allow = false;

        json_reader_init(&r, body, &arena);
        json_object_begin(&r);
        while (json_member(&r, &name)) {
                if (slice_equal_nocase(name, SLICE_LIT("Allow")))
                        allow = json_bool(&r);
                else
                        json_skip(&r);
        }
        bool is_sound = json_finish(&r) == OK;
        arena_fini(&arena);
        return is_sound && allow;
}

static void on_verified(void *ctx, const struct http_fetch_result *result)
{
        struct io_conn *c = ctx;
        bool fail_open = c->io->verify_fail_open;

        c->asking = NULL;
        if (result->e != OK) {
                log_debug(&relay_io_log, "admission URL not reached", "%s why=%s", fail_open ? "admitted" : "refused",
                          result->diag.text);
                return decide(c, fail_open); /* only for errors of transport */
        }
        decide(c, result->response.status == 200 && answer_allows(result->body));
}

static enum err ask_url(struct io_conn *c, const struct public_key *node, const struct ip_addr *source)
{
        static const struct http_header json_type = { SLICE_LIT("Content-Type"), SLICE_LIT("application/json") };
        static const struct http_fetch_events events = { .on_done = on_verified };
        struct buf body = BUF_INIT(1024);
        struct json_writer w;
        char key[KEY_TEXT_MAX], ip[IP_TEXT_MAX];

        key_format("nodekey:", node, key);
        ip_format(source, ip);
        json_writer_init(&w, &body, NULL);
        json_object_open(&w);
        json_field_str(&w, "NodePublic", key);
        json_field_str(&w, "Source", ip);
        json_object_close(&w);
        struct http_fetch_options options = {
                .url = c->io->verify_url,
                .method = "POST",
                .headers = &json_type,
                .header_count = 1,
                .body = buf_slice(&body),
                .max_body = VERIFY_ANSWER_MAX,
                .timeout_ms = VERIFY_TIMEOUT_MS,
        };
        enum err e = buf_status(&body);
        if (e == OK)
                e = http_fetch_start(c->io->loop, &options, &events, c, &c->asking);
        buf_fini(&body);
        return e;
}

/* ---- By the node daemon of this machine --------------------------------- */

static void on_whois(void *ctx, const struct http_fetch_result *result)
{
        struct io_conn *c = ctx;

        c->asking = NULL;
        if (result->e != OK)
                log_debug(&relay_io_log, "local node not reached", "why=%s", result->diag.text);
        decide(c, result->e == OK && result->response.status == 200);
}

static enum err ask_local(struct io_conn *c, const struct public_key *node)
{
        static const struct http_fetch_events events = { .on_done = on_whois };
        char key[KEY_TEXT_MAX], url[KEY_TEXT_MAX + 64];

        key_format("nodekey:", node, key);
        snprintf(url, sizeof(url), "http://local-tailscaled.sock/localapi/v0/whois?addr=%s", key);
        struct http_fetch_options options = {
                .url = url,
                .unix_path = c->io->local_socket,
                .timeout_ms = VERIFY_TIMEOUT_MS,
        };
        return http_fetch_start(c->io->loop, &options, &events, c, &c->asking);
}

/* ---- The question ------------------------------------------------------- */

void relay_io_admit(void *ctx, struct relay_conn *conn, const struct public_key *node, const struct ip_addr *source)
{
        struct relay_io *io = ctx;
        struct io_conn *c = relay_conn_io(conn);
        enum err e = OK;

        c->ticket = ++io->last_ticket;
        list_push_back(&io->asked, &c->asked);
        if (io->admission == RELAY_ADMIT_ASK)
                return io->ask(io->ctx, c->ticket, node, source);
        if (io->admission == RELAY_ADMIT_URL)
                e = ask_url(c, node, source);
        else
                e = ask_local(c, node);
        if (e != OK) {
                log_debug(&relay_io_log, "admission not asked", "why=%s", err_str(e));
                decide(c, false);
        }
}
