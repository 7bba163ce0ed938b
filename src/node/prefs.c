/* The table of fields, and what walks it without JSON. JSON is in prefs_json.c. */
#include "prefs_internal.h"

#define FIELD(group_, name_, kind_, member) \
        { group_, name_, kind_, offsetof(struct prefs, member) }

const struct prefs_field prefs_fields[] = {
        FIELD(NULL, "ControlURL", PREF_TEXT, control_url),
        FIELD(NULL, "RouteAll", PREF_BOOL, route_all),
        FIELD(NULL, "ExitNodeID", PREF_TEXT, exit_node_id),
        FIELD(NULL, "ExitNodeIP", PREF_TEXT, exit_node_ip),
        FIELD(NULL, "AutoExitNode", PREF_TEXT_OZ, auto_exit_node),
        FIELD(NULL, "InternalExitNodePrior", PREF_TEXT, exit_node_prior),
        FIELD(NULL, "ExitNodeAllowLANAccess", PREF_BOOL, exit_node_allow_lan),
        FIELD(NULL, "CorpDNS", PREF_BOOL, corp_dns),
        FIELD(NULL, "RunSSH", PREF_BOOL, run_ssh),
        FIELD(NULL, "RunWebClient", PREF_BOOL, run_web_client),
        FIELD(NULL, "WantRunning", PREF_BOOL, want_running),
        FIELD(NULL, "LoggedOut", PREF_BOOL, logged_out),
        FIELD(NULL, "ShieldsUp", PREF_BOOL, shields_up),
        FIELD(NULL, "AdvertiseTags", PREF_LIST, advertise_tags),
        FIELD(NULL, "Hostname", PREF_TEXT, hostname),
        FIELD(NULL, "NotepadURLs", PREF_BOOL, notepad_urls),
        FIELD(NULL, "ForceDaemon", PREF_BOOL_OZ, force_daemon),
        FIELD(NULL, "Egg", PREF_BOOL_OZ, egg),
        FIELD(NULL, "AdvertiseRoutes", PREF_LIST, advertise_routes),
        FIELD(NULL, "AdvertiseServices", PREF_LIST, advertise_services),
        FIELD(NULL, "Sync", PREF_TRISTATE, sync),
        FIELD(NULL, "NoSNAT", PREF_BOOL, no_snat),
        FIELD(NULL, "NoStatefulFiltering", PREF_TRISTATE_OZ, no_stateful_filtering),
        FIELD(NULL, "NetfilterMode", PREF_INT, netfilter_mode),
        FIELD(NULL, "OperatorUser", PREF_TEXT_OZ, operator_user),
        FIELD(NULL, "ProfileName", PREF_TEXT_OZ, profile_name),
        FIELD("AutoUpdate", "Check", PREF_BOOL, update_check),
        FIELD("AutoUpdate", "Apply", PREF_TRISTATE, update_apply),
        FIELD("AppConnector", "Advertise", PREF_BOOL, app_connector),
        FIELD(NULL, "PostureChecking", PREF_BOOL, posture_checking),
        FIELD(NULL, "NetfilterKind", PREF_TEXT, netfilter_kind),
        FIELD(NULL, "RemoteConfig", PREF_BOOL, remote_config),
        FIELD(NULL, "DriveShares", PREF_RAW, drive_shares),
        FIELD(NULL, "RelayServerPort", PREF_RAW_OZ, relay_server_port),
        FIELD(NULL, "RelayServerStaticEndpoints", PREF_LIST_OZ, relay_endpoints),
};
const size_t prefs_field_count = sizeof prefs_fields / sizeof *prefs_fields;

static_assert(sizeof prefs_fields / sizeof *prefs_fields <= 64, "a mask is 64 bits");

uint64_t prefs_mask_bit(const char *name)
{
        const char *dot = strchr(name, '.');

        for (size_t i = 0; i < prefs_field_count; i++) {
                const struct prefs_field *f = &prefs_fields[i];
                if (!f->group ? strcmp(f->name, name) == 0
                              : dot && slice_is(slice_make(name, (size_t)(dot - name)), f->group) &&
                                        strcmp(dot + 1, f->name) == 0)
                        return 1ull << i;
        }
        assert(false && "a field of that name");
        return 0;
}

void prefs_init(struct prefs *p)
{
        *p = (struct prefs){
                .arena = ARENA_INIT(2 * PREFS_TEXT_MAX),
                .corp_dns = true,
                .no_stateful_filtering = TRI_TRUE,
                .netfilter_mode = NETFILTER_ON,
                .sync = TRI_NULL,
                .update_check = true,
                .update_apply = TRI_NULL,
        };
}

