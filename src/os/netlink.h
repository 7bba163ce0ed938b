/* One request to rtnetlink and its answer; internal to os/. */
#ifndef OS_NETLINK_H
#define OS_NETLINK_H

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "base/err.h"
#include "ip/addr.h"

enum { NETLINK_BUF = 8192, NETLINK_DUMP = 32768 };

/* Begins a request in buf (NETLINK_BUF bytes, zeroed here). */
struct nlmsghdr *netlink_begin(void *buf, uint16_t type, uint16_t flags);
/* Sends it and waits for the acknowledgement; 0 or an errno value. */
int netlink_talk(struct nlmsghdr *request);
/* Sends a dump request and calls cb for every message of the answer; 0 or errno. */
int netlink_dump(struct nlmsghdr *request, mnl_cb_t cb, void *ctx);

/* The first attribute of that type behind a header of the given size, or NULL. */
const struct nlattr *netlink_attr(const struct nlmsghdr *n, size_t header, uint16_t type);
/* Its value as u32; 0 if it is missing or of another size. */
uint32_t netlink_attr_u32(const struct nlmsghdr *n, size_t header, uint16_t type);
void netlink_put_addr(struct nlmsghdr *n, uint16_t attr, const struct ip_addr *a);
uint8_t netlink_family(const struct ip_addr *a);
/* MTU, super-packet bounds (0: leave), queue length (0: leave), and up. */
int netlink_link_set(uint32_t ifindex, uint32_t mtu, uint32_t gso_max_bytes, uint32_t gso_max_segs, uint32_t queue_len);
/* False if the kernel runs without IPv6 or it is disabled. */
bool netlink_has_ipv6(void);

#endif
