/* One UPnP request from start to end, waiting where it must. Any thread. */
#ifndef PATH_UPNP_JOB_H
#define PATH_UPNP_JOB_H

#include "base/err.h"
#include "ip/addr.h"

enum { UPNP_URL_MAX = 256 };

struct upnp_job {
        struct ip_addr gateway, self;
        uint16_t internal_port;
        uint16_t external_port; /* wish; not 0, which routers take for a wildcard */
        uint32_t lifetime_s;    /* 0: delete */
        /* Where the router describes itself. Empty: found by SSDP and filled in. */
        char location[UPNP_URL_MAX];

        struct ip_port external; /* the result; IP_NONE: failed */
        uint32_t granted_s;      /* 0: for ever */
};

/* Runs the request: OK when the router did as asked. ERR_NOTFOUND: no router that
 * speaks UPnP at the gateway's address. ERR_DENIED: it refused. */
enum err MUST_USE upnp_job_run(struct upnp_job *job);

/* The host of an http URL is this very address, as a literal. */
bool upnp_url_is_at(const char *url, const struct ip_addr *host);

#endif
