/*
 * What goes to a client. While the stream takes bytes they go straight through;
 * from the moment it says no, small frames wait in `control` and packets in one of
 * two queues that drop their oldest. A stream that takes nothing for the write
 * timeout ends.
 *
 * Nothing here ends a connection on the spot: callers walk lists of connections
 * while they write to them. A connection that has to go is doomed, and its
 * deadline takes it away as the next thing that happens.
 */
#include "relay_internal.h"

#include <stdlib.h>

enum {
        CONTROL_MAX = 64 << 10,       /* PeerGone of every flow, and more */
        CONTROL_MESH_MAX = 16 << 20,  /* a neighbour that watches: 56 bytes a client */
};

void relay_output_init(struct relay_conn *c)
{
        buf_init(&c->control, CONTROL_MAX);
        for (int kind = 0; kind < RELAY_KINDS; kind++)
                list_init(&c->queues[kind].packets);
        c->write_deadline.fire = relay_output_expired;
}

/* ---- Queues ------------------------------------------------------------- */

static struct packet *queue_pop(struct packet_queue *q)
{
        struct list *it = list_pop_front(&q->packets);

        if (!it)
                return NULL;
        struct packet *p = container_of(it, struct packet, link);
        q->count--;
        q->bytes -= p->len;
        return p;
}

static void count_drop(struct relay_conn *c, enum relay_drop why, int kind)
{
        c->relay->stats.dropped[why][kind]++;
}

void relay_output_fini(struct relay_conn *c)
{
        struct packet *p;

        buf_fini(&c->control);
        for (int kind = 0; kind < RELAY_KINDS; kind++) {
                while ((p = queue_pop(&c->queues[kind]))) {
                        count_drop(c, RELAY_DROP_GONE_DISCONNECTED, kind);
                        free(p);
                }
        }
}

static void queue_push(struct relay_conn *c, int kind, const struct public_key *src, struct slice packet)
{
        struct packet_queue *q = &c->queues[kind];

        while (q->count >= RELAY_QUEUE_LEN || (q->count && q->bytes + packet.len > RELAY_QUEUE_BYTES)) {
                free(queue_pop(q));
                count_drop(c, RELAY_DROP_QUEUE_HEAD, kind);
        }
        struct packet *p = malloc(sizeof(*p) + packet.len);
        if (!p) {
                count_drop(c, RELAY_DROP_QUEUE_TAIL, kind);
                return;
        }
        p->link = (struct list){ 0 };
        p->src = *src;
        p->len = (uint32_t)packet.len;
        if (packet.len)
                memcpy(p->bytes, packet.ptr, packet.len);
        list_push_back(&q->packets, &p->link);
        q->count++;
        q->bytes += packet.len;
}

/* The queue whose turn it is. */
static struct packet_queue *next_queue(struct relay_conn *c)
{
        int first = c->takes_disco_next ? RELAY_DISCO : RELAY_OTHER;

        c->takes_disco_next = !c->takes_disco_next;
        return c->queues[first].count ? &c->queues[first] : &c->queues[!first];
}

static void doom(struct relay_conn *c, const struct now *now, enum relay_end why)
{
        c->is_doomed = true;
        c->doom = why;
        timer_arm(&c->relay->timers, &c->deadline, now->mono_us);
}

/* ---- Writing ------------------------------------------------------------ */

static void arm_write_deadline(struct relay_conn *c, const struct now *now)
{
        unsigned seconds = c->is_mesh ? RELAY_MESH_WRITE_TIMEOUT_S : RELAY_WRITE_TIMEOUT_S;

        c->write_mark = c->relay->calls->queued(c->io);
        timer_arm(&c->relay->timers, &c->write_deadline, now->mono_us + TIME_S(seconds));
}

static void write_through(struct relay_conn *c, const struct now *now, struct slice head, struct slice tail)
{
        if (c->relay->calls->write(c->io, head, tail))
                return;
        c->is_congested = true;
        arm_write_deadline(c, now);
}

static void write_packet(struct relay_conn *c, const struct now *now, const struct public_key *src, struct slice packet)
{
        uint8_t head[DERP_PACKET_HEAD_MAX];
        struct writer w = writer_of(head, sizeof(head));

        derp_packet_head_write(&w, DERP_RECV_PACKET, NULL, src, packet.len);
        c->relay->stats.packets_out++;
        c->relay->stats.bytes_out += packet.len;
        write_through(c, now, slice_make(head, (size_t)(w.p - w.start)), packet);
}

void relay_output_control(struct relay_conn *c, const struct now *now, struct slice frame)
{
        if (!c->is_congested)
                return write_through(c, now, frame, (struct slice){ 0 });

        bool is_watching = list_linked(&c->watching);
        c->control.max = is_watching ? CONTROL_MESH_MAX : CONTROL_MAX;
        if (frame.len <= c->control.max - c->control.len)
                buf_append_slice(&c->control, frame);
        else if (is_watching) /* its picture of us would be wrong for good: begin anew */
                doom(c, now, RELAY_END_SLOW);
        if (buf_status(&c->control) != OK)
                doom(c, now, RELAY_END_MEMORY);
}

void relay_output_packet(struct relay_conn *c, const struct now *now, const struct public_key *src, struct slice packet)
{
        if (c->is_congested)
                queue_push(c, derp_looks_like_disco(packet) ? RELAY_DISCO : RELAY_OTHER, src, packet);
        else
                write_packet(c, now, src, packet);
}

void relay_output_drain(struct relay_conn *c, const struct now *now)
{
        struct buf control = c->control;
        struct packet *p;

        c->is_congested = false;
        c->is_pong_due = false;
        timer_cancel(&c->relay->timers, &c->write_deadline);
        buf_init(&c->control, CONTROL_MAX);
        if (control.len)
                write_through(c, now, buf_slice(&control), (struct slice){ 0 });
        buf_fini(&control);
        while (!c->is_congested && (p = queue_pop(next_queue(c)))) {
                write_packet(c, now, &p->src, slice_make(p->bytes, p->len));
                free(p);
        }
}

void relay_output_expired(struct timer *t, const struct now *now)
{
        struct relay_conn *c = container_of(t, struct relay_conn, write_deadline);

        if (c->relay->calls->queued(c->io) < c->write_mark)
                arm_write_deadline(c, now); /* slow, but it moves */
        else
                relay_conn_close(c, now, RELAY_END_SLOW);
}
