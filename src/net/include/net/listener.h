/*
 * Listening sockets, TCP and Unix. Each accepted connection is given away as an open
 * stream. A listener bounds how many of its connections live at once; those beyond
 * are closed as they arrive, and so are those that would leave the process without file
 * descriptors.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "net/loop.h"
#include "net/stream.h"

struct net_listener;

struct net_listener_calls {
        /* May be NULL. Asked before the connection counts, of its facts only (peer,
         * credentials); one that is not admitted is closed at once. */
        bool (*admit)(void *ctx, const struct net_stream *s);
        /* s is the receiver's now. Must set a handler or close it. */
        void (*on_accept)(void *ctx, struct net_stream *s);
};

enum { NET_MAX_CONNECTIONS = 65536 };

/* Port 0: the kernel chooses, see net_listener_addr(). max_connections 0: the default
 * above. Unspecified IPv6 (::) takes IPv4 as well, and IPv4 alone on a machine without
 * IPv6. On failure d says which address and why. */
enum err MUST_USE net_listen_tcp(struct net_loop *loop, const struct ip_port *addr, unsigned max_connections,
        const struct net_listener_calls *calls, void *ctx, struct net_listener **out, struct diag *d);

/* A Unix socket as spec/node.md 1.9 has it: if something answers at path ERR_EXISTS,
 * else a stale file is replaced; the folder is made (0755) if absent; mode is set on
 * the file, and the file is removed when the listener closes. */
enum err MUST_USE net_listen_unix(struct net_loop *loop, const char *path, unsigned mode,
        unsigned max_connections, const struct net_listener_calls *calls, void *ctx,
        struct net_listener **out, struct diag *d);

/* A listening socket opened elsewhere (service manager, privileged helper). Takes fd,
 * on failure too. */
enum err MUST_USE net_listen_fd(struct net_loop *loop, int fd, unsigned max_connections,
        const struct net_listener_calls *calls, void *ctx, struct net_listener **out, struct diag *d);

struct ip_port net_listener_addr(const struct net_listener *l);
/* Connections that are alive. */
unsigned net_listener_count(const struct net_listener *l);
/* Stops accepting. Accepted streams live on. NULL is fine. */
void net_listener_close(struct net_listener *l);

/* Lets the process open as many files as the system allows it: each connection is one. */
void net_raise_descriptor_limit(void);

#endif
