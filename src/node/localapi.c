#include "node/localapi.h"

#include "base/text.h"

#define PREFIX "/localapi/v0/"

enum permission { ANYONE, READ, WRITE };

struct call {
        struct backend *b;
        const struct localapi_request *rq;
        const struct now *now;
        struct localapi_reply *out;
        struct arena arena;
        struct slice name; /* after the prefix */
};

/* ---- forms of an answer --------------------------------------------------------- */

static void answer(struct call *c, unsigned status, const char *content_type)
{
        c->out->status = status;
        c->out->content_type = content_type;
}

static void answer_text(struct call *c, unsigned status, const char *text)
{
        buf_append_str(&c->out->body, text);
        buf_append_byte(&c->out->body, '\n');
        answer(c, status, "text/plain; charset=utf-8");
}

/* {"error": ...}; the field is "Error" for preferences (spec 3.1). */
static void answer_error(struct call *c, unsigned status, const char *field, const char *text)
{
        struct json_writer w;

        json_writer_init(&w, &c->out->body, NULL);
        json_object_open(&w);
        json_field_str(&w, field, text);
        json_object_close(&w);
        answer(c, status, "application/json");
}

static struct json_writer answer_json(struct call *c, const char *indent)
{
        struct json_writer w;

        json_writer_init(&w, &c->out->body, indent);
        answer(c, 200, "application/json");
        return w;
}

static bool query(const struct call *c, const char *name, struct slice *value)
{
        return c->rq->query && c->rq->query(c->rq->query_ctx, name, value);
}

static bool is_method(const struct call *c, const char *method)
{
        return slice_is(c->rq->method, method);
}

static unsigned status_of(enum err e)
{
        return e == ERR_NOTFOUND ? 404 : e == ERR_DENIED ? 403 : e == ERR_NOMEM ? 500 : 400;
}

/* ---- endpoints -------------------------------------------------------------------- */

static void get_status(struct call *c)
{
        struct slice peers;
        bool with_peers = !query(c, "peers", &peers) || !slice_is(peers, "false");
        struct status s;

        backend_status(c->b, with_peers, c->now, &c->arena, &s);
        struct json_writer w = answer_json(c, "\t");
        status_write(&w, &s);
}

static void put_whois(struct json_writer *w, const struct backend_whois *who)
{
        json_object_open(w);
        json_name(w, "Node");
        tailcfg_node_write(w, who->node);
        json_name(w, "UserProfile");
        tailcfg_user_profile_write(w, &who->user);
        json_name(w, "CapMap");
        json_object_open(w);
        for (size_t i = 0; i < who->caps.count; i++) {
                json_name_slice(w, who->caps.items[i].name);
                json_array_open(w);
                for (size_t k = 0; k < who->caps.items[i].values.count; k++)
                        json_put_raw(w, who->caps.items[i].values.items[k]);
                json_array_close(w);
        }
        json_object_close(w);
        json_object_close(w);
}

static void get_whois(struct call *c)
{
        struct backend_whois who;
        struct public_key key;
        struct ip_addr ip;
        struct ip_port addr;
        struct slice text;
        enum err err;

        if (!query(c, "addr", &text) || !text.len) {
                answer_text(c, 400, "missing 'addr' parameter");
                return;
        }
        if (key_parse("nodekey:", text, &key) == OK) {
                err = backend_whois_key(c->b, &key, &c->arena, &who);
        } else if (ip_parse(text, &ip) == OK) {
                err = backend_whois_ip(c->b, &ip, &c->arena, &who);
        } else if (ip_port_parse(text, &addr) == OK) {
                err = backend_whois_ip(c->b, &addr.ip, &c->arena, &who);
        } else {
                answer_text(c, 400, "invalid 'addr' parameter: neither an address, an address with port, nor a node key");
                return;
        }
        if (err) {
                answer_text(c, 404, "no match for IP:port");
                return;
        }
        struct json_writer w = answer_json(c, "\t");
        put_whois(&w, &who);
}

static void answer_prefs(struct call *c)
{
        struct json_writer w = answer_json(c, "\t");

        prefs_write(&w, backend_prefs(c->b), PREFS_HIDE_SECRETS);
}

