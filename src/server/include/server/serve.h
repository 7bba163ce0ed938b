/*
 * The control server on sockets: `weft-control serve`. One event loop carries the
 * engine, its listeners and the embedded relay; the store has a thread of its own.
 */
#ifndef SERVER_SERVE_H
#define SERVER_SERVE_H

#include "server/config.h"

/* Runs until SIGINT, SIGTERM or SIGQUIT. What cannot start is told in one sentence. */
enum err MUST_USE serve_run(struct config *config, struct diag *diag);

#endif
