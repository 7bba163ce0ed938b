/* A policy file as text, for the server and for the command line. */
#ifndef SERVER_POLICY_FILE_H
#define SERVER_POLICY_FILE_H

#include "base/buf.h"
#include "base/err.h"
#include "policy/policy.h"

/* Appends the whole file to out, whose limit is POLICY_TEXT_MAX. A file without text is
 * refused: it is seldom meant, and as a policy it would allow everything. Otherwise a
 * sentence. */
enum err MUST_USE policy_file_read(const char *path, struct buf *out, struct diag *diag);

#endif