static void prefs_endpoint(struct call *c)
{
        struct prefs_mask mask = { 0 };
        struct prefs edit;
        struct diag diag;

        if (is_method(c, "GET")) {
                answer_prefs(c);
                return;
        }
        prefs_init(&edit);
        enum err err = prefs_decode(c->rq->body, &edit, &mask, &diag);
        if (!err)
                err = backend_edit_prefs(c->b, &edit, mask.bits, c->now, &diag);
        prefs_fini(&edit);
        if (err)
                answer_error(c, 400, "Error", diag.text);
        else
                answer_prefs(c);
}

static void post_check_prefs(struct call *c)
{
        struct prefs p;
        struct diag diag;

        prefs_init(&p);
        enum err err = prefs_decode(c->rq->body, &p, NULL, &diag);
        if (err) {
                answer_text(c, 400, diag.text);
        } else if (backend_check_prefs(c->b, &p, &diag) != OK) {
                answer_error(c, 200, "Error", diag.text); /* 200: as the official daemon does */
        } else {
                buf_append_str(&c->out->body, "{}\n");
                answer(c, 200, "application/json");
        }
        prefs_fini(&p);
}

static void post_start(struct call *c)
{
        struct slice name, auth_key = { 0 };
        struct json_reader r;
        struct prefs update;
        bool has_update = false;
        struct diag diag;

        prefs_init(&update);
        json_reader_init(&r, c->rq->body, &c->arena);
        if (slice_trim(c->rq->body).len) {
                json_object_begin(&r);
                while (json_member(&r, &name)) {
                        if (slice_equal_nocase(name, SLICE_LIT("UpdatePrefs"))) {
                                has_update = json_peek(&r) == JSON_OBJECT;
                                prefs_parse(&r, &update, NULL);
                        } else if (slice_equal_nocase(name, SLICE_LIT("AuthKey")) && !json_take_null(&r)) {
                                auth_key = json_string(&r);
                        } else {
                                json_skip(&r);
                        }
                }
                if (json_finish(&r) != OK) {
                        answer_text(c, 400, "invalid JSON body");
                        prefs_fini(&update);
                        return;
                }
        }
        enum err err = backend_start(c->b, has_update ? &update : NULL, auth_key, c->now, &diag);
        prefs_fini(&update);
        if (err)
                answer_text(c, status_of(err), diag.text);
        else
                answer(c, 204, NULL);
}

static void post_login_interactive(struct call *c)
{
        backend_login_interactive(c->b, c->now);
        answer(c, 204, NULL);
}

static void post_logout(struct call *c)
{
        backend_logout(c->b, c->now);
        answer(c, 204, NULL);
        if (backend_is_logging_out(c->b))
                c->out->kind = LOCALAPI_LOGOUT;
}

static void profiles_endpoint(struct call *c)
{
        const struct profiles *ps = backend_profiles(c->b);
        struct slice id = slice_after(c->name, strlen("profiles/"));
        struct diag diag = { "" };
        enum err err = OK;

        if (!id.len && is_method(c, "GET")) {
                struct json_writer w = answer_json(c, NULL);
                profiles_write(&w, ps);
                return;
        }
        if (!id.len && is_method(c, "PUT")) {
                err = backend_new_profile(c->b, c->now);
                answer(c, err ? 500 : 201, NULL);
                return;
        }
        bool is_current = slice_is(id, "current");
        const struct profile *p = is_current ? &ps->current : profiles_find(ps, id);
        if (!id.len || !p) {
                answer_text(c, id.len ? 404 : 405, id.len ? "profile not found" : "use GET or PUT");
        } else if (is_method(c, "GET")) {
                struct json_writer w = answer_json(c, NULL);
                profile_write(&w, p);
        } else if (is_current) {
                answer_text(c, 405, "use GET");
        } else {
                err = is_method(c, "POST") ? backend_switch_profile(c->b, id, c->now, &diag)
                                           : backend_delete_profile(c->b, id, c->now);
                if (err)
                        answer_text(c, status_of(err), diag.text[0] ? diag.text : err_str(err));
                else
                        answer(c, 204, NULL);
        }
}

