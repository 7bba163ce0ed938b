/*
 * The rule of output commit (server.h): replies and map messages are stamped with the
 * number of the last commit handed over when they were made, and wait in one queue
 * until the store has come so far. With nothing under way they leave at once.
 */
#include <stdlib.h>

#include "state.h"

struct held {
        struct list link;
        uint64_t commit;
        struct server_call *call;
        enum reply_form form;
        struct server_reply reply; /* body owned */
        struct session *session;   /* set: a message for it instead of a reply */
        struct server_message *message;
};

static struct held *hold(struct server *s, struct server_call *call)
{
        struct held *h = calloc(1, sizeof(*h));

        if (!h)
                abort();
        h->commit = s->journal.submitted;
        h->call = call;
        call->held++;
        list_push_back(&s->journal.held, &h->link);
        s->journal.n_held++;
        return h;
}

static void held_unlink(struct server *s, struct held *h)
{
        h->call->held--;
        s->journal.n_held--;
        list_remove(&h->link);
}

static void held_free(struct held *h)
{
        free((void *)h->reply.body.ptr);
        if (h->message)
                server_message_unref(h->message);
        free(h);
}

static bool may_leave(const struct server *s) { return s->journal.submitted == s->journal.durable; }

static void deliver_message(struct session *ss, struct server_message *m)
{
        if (!ss->call->ops->send(ss->call, m))
                ss->blocked = true;
}

void hold_reply(
        struct server *s, struct server_call *call, enum reply_form form, const struct server_reply *reply)
{
        if (may_leave(s)) {
                call->ops->reply(call, reply);
                return;
        }
        struct held *h = hold(s, call);
        uint8_t *body = malloc(reply->body.len + 1);
        if (!body)
                abort();
        if (reply->body.len)
                memcpy(body, reply->body.ptr, reply->body.len);
        h->form = form;
        h->reply = *reply;
        h->reply.body = slice_make(body, reply->body.len);
}

void hold_message(struct server *s, struct session *session, struct server_message *m)
{
        if (may_leave(s)) {
                deliver_message(session, m);
                return;
        }
        struct held *h = hold(s, session->call);
        h->session = session;
        h->message = server_message_ref(m);
}

bool hold_is_swamped(const struct server *s)
{
        enum { HELD_MAX = 20000 };

        return s->journal.n_held >= HELD_MAX;
}

void hold_forget(struct server *s, struct server_call *call)
{
        if (!call->held)
                return;
        list_each_safe (it, &s->journal.held) {
                struct held *h = container_of(it, struct held, link);
                if (h->call != call)
                        continue;
                held_unlink(s, h);
                held_free(h);
        }
}

static void release(struct server *s, struct held *h)
{
        struct server_call *call = h->call;

        held_unlink(s, h);
        if (h->session)
                deliver_message(h->session, h->message);
        else
                call->ops->reply(call, &h->reply);
        held_free(h);
}

/* The change that this answers did not happen. */
static void refuse(struct server *s, struct held *h, const char *why)
{
        struct server_call *call = h->call;
        struct buf body = BUF_INIT(4096);
        struct server_reply reply = { 503, "text/plain; charset=utf-8", { 0 }, 0 };
        struct json_writer w;

        held_unlink(s, h);
        json_writer_init(&w, &body, NULL);
        switch (h->form) {
        case FORM_REGISTER: {
                struct tailcfg_register_response response = {
                        .error = SLICE_LIT("the control server cannot store the registration; its "
                                           "administrator must act"),
                };
                tailcfg_register_response_write(&w, &response);
                reply.status = 200;
                reply.content_type = "application/json";
                break;
        }
        case FORM_API:
                json_object_open(&w);
                json_field_str(&w, "title", "Service Unavailable");
                json_field_i64(&w, "status", 503);
                json_field_str(&w, "detail", "the change was not stored");
                json_name(&w, "errors");
                json_array_open(&w);
                json_object_open(&w);
                json_field_str(&w, "message", why);
                json_object_close(&w);
                json_array_close(&w);
                json_object_close(&w);
                reply.content_type = "application/problem+json";
                break;
        case FORM_PLAIN:
                buf_append_str(&body, "the control server cannot store changes at present\n");
                break;
        }
        reply.body = buf_slice(&body);
        call->ops->reply(call, &reply);
        buf_fini(&body);
        held_free(h);
}

void hold_release(struct server *s, uint64_t durable)
{
        struct list *queue = &s->journal.held;

        while (!list_empty(queue)) {
                struct held *h = container_of(queue->next, struct held, link);
                if (h->commit > durable)
                        break;
                release(s, h);
        }
}

void hold_refuse_all(struct server *s, const char *why)
{
        struct list *queue = &s->journal.held;

        while (!list_empty(queue)) {
                struct held *h = container_of(queue->next, struct held, link);
                if (h->session) { /* it will get a fresh map */
                        held_unlink(s, h);
                        held_free(h);
                } else {
                        refuse(s, h, why);
                }
        }
}
