/* POST /node/backfillips: after a change of prefixes in the configuration every node
 * gets the addresses that it lacks, and loses those of a family that is no longer
 * configured (spec/server.md 4.7). All in one transaction. */
#include <stdio.h>

#include "api.h"

static void say(struct json_writer *w, const char *verb, const char *where, const struct ip_addr *a,
        const struct node *n)
{
        char addr[IP_TEXT_MAX], text[256];

        ip_format(a, addr);
        snprintf(text, sizeof(text), "%s IPv%d \"%s\" %s Node(%lld) \"%.*s\"", verb, (int)a->family, addr, where,
                (long long)n->id, SLICE_ARGS(n->row->given_name));
        json_put_str(w, text);
}

/* True if the address of this family changed. */
static bool fill(struct api_request *r, const struct node *n, const struct ip_prefix *prefix, enum ip_family family,
        struct ip_addr *a)
{
        char text[160];

        if (!ip_valid(&prefix->ip) && ip_valid(a)) {
                say(&r->json, "removing", "from", a, n);
                *a = (struct ip_addr){ 0 };
                return true;
        }
        if (!ip_valid(&prefix->ip) || ip_valid(a))
                return false;
        if (address_allocate_family(r->s, family, a) == OK) {
                say(&r->json, "assigned", "to", a, n);
                return true;
        }
        *a = (struct ip_addr){ 0 };
        snprintf(text, sizeof(text), "no IPv%d address is free for Node(%lld)", (int)family, (long long)n->id);
        json_put_str(&r->json, text);
        return false;
}

void api_backfill(struct api_request *r)
{
        const struct server_settings *settings = r->s->settings;
        struct slice confirmed = { 0 };

        r->doing = "assigning missing addresses";
        if (!api_query(r, "confirmed", &confirmed) || !slice_is(confirmed, "true")) {
                api_fail(r, 400, "addresses are only assigned with confirmed=true");
                return;
        }
        struct tx tx = journal_begin(r->s);
        json_object_open(&r->json);
        json_name(&r->json, "changes");
        json_array_open(&r->json);
        for (size_t i = 0; i < r->s->tailnet.nodes.n; i++) {
                struct node *n = (struct node *)r->s->tailnet.nodes.items[i];
                struct store_node row = *n->row;
                bool v4 = fill(r, n, &settings->prefix_v4, IP_V4, &row.ipv4);
                bool v6 = fill(r, n, &settings->prefix_v6, IP_V6, &row.ipv6);
                if (!v4 && !v6)
                        continue;
                (void)journal_put_node(&tx, &row);
                change_mark(r->s, n, CHANGE_NODE);
        }
        json_array_close(&r->json);
        json_object_close(&r->json);
        journal_commit(&tx);
        api_done(r);
}