static void get_watch(struct call *c)
{
        struct slice text;
        uint64_t mask = 0;
        const unsigned peer_bits = WATCH_PEER_CHANGES | 1 << 13 | WATCH_INITIAL_STATUS | WATCH_PEER_PATCHES;

        if (query(c, "mask", &text) && parse_u64(text, UINT32_MAX, &mask) != OK) {
                answer_text(c, 400, "bad mask");
                return;
        }
        if (mask & WATCH_IN_PROCESS || (mask & WATCH_RATE_LIMIT && mask & peer_bits)) {
                answer_text(c, 400, "this combination of mask bits is not possible over the LocalAPI");
                return;
        }
        c->out->kind = LOCALAPI_WATCH;
        c->out->mask = (unsigned)mask;
        answer(c, 200, "application/json");
}

static void post_ping(struct call *c)
{
        struct slice ip, type, size, timeout;
        uint64_t bytes = 0, timeout_ms = 0;

        if (!query(c, "ip", &ip) || !ip.len || ip_parse(ip, &c->out->ping_ip) != OK) {
                answer_text(c, 400, "missing or invalid 'ip' parameter");
                return;
        }
        if (!query(c, "type", &type) || !type.len) {
                answer_text(c, 400, "missing 'type' parameter");
                return;
        }
        if (query(c, "size", &size) && size.len && parse_u64(size, 65535, &bytes) != OK) {
                answer_text(c, 400, "invalid 'size' parameter");
                return;
        }
        if (query(c, "timeout_ms", &timeout) && parse_u64(timeout, 3600000, &timeout_ms) != OK) {
                answer_text(c, 400, "invalid 'timeout_ms' parameter");
                return;
        }
        if (!slice_is(type, "disco") && !slice_is(type, "TSMP")) {
                answer_text(c, 400, "this ping type is not supported: disco and TSMP are");
                return;
        }
        if (bytes && !slice_is(type, "disco")) {
                answer_text(c, 400, "'size' is only supported with type disco");
                return;
        }
        c->out->kind = LOCALAPI_PING;
        c->out->ping_type = slice_is(type, "disco") ? PING_DISCO : PING_TSMP;
        c->out->ping_size = (size_t)bytes;
        c->out->ping_timeout_ms = (unsigned)timeout_ms;
        answer(c, 200, "application/json");
}

static void get_derp_map(struct call *c)
{
        const struct tailcfg_derp_map *map = netmap_derp_map(backend_netmap(c->b));
        struct json_writer w = answer_json(c, "\t");

        if (map)
                tailcfg_derp_map_write(&w, map);
        else
                json_put_null(&w);
}

static void get_dns_config(struct call *c)
{
        const struct tailcfg_dns_config *dns = netmap_dns(backend_netmap(c->b));

        if (!dns) {
                answer_text(c, 503, "no network map yet");
                return;
        }
        struct json_writer w = answer_json(c, "\t");
        tailcfg_dns_config_write(&w, dns);
}

static void get_peer_by_id(struct call *c)
{
        const struct tailcfg_node *n = NULL;
        struct slice text;
        int64_t id;

        if (query(c, "id", &text) && parse_i64(text, &id) == OK)
                n = netmap_peer_by_id(backend_netmap(c->b), id);
        if (!n) {
                answer_text(c, 404, "no such peer");
                return;
        }
        struct json_writer w = answer_json(c, NULL);
        tailcfg_node_write(&w, n);
}

static void get_user_profile(struct call *c)
{
        const struct tailcfg_user_profile *u = NULL;
        struct slice text;
        int64_t id;

        if (query(c, "id", &text) && parse_i64(text, &id) == OK)
                u = netmap_user(backend_netmap(c->b), id);
        if (!u) {
                answer_text(c, 404, "no such user");
                return;
        }
        struct json_writer w = answer_json(c, NULL);
        tailcfg_user_profile_write(&w, u);
}

static void answer_warning(struct call *c, const char *text)
{
        struct json_writer w = answer_json(c, NULL);

        json_object_open(&w);
        json_field_str(&w, "Warning", text ? text : "");
        json_object_close(&w);
}

/* What `up` and `set` say of advertised routes that will not work. */
static void get_ip_forwarding(struct call *c)
{
        answer_warning(c, backend_warning(c->b, WARN_FORWARDING));
}

