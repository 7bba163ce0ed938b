/*
 * HTTP/1.x requests that control puts into a PingRequest, and the responses that go
 * back (spec/control.md 5.2).
 */
#ifndef CLIENT_C2N_H
#define CLIENT_C2N_H

#include "base/buf.h"
#include "client/control.h"

/* All slices of *out are borrowed from raw. Bodies come with Content-Length or not at
 * all: ERR_UNSUPPORTED for others; ERR_FORMAT, ERR_SHORT. */
enum err MUST_USE c2n_request_parse(struct slice raw, struct control_c2n *out);
/* Appends a whole HTTP/1.1 response to out. content_type may be NULL. */
void c2n_response_write(struct buf *out, unsigned status, const char *content_type, struct slice body);

#endif
