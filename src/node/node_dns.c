#include "node_dns.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "net/dial.h"
#include "net/listener.h"
#include "net/stream.h"
#include "net/udp.h"

static const struct log dns_log = { "dns" };

enum {
        QUESTIONS_MAX = 256,  /* under way with others; spec/node.md 5.3 */
        CONNS_MAX = 64,
        PATIENCE_MS = 10000,
        DIAL_MS = 5000,
        IDLE_MS = 45000,
        REQUEST_MAX = 4096,
};

static const struct ip_port service = { { IP_V4, { 100, 100, 100, 100 }, 0 }, 53 };

struct node_dns {
        struct net_loop *loop;
        uint32_t mark;
        const struct node_dns_ops *ops;
        void *ctx;
        struct dns_base base;
        struct net_udp *udp;
        struct net_listener *listener;
        struct list questions, conns;
        unsigned question_count, conn_count;
};

/* A client over TCP. It is answered one question after the other. */
struct conn {
        struct list link;
        struct node_dns *dns;
        struct net_stream *stream;
        struct buf in;
        struct question *asking; /* NULL: none under way */
};

/* A question that others are asked. Over UDP all at once, and the first good answer wins;
 * over TCP one after the other. */
struct question {
        struct list link;
        struct node_dns *dns;
        struct conn *conn;       /* the client; NULL: over UDP, from client */
        struct ip_port client;
        struct buf bytes;
        struct dns_query query;
        struct dns_upstreams upstreams;
        size_t failed;           /* upstreams that had nothing to say */
        struct buf refusal;      /* of one of them */
        struct net_udp *inside, *outside;
        struct net_dial *dial;
        struct net_stream *stream;
        struct buf in;
        struct timer patience;
        struct net_task next_task; /* the next upstream over TCP */
};

/* ---- answering ---- */

static void conn_go_on(struct conn *c);

static void send_tcp(struct conn *c, struct slice message)
{
        const uint8_t len[2] = { (uint8_t)(message.len >> 8), (uint8_t)message.len };
        const struct slice pieces[] = { SLICE_ARRAY(len), message };

        if (net_stream_writev(c->stream, pieces, 2) != OK)
                log_debug(&dns_log, "a client does not read its answers", NULL);
}

static void send_udp(struct node_dns *d, const struct ip_port *client, const struct dns_query *q, struct slice message)
{
        struct buf cut = BUF_INIT(DNS_MESSAGE_MAX);

        if (message.len > q->udp_size && dns_truncate(message, q, &cut) == OK)
                message = buf_slice(&cut);
        if (net_udp_send(d->udp, client, message) != OK)
                log_debug(&dns_log, "an answer could not be sent", NULL);
        buf_fini(&cut);
}

static void question_free(struct question *q)
{
        list_remove(&q->link);
        q->dns->question_count--;
        net_timer_stop(q->dns->loop, &q->patience);
        net_task_cancel(&q->next_task);
        net_dial_cancel(q->dial);
        net_stream_close(q->stream);
        net_udp_close(q->inside);
        net_udp_close(q->outside);
        if (q->conn)
                q->conn->asking = NULL;
        buf_fini(&q->bytes);
        buf_fini(&q->refusal);
        buf_fini(&q->in);
        free(q);
}

static void finish(struct question *q, struct slice message)
{
        struct conn *c = q->conn;

        if (c)
                send_tcp(c, message);
        else
                send_udp(q->dns, &q->client, &q->query, message);
        question_free(q);
        if (c)
                conn_go_on(c);
}

/* Nobody knows: what one of them said, or SERVFAIL. */
static void give_up(struct question *q)
{
        struct buf reply = BUF_INIT(DNS_MESSAGE_MAX);

        if (q->refusal.len)
                buf_append_slice(&reply, buf_slice(&q->refusal));
        else
                dns_refuse(buf_slice(&q->bytes), &q->query, DNS_SERVFAIL, &reply);
        finish(q, buf_slice(&reply));
        buf_fini(&reply);
}

