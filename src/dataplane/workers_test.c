/*
 * Two whole data planes in one process, joined by UDP on loopback. A datagram
 * socket pair stands in for each TUN: it keeps packet boundaries just as well.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cursor.h"
#include "ip/checksum.h"
#include "proto/tsmp.h"
#include "static_node.h"
#include "vnet.h"

enum { WAIT_MS = 5000, MTU = 1280 };

static const char allow_all[] =
        "[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":65535}}]}]";
static const char allow_nothing[] = "[]";

struct end {
        struct static_node node;
        int host; /* the other end of the TUN: what the kernel would read and write */
        struct secret_key secret;
        struct public_key key;
        struct ip_addr addr;
        struct ip_port endpoint;
};

static struct end a, b;

static void end_start(struct end *e, uint8_t seed, struct ip_addr addr)
{
        int fds[2], bytes = 1 << 20;
        struct diag diag;

        memset(e->secret.b, seed, KEY_LEN);
        e->secret.b[0] &= 248;
        e->secret.b[31] = (uint8_t)((e->secret.b[31] & 127) | 64);
        key_public(&e->secret, &e->key);
        e->addr = addr;
        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds), 0);
        (void)setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
        e->host = fds[1];
        struct dataplane_options o = { .tun_fd = fds[0], .tun_mtu = MTU, .udp = { .port_count = 1 } };
        assert_int_equal(static_node_start(&e->node, &o, &e->secret, &diag), OK);
        uint16_t port6;
        e->endpoint = (struct ip_port){ .ip = ip_v4(127, 0, 0, 1) };
        dataplane_ports(e->node.dp, &e->endpoint.port, &port6);
        assert_int_not_equal(e->endpoint.port, 0);
}

static void join(struct end *e, struct end *other, const struct ip_port *endpoint, const char *rules)
{
        struct ip_prefix route = ip_host_prefix(other->addr);

        assert_int_equal(static_node_add_peer(&e->node, &other->key, endpoint, &route), OK);
        assert_int_equal(static_node_publish(&e->node, &e->addr, rules), OK);
}

/* a knows where b is; b learns it from a. */
static int setup(void **state)
{
        (void)state;
        struct ip_port nowhere = { 0 };

        end_start(&a, 0x11, ip_v4(100, 64, 0, 1));
        end_start(&b, 0x22, ip_v4(100, 64, 0, 2));
        join(&a, &b, &b.endpoint, allow_all);
        join(&b, &a, &nowhere, allow_all);
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        static_node_stop(&a.node);
        static_node_stop(&b.node);
        close(a.host);
        close(b.host);
        return 0;
}

static void serve(void)
{
        static_node_serve(&a.node, 1);
        static_node_serve(&b.node, 1);
}

/* What the workers do is seen a little later: serves until it holds. */
#define SOON(condition)                                    \
        do {                                               \
                for (int i_ = 0; i_ < WAIT_MS / 2 && !(condition); i_++) \
                        serve();                           \
                assert_true(condition);                    \
        } while (0)

static struct dataplane_counters counters_of(const struct end *e)
{
        struct dataplane_counters c;

        dataplane_peer_counters(e->node.peers[0].path, &c);
        return c;
}

static struct dataplane_stats stats_of(const struct end *e)
{
        struct dataplane_stats s;

        dataplane_stats(e->node.dp, &s);
        return s;
}

/* A UDP packet from one end to the other behind a vnet header. */
static size_t make_udp(uint8_t *out, const struct end *from, const struct end *to, uint16_t port, size_t payload)
{
        uint8_t *p = out + VNET_LEN;
        size_t len = 28 + payload;

        memset(out, 0, VNET_LEN + len);
        p[0] = 0x45;
        put_be16(p + 2, (uint16_t)len);
        p[6] = 0x40;
        p[8] = 64;
        p[9] = 17;
        memcpy(p + 12, from->addr.b, 4);
        memcpy(p + 16, to->addr.b, 4);
        put_be16(p + 10, checksum_finish(checksum_add(0, slice_make(p, 20))));
        put_be16(p + 20, port);
        put_be16(p + 22, port);
        put_be16(p + 24, (uint16_t)(8 + payload));
        for (size_t i = 0; i < payload; i++)
                p[28 + i] = (uint8_t)(i * 7);
        return VNET_LEN + len;
}

