/*
 * The host's network as the node sees it: interfaces, their addresses, where the
 * default route points, and a descriptor that becomes readable when any of it
 * changes (rtnetlink). Needs no privilege.
 */
#ifndef OS_MONITOR_H
#define OS_MONITOR_H

#include "base/arena.h"
#include "base/err.h"
#include "ip/addr.h"

struct os_interface {
        const char *name;
        uint32_t index;
        bool is_up, is_loopback;
        uint32_t mtu;
        struct ip_prefix *addresses;
        size_t address_count;
};

struct os_network {
        struct os_interface *interfaces;
        size_t count;
        uint32_t default_v4, default_v6; /* interface index of the default route; 0: none */
};

/* A picture of now, in the arena. At most 256 interfaces and 64 addresses each;
 * what lies beyond is left out. */
enum err MUST_USE os_network_read(struct arena *arena, struct os_network *out, struct diag *d);

struct os_monitor;
/* NULL and *d on failure. */
struct os_monitor *os_monitor_new(struct diag *d);
void os_monitor_free(struct os_monitor *m);
/* Poll this for reading. */
int os_monitor_fd(const struct os_monitor *m);
/* Drains what arrived; true if something changed that is worth a new picture.
 * Changes of the interface ignore_ifindex (our own TUN) do not count. */
bool os_monitor_drain(struct os_monitor *m, uint32_t ignore_ifindex);

#endif