static void on_patience(struct timer *t, const struct now *now)
{
        (void)now;
        give_up(container_of(t, struct question, patience));
}

/* True if it was an answer, good or bad: a bad one is kept for the case that all are. */
static bool take_answer(struct question *q, struct slice message, bool *is_good)
{
        if (!dns_is_answer(message, buf_slice(&q->bytes), &q->query))
                return false;
        enum dns_rcode rcode = dns_rcode_of(message);
        *is_good = rcode != DNS_SERVFAIL && rcode != DNS_REFUSED;
        if (!*is_good && !q->refusal.len)
                buf_append_slice(&q->refusal, message);
        return true;
}

/* ---- asking over UDP ---- */

static void on_udp_answer(void *ctx, const struct ip_port *from, struct slice message)
{
        struct question *q = ctx;
        bool is_asked = false, is_good;

        for (size_t i = 0; i < q->upstreams.count; i++)
                is_asked |= ip_port_equal(&q->upstreams.items[i], from);
        if (!is_asked || !take_answer(q, message, &is_good))
                return;
        if (is_good)
                finish(q, message);
        else if (++q->failed >= q->upstreams.count)
                give_up(q);
}

/* A socket of its own for each question: its port is as hard to guess as its id. */
static struct net_udp *socket_for(struct question *q, const struct ip_addr *to)
{
        static const struct net_udp_calls calls = { on_udp_answer };
        bool is_inside = q->dns->ops->is_inside(q->dns->ctx, to);
        struct net_udp **u = is_inside ? &q->inside : &q->outside;
        const struct net_udp_options options = { .bind = { { .family = to->family }, 0 }, .mark = is_inside ? 0 : q->dns->mark };
        struct diag d;

        if (*u)
                return net_udp_addr(*u).ip.family == to->family ? *u : NULL;
        if (net_udp_open(q->dns->loop, &options, &calls, q, u, &d) != OK) {
                log_debug(&dns_log, d.text, NULL);
                *u = NULL;
        }
        return *u;
}

static void ask_udp(struct question *q)
{
        size_t asked = 0;

        for (size_t i = 0; i < q->upstreams.count; i++) {
                struct net_udp *u = socket_for(q, &q->upstreams.items[i].ip);
                if (u && net_udp_send(u, &q->upstreams.items[i], buf_slice(&q->bytes)) == OK)
                        q->upstreams.items[asked++] = q->upstreams.items[i];
        }
        q->upstreams.count = asked;
        if (!asked)
                give_up(q);
}

/* ---- asking over TCP ---- */

static void ask_tcp(struct question *q);

/* Of the upstreams the first is the one being asked. */
static void try_next(struct question *q)
{
        net_stream_close(q->stream);
        q->stream = NULL;
        buf_clear(&q->in);
        memmove(q->upstreams.items, q->upstreams.items + 1, --q->upstreams.count * sizeof *q->upstreams.items);
        net_loop_defer(q->dns->loop, &q->next_task);
}

static void next_due(struct net_task *task)
{
        ask_tcp(container_of(task, struct question, next_task));
}

static void on_tcp_data(struct net_stream *s, void *ctx, struct slice data)
{
        struct question *q = ctx;
        bool is_good = false;

        (void)s;
        buf_append_slice(&q->in, data);
        struct slice in = buf_slice(&q->in);
        if (buf_status(&q->in) != OK) {
                try_next(q);
                return;
        }
        if (in.len < 2 || in.len < 2u + (size_t)(in.ptr[0] << 8 | in.ptr[1]))
                return;
        struct slice message = slice_make(in.ptr + 2, (size_t)(in.ptr[0] << 8 | in.ptr[1]));
        if (take_answer(q, message, &is_good) && is_good)
                finish(q, message);
        else
                try_next(q);
}

