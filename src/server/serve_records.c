/* dns.extra_records_path: names that nodes resolve besides each other's, as a JSON file
 * that is read again when it changes. */
#include "base/buf.h"
#include "json/reader.h"
#include "serve.h"

enum { FILE_MAX_BYTES = 4 << 20, RECORDS_MAX = 10000 };

static struct server_dns_record read_record(struct json_reader *r)
{
        struct server_dns_record record = { 0 };
        struct slice name;

        json_object_begin(r);
        while (json_member(r, &name)) {
                if (slice_equal_nocase(name, SLICE_LIT("name")))
                        record.name = json_string(r);
                else if (slice_equal_nocase(name, SLICE_LIT("type")))
                        record.type = json_take_null(r) ? (struct slice){ 0 } : json_string(r);
                else if (slice_equal_nocase(name, SLICE_LIT("value")))
                        record.value = json_string(r);
                else
                        json_skip(r);
        }
        if (record.name.len == 0 || record.value.len == 0)
                json_fail(r, ERR_FORMAT, "a record needs a name and a value");
        return record;
}

enum err records_parse(
        struct slice text, struct arena *a, struct server_dns_record **out, size_t *count, struct diag *diag)
{
        struct json_reader r;

        *count = 0;
        *out = ARENA_ARRAY(a, RECORDS_MAX, struct server_dns_record);
        if (!*out)
                return diag_set(diag, ERR_NOMEM, "out of memory");
        json_reader_init(&r, text, a);
        json_array_begin(&r);
        while (json_element(&r)) {
                if (*count == RECORDS_MAX)
                        json_fail(&r, ERR_LIMIT, "there are more than 10000 records");
                else
                        (*out)[(*count)++] = read_record(&r);
        }
        enum err e = json_finish(&r);
        if (e != OK)
                return diag_set(diag, e,
                        "it must be JSON of the form [{\"name\": \"a.example.com\", \"type\": \"A\", \"value\": "
                        "\"100.64.0.1\"}]: %s at byte %zu",
                        r.error ? r.error : "not valid", r.error_pos);
        return OK;
}

/* Reads the file and tells the nodes. An empty one is a file that is just being
 * written: it changes nothing. */
static enum err take_file(struct serve *sv, struct diag *diag)
{
        const char *path = sv->config->extra_records_path;
        struct buf text = BUF_INIT(FILE_MAX_BYTES);
        struct arena a = ARENA_INIT(64 << 20);
        struct server_dns_record *records;
        struct now now = net_loop_now(sv->loop);
        struct diag why;
        size_t count;
        enum err e = serve_file_read("dns.extra_records_path", path, &text, diag);

        if (e == OK && slice_trim(buf_slice(&text)).len) {
                e = records_parse(buf_slice(&text), &a, &records, &count, &why);
                if (e == OK)
                        e = server_set_extra_records(sv->server, &now, records, count);
                if (e != OK)
                        (void)diag_set(diag, e, "dns.extra_records_path: %s: %s", path,
                                e == ERR_NOMEM ? "out of memory" : why.text);
        }
        arena_fini(&a);
        buf_fini(&text);
        return e;
}

void serve_records_reload(struct serve *sv)
{
        struct diag diag;

        if (!*sv->config->extra_records_path)
                return;
        if (take_file(sv, &diag) != OK)
                log_error(&serve_log, "the extra DNS records stay as they were", "why=\"%s\"", diag.text);
        serve_rearm(sv);
}

static void changed(void *ctx) { serve_records_reload(ctx); }

enum err serve_records_start(struct serve *sv, struct diag *diag)
{
        if (!*sv->config->extra_records_path)
                return OK;
        enum err e = take_file(sv, diag);
        if (e == OK)
                serve_file_watch(&sv->records_watch, sv->loop, sv->config->extra_records_path, changed, sv);
        return e;
}
