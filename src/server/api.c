/* Routing, bodies, queries and errors of the REST API. */
#include <stdlib.h>

#include "api.h"
#include "base/text.h"

/* ---- answers --------------------------------------------------------------------- */

static void answer(struct api_request *r, int status, const char *type)
{
        if (buf_status(&r->out) != OK) {
                buf_clear(&r->out);
                status = 500;
        }
        hold_reply(r->s, r->call, FORM_API,
                &(struct server_reply){ .status = status, .content_type = type, .body = buf_slice(&r->out) });
}

static const char *status_title(int status)
{
        switch (status) {
        case 400:
                return "Bad Request";
        case 404:
                return "Not Found";
        case 405:
                return "Method Not Allowed";
        case 409:
                return "Conflict";
        case 422:
                return "Unprocessable Entity";
        case 501:
                return "Not Implemented";
        default:
                return "Internal Server Error";
        }
}

void api_fail(struct api_request *r, int status, const char *message)
{
        struct json_writer *w = &r->json;

        buf_clear(&r->out);
        json_writer_init(w, &r->out, NULL);
        json_object_open(w);
        json_field_str(w, "title", status_title(status));
        json_field_i64(w, "status", status);
        json_field_str(w, "detail", r->doing);
        json_name(w, "errors");
        json_array_open(w);
        json_object_open(w);
        json_field_str(w, "message", message);
        json_object_close(w);
        json_array_close(w);
        json_object_close(w);
        answer(r, status, "application/problem+json");
}

void api_fail_diag(struct api_request *r, int status, const struct diag *diag)
{
        api_fail(r, status, diag->text);
}

void api_done(struct api_request *r) { answer(r, 200, "application/json"); }

void api_done_empty(struct api_request *r)
{
        json_object_open(&r->json);
        json_object_close(&r->json);
        api_done(r);
}

/* ---- requests ---------------------------------------------------------------------- */

bool api_is(const struct api_request *r, const char *method) { return slice_is(r->method, method); }

/* Percent-decoding; `plus` also turns '+' into a space, as in queries. */
static bool unescape(struct arena *a, struct slice in, bool plus, struct slice *out)
{
        uint8_t *text = arena_alloc(a, in.len + 1);
        size_t n = 0;

        if (!text)
                return false;
        for (size_t i = 0; i < in.len; i++) {
                text[n] = in.ptr[i];
                if (plus && in.ptr[i] == '+') {
                        text[n] = ' ';
                } else if (in.ptr[i] == '%') {
                        if (i + 2 >= in.len || hex_decode(slice_make(in.ptr + i + 1, 2), &text[n], 1) != OK)
                                return false;
                        i += 2;
                }
                n++;
        }
        *out = slice_make(text, n);
        return true;
}

bool api_query(struct api_request *r, const char *name, struct slice *value)
{
        struct slice rest = r->query, field;

        while (slice_split(&rest, '&', &field)) {
                size_t eq = slice_find(field, '=');
                if (slice_is(slice_first(field, eq), name))
                        return unescape(
                                &r->arena, slice_after(field, eq + 1 > field.len ? eq : eq + 1), true, value);
        }
        return false;
}

bool api_id(struct api_request *r, struct slice text, int64_t *id)
{
        uint64_t value;

        if (parse_u64(text, INT64_MAX, &value) != OK) {
                api_fail(r, 400, "the id is not a number");
                return false;
        }
        *id = (int64_t)value;
        return true;
}

static void read_time(struct json_reader *j, struct api_time *out)
{
        struct slice text = json_string(j);
        int64_t ns = 0;

        if (rfc3339_parse(text, &ns) != OK)
                json_fail(j, ERR_FORMAT, "not a time in RFC 3339 form");
        *out = (struct api_time){ true, ns == UNIX_ZERO_DATE || ns / 1000 < 1 ? 1 : ns / 1000 };
}

static void read_list(struct json_reader *j, struct arena *a, struct tailcfg_strings *out)
{
        enum { LIST_MAX = 1024 };
        struct slice *items = ARENA_ARRAY(a, LIST_MAX, struct slice);
        size_t n = 0;

        json_array_begin(j);
        while (json_element(j)) {
                struct slice item = json_string(j);
                if (!items || n == LIST_MAX)
                        json_fail(j, ERR_LIMIT, "too many items");
                else
                        items[n++] = item;
        }
        *out = (struct tailcfg_strings){ items, n };
}

/* Ids come as strings, numbers are taken too; empty is 0. */
static int64_t read_id(struct json_reader *j)
{
        uint64_t value = 0;

        if (json_peek(j) == JSON_NUMBER)
                return json_i64(j);
        struct slice text = json_string(j);
        if (text.len && parse_u64(text, INT64_MAX, &value) != OK)
                json_fail(j, ERR_FORMAT, "the id is not a number");
        return (int64_t)value;
}

static void read_field(struct json_reader *j, struct arena *a, const struct api_field *f)
{
        if (json_take_null(j))
                return;
        switch (f->type) {
        case API_TEXT:
                *(struct slice *)f->out = json_string(j);
                return;
        case API_BOOL:
                *(bool *)f->out = json_bool(j);
                return;
        case API_ID:
                *(int64_t *)f->out = read_id(j);
                return;
        case API_TIME:
                read_time(j, f->out);
                return;
        case API_LIST:
                read_list(j, a, f->out);
                return;
        }
}

