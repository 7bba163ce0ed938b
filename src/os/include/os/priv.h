/*
 * The privileged side: a small process that keeps the rights the node gives up and
 * parses nothing from the network. It knows the closed list of operations below,
 * each with plain-data arguments; each is asynchronous and answers with a result
 * and at most one descriptor.
 *
 *     [node]  --- request: op, arguments --->  [priv]
 *             <-- result, sentence, one fd ---
 *
 * priv_start() forks before any thread exists. The channel is a SOCK_SEQPACKET pair:
 * one message, one operation. When the node dies, the privileged process sees the
 * channel close, undoes the routing it was asked for, and exits.
 */
#ifndef OS_PRIV_H
#define OS_PRIV_H

#include "base/err.h"
#include "os/dns.h"
#include "os/firewall.h"
#include "os/router.h"
#include "os/tun.h"

struct priv;

/* Forks the privileged process. Call once, early, in a single-threaded process. */
enum err MUST_USE priv_start(struct priv **out, struct diag *d);
/* Closes the channel and waits for the process, which undoes what it set up.
 * Pending operations complete with ERR_CLOSED first. */
void priv_stop(struct priv *p);

/* Poll this for reading, then call priv_ready(), which runs completions. */
int priv_fd(const struct priv *p);
/* ERR_CLOSED when the privileged process is gone: the node must stop. */
enum err MUST_USE priv_ready(struct priv *p);

/* dev is borrowed for the call except dev->fd, which the callback now owns.
 * e is OK or the reason, told in d. */
typedef void priv_tun_cb(void *ctx, enum err e, const struct tun_device *dev, const struct diag *d);
enum err MUST_USE priv_tun_open(struct priv *p, const struct tun_options *o, priv_tun_cb *cb, void *ctx);

typedef void priv_done_cb(void *ctx, enum err e, const struct diag *d);
/* Applies the difference between the wishes `from` and `to` (either may be NULL).
 * A change that fails does not stop the others; the first failure is reported. */
enum err MUST_USE priv_router_set(struct priv *p, const struct router_config *from, const struct router_config *to,
        priv_done_cb *cb, void *ctx);
/* Replaces the firewall rules. */
enum err MUST_USE priv_firewall_set(struct priv *p, const struct firewall_config *c, priv_done_cb *cb, void *ctx);
/* Replaces the system's DNS settings. */
enum err MUST_USE priv_dns_set(struct priv *p, const struct os_dns_config *c, priv_done_cb *cb, void *ctx);
/* MTU and super-packet bounds of an open device. */
enum err MUST_USE priv_link_set(struct priv *p, uint32_t ifindex, uint32_t mtu, uint32_t gso_max_bytes, uint32_t gso_max_segs,
        priv_done_cb *cb, void *ctx);

#endif
