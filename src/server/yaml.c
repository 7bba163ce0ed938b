/* What libfyaml needs around it. */
#include "yaml.h"

#include "base/buf.h"
#include "base/text.h"

/* libfyaml 0.7.12 never returns from some directives ("%" and bytes that are no
 * UTF-8); nobody writes directives into such files, so lines with them are refused. */
static const char *objection(struct slice text)
{
        bool line_begins = true;

        if (!utf8_valid(text))
                return "it is not UTF-8";
        for (size_t i = 0; i < text.len; i++) {
                uint8_t c = text.ptr[i];
                if (c == '\0')
                        return "it has a NUL byte";
                if (c == '%' && line_begins)
                        return "a line begins with '%'";
                line_begins = c == '\n' || c == '\r';
        }
        return NULL;
}

/* Keeps the first line of what the library complains about. */
static void collect(struct fy_diag *d, void *user, const char *text, size_t len)
{
        struct buf *out = user;
        struct slice line = slice_make(text, len);

        (void)d;
        if (out->len == 0)
                buf_append_slice(out, slice_trim(slice_first(line, slice_find(line, '\n'))));
}

struct fy_document *yaml_open(const char *name, struct slice text, struct diag *diag)
{
        const char *wrong = objection(text);
        struct buf message = BUF_INIT(400);
        struct fy_diag_cfg diag_cfg;
        struct fy_document *doc = NULL;

        if (wrong) {
                (void)diag_set(diag, ERR_FORMAT, "%s is not valid YAML: %s", name, wrong);
                return NULL;
        }
        fy_diag_cfg_default(&diag_cfg);
        diag_cfg.fp = NULL;
        diag_cfg.output_fn = collect;
        diag_cfg.user = &message;
        diag_cfg.colorize = false;
        struct fy_diag *errors = fy_diag_create(&diag_cfg);
        if (errors) {
                struct fy_parse_cfg cfg = { .diag = errors };
                doc = fy_document_build_from_string(&cfg, (const char *)text.ptr, text.len);
        }
        if (!doc)
                (void)diag_set(diag, ERR_FORMAT, "%s is not valid YAML: %s", name, buf_cstr(&message));
        fy_diag_destroy(errors);
        buf_fini(&message);
        return doc;
}

struct slice yaml_text(struct fy_node *node)
{
        size_t len = 0;
        const char *text = node ? fy_node_get_scalar(node, &len) : NULL;

        return slice_make(text, text ? len : 0);
}

bool yaml_is_null(struct fy_node *node)
{
        struct slice text;

        if (!node)
                return true;
        if (!fy_node_is_scalar(node) || fy_node_get_style(node) != FYNS_PLAIN)
                return false;
        text = yaml_text(node);
        return text.len == 0 || slice_is(text, "~") || slice_equal_nocase(text, SLICE_LIT("null"));
}
