#include "policy/hujson.h"

#include "base/text.h"

/* The end of the string that begins at i, behind its quote; text.len if it has none. */
static size_t string_end(struct slice text, size_t i)
{
        for (i++; i < text.len; i++) {
                if (text.ptr[i] == '\\')
                        i++;
                else if (text.ptr[i] == '"')
                        return i + 1;
        }
        return text.len;
}

/* The end of the comment that begins at i; 0 if it is not ended. The newline after
 * a line comment belongs to it. */
static size_t comment_end(struct slice text, size_t i)
{
        bool is_line = text.ptr[i + 1] == '/';

        for (i += 2; i < text.len; i++) {
                if (is_line && text.ptr[i] == '\n')
                        return i + 1;
                if (!is_line && text.ptr[i] == '*' && i + 1 < text.len && text.ptr[i + 1] == '/')
                        return i + 2;
        }
        return 0;
}

static bool is_space(uint8_t c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
static bool is_comment(struct slice t, size_t i)
{
        return t.ptr[i] == '/' && i + 1 < t.len && (t.ptr[i + 1] == '/' || t.ptr[i + 1] == '*');
}

enum err hujson_to_json(struct slice text, uint8_t *out, size_t *error_pos, const char **why)
{
        uint8_t last = 0, before_comma = 0; /* the last token's last byte, and the one before a comma */
        size_t comma = 0;

        if (text.len)
                memcpy(out, text.ptr, text.len);
        for (size_t i = 0; i < text.len;) {
                uint8_t c = text.ptr[i];
                if (is_space(c)) {
                        i++;
                        continue;
                }
                if (is_comment(text, i)) {
                        size_t end = comment_end(text, i);
                        *error_pos = i;
                        *why = end ? "the comment is not valid UTF-8"
                                   : "unexpected EOF: the comment is not ended";
                        if (!end)
                                return ERR_SHORT;
                        if (!utf8_valid(slice_make(text.ptr + i, end - i)))
                                return ERR_FORMAT;
                        for (; i < end; i++)
                                if (!is_space(out[i]))
                                        out[i] = ' ';
                        continue;
                }
                if ((c == '}' || c == ']') && last == ',' && before_comma && before_comma != ',' &&
                        before_comma != '[' && before_comma != '{' && before_comma != ':')
                        out[comma] = ' ';
                if (c == ',') {
                        before_comma = last;
                        comma = i;
                }
                last = c;
                i = c == '"' ? string_end(text, i) : i + 1;
        }
        return OK;
}
