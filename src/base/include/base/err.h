/*
 * One list of results for the whole product.
 *
 * A function that can fail returns enum err and is marked MUST_USE. Details that
 * a person needs (a path, an errno text) are logged or put into a struct diag
 * where they are known; the code alone is enough for the caller to act on.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

enum err {
        OK = 0,
        ERR_SHORT,      /* the input ends before the message does */
        ERR_FORMAT,     /* the input is not of the form the protocol demands */
        ERR_RANGE,      /* a number or length is outside what is allowed */
        ERR_LIMIT,      /* a bound of ours is reached: queue, table or buffer full */
        ERR_AUTH,       /* a signature, MAC or key does not fit */
        ERR_REPLAY,     /* authentic, but seen before or too old */
        ERR_NOTFOUND,
        ERR_EXISTS,
        ERR_STATE,      /* the call does not fit the present state */
        ERR_DENIED,     /* not permitted: the caller lacks the right */
        ERR_UNSUPPORTED,
        ERR_TIMEOUT,
        ERR_CLOSED,     /* the other side ended the connection */
        ERR_NOMEM,
        ERR_SYS,        /* the operating system refused; errno tells more */
};

/* A short lower-case English phrase for e, never NULL. Static storage. */
const char *err_str(enum err e);

/* The nearest enum err for an errno value; ERR_SYS if none is near. */
enum err err_from_errno(int errnum);

/*
 * A sentence for a person: what went wrong and what to do about it. Functions
 * that read files, configuration or command lines fill one in on failure.
 */
struct diag {
        char text[512];
};

/* Formats into d (may be NULL); cuts what does not fit. Returns e, so that a
 * failing function can end with `return diag_set(d, ERR_FORMAT, ...)`. */
enum err diag_set(struct diag *d, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