bool api_body(struct api_request *r, const struct api_field *fields, size_t n)
{
        struct json_reader j;
        struct slice name;
        bool unknown = false;

        if (slice_trim(r->body).len == 0)
                return true;
        json_reader_init(&j, r->body, &r->arena);
        json_object_begin(&j);
        while (json_member(&j, &name)) {
                size_t i = 0;
                while (i < n && !slice_is(name, fields[i].name))
                        i++;
                if (i < n) {
                        read_field(&j, &r->arena, &fields[i]);
                } else {
                        unknown = true;
                        json_skip(&j);
                }
        }
        if (json_finish(&j) != OK) {
                api_fail(r, 400, j.error ? j.error : "the body is not the JSON object expected");
                return false;
        }
        if (unknown)
                api_fail(r, 422, "the body has a property that is not known here");
        return !unknown;
}

/* ---- writing ------------------------------------------------------------------------- */

void api_name_id(struct json_writer *w, const char *name, int64_t id)
{
        struct buf text = BUF_INIT(32);

        buf_printf(&text, "%lld", (long long)id);
        json_field_slice(w, name, buf_slice(&text));
        buf_fini(&text);
}

void api_name_time_or_zero(struct json_writer *w, const char *name, int64_t us)
{
        char text[40];

        rfc3339_format(us > 1 ? us * 1000 : UNIX_ZERO_DATE, text);
        json_field_str(w, name, text);
}

void api_name_time(struct json_writer *w, const char *name, int64_t us)
{
        if (us) {
                api_name_time_or_zero(w, name, us);
        } else {
                json_name(w, name);
                json_put_null(w);
        }
}

void api_name_tags(struct json_writer *w, const char *name, struct slice tags)
{
        struct slice tag;

        json_name(w, name);
        json_array_open(w);
        while (tags.len && slice_split(&tags, ',', &tag))
                json_put_string(w, tag);
        json_array_close(w);
}

static int compare_slices(const void *a, const void *b)
{
        return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

bool api_tags(struct api_request *r, const struct tailcfg_strings *tags, struct slice *out)
{
        struct slice *sorted = ARENA_ARRAY(&r->arena, tags->count + 1, struct slice);
        struct buf text = BUF_INIT(64 << 10);

        if (!sorted) {
                api_fail(r, 500, "out of memory");
                return false;
        }
        for (size_t i = 0; i < tags->count; i++) {
                sorted[i] = tags->items[i];
                if (!name_is_tag(sorted[i])) {
                        api_fail(
                                r, 400, "a tag is \"tag:\" and a lower-case name of letters, digits and '-'");
                        return false;
                }
        }
        qsort(sorted, tags->count, sizeof(sorted[0]), compare_slices);
        for (size_t i = 0; i < tags->count; i++) {
                if (i == 0 || !slice_equal(sorted[i], sorted[i - 1]))
                        buf_printf(&text, "%s%.*s", text.len ? "," : "", SLICE_ARGS(sorted[i]));
        }
        *out = arena_copy(&r->arena, buf_slice(&text));
        buf_fini(&text);
        return true;
}

/* ---- routing --------------------------------------------------------------------------- */

static void api_health(struct api_request *r)
{
        r->doing = "checking the database";
        if (server_health(r->s) != OK) {
                api_fail(r, 500, "the database does not accept changes");
                return;
        }
        json_object_open(&r->json);
        json_field_bool(&r->json, "databaseConnectivity", true);
        json_object_close(&r->json);
        api_done(r);
}

static const struct {
        const char *name;
        void (*handle)(struct api_request *r);
} resources[] = {
        { "health", api_health },
        { "user", api_users },
        { "preauthkey", api_preauthkeys },
        { "apikey", api_apikeys },
        { "node", api_nodes },
        { "auth", api_auth },
        { "policy", api_policy },
};

static bool split_path(struct api_request *r, struct slice path)
{
        struct slice base = SLICE_LIT("/api/v1/"), part;

        if (!slice_has_prefix(path, base))
                return false;
        path = slice_after(path, base.len);
        while (path.len && slice_split(&path, '/', &part)) {
                if (r->n_segments == API_SEGMENTS ||
                        !unescape(&r->arena, part, false, &r->segment[r->n_segments++]))
                        return false;
        }
        return r->n_segments > 0;
}

static void route(struct api_request *r, struct slice path)
{
        if (split_path(r, path)) {
                for (size_t i = 0; i < sizeof(resources) / sizeof(resources[0]); i++) {
                        if (slice_is(r->segment[0], resources[i].name)) {
                                resources[i].handle(r);
                                return;
                        }
                }
        }
        api_fail(r, 404, "there is no such path in API version 1");
}

void server_api(struct server *s, const struct now *now, struct slice method, struct slice path,
        struct slice query, struct slice body, struct server_call *call)
{
        struct api_request r = {
                .s = s,
                .call = call,
                .method = method,
                .query = query,
                .body = body,
                .doing = "routing the request",
                .arena = ARENA_INIT(16 << 20), /* a policy, unescaped */
                .out = BUF_INIT(64 << 20),
        };

        s->now = *now;
        json_writer_init(&r.json, &r.out, NULL);
        route(&r, path);
        buf_wipe(&r.out); /* may hold a new key */
        arena_fini(&r.arena);
}
