#include "path/relay_dial.h"

#include <stdio.h>

#include "base/text.h"

static size_t literals(const struct tailcfg_derp_node *n, struct ip_addr out[static 2])
{
        size_t count = 0;

        if (ip_parse(n->ipv6, &out[count]) == OK)
                count++;
        if (ip_parse(n->ipv4, &out[count]) == OK)
                count++;
        return count;
}

/* "sha256-raw:<hex>" pins the certificate; anything else is the name to verify. */
static enum err cert_rules(const struct tailcfg_derp_node *n, struct relay_dial *out)
{
        const struct slice mark = SLICE_LIT("sha256-raw:");

        out->tls.insecure = n->insecure_for_tests;
        if (!n->cert_name.len)
                return OK;
        if (slice_has_prefix(n->cert_name, mark)) {
                out->tls.pin_sha256 = out->pin;
                return hex_decode(slice_after(n->cert_name, mark.len), out->pin, sizeof out->pin);
        }
        if (n->cert_name.len >= sizeof out->cert_name)
                return ERR_FORMAT;
        snprintf(out->cert_name, sizeof out->cert_name, "%.*s", SLICE_ARGS(n->cert_name));
        out->tls.verify_name = out->cert_name;
        return OK;
}

enum err relay_dial_make(const struct tailcfg_derp_node *n, struct relay_dial *out)
{
        *out = (struct relay_dial){ 0 };
        if (n->host_name.len >= sizeof out->host || cert_rules(n, out) != OK)
                return ERR_FORMAT;
        snprintf(out->host, sizeof out->host, "%.*s", SLICE_ARGS(n->host_name));
        out->tls.server_name = out->host;
        out->options = (struct net_dial_options){
                .host = out->host,
                .port = n->derp_port > 0 && n->derp_port < 65536 ? (uint16_t)n->derp_port : 443,
                .addrs = out->addrs,
                .addr_count = literals(n, out->addrs),
                .only_v4 = slice_is(n->ipv6, "none"),
                .only_v6 = slice_is(n->ipv4, "none"),
                .use_proxy = true,
                .tls = &out->tls,
        };
        return OK;
}
