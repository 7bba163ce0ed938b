#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

const char *err_str(enum err e)
{
        switch (e) {
        case OK:
                return "ok";
        case ERR_SHORT:
                return "message ends too early";
        case ERR_FORMAT:
                return "malformed input";
        case ERR_RANGE:
                return "value out of range";
        case ERR_LIMIT:
                return "limit reached";
        case ERR_AUTH:
                return "authentication failed";
        case ERR_REPLAY:
                return "replayed message";
        case ERR_NOTFOUND:
                return "not found";
        case ERR_EXISTS:
                return "already exists";
        case ERR_STATE:
                return "not possible in this state";
        case ERR_DENIED:
                return "permission denied";
        case ERR_UNSUPPORTED:
                return "not supported";
        case ERR_TIMEOUT:
                return "timed out";
        case ERR_CLOSED:
                return "connection closed";
        case ERR_NOMEM:
                return "out of memory";
        case ERR_SYS:
                return "system error";
        }
        return "unknown error";
}

enum err err_from_errno(int errnum)
{
        switch (errnum) {
        case 0:
                return OK;
        case ENOMEM:
                return ERR_NOMEM;
        case ENOENT:
        case ENODEV:
        case ESRCH:
                return ERR_NOTFOUND;
        case EEXIST:
        case EADDRINUSE:
                return ERR_EXISTS;
        case EPERM:
        case EACCES:
        case EROFS:
                return ERR_DENIED;
        case ENOSPC:
        case EDQUOT:
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
                return ERR_LIMIT;
        case ETIMEDOUT:
                return ERR_TIMEOUT;
        case EPIPE:
        case ECONNRESET:
        case ECONNABORTED:
        case ENOTCONN:
                return ERR_CLOSED;
        case EOPNOTSUPP:
        case ENOSYS:
        case EAFNOSUPPORT:
        case EPROTONOSUPPORT:
                return ERR_UNSUPPORTED;
        default:
                return ERR_SYS;
        }
}

enum err diag_set(struct diag *d, enum err e, const char *fmt, ...)
{
        if (d) {
                va_list ap;
                va_start(ap, fmt);
                vsnprintf(d->text, sizeof(d->text), fmt, ap);
                va_end(ap);
        }
        return e;
}
