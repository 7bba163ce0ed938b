/* The bus and ping answers as JSON (spec/node.md 3.2, 3.3). */
#include "node/localapi.h"

static bool write_line(struct buf *out, const struct notify *n)
{
        struct json_writer w;

        json_writer_init(&w, out, NULL);
        notify_write(&w, n);
        buf_append_byte(out, '\n');
        return buf_status(out) == OK;
}

bool localapi_first_message(const struct backend *b, unsigned mask, const char *session_id, const struct now *now,
        struct buf *out)
{
        const unsigned causes = WATCH_INITIAL_STATE | WATCH_INITIAL_PREFS | WATCH_INITIAL_NETMAP | WATCH_INITIAL_STATUS;
        struct arena arena = ARENA_INIT(LOCALAPI_REPLY_MAX);
        struct tailcfg_strings health = backend_health(b, &arena);
        struct notify n = { 0 };
        struct status status;

        if (!(mask & causes)) {
                arena_fini(&arena);
                return false;
        }
        if (mask & WATCH_INITIAL_STATE) {
                n.session_id = session_id;
                n.has_state = true;
                n.state = backend_state(b);
                if (n.state == IPN_NEEDS_LOGIN && backend_auth_url(b).len)
                        n.browse_to_url = backend_auth_url(b);
        }
        if (mask & WATCH_INITIAL_PREFS)
                n.prefs = backend_prefs(b);
        if (mask & WATCH_INITIAL_NETMAP)
                n.self = netmap_self(backend_netmap(b));
        if (mask & WATCH_INITIAL_HEALTH)
                n.health = &health;
        if (mask & WATCH_INITIAL_STATUS) {
                backend_status(b, true, now, &arena, &status);
                n.initial_status = &status;
        }
        bool ok = write_line(out, &n);
        arena_fini(&arena);
        return ok;
}

bool localapi_message(const struct notify *n, unsigned mask, struct buf *out)
{
        struct notify shown = *n;

        if (!(mask & (WATCH_PEER_CHANGES | WATCH_PEER_PATCHES)))
                shown.peers_changed_count = shown.peers_removed_count = 0;
        if (!(mask & WATCH_ENGINE_UPDATES))
                shown.engine = NULL;
        bool says_something = shown.err_message.ptr || shown.login_finished || shown.has_state || shown.prefs ||
                              shown.self || shown.peers_changed_count || shown.peers_removed_count || shown.engine ||
                              shown.browse_to_url.ptr || shown.health;
        return says_something && write_line(out, &shown);
}

void localapi_ping_write(struct json_writer *w, const struct localapi_ping_result *r)
{
        char ip[IP_TEXT_MAX];

        ip_format(&r->ip, ip);
        json_object_open(w);
        json_field_str(w, "IP", ip);
        json_field_slice(w, "NodeIP", r->node_ip);
        json_field_slice(w, "NodeName", r->node_name);
        json_field_slice(w, "Err", r->err);
        json_name(w, "LatencySeconds");
        json_put_double(w, (double)r->latency_us / 1e6);
        json_field_slice(w, "Endpoint", r->endpoint);
        json_field_str(w, "PeerRelay", "");
        json_field_i64(w, "DERPRegionID", r->derp_region);
        json_field_slice(w, "DERPRegionCode", r->derp_code);
        if (r->is_local_ip)
                json_field_bool(w, "IsLocalIP", true);
        json_object_close(w);
}
