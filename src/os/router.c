/* The half of os/router.h that speaks to the kernel. */
#include "os/router.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/fib_rules.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netlink.h"

/* spec/node.md 4.1: our own packets take the ordinary tables and never the tunnel's. */
static const struct rule {
        uint32_t priority;
        bool marked_only;
        uint8_t action;
        uint32_t table;
} rules[] = {
        { ROUTER_RULE_BASE + 10, true, FR_ACT_TO_TBL, RT_TABLE_MAIN },
        { ROUTER_RULE_BASE + 30, true, FR_ACT_TO_TBL, RT_TABLE_DEFAULT },
        { ROUTER_RULE_BASE + 50, true, FR_ACT_UNREACHABLE, 0 },
        { ROUTER_RULE_BASE + 70, false, FR_ACT_TO_TBL, ROUTER_TABLE },
};

static int change_rule(const struct rule *rule, uint8_t family, bool add)
{
        char buf[NETLINK_BUF];
        struct nlmsghdr *n =
                netlink_begin(buf, add ? RTM_NEWRULE : RTM_DELRULE, add ? NLM_F_CREATE | NLM_F_EXCL : 0);
        struct fib_rule_hdr *h = mnl_nlmsg_put_extra_header(n, sizeof(*h));

        h->family = family;
        h->action = rule->action;
        h->table = (uint8_t)rule->table;
        mnl_attr_put_u32(n, FRA_PRIORITY, rule->priority);
        if (rule->table)
                mnl_attr_put_u32(n, FRA_TABLE, rule->table);
        if (rule->marked_only) {
                mnl_attr_put_u32(n, FRA_FWMARK, ROUTER_MARK);
                mnl_attr_put_u32(n, FRA_FWMASK, ROUTER_MARK_MASK);
        }
        return netlink_talk(n);
}

/* Each rule is deleted before it is added, so that a crash leaves no second copy. */
static int change_rules(bool add)
{
        const uint8_t families[] = { AF_INET, AF_INET6 };
        int first_error = 0;

        for (size_t f = 0; f < sizeof(families) && (f == 0 || netlink_has_ipv6()); f++)
                for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
                        (void)change_rule(&rules[i], families[f], false);
                        int errnum = add ? change_rule(&rules[i], families[f], true) : 0;
                        if (errnum && errnum != EEXIST && !first_error)
                                first_error = errnum;
                }
        return first_error;
}

static bool is_service(const struct ip_prefix *p)
{
        static const struct ip_addr service = { IP_V4, { 100, 100, 100, 100 }, 0 };

        return ip_equal(&p->ip, &service);
}

static int change_address(const struct router_change *c, bool add)
{
        char buf[NETLINK_BUF];
        struct nlmsghdr *n =
                netlink_begin(buf, add ? RTM_NEWADDR : RTM_DELADDR, add ? NLM_F_CREATE | NLM_F_REPLACE : 0);
        struct ifaddrmsg *a = mnl_nlmsg_put_extra_header(n, sizeof(*a));

        a->ifa_family = netlink_family(&c->prefix.ip);
        a->ifa_prefixlen = c->prefix.bits;
        a->ifa_flags = IFA_F_NODAD; /* nobody else on a point-to-point device to ask */
        /* That of our resolver is for this machine alone, and never a source. */
        a->ifa_scope = is_service(&c->prefix) ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
        a->ifa_index = c->ifindex;
        netlink_put_addr(n, IFA_LOCAL, &c->prefix.ip);
        netlink_put_addr(n, IFA_ADDRESS, &c->prefix.ip);
        return netlink_talk(n);
}

