/* /api/v1/node */
#include "api.h"

/* ---- the object ------------------------------------------------------------------------ */

static const char *method_text(enum store_register_method method)
{
        switch (method) {
        case STORE_REGISTER_AUTH_KEY:
                return "REGISTER_METHOD_AUTH_KEY";
        case STORE_REGISTER_CLI:
                return "REGISTER_METHOD_CLI";
        case STORE_REGISTER_OIDC:
                return "REGISTER_METHOD_OIDC";
        }
        return "REGISTER_METHOD_UNSPECIFIED";
}

static void name_key(
        struct json_writer *w, const char *name, const char *prefix, const struct public_key *key)
{
        char text[KEY_TEXT_MAX];

        key_format(prefix, key, text);
        json_field_str(w, name, text);
}

static void put_prefix(struct json_writer *w, const struct ip_prefix *p)
{
        char text[IP_TEXT_MAX];

        ip_prefix_format(p, text);
        json_put_str(w, text);
}

static void name_prefixes(struct json_writer *w, const char *name, const struct ip_prefix *list, size_t n)
{
        json_name(w, name);
        json_array_open(w);
        for (size_t i = 0; i < n; i++)
                put_prefix(w, &list[i]);
        json_array_close(w);
}

static void name_addresses(struct json_writer *w, const struct store_node *row)
{
        char text[IP_TEXT_MAX];

        json_name(w, "ipAddresses");
        json_array_open(w);
        if (ip_valid(&row->ipv4)) {
                ip_format(&row->ipv4, text);
                json_put_str(w, text);
        }
        if (ip_valid(&row->ipv6)) {
                ip_format(&row->ipv6, text);
                json_put_str(w, text);
        }
        json_array_close(w);
}

/* Which forms differ between the endpoints (spec/server.md 3.2, end). */
enum node_view { VIEW_LIST, VIEW_SINGLE, VIEW_APPROVED };

static void name_serving(struct json_writer *w, const struct node *n, enum node_view view)
{
        json_name(w, "subnetRoutes");
        json_array_open(w);
        for (size_t i = 0; view != VIEW_SINGLE && i < n->n_primary; i++)
                put_prefix(w, &n->primary[i]);
        for (size_t i = 0; view == VIEW_LIST && i < n->row->n_approved_routes; i++) {
                if (routes_is_exit(&n->row->approved_routes[i]))
                        put_prefix(w, &n->row->approved_routes[i]);
        }
        json_array_close(w);
}

static void name_owner(
        const struct server *s, struct json_writer *w, const struct node *n, enum node_view view)
{
        static const struct store_user tagged = { .id = TAGGED_DEVICES_ID,
                .name = SLICE_LIT("tagged-devices"),
                .display_name = SLICE_LIT("Tagged Devices") };
        const struct store_user *user = tailnet_user(&s->tailnet, n->row->user_id);

        json_name(w, "user");
        if (node_is_tagged(n))
                user = view == VIEW_LIST ? &tagged : NULL;
        if (user)
                api_write_user(w, user);
        else
                json_put_null(w);
}

static void write_node(
        const struct server *s, struct json_writer *w, const struct node *n, enum node_view view)
{
        const struct store_auth_key *key = row_set_get(&s->tailnet.auth_keys, n->row->auth_key_id);

        json_object_open(w);
        api_name_id(w, "id", n->id);
        name_key(w, "machineKey", "mkey:", &n->row->machine_key);
        name_key(w, "nodeKey", "nodekey:", &n->row->node_key);
        name_key(w, "discoKey", "discokey:", &n->disco_key);
        name_addresses(w, n->row);
        json_field_slice(w, "name", n->row->hostname);
        name_owner(s, w, n, view);
        api_name_time(w, "lastSeen", n->online ? s->now.unix_us : n->last_seen_us);
        api_name_time(w, "expiry", node_expiry(n));
        json_name(w, "preAuthKey");
        if (key)
                api_write_auth_key(s, w, key, NULL, true);
        else
                json_put_null(w);
        api_name_time(w, "createdAt", n->row->created_us);
        json_field_str(w, "registerMethod", method_text(n->row->method));
        json_field_slice(w, "givenName", n->row->given_name);
        json_field_bool(w, "online", n->online);
        name_prefixes(w, "approvedRoutes", n->row->approved_routes, n->row->n_approved_routes);
        name_prefixes(w, "availableRoutes", n->announced, n->n_announced);
        name_serving(w, n, view);
        api_name_tags(w, "tags", n->row->tags);
        json_object_close(w);
}

