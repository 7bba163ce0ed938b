#include "os/monitor.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "netlink.h"

enum { INTERFACES_MAX = 256, ADDRESSES_MAX = 64 };

struct picture {
        struct arena *arena;
        struct os_network *net;
};

static struct os_interface *find(struct os_network *net, uint32_t index)
{
        for (size_t i = 0; i < net->count; i++)
                if (net->interfaces[i].index == index)
                        return &net->interfaces[i];
        return NULL;
}

static int on_link(const struct nlmsghdr *n, void *ctx)
{
        struct picture *p = ctx;
        const struct ifinfomsg *link = mnl_nlmsg_get_payload(n);
        const struct nlattr *name = netlink_attr(n, sizeof(*link), IFLA_IFNAME);

        if (p->net->count == INTERFACES_MAX)
                return MNL_CB_OK;
        struct os_interface *it = &p->net->interfaces[p->net->count++];
        *it = (struct os_interface){ .name = "", .index = (uint32_t)link->ifi_index };
        it->is_up = (link->ifi_flags & IFF_UP) && (link->ifi_flags & IFF_RUNNING);
        it->is_loopback = link->ifi_flags & IFF_LOOPBACK;
        it->mtu = netlink_attr_u32(n, sizeof(*link), IFLA_MTU);
        if (name && mnl_attr_validate(name, MNL_TYPE_NUL_STRING) == 0)
                it->name = arena_cstr(p->arena, slice_str(mnl_attr_get_str(name)));
        return it->name ? MNL_CB_OK : MNL_CB_ERROR;
}

static int on_address(const struct nlmsghdr *n, void *ctx)
{
        struct picture *p = ctx;
        const struct ifaddrmsg *a = mnl_nlmsg_get_payload(n);
        struct os_interface *it = find(p->net, a->ifa_index);
        const struct nlattr *attr = netlink_attr(n, sizeof(*a), IFA_LOCAL);

        if (!attr) /* IFA_ADDRESS is the far end of point-to-point links, so second choice */
                attr = netlink_attr(n, sizeof(*a), IFA_ADDRESS);
        size_t want = a->ifa_family == AF_INET ? 4 : 16;
        if (!it || !attr || mnl_attr_get_payload_len(attr) != want || it->address_count == ADDRESSES_MAX)
                return MNL_CB_OK;
        if (!it->addresses && !(it->addresses = ARENA_ARRAY(p->arena, ADDRESSES_MAX, struct ip_prefix)))
                return MNL_CB_ERROR;

        struct ip_prefix *out = &it->addresses[it->address_count++];
        out->ip.family = a->ifa_family == AF_INET ? IP_V4 : IP_V6;
        memcpy(out->ip.b, mnl_attr_get_payload(attr), want);
        out->bits = a->ifa_prefixlen;
        return MNL_CB_OK;
}

static int on_route(const struct nlmsghdr *n, void *ctx)
{
        struct picture *p = ctx;
        const struct rtmsg *rt = mnl_nlmsg_get_payload(n);
        uint32_t *slot = rt->rtm_family == AF_INET ? &p->net->default_v4 : &p->net->default_v6;

        if (rt->rtm_dst_len != 0 || rt->rtm_type != RTN_UNICAST || rt->rtm_table != RT_TABLE_MAIN)
                return MNL_CB_OK;
        if (!*slot) /* the kernel lists routes by metric: the first is the one in use */
                *slot = netlink_attr_u32(n, sizeof(*rt), RTA_OIF);
        return MNL_CB_OK;
}

static int dump(uint16_t type, uint8_t family, mnl_cb_t cb, struct picture *p)
{
        char buf[NETLINK_BUF];
        struct nlmsghdr *n = netlink_begin(buf, type, 0);

        if (type == RTM_GETLINK)
                ((struct ifinfomsg *)mnl_nlmsg_put_extra_header(n, sizeof(struct ifinfomsg)))->ifi_family = family;
        else if (type == RTM_GETADDR)
                ((struct ifaddrmsg *)mnl_nlmsg_put_extra_header(n, sizeof(struct ifaddrmsg)))->ifa_family = family;
        else
                ((struct rtmsg *)mnl_nlmsg_put_extra_header(n, sizeof(struct rtmsg)))->rtm_family = family;
        return netlink_dump(n, cb, p);
}

enum err os_network_read(struct arena *arena, struct os_network *out, struct diag *d)
{
        struct picture p = { arena, out };

        *out = (struct os_network){ .interfaces = ARENA_ARRAY(arena, INTERFACES_MAX, struct os_interface) };
        if (!out->interfaces)
                return diag_set(d, ERR_NOMEM, "no memory to list the network interfaces");
        int errnum = dump(RTM_GETLINK, AF_UNSPEC, on_link, &p);
        if (!errnum)
                errnum = dump(RTM_GETADDR, AF_UNSPEC, on_address, &p);
        if (!errnum)
                errnum = dump(RTM_GETROUTE, AF_INET, on_route, &p);
        if (!errnum)
                errnum = dump(RTM_GETROUTE, AF_INET6, on_route, &p);
        if (errnum)
                return diag_set(d, err_from_errno(errnum), "cannot list the network interfaces: %s", strerror(errnum));
        return OK;
}

struct os_monitor {
        struct mnl_socket *nl;
        uint32_t ignore_ifindex;
        bool changed;
};

struct os_monitor *os_monitor_new(struct diag *d)
{
        static const unsigned groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
        struct os_monitor *m = calloc(1, sizeof(*m));

        if (m)
                m->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (m && m->nl && mnl_socket_bind(m->nl, groups, MNL_SOCKET_AUTOPID) == 0)
                return m;
        (void)diag_set(d, ERR_SYS, "cannot watch the network interfaces: %s", strerror(errno));
        os_monitor_free(m);
        return NULL;
}

void os_monitor_free(struct os_monitor *m)
{
        if (!m)
                return;
        if (m->nl)
                mnl_socket_close(m->nl);
        free(m);
}

int os_monitor_fd(const struct os_monitor *m)
{
        return mnl_socket_get_fd(m->nl);
}

static int on_event(const struct nlmsghdr *n, void *ctx)
{
        struct os_monitor *m = ctx;
        uint32_t index = 0;

        switch (n->nlmsg_type) {
        case RTM_NEWLINK:
        case RTM_DELLINK:
                index = (uint32_t)((const struct ifinfomsg *)mnl_nlmsg_get_payload(n))->ifi_index;
                break;
        case RTM_NEWADDR:
        case RTM_DELADDR:
                index = ((const struct ifaddrmsg *)mnl_nlmsg_get_payload(n))->ifa_index;
                break;
        case RTM_NEWROUTE:
        case RTM_DELROUTE: {
                const struct rtmsg *rt = mnl_nlmsg_get_payload(n);
                if (rt->rtm_table != RT_TABLE_MAIN || rt->rtm_dst_len != 0)
                        return MNL_CB_OK;
                break;
        }
        default:
                return MNL_CB_OK;
        }
        if (!index || index != m->ignore_ifindex)
                m->changed = true;
        return MNL_CB_OK;
}

bool os_monitor_drain(struct os_monitor *m, uint32_t ignore_ifindex)
{
        char buf[NETLINK_DUMP];
        ssize_t n;

        m->ignore_ifindex = ignore_ifindex;
        m->changed = false;
        while ((n = mnl_socket_recvfrom(m->nl, buf, sizeof(buf))) > 0)
                (void)mnl_cb_run(buf, (size_t)n, 0, 0, on_event, m);
        if (n < 0 && errno == ENOBUFS) /* events were lost: assume the worst */
                m->changed = true;
        return m->changed;
}
