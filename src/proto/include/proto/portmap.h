/*
 * NAT-PMP (RFC 6886) and PCP (RFC 6887): the few messages by which a router is
 * asked for a port mapping. spec/paths.md 6. Pure functions. Both use port 5351.
 */
#ifndef PROTO_PORTMAP_H
#define PROTO_PORTMAP_H

#include "base/err.h"
#include "ip/addr.h"

enum {
        PORTMAP_PORT = 5351,
        PORTMAP_LIFETIME_S = 7200, /* what we ask for */
        PMP_ADDR_REQUEST_LEN = 2,
        PMP_MAP_REQUEST_LEN = 12,
        PCP_ANNOUNCE_LEN = 24,
        PCP_MAP_LEN = 60,
        PCP_NONCE_LEN = 12,
        PORTMAP_REQUEST_MAX = PCP_MAP_LEN,
};

/* ---- NAT-PMP ---- */

enum pmp_result {
        PMP_OK = 0,
        PMP_BAD_VERSION = 1,
        PMP_REFUSED = 2,
        PMP_NETWORK_FAILURE = 3,
        PMP_NO_RESOURCES = 4
};

struct pmp_response {
        bool is_map;     /* else: the external address */
        uint16_t result; /* enum pmp_result, or a code of the router's own */
        uint32_t epoch_s;
        struct ip_addr external; /* of an address response; 0.0.0.0: unknown */
        uint16_t internal_port, external_port;
        uint32_t lifetime_s;
};

void pmp_address_request(uint8_t out[static PMP_ADDR_REQUEST_LEN]);
/* lifetime_s 0 deletes. */
void pmp_map_request(uint16_t internal_port, uint16_t external_port, uint32_t lifetime_s,
        uint8_t out[static PMP_MAP_REQUEST_LEN]);
/* Exactly one response of UDP mapping or address. ERR_SHORT, ERR_FORMAT. */
enum err MUST_USE pmp_response_parse(struct slice datagram, struct pmp_response *out);

/* ---- PCP ---- */

enum pcp_result { PCP_OK = 0, PCP_NOT_AUTHORIZED = 2, PCP_ADDRESS_MISMATCH = 12 };

/* Renewal and deletion must repeat the nonce that made the mapping. */
struct pcp_nonce {
        uint8_t b[PCP_NONCE_LEN];
};

struct pcp_map {
        struct ip_addr client; /* our address as the router must see it */
        struct pcp_nonce nonce;
        uint16_t internal_port;
        uint16_t external_port; /* wish; 0: any */
        uint32_t lifetime_s;    /* 0 deletes */
};

struct pcp_response {
        bool is_map; /* else: ANNOUNCE */
        uint8_t result;
        uint32_t lifetime_s, epoch_s;
        struct pcp_nonce nonce; /* the rest: of a map response that succeeded */
        uint16_t internal_port;
        struct ip_port external;
};

void pcp_announce(const struct ip_addr *client, uint8_t out[static PCP_ANNOUNCE_LEN]);
void pcp_map_request(const struct pcp_map *req, uint8_t out[static PCP_MAP_LEN]);
/* An ANNOUNCE or UDP MAP response. ERR_SHORT, ERR_FORMAT. */
enum err MUST_USE pcp_response_parse(struct slice datagram, struct pcp_response *out);

#endif