void prefs_fini(struct prefs *p)
{
        if (p->persist.network_lock_key.len) /* ours: it was copied into the arena */
                key_wipe((void *)(uintptr_t)p->persist.network_lock_key.ptr, p->persist.network_lock_key.len);
        arena_fini(&p->arena);
        key_wipe(&p->persist, sizeof p->persist);
}

enum err prefs_set_text(struct prefs *p, struct slice *field, struct slice value)
{
        struct slice copy = value.len ? arena_copy(&p->arena, value) : (struct slice){ 0 };

        if (value.len && !copy.ptr)
                return ERR_NOMEM;
        *field = copy;
        return OK;
}

enum err prefs_set_list(struct prefs *p, struct prefs_list *field, const struct slice *items, size_t count)
{
        struct slice *copies = ARENA_ARRAY(&p->arena, count ? count : 1, struct slice);

        if (!copies)
                return ERR_NOMEM;
        for (size_t i = 0; i < count; i++) {
                enum err err = prefs_set_text(p, &copies[i], items[i]);
                if (err)
                        return err;
        }
        *field = (struct prefs_list){ copies, count, true };
        return OK;
}

static enum err copy_field(struct prefs *dst, const struct prefs *src, const struct prefs_field *f)
{
        void *to = prefs_field_at(dst, f);
        const void *from = prefs_field_at_const(src, f);

        switch (f->kind) {
        case PREF_BOOL:
        case PREF_BOOL_OZ:
                *(bool *)to = *(const bool *)from;
                return OK;
        case PREF_TRISTATE:
        case PREF_TRISTATE_OZ:
                *(enum tristate *)to = *(const enum tristate *)from;
                return OK;
        case PREF_INT:
                *(int64_t *)to = *(const int64_t *)from;
                return OK;
        case PREF_TEXT:
        case PREF_TEXT_OZ:
        case PREF_RAW:
        case PREF_RAW_OZ:
                return prefs_set_text(dst, to, *(const struct slice *)from);
        case PREF_LIST:
        case PREF_LIST_OZ: {
                const struct prefs_list *l = from;
                if (l->present)
                        return prefs_set_list(dst, to, l->items, l->count);
                *(struct prefs_list *)to = (struct prefs_list){ 0 };
                return OK;
        }
        }
        return ERR_STATE;
}

enum err prefs_apply(struct prefs *dst, const struct prefs *src, uint64_t mask)
{
        for (size_t i = 0; i < prefs_field_count; i++) {
                enum err err = mask >> i & 1 ? copy_field(dst, src, &prefs_fields[i]) : OK;
                if (err)
                        return err;
        }
        return OK;
}

enum err prefs_copy(struct prefs *dst, const struct prefs *src)
{
        const struct persist *from = &src->persist;

        prefs_init(dst);
        enum err err = prefs_apply(dst, src, UINT64_MAX);
        dst->persist = (struct persist){
                .present = from->present,
                .node_key = from->node_key,
                .old_node_key = from->old_node_key,
                .pending_node_key = from->pending_node_key,
        };
        if (!err)
                err = prefs_set_text(dst, &dst->persist.user_profile, from->user_profile);
        if (!err)
                err = prefs_set_text(dst, &dst->persist.network_lock_key, from->network_lock_key);
        if (!err)
                err = prefs_set_text(dst, &dst->persist.node_id, from->node_id);
        if (!err)
                err = prefs_set_text(dst, &dst->persist.disallowed_tka, from->disallowed_tka);
        if (err)
                prefs_fini(dst);
        return err;
}

static bool list_equal(const struct prefs_list *a, const struct prefs_list *b)
{
        return slices_equal(a->items, a->count, b->items, b->count);
}

static bool field_equal(const struct prefs *a, const struct prefs *b, const struct prefs_field *f)
{
        const void *x = prefs_field_at_const(a, f), *y = prefs_field_at_const(b, f);

        switch (f->kind) {
        case PREF_BOOL:
        case PREF_BOOL_OZ:
                return *(const bool *)x == *(const bool *)y;
        case PREF_TRISTATE:
        case PREF_TRISTATE_OZ:
                return *(const enum tristate *)x == *(const enum tristate *)y;
        case PREF_INT:
                return *(const int64_t *)x == *(const int64_t *)y;
        case PREF_TEXT:
        case PREF_TEXT_OZ:
        case PREF_RAW:
        case PREF_RAW_OZ:
                return slice_equal(*(const struct slice *)x, *(const struct slice *)y);
        case PREF_LIST:
        case PREF_LIST_OZ:
                return list_equal(x, y);
        }
        return false;
}

bool prefs_equal(const struct prefs *a, const struct prefs *b, uint64_t mask)
{
        for (size_t i = 0; i < prefs_field_count; i++)
                if (mask >> i & 1 && !field_equal(a, b, &prefs_fields[i]))
                        return false;
        return true;
}
