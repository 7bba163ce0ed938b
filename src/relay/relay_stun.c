#include "relay/relay_stun.h"

#include <stdlib.h>

#include "net/udp.h"
#include "proto/stun.h"

struct relay_stun {
        struct net_udp *udp;
        struct relay_stun_stats stats;
};

static void on_packet(void *ctx, const struct ip_port *from, struct slice data)
{
        struct relay_stun *s = ctx;
        struct stun_txid txid;
        uint8_t out[STUN_RESPONSE_MAX];

        if (stun_request_parse(data, &txid) != OK) {
                s->stats.refused++;
                return;
        }
        size_t len = stun_response_write(&txid, from, out);
        if (net_udp_send(s->udp, from, slice_make(out, len)) != OK)
                s->stats.send_failed++;
        else if (from->ip.family == IP_V4)
                s->stats.answered_v4++;
        else
                s->stats.answered_v6++;
}

enum err relay_stun_start(struct net_loop *loop, const struct ip_port *addr, struct relay_stun **out,
                          struct diag *d)
{
        static const struct net_udp_calls calls = { on_packet };
        struct net_udp_options options = { .bind = *addr };
        struct relay_stun *s = calloc(1, sizeof(*s));

        if (!s)
                return diag_set(d, ERR_NOMEM, "not enough memory for the STUN server");
        enum err e = net_udp_open(loop, &options, &calls, s, &s->udp, d);
        if (e != OK) {
                free(s);
                return e;
        }
        *out = s;
        return OK;
}

struct ip_port relay_stun_addr(const struct relay_stun *s)
{
        return net_udp_addr(s->udp);
}

const struct relay_stun_stats *relay_stun_stats(const struct relay_stun *s)
{
        return &s->stats;
}

void relay_stun_stop(struct relay_stun *s)
{
        if (!s)
                return;
        net_udp_close(s->udp);
        free(s);
}
