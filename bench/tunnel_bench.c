/*
 * weft-tunnel-bench: the data plane and nothing else, for bench/tunnel. One peer
 * with a fixed endpoint, no control server, everything allowed.
 *
 *   weft-tunnel-bench TUN MTU PORT SECRET-HEX OWN-IP PEER-HEX PEER-ENDPOINT PEER-PREFIX [PEERS-FILE]
 *
 * The file holds a line "KEY-HEX PREFIX" for each further peer, all of them idle.
 * Prints "ready" when the device is up; runs until SIGTERM, then prints its counters.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "os/tun.h"
#include "static_node.h"

static const char allow_all[] =
        "[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":65535}}]}]";

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
        (void)number;
        stop = 1;
}

struct arguments {
        struct tun_options tun;
        uint64_t port;
        struct secret_key secret;
        struct ip_addr own;
        struct public_key peer;
        struct ip_port endpoint;
        struct ip_prefix route;
        const char *idle_peers; /* a file, or NULL */
};

static enum err parse_arguments(char **argv, struct arguments *out)
{
        uint64_t mtu;
        enum err e;

        snprintf(out->tun.name, sizeof(out->tun.name), "%s", argv[1]);
        if ((e = parse_u64(slice_str(argv[2]), 9000, &mtu)) ||
                (e = parse_u64(slice_str(argv[3]), 65535, &out->port)) ||
                (e = hex_decode(slice_str(argv[4]), out->secret.b, KEY_LEN)) ||
                (e = ip_parse(slice_str(argv[5]), &out->own)) ||
                (e = hex_decode(slice_str(argv[6]), out->peer.b, KEY_LEN)) ||
                (e = ip_port_parse(slice_str(argv[7]), &out->endpoint)) ||
                (e = ip_prefix_parse(slice_str(argv[8]), &out->route)))
                return e;
        out->idle_peers = argv[9]; /* NULL ends argv */
        out->tun.mtu = (uint32_t)mtu;
        out->tun.gso_max_bytes = dataplane_gso_max_bytes(out->tun.mtu);
        out->tun.gso_max_segs = DATAPLANE_BATCH;
        return OK;
}

static enum err add_idle_peer(struct static_node *n, char *line)
{
        char *end = strchr(line, ' ');
        struct public_key key;
        struct ip_prefix route;
        enum err e;

        if (!end)
                return ERR_FORMAT;
        *end = '\0';
        if ((e = hex_decode(slice_str(line), key.b, KEY_LEN)) || (e = ip_prefix_parse(slice_str(end + 1), &route)))
                return e;
        return static_node_add_peer(n, &key, &(struct ip_port){ 0 }, &route);
}

static enum err add_idle_peers(struct static_node *n, const char *path)
{
        FILE *f = fopen(path, "r");
        char line[200];
        enum err e = OK;

        if (!f)
                return ERR_SYS;
        while (!e && fgets(line, sizeof(line), f)) {
                line[strcspn(line, "\n")] = '\0';
                e = add_idle_peer(n, line);
        }
        fclose(f);
        return e;
}

static enum err start(const struct arguments *a, struct static_node *n, struct diag *d)
{
        struct tun_device tun;
        enum err e = tun_open(&a->tun, &tun, d);

        if (e)
                return e;
        struct dataplane_options o = {
                .tun_fd = tun.fd,
                .tun_mtu = a->tun.mtu,
                .udp = { .ports = { (uint16_t)a->port }, .port_count = 1 },
        };
        if ((e = static_node_start(n, &o, &a->secret, d)) ||
                (e = static_node_add_peer(n, &a->peer, &a->endpoint, &a->route)) ||
                (a->idle_peers && (e = add_idle_peers(n, a->idle_peers))))
                return e;
        return static_node_publish(n, &a->own, allow_all);
}

static void print_counters(const struct static_node *n)
{
        struct dataplane_stats s;

        dataplane_stats(n->dp, &s);
        printf("tun_reads=%lu out_packets=%lu udp_sends=%lu send_errors=%lu queue_dropped=%lu udp_receives=%lu in_packets=%lu "
               "tun_writes=%lu in_replayed=%lu overflow=%lu gso=%d gro=%d\n",
                s.tun_reads, s.out_packets, s.udp_sends, s.send_errors, s.out_queue_dropped, s.udp_receives, s.in_packets,
                s.tun_writes, s.in_replayed, s.in_socket_overflow, s.udp_gso, s.udp_gro);
}

int main(int argc, char **argv)
{
        static struct static_node node;
        struct arguments a = { 0 };
        struct diag d = { { 0 } };

        if (argc < 9 || argc > 10 || parse_arguments(argv, &a) != OK) {
                fprintf(stderr,
                        "usage: %s TUN MTU PORT SECRET-HEX OWN-IP PEER-HEX PEER-ENDPOINT PEER-PREFIX "
                        "[PEERS-FILE]\n",
                        argv[0]);
                return 2;
        }
        signal(SIGTERM, on_signal);
        signal(SIGINT, on_signal);
        if (start(&a, &node, &d) != OK) {
                fprintf(stderr, "%s: %s\n", argv[0], d.text);
                return 1;
        }
        puts("ready");
        fflush(stdout);
        while (!stop)
                static_node_serve(&node, 200);
        print_counters(&node);
        static_node_stop(&node);
        key_wipe(&a.secret, sizeof(a.secret));
        return 0;
}
