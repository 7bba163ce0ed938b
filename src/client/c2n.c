#include "c2n.h"

#include "base/text.h"

/* Cuts the next line off *rest, without its line end; false if there is none. */
static bool take_line(struct slice *rest, struct slice *line)
{
        size_t end = slice_find(*rest, '\n');

        if (end == rest->len)
                return false;
        *line = slice_first(*rest, end);
        *rest = slice_after(*rest, end + 1);
        if (slice_has_suffix(*line, SLICE_LIT("\r")))
                line->len--;
        return true;
}

static enum err request_line_parse(struct slice line, struct control_c2n *out)
{
        struct slice target;
        size_t query;

        if (!slice_split(&line, ' ', &out->method) || !slice_split(&line, ' ', &target))
                return ERR_FORMAT;
        if (!out->method.len || !slice_has_prefix(target, SLICE_LIT("/")) || !slice_has_prefix(line, SLICE_LIT("HTTP/1.")))
                return ERR_FORMAT;
        query = slice_find(target, '?');
        out->path = slice_first(target, query);
        out->query = slice_after(target, query + 1);
        return OK;
}

enum err c2n_request_parse(struct slice raw, struct control_c2n *out)
{
        struct slice rest = raw, line, value;
        uint64_t body_len = 0;
        enum err e;

        *out = (struct control_c2n){ 0 };
        if (!take_line(&rest, &line))
                return ERR_SHORT;
        e = request_line_parse(line, out);
        while (!e) {
                size_t colon;

                if (!take_line(&rest, &line))
                        return ERR_SHORT;
                if (line.len == 0)
                        break;
                colon = slice_find(line, ':');
                value = slice_trim(slice_after(line, colon + 1));
                if (slice_equal_nocase(slice_first(line, colon), SLICE_LIT("Content-Length")))
                        e = parse_u64(value, SIZE_MAX, &body_len);
                else if (slice_equal_nocase(slice_first(line, colon), SLICE_LIT("Transfer-Encoding")))
                        e = ERR_UNSUPPORTED;
        }
        if (!e && body_len > rest.len)
                e = ERR_SHORT;
        if (!e)
                out->body = slice_first(rest, (size_t)body_len);
        return e;
}

static const char *reason(unsigned status)
{
        switch (status) {
        case 200: return "OK";
        case 204: return "No Content";
        case 400: return "Bad Request";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 500: return "Internal Server Error";
        case 501: return "Not Implemented";
        default: return "Status";
        }
}

void c2n_response_write(struct buf *out, unsigned status, const char *content_type, struct slice body)
{
        buf_printf(out, "HTTP/1.1 %u %s\r\nConnection: close\r\n", status, reason(status));
        if (content_type)
                buf_printf(out, "Content-Type: %s\r\n", content_type);
        buf_printf(out, "Content-Length: %zu\r\n\r\n", body.len);
        buf_append_slice(out, body);
}
