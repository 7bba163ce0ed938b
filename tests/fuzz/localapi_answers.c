/* What the command line reads from a daemon: a status, a notice of the bus, an URL. */
#include "fuzz.h"
#include "net/http_client.h"
#include "node/notify.h"
#include "node/status.h"

static void url(struct slice text)
{
        char copy[1024];
        struct http_url out;

        if (text.len < sizeof(copy)) {
                memcpy(copy, text.ptr, text.len);
                copy[text.len] = '\0';
                (void)!http_url_parse(copy, &out);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct arena a = ARENA_INIT(16 << 20);
        struct slice text = slice_make(data, len);
        struct notify notify;
        struct status status;

        (void)!status_decode(text, &a, &status);
        (void)!notify_decode(text, &a, &notify);
        if (len)
                url(text);
        arena_fini(&a);
        return 0;
}
