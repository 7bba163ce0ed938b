#include "node/notify.h"

#include <stdio.h>

const char *ipn_state_name(enum ipn_state s)
{
        switch (s) {
        case IPN_NO_STATE:
                return "NoState";
        case IPN_IN_USE_OTHER_USER:
                return "InUseOtherUser";
        case IPN_NEEDS_LOGIN:
                return "NeedsLogin";
        case IPN_NEEDS_MACHINE_AUTH:
                return "NeedsMachineAuth";
        case IPN_STOPPED:
                return "Stopped";
        case IPN_STARTING:
                return "Starting";
        case IPN_RUNNING:
                return "Running";
        }
        return "NoState";
}

static void put_optional_text(struct json_writer *w, const char *name, struct slice v)
{
        json_name(w, name);
        if (v.ptr)
                json_put_string(w, v);
        else
                json_put_null(w);
}

static void put_peers(struct json_writer *w, const struct notify *n)
{
        if (n->peers_changed_count) {
                json_name(w, "PeersChanged");
                json_array_open(w);
                for (size_t i = 0; i < n->peers_changed_count; i++)
                        tailcfg_node_write(w, &n->peers_changed[i]);
                json_array_close(w);
        }
        if (n->peers_removed_count) {
                json_name(w, "PeersRemoved");
                json_array_open(w);
                for (size_t i = 0; i < n->peers_removed_count; i++)
                        json_put_i64(w, n->peers_removed[i]);
                json_array_close(w);
        }
}

static void put_engine(struct json_writer *w, const struct notify_engine *e)
{
        json_name(w, "Engine");
        if (!e) {
                json_put_null(w);
                return;
        }
        json_object_open(w);
        json_field_i64(w, "RBytes", (int64_t)e->rx_bytes);
        json_field_i64(w, "WBytes", (int64_t)e->tx_bytes);
        json_field_i64(w, "NumLive", e->live_peers);
        json_field_i64(w, "LiveDERPs", e->live_derps);
        json_name(w, "LivePeers");
        json_object_open(w);
        json_object_close(w);
        json_object_close(w);
}

/* Warnings by code. Ours carry no code of the official list yet but one of their
 * own each, in the order in which the daemon lists them. */
static void put_health(struct json_writer *w, const struct tailcfg_strings *texts)
{
        char code[32];

        if (!texts)
                return;
        json_name(w, "Health");
        json_object_open(w);
        json_name(w, "Warnings");
        json_object_open(w);
        for (size_t i = 0; i < texts->count; i++) {
                snprintf(code, sizeof code, "weft-%zu", i + 1);
                json_name(w, code);
                json_object_open(w);
                json_field_str(w, "WarnableCode", code);
                json_field_str(w, "Severity", "medium");
                json_field_slice(w, "Title", texts->items[i]);
                json_field_slice(w, "Text", texts->items[i]);
                json_object_close(w);
        }
        json_object_close(w);
        json_object_close(w);
}

void notify_write(struct json_writer *w, const struct notify *n)
{
        json_object_open(w);
        json_field_str(w, "Version", WEFT_VERSION);
        if (n->session_id)
                json_field_str(w, "SessionID", n->session_id);
        put_optional_text(w, "ErrMessage", n->err_message);
        json_name(w, "LoginFinished");
        if (n->login_finished) {
                json_object_open(w);
                json_object_close(w);
        } else {
                json_put_null(w);
        }
        json_name(w, "State");
        if (n->has_state)
                json_put_i64(w, n->state);
        else
                json_put_null(w);
        json_name(w, "Prefs");
        if (n->prefs)
                prefs_write(w, n->prefs, PREFS_HIDE_SECRETS);
        else
                json_put_null(w);
        if (n->self) {
                json_name(w, "SelfChange");
                tailcfg_node_write(w, n->self);
        }
        if (n->initial_status) {
                json_name(w, "InitialStatus");
                status_write(w, n->initial_status);
        }
        json_name(w, "NetMap");
        json_put_null(w);
        put_peers(w, n);
        put_engine(w, n->engine);
        put_optional_text(w, "BrowseToURL", n->browse_to_url);
        json_name(w, "DriveShares");
        json_put_null(w);
        put_health(w, n->health);
        json_object_close(w);
}

static struct slice take_text(struct json_reader *r)
{
        return json_take_null(r) ? (struct slice){ 0 } : json_string(r);
}

static void take_state(struct json_reader *r, struct notify *out)
{
        if (json_take_null(r))
                return;
        int64_t v = json_i64(r);
        if (v < IPN_NO_STATE || v > IPN_RUNNING) {
                json_fail(r, ERR_RANGE, "unknown state");
                return;
        }
        out->has_state = true;
        out->state = (enum ipn_state)v;
}

static void take_self(struct json_reader *r, struct notify *out)
{
        struct slice name;

        if (json_take_null(r))
                return;
        json_object_begin(r);
        while (json_member(r, &name)) {
                if (!slice_is(name, "Key"))
                        json_skip(r);
                else if (key_parse("nodekey:", json_string(r), &out->self_key) != OK)
                        json_fail(r, ERR_FORMAT, "not a node key");
        }
}

enum err notify_decode(struct slice line, struct arena *arena, struct notify *out)
{
        struct json_reader r;
        struct slice name;

        *out = (struct notify){ 0 };
        json_reader_init(&r, line, arena);
        json_object_begin(&r);
        while (json_member(&r, &name)) {
                if (slice_is(name, "ErrMessage")) {
                        out->err_message = take_text(&r);
                } else if (slice_is(name, "LoginFinished")) {
                        out->login_finished = json_peek(&r) == JSON_OBJECT;
                        json_skip(&r);
                } else if (slice_is(name, "State")) {
                        take_state(&r, out);
                } else if (slice_is(name, "SelfChange")) {
                        take_self(&r, out);
                } else if (slice_is(name, "BrowseToURL")) {
                        out->browse_to_url = take_text(&r);
                } else {
                        json_skip(&r);
                }
        }
        return json_finish(&r);
}
