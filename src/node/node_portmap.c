/* The router in front of us: where it is, and the sockets that ask it for a port. */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "node_internal.h"

/* ---- the gateway ----------------------------------------------------------------- */

/* An address of /proc/net/route: eight hex digits in the byte order of the machine. */
static bool parse_route_address(struct slice text, struct ip_addr *out)
{
        uint8_t b[4];

        if (hex_decode(text, b, sizeof b) != OK)
                return false;
        uint32_t v = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
        memcpy(b, &v, sizeof b); /* as the kernel had it in memory: network order */
        *out = ip_v4(b[0], b[1], b[2], b[3]);
        return true;
}

/* "eth0 00000000 0101A8C0 ...": the first default route that has a gateway. */
static bool parse_route(struct slice line, struct ip_addr *gateway)
{
        struct slice field, fields[3];
        size_t n = 0;

        while (n < 3 && slice_split(&line, '\t', &field))
                fields[n++] = slice_trim(field);
        return n == 3 && slice_is(fields[1], "00000000") && !slice_is(fields[2], "00000000") &&
               parse_route_address(fields[2], gateway);
}

void node_find_gateway(struct path_network *net)
{
        FILE *f = fopen("/proc/net/route", "re");
        char line[256];
        bool found = false;

        while (f && !found && fgets(line, sizeof line, f))
                found = parse_route(slice_str(line), &net->gateway);
        if (f)
                fclose(f);
        for (size_t i = 0; found && i < net->local_count; i++) {
                const struct path_local *l = &net->locals[i];
                const struct ip_prefix subnet = { l->ip, l->bits };
                if (l->up && ip_prefix_contains(&subnet, &net->gateway)) {
                        net->gateway_self = l->ip;
                        return;
                }
        }
        net->gateway = (struct ip_addr){ 0 };
}

/* ---- NAT-PMP and PCP ----------------------------------------------------------------- */

static void on_packet(void *ctx, const struct ip_port *from, struct slice data)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        path_portmap_received(n->path, from, data, &now);
        node_touch(n);
}

/* Opened by the first question: most networks have no router that answers. */
void node_portmap_send(void *ctx, const struct ip_port *dst, struct slice datagram)
{
        static const struct net_udp_calls calls = { .on_packet = on_packet };
        const struct net_udp_options options = { .bind = { { .family = IP_V4 }, 0 }, .mark = ROUTER_MARK };
        struct node *n = ctx;
        struct diag diag;

        if (!n->portmap && net_udp_open(n->loop, &options, &calls, n, &n->portmap, &diag) != OK) {
                n->portmap = NULL;
                log_debug(&node_log, "no socket for port mapping", "why=\"%s\"", diag.text);
                return;
        }
        if (net_udp_send(n->portmap, dst, datagram) != OK)
                log_debug(&node_log, "the router cannot be asked", NULL);
}

/* ---- UPnP ------------------------------------------------------------------------------ */

static void upnp_done(void *ctx, const struct ip_port *external, uint32_t lifetime_s)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        path_upnp_done(n->path, external, lifetime_s, &now);
        node_touch(n);
}

void node_upnp_ask(void *ctx, uint16_t internal_port, uint16_t external_port, uint32_t lifetime_s)
{
        struct node *n = ctx;

        if (n->upnp)
                upnp_ask(n->upnp, internal_port, external_port, lifetime_s);
}

enum err node_portmap_start(struct node *n)
{
        static const struct upnp_calls calls = { .done = upnp_done };

        return upnp_new(n->loop, &calls, n, &n->upnp);
}

void node_portmap_stop(struct node *n)
{
        if (n->upnp)
                upnp_free(n->upnp);
        n->upnp = NULL;
        net_udp_close(n->portmap);
        n->portmap = NULL;
}
