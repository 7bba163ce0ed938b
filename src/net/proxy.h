/* Which HTTP proxy, if any, the environment wants for a connection; internal. */
#ifndef NET_PROXY_H
#define NET_PROXY_H

#include "base/err.h"
#include "base/slice.h"

struct proxy {
        char host[256]; /* "": connect directly */
        uint16_t port;
        char auth[512]; /* base64 of user:password, or "" */
};

/* HTTPS_PROXY for TLS, HTTP_PROXY otherwise, unless NO_PROXY names the host or it is
 * this machine. d says what is wrong with a proxy that cannot be used. */
enum err MUST_USE proxy_from_environment(const char *host, bool is_tls, struct proxy *out, struct diag *d);

#endif