/* The next packet that reaches the host of e; 0 after wait_ms without one. */
static size_t receive_within(struct end *e, uint8_t *out, size_t cap, int wait_ms)
{
        uint64_t tries = (uint64_t)wait_ms / 2;

        for (uint64_t i = 0; i <= tries; i++) {
                ssize_t n = read(e->host, out, cap);
                if (n > 0)
                        return (size_t)n;
                serve();
        }
        return 0;
}

static void send_and_expect(struct end *from, struct end *to, uint16_t port)
{
        uint8_t sent[2048], got[2048];
        size_t len = make_udp(sent, from, to, port, 100);

        assert_int_equal(write(from->host, sent, len), len);
        assert_int_equal(receive_within(to, got, sizeof(got), WAIT_MS), len);
        assert_memory_equal(got, sent, len);
}

static void first_packets_wait_for_the_handshake(void **state)
{
        (void)state;
        uint8_t packet[2048], got[2048];

        for (uint16_t i = 0; i < 10; i++) {
                size_t len = make_udp(packet, &a, &b, 1000, 50);
                put_be16(packet + VNET_LEN + 4, i); /* the IP header's identification */
                assert_int_equal(write(a.host, packet, len), len);
        }
        for (uint16_t i = 0; i < 10; i++) { /* none is lost, and in their order */
                assert_int_not_equal(receive_within(&b, got, sizeof(got), WAIT_MS), 0);
                assert_int_equal(get_be16(got + VNET_LEN + 4), i);
        }
        send_and_expect(&b, &a, 7);
        SOON(counters_of(&a).tx_packets == 10);
        SOON(counters_of(&a).rx_packets == 1);
        struct dataplane_counters c = counters_of(&a);
        assert_true(c.tx_udp4_bytes > 10 * 78 && c.last_sent_us > 0 && c.last_received_us > 0);
        SOON(a.node.event_counts[DATAPLANE_SENT] > 0);
        SOON(b.node.event_counts[DATAPLANE_SOURCE] == 1);
}

/* One TSO super-packet goes in; the same comes out, perhaps in parts. */
static void carries_super_packets(void **state)
{
        (void)state;
        static uint8_t super[VNET_LEN + 65535], got[VNET_LEN + 65535];
        enum { MSS = 1228, SEGMENTS = 48, PAYLOAD = MSS * SEGMENTS - 100, HEADERS = 40 };

        send_and_expect(&a, &b, 7);
        make_udp(super, &a, &b, 0, 12);
        uint8_t *p = super + VNET_LEN;
        struct vnet_header vnet = { 1, VNET_GSO_TCP4, HEADERS, MSS, 20, 16 };
        vnet_write(&vnet, super);
        put_be16(p + 2, HEADERS + PAYLOAD);
        p[9] = 6;
        put_be32(p + 20, 0x01bb9999);
        put_be32(p + 24, 0xfffff000);
        p[32] = 0x50;
        p[33] = 0x18;
        put_be16(p + 36, checksum_fold(checksum_pseudo(slice_make(p + 12, 4), slice_make(p + 16, 4), 6, 20 + PAYLOAD)));
        for (size_t i = 0; i < PAYLOAD; i++)
                p[HEADERS + i] = (uint8_t)(i >> 3);

        for (int round = 0; round < 20; round++) {
                size_t seen = 0;
                assert_int_equal(write(a.host, super, VNET_LEN + HEADERS + PAYLOAD), VNET_LEN + HEADERS + PAYLOAD);
                while (seen < PAYLOAD) {
                        size_t len = receive_within(&b, got, sizeof(got), WAIT_MS);
                        assert_true(len > VNET_LEN + HEADERS);
                        assert_int_equal(get_be32(got + VNET_LEN + 24), 0xfffff000 + (uint32_t)seen);
                        len -= VNET_LEN + HEADERS;
                        assert_memory_equal(got + VNET_LEN + HEADERS, p + HEADERS + seen, len);
                        seen += len;
                }
                assert_int_equal(seen, PAYLOAD);
        }
        struct dataplane_stats sent = stats_of(&a);
        assert_true(stats_of(&b).tun_writes < 20 * SEGMENTS / 2); /* merged again */
        assert_true(!sent.udp_gso || sent.udp_sends < 20 * SEGMENTS / 2);
}