static void reply_node(struct api_request *r, const struct node *n, enum node_view view)
{
        json_object_open(&r->json);
        json_name(&r->json, "node");
        write_node(r->s, &r->json, n, view);
        json_object_close(&r->json);
        api_done(r);
}

void api_reply_node(struct api_request *r, const struct node *n) { reply_node(r, n, VIEW_SINGLE); }

/* ---- operations ---------------------------------------------------------------------------- */

static void list(struct api_request *r)
{
        const struct row_set *nodes = &r->s->tailnet.nodes;
        struct store_user *user = NULL;
        struct slice name = { 0 };

        r->doing = "listing nodes";
        if (api_query(r, "user", &name) && name.len &&
                tailnet_user_by_name(&r->s->tailnet, name, &user) != OK) {
                api_fail(r, 404, "user not found");
                return;
        }
        json_object_open(&r->json);
        json_name(&r->json, "nodes");
        json_array_open(&r->json);
        for (size_t i = 0; i < nodes->n; i++) {
                const struct node *n = (const struct node *)nodes->items[i];
                if (!user || n->row->user_id == user->id)
                        write_node(r->s, &r->json, n, VIEW_LIST);
        }
        json_array_close(&r->json);
        json_object_close(&r->json);
        api_done(r);
}

/* Stores a changed row and tells everyone. */
static void change(struct api_request *r, struct node *n, const struct store_node *row, enum change what)
{
        struct tx tx = journal_begin(r->s);

        (void)journal_put_node(&tx, row);
        journal_commit(&tx);
        change_mark(r->s, n, what);
}

static void delete_node(struct api_request *r, struct node *n)
{
        struct tx tx = journal_begin(r->s);

        journal_delete_node(&tx, n);
        journal_commit(&tx);
        log_info(&server_log, "node deleted by the administrator", "node=%lld", (long long)n->id);
        api_done_empty(r);
}

static void expire(struct api_request *r, struct node *n)
{
        struct store_node row = *n->row;
        struct api_time expiry = { 0 };
        bool disable = false;
        const struct api_field fields[] = { { "expiry", API_TIME, &expiry },
                { "disableExpiry", API_BOOL, &disable } };

        r->doing = "expiring node";
        if (!api_body(r, fields, 2))
                return;
        if (expiry.set && disable) {
                api_fail(r, 400, "a date and \"never\" exclude each other");
                return;
        }
        row.expires_us = disable ? 0 : expiry.set ? expiry.us : r->s->now.unix_us;
        change(r, n, &row, CHANGE_NODE);
        n->expiry_told = node_is_expired(r->s, n);
        api_reply_node(r, n);
}

static void rename_node(struct api_request *r, struct node *n)
{
        char lower[LABEL_MAX + 1];
        struct slice name = r->segment[3];
        struct store_node row = *n->row;
        const struct node *holder;

        r->doing = "renaming node";
        if (!name_is_label(name)) {
                api_fail(r, 400,
                        "a name has 1 to 63 letters, digits and '-', and begins and ends with a letter or "
                        "digit");
                return;
        }
        for (size_t i = 0; i < name.len; i++)
                lower[i] = (char)(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] + 32 : name.ptr[i]);
        row.given_name = slice_make(lower, name.len);
        holder = tailnet_node_by_name(&r->s->tailnet, row.given_name);
        if (holder && holder != n) {
                api_fail(r, 400, "another node has this name");
                return;
        }
        change(r, n, &row, CHANGE_NODE);
        api_reply_node(r, n);
}

static void tag(struct api_request *r, struct node *n)
{
        struct store_node row = *n->row;
        struct tailcfg_strings tags = { 0 };

        r->doing = "setting tags";
        if (!api_body(r, &(struct api_field){ "tags", API_LIST, &tags }, 1))
                return;
        if (!tags.count) {
                api_fail(r, 400, "a node cannot lose its last tag: give at least one");
                return;
        }
        if (!api_tags(r, &tags, &row.tags))
                return;
        for (size_t i = 0; i < tags.count; i++) {
                if (!policy_defines_tag(r->s, tags.items[i])) {
                        api_fail(r, 400, "the policy does not define this tag");
                        return;
                }
        }
        row.user_id = 0;
        if (!node_is_tagged(n))
                row.expires_us = 0;
        change(r, n, &row, CHANGE_NODE);
        n->expiry_told = node_is_expired(r->s, n);
        api_reply_node(r, n);
}

