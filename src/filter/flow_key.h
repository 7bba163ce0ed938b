/* A flow as five words: protocol and ports, source, destination. */
#ifndef FILTER_FLOW_KEY_H
#define FILTER_FLOW_KEY_H

#include "ip/packet.h"

enum { FLOW_KEY_WORDS = 5 };

struct flow_key {
        uint64_t words[FLOW_KEY_WORDS];
};

static inline struct flow_key flow_key_of(const struct packet *p, const struct ip_port *src,
        const struct ip_port *dst)
{
        struct flow_key k;

        k.words[0] = (uint64_t)p->version << 40 | (uint64_t)p->proto << 32 | (uint32_t)src->port << 16;
        k.words[0] |= dst->port;
        memcpy(&k.words[1], src->ip.b, 16);
        memcpy(&k.words[3], dst->ip.b, 16);
        return k;
}

#endif
