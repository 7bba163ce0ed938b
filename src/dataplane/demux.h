/*
 * What one UDP datagram is (spec/paths.md 2.12). Datagrams of peer relays, with a
 * Geneve header in front, count as junk: we do not announce that we speak to them.
 */
#ifndef DATAPLANE_DEMUX_H
#define DATAPLANE_DEMUX_H

#include "base/slice.h"

enum datagram_kind {
        DATAGRAM_JUNK,      /* too short, or of a form we do not know: dropped */
        DATAGRAM_STUN,      /* a binding response */
        DATAGRAM_DISCO,
        DATAGRAM_HANDSHAKE, /* WireGuard types 1 to 3 */
        DATAGRAM_TRANSPORT, /* WireGuard type 4 */
};

enum datagram_kind datagram_classify(struct slice bytes);

#endif