/* Our own offload does not depend on the device's. */
static void get_udp_gro(struct call *c)
{
        answer_warning(c, NULL);
}

static void get_so_mark(struct call *c)
{
        struct json_writer w = answer_json(c, NULL);

        json_object_open(&w);
        json_field_bool(&w, "UseSOMark", true);
        json_object_close(&w);
}

/* Names that end in '/' match by prefix (spec 3.1). */
static const struct endpoint {
        const char *name, *methods;
        enum permission needs;
        void (*handle)(struct call *c);
} endpoints[] = {
        { "status", "GET", READ, get_status },
        { "whois", "GET", READ, get_whois },
        { "prefs", "GET PATCH", READ, prefs_endpoint }, /* PATCH: WRITE, see below */
        { "check-prefs", "POST", WRITE, post_check_prefs },
        { "start", "POST", WRITE, post_start },
        { "login-interactive", "POST", WRITE, post_login_interactive },
        { "logout", "POST", WRITE, post_logout },
        { "profiles/", "GET PUT POST DELETE", WRITE, profiles_endpoint },
        { "watch-ipn-bus", "GET", READ, get_watch },
        { "ping", "POST", ANYONE, post_ping },
        { "derpmap", "GET", ANYONE, get_derp_map },
        { "dns-config", "GET", READ, get_dns_config },
        { "peer-by-id", "GET", READ, get_peer_by_id },
        { "user-profile", "GET", READ, get_user_profile },
        { "check-ip-forwarding", "GET", READ, get_ip_forwarding },
        { "check-udp-gro-forwarding", "GET", READ, get_udp_gro },
        { "check-so-mark-in-use", "GET", READ, get_so_mark },
};

static const struct endpoint *find(struct slice name)
{
        for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++) {
                struct slice known = slice_str(endpoints[i].name);
                bool by_prefix = known.ptr[known.len - 1] == '/';
                if (by_prefix ? slice_has_prefix(name, known) : slice_equal(name, known))
                        return &endpoints[i];
        }
        return NULL;
}

static bool allows_method(const struct endpoint *e, struct slice method)
{
        struct slice rest = slice_str(e->methods), word;

        while (slice_split(&rest, ' ', &word))
                if (slice_equal(word, method))
                        return true;
        return false;
}

static bool is_permitted(const struct call *c, const struct endpoint *e)
{
        bool write = e->needs == WRITE || (e->needs == READ && !is_method(c, "GET"));

        return e->needs == ANYONE || (write ? c->rq->may_write : c->rq->may_read);
}

static void handle(struct call *c)
{
        const struct localapi_request *rq = c->rq;

        if (rq->has_origin || (rq->host.len && !slice_is(rq->host, "local-tailscaled.sock"))) {
                answer_text(c, 403, "invalid localapi request");
                return;
        }
        if (slice_is(rq->path, "/server-status")) {
                buf_append_str(&c->out->body, "{}\n");
                answer(c, 200, "application/json");
                return;
        }
        if (!slice_has_prefix(rq->path, SLICE_LIT(PREFIX))) {
                answer_text(c, 404, "not found");
                return;
        }
        c->name = slice_after(rq->path, sizeof PREFIX - 1);
        const struct endpoint *e = find(c->name);
        if (!e)
                answer_text(c, 404, "not found");
        else if (!allows_method(e, rq->method))
                answer_text(c, 405, "method not allowed");
        else if (!is_permitted(c, e))
                answer_error(c, 403, "error", "access denied");
        else
                e->handle(c);
}

void localapi_handle(struct backend *b, const struct localapi_request *rq, const struct now *now,
        struct localapi_reply *out)
{
        struct call c = { .b = b, .rq = rq, .now = now, .out = out, .arena = ARENA_INIT(LOCALAPI_REPLY_MAX) };

        *out = (struct localapi_reply){ .body = BUF_INIT(LOCALAPI_REPLY_MAX) };
        handle(&c);
        if (arena_failed(&c.arena) || buf_status(&out->body) != OK) {
                buf_clear(&out->body);
                out->kind = LOCALAPI_DONE;
                answer(&c, 500, NULL);
        }
        arena_fini(&c.arena);
}

void localapi_reply_fini(struct localapi_reply *reply)
{
        buf_fini(&reply->body);
}
