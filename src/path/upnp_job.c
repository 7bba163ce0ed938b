#include "upnp_job.h"

#include <stdio.h>
#include <stdlib.h>

#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>

#include "base/text.h"

enum {
        DISCOVER_MS = 1000,
        SSDP_TTL = 2,
        UPNP_INVALID_ARGS = 402,
        UPNP_ONLY_PERMANENT = 725, /* OnlyPermanentLeasesSupported */
};

/* Routers and users see it in their lists; the name other nodes of the network use. */
static const char description[] = "tailscale-portmap";

/* A router found: where to send which commands. */
struct igd {
        struct UPNPUrls urls;
        struct IGDdatas data;
};

/* ---- the router ---- */

/*
 * Anybody on the network may answer SSDP and name any URL: only what lies on the
 * gateway itself is asked, or strangers could make us fetch from where they please.
 */
bool upnp_url_is_at(const char *url, const struct ip_addr *host)
{
        static const char scheme[] = "http://";
        struct slice rest = slice_str(url);
        struct ip_addr ip;

        if (!slice_has_prefix(rest, SLICE_LIT("http://")))
                return false;
        rest = slice_after(rest, sizeof(scheme) - 1);
        rest = slice_first(rest, slice_find(rest, '/'));
        rest = slice_first(rest, slice_find(rest, ':'));
        return ip_parse(rest, &ip) == OK && ip_equal(&ip, host);
}

static enum err describe(const struct upnp_job *job, const char *location, struct igd *out)
{
        char local[64];

        if (!upnp_url_is_at(location, &job->gateway))
                return ERR_NOTFOUND;
        if (UPNP_GetIGDFromUrl(location, &out->urls, &out->data, local, sizeof(local)) != 1)
                return ERR_NOTFOUND;
        bool usable = out->urls.controlURL && out->data.first.servicetype[0] &&
                      upnp_url_is_at(out->urls.controlURL, &job->gateway);
        if (usable)
                return OK;
        FreeUPNPUrls(&out->urls);
        return ERR_NOTFOUND;
}

static enum err discover(struct upnp_job *job, struct igd *out)
{
        char self[IP_TEXT_MAX];
        enum err e = ERR_NOTFOUND;
        int error = 0;

        ip_format(&job->self, self);
        struct UPNPDev *list = upnpDiscoverAll(DISCOVER_MS, self, NULL, 0, 0, SSDP_TTL, &error);
        const char *tried = "";
        for (struct UPNPDev *d = list; d && e; d = d->pNext) {
                /* A router answers once for each of its services, with one URL. */
                if (strlen(d->descURL) >= UPNP_URL_MAX || strcmp(d->descURL, tried) == 0)
                        continue;
                tried = d->descURL;
                e = describe(job, d->descURL, out);
                if (e == OK)
                        memcpy(job->location, d->descURL, strlen(d->descURL) + 1);
        }
        freeUPNPDevlist(list);
        return e;
}

/* The router found last time is most likely still there. */
static enum err find_router(struct upnp_job *job, struct igd *out)
{
        if (job->location[0] && describe(job, job->location, out) == OK)
                return OK;
        job->location[0] = '\0';
        return discover(job, out);
}

/* ---- commands ---- */

struct port_text {
        char s[8];
};

static struct port_text port_text(uint16_t port)
{
        struct port_text t;

        snprintf(t.s, sizeof(t.s), "%u", port);
        return t;
}

/* Version 2 routers may give another port than asked for. */
static int add(const struct igd *igd, const struct upnp_job *job, uint32_t lease_s, uint16_t *port)
{
        struct port_text outside = port_text(job->external_port), inside = port_text(job->internal_port);
        const char *service = igd->data.first.servicetype, *url = igd->urls.controlURL;
        char self[IP_TEXT_MAX], lease[16], reserved[6] = "";
        uint64_t got;

        ip_format(&job->self, self);
        snprintf(lease, sizeof(lease), "%u", lease_s);
        *port = job->external_port;
        if (!slice_has_suffix(slice_str(service), SLICE_LIT(":WANIPConnection:2")))
                return UPNP_AddPortMapping(
                        url, service, outside.s, inside.s, self, description, "UDP", "", lease);

        int result = UPNP_AddAnyPortMapping(
                url, service, outside.s, inside.s, self, description, "UDP", "", lease, reserved);
        if (result == UPNPCOMMAND_SUCCESS && parse_u64(slice_str(reserved), UINT16_MAX, &got) == OK && got)
                *port = (uint16_t)got;
        return result;
}

static enum err make_mapping(const struct igd *igd, struct upnp_job *job)
{
        char text[IP_TEXT_MAX] = "";
        struct ip_addr ip;
        uint16_t port;

        job->granted_s = job->lifetime_s;
        int result = add(igd, job, job->lifetime_s, &port);
        if (result == UPNP_INVALID_ARGS || result == UPNP_ONLY_PERMANENT) {
                job->granted_s = 0;
                result = add(igd, job, 0, &port);
        }
        if (result != UPNPCOMMAND_SUCCESS)
                return ERR_DENIED;
        if (UPNP_GetExternalIPAddress(igd->urls.controlURL, igd->data.first.servicetype, text) !=
                UPNPCOMMAND_SUCCESS)
                return ERR_DENIED;
        if (ip_parse(slice_str(text), &ip) != OK || ip_is_unspecified(&ip) || ip_is_loopback(&ip))
                return ERR_DENIED;
        job->external = (struct ip_port){ ip, port };
        return OK;
}

static enum err delete_mapping(const struct igd *igd, const struct upnp_job *job)
{
        struct port_text outside = port_text(job->external_port);
        int result = UPNP_DeletePortMapping(
                igd->urls.controlURL, igd->data.first.servicetype, outside.s, "UDP", "");

        return result == UPNPCOMMAND_SUCCESS ? OK : ERR_DENIED;
}

enum err upnp_job_run(struct upnp_job *job)
{
        struct igd igd = { 0 };

        job->external = (struct ip_port){ 0 };
        enum err e = find_router(job, &igd);
        if (e)
                return e;
        e = job->lifetime_s ? make_mapping(&igd, job) : delete_mapping(&igd, job);
        FreeUPNPUrls(&igd.urls);
        return e;
}
