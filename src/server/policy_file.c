#include "policy_file.h"

#include <errno.h>

#include "os/file.h"

enum err policy_file_read(const char *path, struct buf *out, struct diag *diag)
{
        enum err e = file_read(path, out);

        if (e != OK && errno == EFBIG)
                return diag_set(diag, e, "the policy file %s is longer than %d MiB", path, POLICY_TEXT_MAX >> 20);
        if (e != OK)
                return diag_set(diag, e, "cannot read the policy file %s: %s", path, strerror(errno));
        if (slice_trim(buf_slice(out)).len == 0)
                return diag_set(diag, ERR_FORMAT,
                        "the policy file %s is empty; to allow everything write {} into it", path);
        return OK;
}