static int change_route(const struct router_change *c, bool add, uint8_t type)
{
        char buf[NETLINK_BUF];
        struct nlmsghdr *n =
                netlink_begin(buf, add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE | NLM_F_REPLACE : 0);
        struct rtmsg *rt = mnl_nlmsg_put_extra_header(n, sizeof(*rt));

        rt->rtm_family = netlink_family(&c->prefix.ip);
        rt->rtm_dst_len = c->prefix.bits;
        rt->rtm_table = ROUTER_TABLE;
        rt->rtm_protocol = RTPROT_STATIC;
        rt->rtm_scope = c->prefix.ip.family == IP_V4 && type == RTN_UNICAST ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
        rt->rtm_type = type;
        netlink_put_addr(n, RTA_DST, &c->prefix.ip);
        if (type == RTN_UNICAST)
                mnl_attr_put_u32(n, RTA_OIF, c->ifindex);
        return netlink_talk(n);
}

/* What a deletion finds already gone, and an addition already there. */
static bool is_already_so(bool add, int errnum)
{
        return add ? errnum == EEXIST : errnum == ESRCH || errnum == EADDRNOTAVAIL || errnum == ENOENT || errnum == ENODEV;
}

static int perform(const struct router_change *c, bool *add)
{
        switch ((enum router_op)c->op) {
        case ROUTER_ADDRESS_ADD:
        case ROUTER_ADDRESS_DEL:
                *add = c->op == ROUTER_ADDRESS_ADD;
                return change_address(c, *add);
        case ROUTER_ROUTE_ADD:
        case ROUTER_ROUTE_DEL:
                *add = c->op == ROUTER_ROUTE_ADD;
                return change_route(c, *add, RTN_UNICAST);
        case ROUTER_THROW_ADD:
        case ROUTER_THROW_DEL:
                *add = c->op == ROUTER_THROW_ADD;
                return change_route(c, *add, RTN_THROW);
        case ROUTER_RULES_ADD:
        case ROUTER_RULES_DEL:
                *add = c->op == ROUTER_RULES_ADD;
                return change_rules(*add);
        }
        return EINVAL;
}

enum err router_apply(const struct router_change *c, struct diag *d)
{
        char text[IP_TEXT_MAX] = "the policy rules";
        bool add = false;

        if (c->prefix.ip.family == IP_V6 && !netlink_has_ipv6())
                return OK;
        int errnum = perform(c, &add);
        if (errnum == 0 || is_already_so(add, errnum))
                return OK;
        if (ip_valid(&c->prefix.ip))
                ip_prefix_format(&c->prefix, text);
        return diag_set(d, err_from_errno(errnum), "cannot %s %s: %s", add ? "set" : "remove", text, strerror(errnum));
}

bool router_is_permitted(void)
{
        struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { 0 };

        return syscall(SYS_capget, &head, sets) == 0 && sets[0].effective & 1U << CAP_NET_ADMIN;
}

static int delete_if_ours(const struct nlmsghdr *found, void *ctx)
{
        const struct rtmsg *rt = mnl_nlmsg_get_payload(found);
        uint32_t table = netlink_attr_u32(found, sizeof(*rt), RTA_TABLE);
        char buf[NETLINK_BUF];

        (void)ctx;
        if (table != ROUTER_TABLE || found->nlmsg_len > sizeof(buf))
                return MNL_CB_OK;
        memcpy(buf, found, found->nlmsg_len);
        struct nlmsghdr *n = (struct nlmsghdr *)(void *)buf;
        n->nlmsg_type = RTM_DELROUTE;
        n->nlmsg_flags = NLM_F_REQUEST;
        (void)netlink_talk(n);
        return MNL_CB_OK;
}

void router_cleanup(void)
{
        const uint8_t families[] = { AF_INET, AF_INET6 };
        char buf[NETLINK_BUF];

        (void)change_rules(false);
        for (size_t f = 0; f < sizeof(families); f++) {
                struct nlmsghdr *n = netlink_begin(buf, RTM_GETROUTE, 0);
                struct rtmsg *rt = mnl_nlmsg_put_extra_header(n, sizeof(*rt));
                rt->rtm_family = families[f];
                (void)netlink_dump(n, delete_if_ours, NULL);
        }
}
