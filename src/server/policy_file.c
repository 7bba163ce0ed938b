#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy_file.h"

enum err policy_file_read(const char *path, struct buf *out, struct diag *diag)
{
        FILE *f = fopen(path, "r");
        uint8_t piece[16384];
        enum err e = OK;
        size_t n;

        if (!f)
                return diag_set(diag, err_from_errno(errno), "cannot open the policy file %s: %s", path, strerror(errno));
        while (buf_status(out) == OK && (n = fread(piece, 1, sizeof(piece), f)) > 0)
                buf_append(out, piece, n);
        if (ferror(f))
                e = diag_set(diag, ERR_SYS, "cannot read the policy file %s: %s", path, strerror(errno));
        else if (buf_status(out) != OK)
                e = diag_set(diag, ERR_LIMIT, "the policy file %s is longer than %d MiB", path, POLICY_TEXT_MAX >> 20);
        else if (slice_trim(buf_slice(out)).len == 0)
                e = diag_set(diag, ERR_FORMAT,
                        "the policy file %s is empty; to allow everything write {} into it", path);
        fclose(f);
        return e;
}