static void filters_and_checks_sources(void **state)
{
        (void)state;
        uint8_t packet[2048], got[2048];

        send_and_expect(&a, &b, 7);
        assert_int_equal(static_node_publish(&b.node, &b.addr, allow_nothing), OK);
        size_t len = make_udp(packet, &a, &b, 9, 50);
        assert_int_equal(write(a.host, packet, len), len);
        assert_int_equal(receive_within(&b, got, sizeof(got), 100), 0);
        send_and_expect(&b, &a, 9); /* opens the way for the answer */
        send_and_expect(&a, &b, 9);

        memcpy(packet + VNET_LEN + 12, "\x64\x40\x00\x09", 4); /* an address that is not a's */
        assert_int_equal(write(a.host, packet, len), len);
        assert_int_equal(receive_within(&b, got, sizeof(got), 100), 0);
        SOON(stats_of(&b).in_bad_source == 1);
        SOON(stats_of(&b).in_filtered == 1);

        memcpy(packet + VNET_LEN + 16, "\x64\x40\x00\x09", 4); /* a destination of nobody */
        assert_int_equal(write(a.host, packet, len), len);
        packet[VNET_LEN + 9] = IP_PROTO_TSMP;
        assert_int_equal(write(a.host, packet, len), len);
        assert_int_equal(receive_within(&b, got, sizeof(got), 50), 0);
        SOON(stats_of(&a).out_no_peer == 1);
        SOON(stats_of(&a).out_filtered == 1);
}

static void answers_tsmp(void **state)
{
        (void)state;
        struct tsmp m = { .kind = TSMP_PING, .token = "abcdefg" }, pong = { 0 };
        uint8_t packet[TSMP_PACKET_MAX], syn[2048];
        struct packet p;

        send_and_expect(&a, &b, 7);
        size_t len = tsmp_packet_write(&m, &a.addr, &b.addr, packet);
        assert_int_equal(dataplane_send_packet(a.node.dp, slice_make(packet, len)), OK);
        for (int i = 0; i < 1000 && !a.node.last_tsmp.ptr; i++)
                serve();
        assert_int_equal(packet_decode(a.node.last_tsmp, &p), OK);
        assert_int_equal(tsmp_parse(slice_after(p.bytes, p.l4_offset), &pong), OK);
        assert_int_equal(pong.kind, TSMP_PONG);
        assert_memory_equal(pong.token, m.token, sizeof(m.token));

        /* A refused TCP SYN is told so. */
        a.node.last_tsmp = (struct slice){ 0 };
        assert_int_equal(static_node_publish(&b.node, &b.addr, allow_nothing), OK);
        len = make_udp(syn, &a, &b, 22, 12);
        syn[VNET_LEN + 9] = 6;
        syn[VNET_LEN + 32] = 0x50;
        syn[VNET_LEN + 33] = TCP_SYN;
        assert_int_equal(write(a.host, syn, len), len);
        for (int i = 0; i < 1000 && !a.node.last_tsmp.ptr; i++)
                serve();
        assert_int_equal(packet_decode(a.node.last_tsmp, &p), OK);
        assert_int_equal(tsmp_parse(slice_after(p.bytes, p.l4_offset), &pong), OK);
        assert_int_equal(pong.kind, TSMP_REJECT);
        assert_int_equal(pong.reason, 'A');
        assert_int_equal(pong.dst_port, 22);
}