static void on_tcp_end(struct net_stream *s, void *ctx, enum err why)
{
        (void)s;
        (void)why;
        try_next(ctx);
}

static void on_dialled(void *ctx, enum err e, struct net_stream *s, const struct diag *d)
{
        static const struct net_stream_handler handler = { .on_data = on_tcp_data, .on_end = on_tcp_end };
        struct question *q = ctx;
        const uint8_t len[2] = { (uint8_t)(q->bytes.len >> 8), (uint8_t)q->bytes.len };
        const struct slice pieces[] = { SLICE_ARRAY(len), buf_slice(&q->bytes) };

        (void)d;
        q->dial = NULL;
        q->stream = e ? NULL : s;
        if (e || net_stream_writev(s, pieces, 2) != OK)
                try_next(q);
        else
                net_stream_set_handler(s, &handler, q);
}

static void ask_tcp(struct question *q)
{
        char host[IP_TEXT_MAX];

        if (!q->upstreams.count) {
                give_up(q);
                return;
        }
        const struct ip_port *to = &q->upstreams.items[0];
        ip_format(&to->ip, host);
        const struct net_dial_options options = {
                .host = host, .port = to->port, .addrs = &to->ip, .addr_count = 1, .timeout_ms = DIAL_MS,
                .mark = q->dns->ops->is_inside(q->dns->ctx, &to->ip) ? 0 : q->dns->mark,
        };
        if (net_dial_start(q->dns->loop, &options, on_dialled, q, &q->dial) != OK) {
                q->dial = NULL;
                try_next(q);
        }
}

/* ---- questions ---- */

static void ask_others(struct node_dns *d, struct conn *c, const struct ip_port *client, struct slice message,
        const struct dns_query *query, const struct dns_upstreams *upstreams)
{
        struct question *q = d->question_count < QUESTIONS_MAX ? calloc(1, sizeof *q) : NULL;

        if (!q) {
                log_debug(&dns_log, "too many questions at once, one is dropped", NULL);
                return;
        }
        *q = (struct question){ .dns = d, .conn = c, .query = *query, .upstreams = *upstreams };
        if (client)
                q->client = *client;
        buf_init(&q->bytes, REQUEST_MAX);
        buf_init(&q->refusal, DNS_MESSAGE_MAX);
        buf_init(&q->in, DNS_MESSAGE_MAX + 2);
        buf_append_slice(&q->bytes, message);
        q->patience.fire = on_patience;
        q->next_task.run = next_due;
        list_push_back(&d->questions, &q->link);
        d->question_count++;
        net_timer_start(d->loop, &q->patience, PATIENCE_MS);
        if (c) {
                c->asking = q;
                net_loop_defer(d->loop, &q->next_task);
        } else if (buf_status(&q->bytes) == OK) {
                ask_udp(q);
        } else {
                question_free(q);
        }
}

static void handle(struct node_dns *d, struct conn *c, const struct ip_port *client, struct slice message)
{
        const struct now now = net_loop_now(d->loop);
        struct buf reply = BUF_INIT(DNS_MESSAGE_MAX);
        struct dns_upstreams upstreams = { 0 };
        struct dns_query query;

        enum err e = dns_query_parse(message, &query);
        if (e == ERR_FORMAT)
                dns_refuse(message, &query, DNS_FORMERR, &reply);
        else if (!e)
                dns_resolve(d->ops->netmap(d->ctx), &d->base, message, &query, &now, &reply, &upstreams);
        if (reply.len && c)
                send_tcp(c, buf_slice(&reply));
        else if (reply.len)
                send_udp(d, client, &query, buf_slice(&reply));
        else if (upstreams.count)
                ask_others(d, c, client, message, &query, &upstreams);
        buf_fini(&reply);
}

static void on_packet(void *ctx, const struct ip_port *from, struct slice message)
{
        handle(ctx, NULL, from, message);
}

