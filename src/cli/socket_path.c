/* Where the daemon's socket is, unless told otherwise. */
#include <sys/stat.h>

#include "cli/weft.h"

const char *weft_default_socket(void)
{
        struct stat st;

        if (stat("/var/run", &st) == 0 && S_ISDIR(st.st_mode))
                return "/var/run/tailscale/tailscaled.sock";
        return "./tailscaled.sock";
}
