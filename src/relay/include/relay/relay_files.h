/*
 * The files a stand-alone relay lives on: its key, the mesh key, the rate limits,
 * the certificate (spec/paths.md, Appendix). Errors come as one sentence.
 */
#ifndef RELAY_RELAY_FILES_H
#define RELAY_RELAY_FILES_H

#include "net/tls.h"
#include "relay/relay.h"

/* {"PrivateKey":"privkey:<64 hex>"}; made with mode 0600 if absent (*is_new), its
 * folder with 0700. A file that others may read is refused. */
enum err MUST_USE relay_key_file(const char *path, struct rng *rng, struct secret_key *key, bool *is_new,
                                 struct diag *d);
/* 64 hex digits. */
enum err MUST_USE relay_mesh_key_file(const char *path, struct derp_mesh_key *key, struct diag *d);
/* {"PerClientRateLimitBytesPerSec":n,"PerClientRateBurstBytes":n} */
enum err MUST_USE relay_rate_file(const char *path, struct relay_rate *rate, struct diag *d);

/*
 * <host>.crt and <host>.key in folder, the relay's key behind them in the chain
 * (3.2). If host is an IP address, a self-signed pair is made where there are no
 * files, and pin gets the certificate's SHA-256 for the DERP map; else zeroes. *tls
 * is made, or reloaded if it is not NULL.
 */
enum err MUST_USE relay_cert_load(const char *folder, const char *host, const struct public_key *key, int64_t unix_s,
                                  struct tls_server **tls, uint8_t pin[static 32], struct diag *d);

#endif
