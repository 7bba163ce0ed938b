/* The two ways across: commands to the workers, events from them. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shared.h"

static void signal_fd(int fd)
{
        /* Can only fail when the counter is full: then it is signalled anyway. */
        (void)!eventfd_write(fd, 1);
}

/* ---- commands ------------------------------------------------------------ */

void inbox_wake(struct inbox *in)
{
        if (atomic_load(&in->is_sleeping))
                signal_fd(in->wake_fd);
}

enum err inbox_push(struct inbox *in, enum command_kind kind, struct dataplane_peer *peer, struct slice bytes)
{
        uint32_t len = (uint32_t)(sizeof(struct command) + bytes.len);
        struct command *c = ring_reserve(&in->ring, len);

        if (!c)
                return ERR_LIMIT;
        *c = (struct command){ .kind = kind, .len = (uint32_t)bytes.len, .peer = peer };
        if (bytes.len)
                memcpy(c + 1, bytes.ptr, bytes.len);
        if (peer)
                peer_ref(peer);
        ring_commit(&in->ring, len);
        inbox_wake(in);
        return OK;
}

const struct command *inbox_peek(struct inbox *in, struct slice *bytes)
{
        struct slice record = ring_peek(&in->ring);

        if (!record.ptr)
                return NULL;
        const struct command *c = (const void *)record.ptr;
        *bytes = slice_make(c + 1, c->len);
        return c;
}

void inbox_pop(struct inbox *in)
{
        struct slice bytes;
        const struct command *c = inbox_peek(in, &bytes);

        if (c)
                peer_unref(c->peer);
        ring_release(&in->ring);
}

/* ---- events -------------------------------------------------------------- */

void event_post(struct worker *w, const struct event_record *record, struct slice bytes)
{
        struct dataplane *dp = w->dp;
        uint32_t len = (uint32_t)(sizeof(*record) + bytes.len);
        struct event_record *r = ring_reserve(&w->out.ring, len);

        if (!r) {
                count_add(&w->out.dropped, 1);
                return;
        }
        *r = *record;
        r->len = (uint32_t)bytes.len;
        if (bytes.len)
                memcpy(r + 1, bytes.ptr, bytes.len);
        if (r->peer)
                peer_ref(r->peer);
        ring_commit(&w->out.ring, len);
        if (!atomic_exchange(&dp->event_signalled, true))
                signal_fd(dp->event_fd);
}

void event_post_peer(
        struct worker *w, enum dataplane_event_kind kind, struct dataplane_peer *peer, int errnum)
{
        struct event_record r = { .kind = (int)kind, .peer = peer, .errnum = errnum };

        event_post(w, &r, (struct slice){ 0 });
}

void event_post_tunnel(struct worker *w, struct dataplane_peer *peer, uint32_t session_index, unsigned events)
{
        struct event_record r = { .kind = DATAPLANE_TUNNEL,
                .peer = peer,
                .session_index = session_index,
                .session_events = events };

        event_post(w, &r, (struct slice){ 0 });
}

int dataplane_event_fd(const struct dataplane *dp) { return dp->event_fd; }

static void release_taken(struct dataplane *dp)
{
        struct outbox *out = dp->taken_from;

        if (!out)
                return;
        const struct event_record *r = (const void *)ring_peek(&out->ring).ptr;
        peer_unref(r->peer);
        ring_release(&out->ring);
        dp->taken_from = NULL;
}

/* The oldest record of either worker, turn by turn so that neither starves. */
static const struct event_record *take_record(struct dataplane *dp)
{
        for (int i = 0; i < 2; i++) {
                struct outbox *out = dp->receiver_is_next ? &dp->receiver.out : &dp->sender.out;
                const struct event_record *r = (const void *)ring_peek(&out->ring).ptr;
                dp->receiver_is_next = !dp->receiver_is_next;
                if (r) {
                        dp->taken_from = out;
                        return r;
                }
        }
        return NULL;
}

/* Clears the signal before the last look, lest an event that comes in between sleep. */
static const struct event_record *take_or_rearm(struct dataplane *dp)
{
        const struct event_record *r = take_record(dp);
        eventfd_t value;

        if (r)
                return r;
        (void)!eventfd_read(dp->event_fd, &value);
        atomic_store(&dp->event_signalled, false);
        return take_record(dp);
}

bool dataplane_next_event(struct dataplane *dp, struct dataplane_event *out)
{
        const struct event_record *r;

        for (;;) {
                release_taken(dp);
                r = take_or_rearm(dp);
                if (!r) {
                        reclaim(dp);
                        return false;
                }
                if (r->kind == EVENT_SEND_PACKET)
                        (void)!dataplane_send_packet(dp, slice_make(r + 1, r->len));
                else if (!r->peer || !r->peer->is_removed)
                        break;
        }
        *out = (struct dataplane_event){
                .kind = (enum dataplane_event_kind)r->kind,
                .owner = r->peer ? r->peer->owner : NULL,
                .peer = r->peer,
                .session_index = r->session_index,
                .session_events = r->session_events,
                .from = r->from,
                .errnum = r->errnum,
                .bytes = slice_make(r + 1, r->len),
        };
        return true;
}

/* ---- what was replaced --------------------------------------------------- */

void retire(struct dataplane *dp, struct retired *r, void (*release)(struct retired *r))
{
        r->release = release;
        r->next = dp->retired;
        dp->retired = r;
        /* The next look at the events ends with a reclaim(). */
        if (!atomic_exchange(&dp->event_signalled, true))
                signal_fd(dp->event_fd);
}

void reclaim(struct dataplane *dp)
{
        struct retired *r = dp->retired;

        if (!r)
                return;
        dp->retired = NULL;
        wait_for_readers();
        for (struct retired *next; r; r = next) {
                next = r->next;
                r->release(r);
        }
}