/* ---- clients over TCP ---- */

static void conn_free(struct conn *c)
{
        if (c->asking)
                question_free(c->asking);
        list_remove(&c->link);
        c->dns->conn_count--;
        net_stream_close(c->stream);
        buf_fini(&c->in);
        free(c);
}

static void conn_go_on(struct conn *c)
{
        while (!c->asking && c->in.len >= 2) {
                size_t len = (size_t)(c->in.ptr[0] << 8 | c->in.ptr[1]);
                if (c->in.len < 2 + len)
                        return;
                handle(c->dns, c, NULL, slice_make(c->in.ptr + 2, len));
                buf_consume(&c->in, 2 + len);
        }
}

static void on_conn_data(struct net_stream *s, void *ctx, struct slice data)
{
        struct conn *c = ctx;

        (void)s;
        buf_append_slice(&c->in, data);
        if (buf_status(&c->in) != OK)
                conn_free(c); /* a request of a size that no question has, or far too many */
        else
                conn_go_on(c);
}

static void on_conn_end(struct net_stream *s, void *ctx, enum err why)
{
        (void)s;
        (void)why;
        conn_free(ctx);
}

static void on_accept(void *ctx, struct net_stream *s)
{
        static const struct net_stream_handler handler = { .on_data = on_conn_data, .on_end = on_conn_end };
        struct node_dns *d = ctx;
        struct conn *c = calloc(1, sizeof *c);

        if (!c) {
                net_stream_close(s);
                return;
        }
        *c = (struct conn){ .dns = d, .stream = s };
        buf_init(&c->in, 4 * REQUEST_MAX);
        list_push_back(&d->conns, &c->link);
        d->conn_count++;
        net_stream_set_idle_timeout(s, IDLE_MS);
        net_stream_set_handler(s, &handler, c);
}

/* ---- start and stop ---- */

enum err node_dns_listen(struct node_dns *d, struct diag *diag)
{
        static const struct net_udp_calls udp_calls = { on_packet };
        static const struct net_listener_calls tcp_calls = { .on_accept = on_accept };
        const struct net_udp_options options = { .bind = service };
        struct diag inner;

        if (d->udp && d->listener)
                return OK;
        node_dns_close(d);
        enum err e = net_udp_open(d->loop, &options, &udp_calls, d, &d->udp, &inner);
        if (e)
                d->udp = NULL;
        else if ((e = net_listen_tcp(d->loop, &service, CONNS_MAX, &tcp_calls, d, &d->listener, &inner)) != OK)
                d->listener = NULL;
        if (!e)
                return OK;
        node_dns_close(d);
        return diag_set(diag, e, "names of the tailnet are not answered: %s; another DNS server that listens on all addresses "
                "should leave out 100.100.100.100", inner.text);
}

void node_dns_close(struct node_dns *d)
{
        list_each_safe (it, &d->conns)
                conn_free(container_of(it, struct conn, link));
        list_each_safe (it, &d->questions)
                question_free(container_of(it, struct question, link));
        net_listener_close(d->listener);
        net_udp_close(d->udp);
        d->listener = NULL;
        d->udp = NULL;
}

void node_dns_set_base(struct node_dns *d, const struct dns_base *base)
{
        d->base = *base;
}

const struct dns_base *node_dns_base(const struct node_dns *d)
{
        return &d->base;
}

struct node_dns *node_dns_new(struct net_loop *loop, uint32_t mark, const struct node_dns_ops *ops, void *ctx)
{
        struct node_dns *d = calloc(1, sizeof *d);

        if (!d)
                return NULL;
        d->loop = loop;
        d->mark = mark;
        d->ops = ops;
        d->ctx = ctx;
        list_init(&d->questions);
        list_init(&d->conns);
        return d;
}

void node_dns_free(struct node_dns *d)
{
        if (!d)
                return;
        node_dns_close(d);
        free(d);
}