static void to_derp_of(void *ctx, struct slice message)
{
        struct end *to = ctx;

        if (tunnel_message_type(message) == TUNNEL_TRANSPORT) {
                (void)!dataplane_receive_derp(to->node.dp, message);
                return;
        }
        struct tunnel_source from = { .via = TUNNEL_VIA_DERP, .from = to == &a ? b.key : a.key };
        struct now now = { .mono_us = 1, .unix_us = 1700000000000000 };
        tunnel_receive(to->node.tunnel, message, &from, &now);
}

static void derp_carries_what_udp_does_not(void **state)
{
        (void)state;

        send_and_expect(&a, &b, 7);
        a.node.send_derp = to_derp_of;
        a.node.ctx = &b;
        struct dataplane_path derp_only = { .derp = true };
        assert_int_equal(dataplane_peer_set_path(a.node.dp, a.node.peers[0].path, &derp_only), OK);
        send_and_expect(&a, &b, 8);
        SOON(counters_of(&b).rx_derp_bytes > 0);

        /* An untrusted path uses both; the copy is dropped as a replay. */
        struct dataplane_path both = { .udp = b.endpoint, .trusted_until_us = 1, .derp = true };
        assert_int_equal(dataplane_peer_set_path(a.node.dp, a.node.peers[0].path, &both), OK);
        send_and_expect(&a, &b, 9);
        uint8_t got[2048];
        assert_int_equal(receive_within(&b, got, sizeof(got), 50), 0);
        SOON(stats_of(&b).in_replayed == 1);
}

static void survives_rebinding_and_new_mtu(void **state)
{
        (void)state;
        struct dataplane_udp_options o = { .ports = { b.endpoint.port, 0 }, .port_count = 2 };
        struct diag diag;
        uint16_t port4, port6;

        send_and_expect(&a, &b, 7);
        for (int i = 0; i < 20; i++) {
                assert_int_equal(dataplane_rebind(b.node.dp, &o, &diag), OK);
                dataplane_ports(b.node.dp, &port4, &port6);
                assert_int_equal(port4, b.endpoint.port);
                send_and_expect(&a, &b, (uint16_t)i);
        }
        dataplane_set_mtu(a.node.dp, 1400);
        send_and_expect(&a, &b, 7);
}

static void peers_come_and_go_under_traffic(void **state)
{
        (void)state;
        static uint8_t packet[2048], got[2048];
        size_t len = make_udp(packet, &a, &b, 5, 1000);
        unsigned received = 0;

        send_and_expect(&a, &b, 7);
        for (int i = 0; i < 300; i++) {
                (void)!write(a.host, packet, len);
                serve();
                while (read(b.host, got, sizeof(got)) > 0)
                        received++;
                if (i % 10 == 0)
                        assert_int_equal(static_node_publish(&b.node, &b.addr, i % 20 ? allow_all : allow_nothing), OK);
                if (i == 150) { /* forget b, then know it again */
                        struct static_peer *sp = &a.node.peers[0];
                        struct dataplane_view *v = dataplane_view_new();
                        v->routes = ip_trie_new();
                        assert_int_equal(dataplane_publish(a.node.dp, v), OK);
                        tunnel_peer_remove(a.node.tunnel, sp->tunnel);
                        dataplane_peer_remove(a.node.dp, sp->path);
                        a.node.peer_count = 0;
                        join(&a, &b, &b.endpoint, allow_all);
                }
        }
        assert_true(received > 0);
        assert_int_equal(static_node_publish(&b.node, &b.addr, allow_all), OK);
        while (receive_within(&b, got, sizeof(got), 20) > 0)
                ;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(first_packets_wait_for_the_handshake, setup, teardown),
                cmocka_unit_test_setup_teardown(carries_super_packets, setup, teardown),
                cmocka_unit_test_setup_teardown(filters_and_checks_sources, setup, teardown),
                cmocka_unit_test_setup_teardown(answers_tsmp, setup, teardown),
                cmocka_unit_test_setup_teardown(derp_carries_what_udp_does_not, setup, teardown),
                cmocka_unit_test_setup_teardown(survives_rebinding_and_new_mtu, setup, teardown),
                cmocka_unit_test_setup_teardown(peers_come_and_go_under_traffic, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
