/* The server's side of /ts2021: from an HTTP request to a Noise stream. */
#include "base/text.h"
#include "net/noise.h"
#include "net/websocket.h"
#include "noise_stream.h"

#define PROTOCOL "tailscale-control-protocol"

/* The initiation, base64 in a header, or in the query of a browser's WebSocket. */
static bool find_initiation(
        struct http_exchange *x, bool is_websocket, uint8_t out[static NOISE_INITIATION_LEN])
{
        struct slice text = http_header(x, "X-Tailscale-Handshake");
        size_t len;
        uint8_t bytes[NOISE_INITIATION_LEN + 2];

        if (is_websocket && !http_query(x, "X-Tailscale-Handshake", &text))
                return false;
        if (base64_decode(text, bytes, sizeof(bytes), &len) != OK || len != NOISE_INITIATION_LEN)
                return false;
        memcpy(out, bytes, NOISE_INITIATION_LEN);
        return true;
}

static enum err answer(
        struct http_exchange *x, bool is_websocket, struct slice response, struct net_stream **lower)
{
        enum err e = is_websocket ? ws_accept(x, PROTOCOL, lower) : http_upgrade(x, PROTOCOL, lower);

        if (e) {
                if (!is_websocket)
                        http_respond_text(x, 400, "this endpoint needs an HTTP/1.1 connection to upgrade\n");
                return e;
        }
        e = net_stream_write(*lower, response);
        if (e)
                net_stream_close(*lower);
        return e;
}

static enum err send_early(struct net_stream *s, struct slice json)
{
        uint8_t head[NOISE_EARLY_HEAD_LEN];
        struct slice pieces[] = { SLICE_ARRAY(head), json };

        if (json.len == 0)
                return OK;
        noise_early_head((uint32_t)json.len, head);
        return net_stream_writev(s, pieces, 2);
}

enum err net_noise_accept(struct http_exchange *x, const struct secret_key *server_key,
        struct slice early_json, bool (*check)(void *ctx, const struct net_noise_peer *peer), void *ctx,
        struct net_noise_peer *peer, struct net_stream **out)
{
        uint8_t initiation[NOISE_INITIATION_LEN], response[NOISE_RESPONSE_LEN];
        bool is_websocket = ws_is_handshake(x);
        struct noise_session session;
        struct net_stream *lower;

        *out = NULL;
        if (!is_websocket && !http_wants_upgrade(x, PROTOCOL)) {
                http_respond_text(
                        x, 400, "missing Upgrade: " PROTOCOL " (does a proxy in front remove it?)\n");
                return ERR_FORMAT;
        }
        if (!find_initiation(x, is_websocket, initiation)) {
                http_respond_text(x, 400, "missing or malformed handshake\n");
                return ERR_FORMAT;
        }
        enum err e = noise_server_respond(server_key, SLICE_ARRAY(initiation), net_rng(), response, &session);
        if (e) {
                http_cut(x);
                return e;
        }
        *peer = (struct net_noise_peer){ session.peer, session.version };
        if (check && !check(ctx, peer)) {
                http_cut(x);
                e = ERR_DENIED;
                goto out;
        }
        e = answer(x, is_websocket, SLICE_ARRAY(response), &lower);
        if (!e)
                e = noise_stream_new(lower, &session, out);
        if (!e && !is_websocket) {
                e = send_early(*out, early_json);
                if (e) {
                        net_stream_close(*out);
                        *out = NULL;
                }
        }
out:
        noise_session_wipe(&session);
        return e;
}
