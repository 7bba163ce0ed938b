/* What both ends of the channel agree on. Messages are little-endian. */
#ifndef OS_PRIV_INTERNAL_H
#define OS_PRIV_INTERNAL_H

#include "os/priv.h"

enum priv_op {
        PRIV_OP_TUN_OPEN = 1, /* name[16] mtu:u32 gso_bytes:u32 gso_segs:u32 */
        PRIV_OP_ROUTER,       /* router_change, PRIV_CHANGES_MAX at most */
        PRIV_OP_LINK_SET,     /* ifindex:u32 mtu:u32 gso_bytes:u32 gso_segs:u32 */
        PRIV_OP_FIREWALL,     /* firewall_config */
        PRIV_OP_DNS,          /* os_dns_config */
};

/* Answer: err:u8 name[16] ifindex:u32 vnet:u8 uso:u8 sentence; a descriptor beside it. */
enum {
        PRIV_CHANGES_MAX = 512,
        PRIV_MESSAGE_MAX = 1 + PRIV_CHANGES_MAX * ROUTER_CHANGE_LEN,
        PRIV_ANSWER_MAX = 1 + TUN_NAME_MAX + 4 + 1 + 1 + sizeof(struct diag),
};

/* The privileged process: serves requests until the channel closes, then undoes
 * the routing, the firewall rules and the DNS settings it set up. */
void priv_serve(int sock);

#endif
