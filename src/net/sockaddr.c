/* Our addresses and the kernel's. */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "stream_internal.h"

bool sockaddr_to_ip(const struct sockaddr_storage *ss, struct ip_port *out)
{
        *out = (struct ip_port){ 0 };
        if (ss->ss_family == AF_INET) {
                const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
                out->ip = ip_v4_u32(ntohl(in->sin_addr.s_addr));
                out->port = ntohs(in->sin_port);
                return true;
        }
        if (ss->ss_family == AF_INET6) {
                const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
                out->ip = ip_unmap(ip_v6(in6->sin6_addr.s6_addr));
                if (out->ip.family == IP_V6)
                        out->ip.scope_id = in6->sin6_scope_id;
                out->port = ntohs(in6->sin6_port);
                return true;
        }
        return false;
}

void sockaddr_from_ip(const struct ip_port *a, struct sockaddr_storage *ss)
{
        memset(ss, 0, sizeof(*ss));
        if (a->ip.family == IP_V6) {
                struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
                in6->sin6_family = AF_INET6;
                memcpy(in6->sin6_addr.s6_addr, a->ip.b, 16);
                in6->sin6_scope_id = a->ip.scope_id;
                in6->sin6_port = htons(a->port);
                return;
        }
        struct sockaddr_in *in = (struct sockaddr_in *)ss;
        in->sin_family = AF_INET;
        in->sin_addr.s_addr = htonl(ip_v4_to_u32(&a->ip));
        in->sin_port = htons(a->port);
}