/* One exit route stands for both families. */
static bool parse_routes(
        struct api_request *r, const struct tailcfg_strings *texts, struct ip_prefix *out, size_t *count)
{
        bool v4 = false, v6 = false;

        *count = 0;
        for (size_t i = 0; i < texts->count; i++) {
                struct ip_prefix p;
                if (ip_prefix_parse(slice_trim(texts->items[i]), &p) != OK) {
                        api_fail(r, 400, "a route is a network in CIDR form, e.g. 10.0.0.0/24");
                        return false;
                }
                p = ip_prefix_masked(p);
                if (routes_is_exit(&p)) {
                        v4 = v4 || p.ip.family == IP_V4;
                        v6 = v6 || p.ip.family == IP_V6;
                        continue;
                }
                out[(*count)++] = p;
        }
        if (v4 || v6) {
                out[(*count)++] = (struct ip_prefix){ ip_v4(0, 0, 0, 0), 0 };
                out[(*count)++] = (struct ip_prefix){ { .family = IP_V6 }, 0 };
        }
        return true;
}

static void approve_routes(struct api_request *r, struct node *n)
{
        struct store_node row = *n->row;
        struct tailcfg_strings texts = { 0 };

        r->doing = "approving routes";
        if (!api_body(r, &(struct api_field){ "routes", API_LIST, &texts }, 1))
                return;
        struct ip_prefix *routes = ARENA_ARRAY(&r->arena, texts.count + 2, struct ip_prefix);
        if (!routes) {
                api_fail(r, 500, "out of memory");
                return;
        }
        if (!parse_routes(r, &texts, routes, &row.n_approved_routes))
                return;
        row.approved_routes = routes;
        change(r, n, &row, CHANGE_NODE);
        routes_elect(r->s);
        reply_node(r, n, VIEW_APPROVED);
}

/* The older way of `auth register`: user and key in the query. */
static void register_node(struct api_request *r)
{
        struct slice name = { 0 }, key = { 0 };
        struct store_user *user;
        struct node *n;
        struct diag diag;

        r->doing = "registering node";
        (void)api_query(r, "user", &name);
        (void)api_query(r, "key", &key);
        if (tailnet_user_by_name(&r->s->tailnet, name, &user) != OK) {
                api_fail(r, 404, "user not found");
                return;
        }
        enum err e = register_approve(r->s, key, user, &n, &diag);
        if (e == OK)
                api_reply_node(r, n);
        else
                api_fail_diag(r, e == ERR_NOTFOUND ? 404 : e == ERR_EXISTS ? 409 : 400, &diag);
}

static struct node *node_of_path(struct api_request *r)
{
        int64_t id;

        if (!api_id(r, r->segment[1], &id))
                return NULL;
        struct node *n = tailnet_node(&r->s->tailnet, id);
        if (!n)
                api_fail(r, 404, "node not found");
        return n;
}

static void one_node(struct api_request *r)
{
        struct slice verb = r->n_segments > 2 ? r->segment[2] : (struct slice){ 0 };
        struct node *n;

        r->doing = "looking up node";
        if (!(n = node_of_path(r)))
                return;
        if (r->n_segments == 2 && api_is(r, "GET"))
                api_reply_node(r, n);
        else if (r->n_segments == 2 && api_is(r, "DELETE"))
                delete_node(r, n);
        else if (r->n_segments == 4 && slice_is(verb, "rename") && api_is(r, "POST"))
                rename_node(r, n);
        else if (r->n_segments == 3 && slice_is(verb, "expire") && api_is(r, "POST"))
                expire(r, n);
        else if (r->n_segments == 3 && slice_is(verb, "tags") && api_is(r, "POST"))
                tag(r, n);
        else if (r->n_segments == 3 && slice_is(verb, "approve_routes") && api_is(r, "POST"))
                approve_routes(r, n);
        else
                api_fail(r, 404, "there is no such operation on a node");
}

void api_nodes(struct api_request *r)
{
        if (r->n_segments == 1 && api_is(r, "GET"))
                list(r);
        else if (r->n_segments == 2 && slice_is(r->segment[1], "register") && api_is(r, "POST"))
                register_node(r);
        else if (r->n_segments == 2 && slice_is(r->segment[1], "backfillips") && api_is(r, "POST"))
                api_backfill(r);
        else if (r->n_segments >= 2)
                one_node(r);
        else
                api_fail(r, 404, "there is no such operation on nodes");
}
