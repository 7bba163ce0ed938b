/*
 * Command line flags with the syntax of the official programs (Go's flag package):
 * -x and --x are the same, a value follows as --x=v or --x v, booleans only as --x
 * or --x=false, and the first word that is no flag, or the one after "--", begins
 * the arguments. A flag given twice is an error (spec/node.md 2.1).
 */
#ifndef CLI_FLAGS_H
#define CLI_FLAGS_H

#include <stdio.h>

#include "base/err.h"
#include "base/slice.h"

enum flag_kind {
        FLAG_BOOL,     /* bool * */
        FLAG_TEXT,     /* const char ** , borrowed from argv */
        FLAG_NUMBER,   /* int64_t * */
        FLAG_DURATION, /* int64_t *, nanoseconds; Go style "5s" */
};

struct flag {
        const char *name;
        enum flag_kind kind;
        void *value;        /* holds the default; changed when the flag is given */
        const char *help;   /* one line; NULL: hidden, since it is there for scripts and does nothing, or is refused */
        bool is_given;
};

/* Marks the flags given and stores their values; *rest becomes the index of the
 * first argument. ERR_NOTFOUND with diag empty means that help was asked for
 * (-h, --help); ERR_FORMAT comes with a sentence. */
enum err MUST_USE flags_parse(struct flag *flags, size_t count, int argc, char **argv, int *rest, struct diag *diag);
bool flags_given(const struct flag *flags, size_t count, const char *name);
/* A list of the flags that are not hidden, with defaults, for --help. */
void flags_print(FILE *out, const struct flag *flags, size_t count);

#endif
