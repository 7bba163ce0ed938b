/*
 * Latencies of relay regions where no UDP comes through: the time of one request over an
 * HTTPS connection that is open already (spec/paths.md 5). This is the driver of
 * netcheck's probe_latency(). Echoes by ICMP are answered ERR_UNSUPPORTED.
 */
#ifndef PATH_LATENCY_PROBE_H
#define PATH_LATENCY_PROBE_H

#include "net/loop.h"
#include "path/netcheck.h"
#include "proto/tailcfg_derp.h"

struct latency_probes;

/* done() ends each probe, never inside latency_probe_start(). */
typedef void latency_probe_done(void *ctx, const struct netcheck_latency_probe *probe, enum err status, uint64_t latency_us);

/* mark: SO_MARK of the sockets, 0: none. NULL: out of memory. */
struct latency_probes *latency_probes_new(struct net_loop *loop, uint32_t mark, latency_probe_done *done, void *ctx);
/* Probes under way end without done(). NULL is fine. */
void latency_probes_free(struct latency_probes *s);
/* map is borrowed for the call and may lack the region. */
void latency_probe_start(struct latency_probes *s, const struct tailcfg_derp_map *map, const struct netcheck_latency_probe *probe);

#endif
