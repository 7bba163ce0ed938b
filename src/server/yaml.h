/* YAML texts through libfyaml, for config.yaml and relay maps. */
#ifndef SERVER_YAML_H
#define SERVER_YAML_H

#include <libfyaml.h>

#include "base/err.h"
#include "base/slice.h"

/* The document, to be destroyed with fy_document_destroy(); NULL with a sentence that
 * names the text. The text must outlive it. */
struct fy_document *yaml_open(const char *name, struct slice text, struct diag *diag);
/* The text of a scalar; empty for NULL and for anything else. */
struct slice yaml_text(struct fy_node *node);
/* null, ~, nothing at all, or an unquoted empty text. */
bool yaml_is_null(struct fy_node *node);

#endif
