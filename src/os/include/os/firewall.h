/*
 * Our rules in the kernel's packet filter (spec/node.md 4.3): let in what comes out of the
 * tunnel, keep tailnet addresses from coming in any other way, forward for routes that we
 * advertise, and hide forwarded packets behind this machine.
 *
 *     filter/INPUT       -> ts-input          nat/POSTROUTING -> ts-postrouting
 *     filter/FORWARD     -> ts-forward        in the tables ip and ip6
 *
 * The base chains are those of iptables, so that a verdict of ours counts among the host's
 * own rules. firewall_script() makes no system call; the rest is for the privileged side.
 */
#ifndef OS_FIREWALL_H
#define OS_FIREWALL_H

#include "base/buf.h"
#include "base/cursor.h"
#include "ip/addr.h"
#include "os/tun.h"

enum firewall_mode { FIREWALL_OFF, FIREWALL_UNHOOKED, FIREWALL_ON }; /* the preference's numbers */

enum { FIREWALL_OWN_MAX = 8 };

struct firewall_config {
        char tun[TUN_NAME_MAX];
        uint8_t mode;              /* enum firewall_mode */
        bool snat;                 /* hide what is forwarded out of the tunnel */
        bool stateful;             /* forward into the tunnel only answers */
        bool keep_cgnat;           /* packets from 100.64.0.0/10 beside the tunnel are the host's affair */
        uint16_t port_v4, port_v6; /* of WireGuard; 0: none */
        struct ip_addr own[FIREWALL_OWN_MAX];
        uint8_t own_count;
};

/* Wire form, for the channel to the privileged process. */
void firewall_config_write(struct writer *w, const struct firewall_config *c);
void firewall_config_read(struct reader *r, struct firewall_config *out);

/* The commands for nftables that make the chains of one family and fill them, base chains
 * and tables included where there are none; hooks are not among them. */
void firewall_script(const struct firewall_config *c, bool v6, struct buf *out);

/* Replaces all our rules by those of c. */
enum err MUST_USE firewall_apply(const struct firewall_config *c, struct diag *d);
/* Removes all our rules: at the end, after a crash, and for --cleanup. */
void firewall_cleanup(void);

#endif
