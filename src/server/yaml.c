/* What libfyaml needs around it. */
#include "yaml.h"

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

/* The first complaint is the cause; the others follow from it. The library names the
 * text by its address and draws a picture of the line: we keep position and sentence. */
static void explain(struct fy_diag *errors, const char *name, struct diag *diag)
{
        void *at = NULL;
        const struct fy_diag_error *e = errors ? fy_diag_errors_iterate(errors, &at) : NULL;

        if (!e)
                (void)diag_set(diag, ERR_FORMAT, "%s is not valid YAML", name);
        else if (e->line <= 0)
                (void)diag_set(diag, ERR_FORMAT, "%s is not valid YAML: %s", name, e->msg);
        else
                (void)diag_set(diag, ERR_FORMAT, "%s is not valid YAML: line %d, column %d: %s", name, e->line,
                        e->column, e->msg);
}

struct fy_document *yaml_open(const char *name, struct slice text, struct diag *diag)
{
        const char *wrong = objection(text);
        struct fy_document *doc = NULL;
        struct fy_diag_cfg diag_cfg;
        struct fy_diag *errors;

        if (wrong) {
                (void)diag_set(diag, ERR_FORMAT, "%s is not valid YAML: %s", name, wrong);
                return NULL;
        }
        fy_diag_cfg_default(&diag_cfg);
        diag_cfg.fp = NULL;
        errors = fy_diag_create(&diag_cfg);
        if (errors) {
                struct fy_parse_cfg cfg = { .diag = errors };
                fy_diag_set_collect_errors(errors, true);
                doc = fy_document_build_from_string(&cfg, (const char *)text.ptr, text.len);
        }
        if (!doc)
                explain(errors, name, diag);
        fy_diag_destroy(errors);
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
