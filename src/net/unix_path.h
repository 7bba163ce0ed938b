/* Unix sockets in the file system. */
#ifndef NET_UNIX_PATH_H
#define NET_UNIX_PATH_H

#include "base/err.h"

/* A socket bound to path, not listening yet, as net_listen_unix() promises. */
enum err MUST_USE unix_path_bind(const char *path, unsigned mode, int *fd, struct diag *d);
/* A socket connected to path. As net_dial_unix(). */
enum err MUST_USE unix_path_connect(const char *path, unsigned patience_ms, int *fd, struct diag *d);

#endif
