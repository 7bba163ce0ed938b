/*
 * A tiny internet on virtual time for the tests of path managers: hosts behind
 * NATs of every kind, two STUN servers, one relay, a control server that passes
 * endpoints on. Nothing here is random but what the seed makes so.
 */
#ifndef PATH_TEST_NET_H
#define PATH_TEST_NET_H

#include "path/path.h"

enum nat {
        NAT_OPEN,     /* a public address */
        NAT_EIM_ADF,  /* one mapping for all; lets in addresses we sent to */
        NAT_EIM_APDF, /* one mapping for all; lets in address and port we sent to */
        NAT_APDM,     /* a mapping for each destination */
        NAT_APDM_PMP, /* the same, but the router speaks NAT-PMP */
        NAT_BLOCKED,  /* no UDP */
        NAT_KINDS,
};

enum { NET_HOSTS_MAX = 4, NET_FLOWS_MAX = 64, NET_PACKETS_MAX = 4096 };

/* A way through a host's NAT. */
struct test_flow {
        struct ip_port dst; /* whom it was opened toward; IP_NONE: a forwarded port */
        uint16_t port;      /* outside */
};

struct test_net;

struct test_host {
        struct test_net *net;
        struct path_manager *m;
        struct rng_seeded rng;
        struct public_key key;
        enum nat nat;
        struct ip_addr local, outside;
        struct path_local interface;
        bool cut;     /* all UDP is lost now */
        bool no_news; /* the control server tells others nothing of this host */
        uint16_t next_port;
        struct test_flow flows[NET_FLOWS_MAX];
        size_t flow_count;
        struct path_endpoint endpoints[PATH_ENDPOINTS_MAX];
        size_t endpoint_count;
        struct path_best best[NET_HOSTS_MAX]; /* toward each host, as announced */
        uint16_t home;
        unsigned netinfos, stun_sent, relay_sent, udp_sent, latency_asked;
        struct path_ping_result ping;
        bool pinged;
        uint64_t sent_us, received_us; /* what packet workers would have stamped */
        unsigned wakes;                /* calls of path_data_sent() */
};

struct test_packet {
        uint64_t at_us;
        int host;        /* receiver; -1: a STUN server */
        uint16_t region; /* 0: by UDP */
        struct public_key from;
        struct ip_port src, dst;
        uint8_t *bytes;
        size_t len;
};

struct test_net {
        struct now now;
        struct test_host hosts[NET_HOSTS_MAX];
        int count;
        struct test_packet packets[NET_PACKETS_MAX];
        size_t packet_count;
        uint64_t udp_delay_us, relay_delay_us;
        bool workers; /* packets leave by workers, which call only for a sleeping peer */
};

struct test_net *test_net_new(void);
void test_net_free(struct test_net *net);
/* lan: hosts with the same number share a private network and its outside address. */
struct test_host *test_host_add(struct test_net *net, enum nat nat, int lan);
/* Every host learns of every other and of the relay map. */
void test_net_join(struct test_net *net);
/* Tells `to` of `about` as the control server would now. */
void test_net_introduce(struct test_host *to, struct test_host *about);
/* Lets time pass; with traffic both ways between hosts 0 and 1 every 100 ms. */
void test_net_run(struct test_net *net, uint64_t us, bool traffic);
/* The host moves to another network: new addresses, new sockets. */
void test_host_move(struct test_host *h, enum nat nat, int lan);
bool test_is_direct(const struct test_host *a, int peer);

#endif
