#include "netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

struct nlmsghdr *netlink_begin(void *buf, uint16_t type, uint16_t flags)
{
        memset(buf, 0, NETLINK_BUF);
        struct nlmsghdr *n = mnl_nlmsg_put_header(buf);
        n->nlmsg_type = type;
        n->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
        return n;
}

static int converse(struct nlmsghdr *request, mnl_cb_t cb, void *ctx)
{
        char buf[NETLINK_DUMP];
        int result = 0;
        struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);

        if (!nl)
                return errno;
        request->nlmsg_seq = 1;
        if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 || mnl_socket_sendto(nl, request, request->nlmsg_len) < 0) {
                result = errno;
                goto out;
        }
        for (int more = MNL_CB_OK; more == MNL_CB_OK;) {
                ssize_t n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        result = errno;
                        break;
                }
                more = mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(nl), cb, ctx);
                if (more < 0)
                        result = errno;
        }
out:
        mnl_socket_close(nl);
        return result;
}

int netlink_talk(struct nlmsghdr *request)
{
        request->nlmsg_flags |= NLM_F_ACK;
        return converse(request, NULL, NULL);
}

int netlink_dump(struct nlmsghdr *request, mnl_cb_t cb, void *ctx)
{
        request->nlmsg_flags |= NLM_F_DUMP;
        return converse(request, cb, ctx);
}

const struct nlattr *netlink_attr(const struct nlmsghdr *n, size_t header, uint16_t type)
{
        const struct nlattr *attr = mnl_nlmsg_get_payload_offset(n, header);
        const char *end = mnl_nlmsg_get_payload_tail(n);

        for (; mnl_attr_ok(attr, (int)(end - (const char *)attr)); attr = mnl_attr_next(attr))
                if (mnl_attr_get_type(attr) == type)
                        return attr;
        return NULL;
}

uint32_t netlink_attr_u32(const struct nlmsghdr *n, size_t header, uint16_t type)
{
        const struct nlattr *attr = netlink_attr(n, header, type);
        return attr && mnl_attr_validate(attr, MNL_TYPE_U32) == 0 ? mnl_attr_get_u32(attr) : 0;
}

uint8_t netlink_family(const struct ip_addr *a)
{
        return a->family == IP_V4 ? AF_INET : AF_INET6;
}

void netlink_put_addr(struct nlmsghdr *n, uint16_t attr, const struct ip_addr *a)
{
        mnl_attr_put(n, attr, ip_bits(a) / 8, a->b);
}

int netlink_link_set(uint32_t ifindex, uint32_t mtu, uint32_t gso_max_bytes, uint32_t gso_max_segs, uint32_t queue_len)
{
        char buf[NETLINK_BUF];
        struct nlmsghdr *n = netlink_begin(buf, RTM_NEWLINK, 0);
        struct ifinfomsg *link = mnl_nlmsg_put_extra_header(n, sizeof(*link));

        link->ifi_family = AF_UNSPEC;
        link->ifi_index = (int)ifindex;
        link->ifi_flags = link->ifi_change = IFF_UP;
        mnl_attr_put_u32(n, IFLA_MTU, mtu);
        if (queue_len)
                mnl_attr_put_u32(n, IFLA_TXQLEN, queue_len);
        if (gso_max_bytes)
                mnl_attr_put_u32(n, IFLA_GSO_MAX_SIZE, gso_max_bytes);
        if (gso_max_segs)
                mnl_attr_put_u32(n, IFLA_GSO_MAX_SEGS, gso_max_segs);
        return netlink_talk(n);
}

bool netlink_has_ipv6(void)
{
        char c = '0';
        int fd = open("/proc/sys/net/ipv6/conf/all/disable_ipv6", O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return false;
        ssize_t n = read(fd, &c, 1);
        close(fd);
        return n == 1 && c == '0';
}
