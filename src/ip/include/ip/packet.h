/*
 * A view of one IP packet: where its layers begin and what identifies its flow.
 * Decoding allocates nothing and touches only the headers (spec/dataplane.md 4.1).
 */
#ifndef IP_PACKET_H
#define IP_PACKET_H

#include "ip/addr.h"

enum ip_proto {
        IP_PROTO_UNKNOWN = 0, /* also what the decoder says of packets it refuses */
        IP_PROTO_ICMP4 = 1,
        IP_PROTO_IGMP = 2,
        IP_PROTO_TCP = 6,
        IP_PROTO_UDP = 17,
        IP_PROTO_ICMP6 = 58,
        IP_PROTO_TSMP = 99,
        IP_PROTO_SCTP = 132,
        IP_PROTO_FRAGMENT = 255, /* a later fragment: no ports to look at */
};

enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_PSH = 0x08, TCP_ACK = 0x10 };

struct packet {
        struct slice bytes;   /* from the IP header to the end of the IP datagram */
        uint8_t version;      /* 4, 6, or 0 for what is no IP packet */
        uint8_t proto;        /* enum ip_proto or another protocol number */
        uint8_t tcp_flags;
        uint8_t tos;          /* DSCP and ECN */
        uint16_t l4_offset;   /* of the transport header */
        uint16_t data_offset; /* of its payload */
        struct ip_port src, dst; /* ports are 0 where the protocol has none */
};

/*
 * Decodes the packet at the start of bytes and cuts its view to the length the IP
 * header gives. ERR_SHORT or ERR_FORMAT when it is no IP packet at all; a packet
 * whose inner layers are refused (spec/dataplane.md 4.1) is OK with proto
 * IP_PROTO_UNKNOWN.
 */
enum err MUST_USE packet_decode(struct slice bytes, struct packet *out);
/* True for an ICMP or ICMPv6 echo reply / error message, and for an echo request. */
bool packet_is_icmp_reply(const struct packet *p);
bool packet_is_echo_request(const struct packet *p);

#endif
