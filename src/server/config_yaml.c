/*
 * The YAML text, walked key by key with its dotted name ("dns.base_domain"). Names are
 * compared without case, as headscale's reader does; keys of maps that are data (the
 * domains of dns.nameservers.split) are lower-cased.
 */
#include <stdio.h>

#include "base/buf.h"
#include "config_internal.h"
#include "yaml.h"

enum { NAME_MAX_LEN = 256, DEPTH_MAX = 8, ITEMS_MAX = 4096 };

struct walk {
        struct config *c;
        struct diag *diag;
};

static enum err read_items(
        struct walk *w, const char *name, struct fy_node *node, const struct slice **items, size_t *n)
{
        int count = fy_node_is_sequence(node) ? fy_node_sequence_item_count(node) : 1;

        if (count < 0 || count > ITEMS_MAX || fy_node_is_mapping(node))
                return diag_set(w->diag, ERR_FORMAT, "%s must be a list of texts", name);
        struct slice *out = ARENA_ARRAY(&w->c->arena, (size_t)count + 1, struct slice);
        if (!out)
                return ERR_NOMEM;
        *n = 0;
        for (int i = 0; i < count; i++) {
                struct fy_node *item =
                        fy_node_is_sequence(node) ? fy_node_sequence_get_by_index(node, i) : node;
                if (!item || !fy_node_is_scalar(item))
                        return diag_set(w->diag, ERR_FORMAT, "%s must be a list of texts", name);
                if (yaml_text(item).len)
                        out[(*n)++] = arena_copy(&w->c->arena, yaml_text(item));
        }
        *items = out;
        return OK;
}

static struct slice lower_copy(struct arena *a, struct slice s)
{
        struct slice copy = arena_copy(a, s);
        uint8_t *bytes = (uint8_t *)copy.ptr;

        for (size_t i = 0; bytes && i < copy.len; i++) {
                if (bytes[i] >= 'A' && bytes[i] <= 'Z')
                        bytes[i] = (uint8_t)(bytes[i] + 32);
        }
        return copy;
}

static enum err read_split(struct walk *w, struct fy_node *node)
{
        struct config *c = w->c;
        struct fy_node_pair *pair;
        void *iter = NULL;
        int count = fy_node_is_mapping(node) ? fy_node_mapping_item_count(node) : -1;

        if (count < 0 || count > ITEMS_MAX)
                return diag_set(
                        w->diag, ERR_FORMAT, "dns.nameservers.split must map domains to lists of servers");
        c->split = ARENA_ARRAY(&c->arena, (size_t)count + 1, struct server_split_dns);
        c->n_split = 0;
        while (c->split && (pair = fy_node_mapping_iterate(node, &iter)) != NULL) {
                struct server_split_dns *split = &c->split[c->n_split++];
                split->domain = lower_copy(&c->arena, yaml_text(fy_node_pair_key(pair)));
                if (yaml_is_null(fy_node_pair_value(pair)))
                        continue;
                enum err e = read_items(w, "dns.nameservers.split", fy_node_pair_value(pair),
                        &split->nameservers, &split->n_nameservers);
                if (e != OK)
                        return e;
        }
        return OK;
}

static struct slice field(struct config *c, struct fy_node *record, const char *name)
{
        return arena_copy(&c->arena, yaml_text(fy_node_mapping_lookup_by_string(record, name, FY_NT)));
}

static enum err read_records(struct walk *w, struct fy_node *node)
{
        struct config *c = w->c;
        int count = fy_node_is_sequence(node) ? fy_node_sequence_item_count(node) : -1;

        if (count < 0 || count > ITEMS_MAX)
                return diag_set(
                        w->diag, ERR_FORMAT, "dns.extra_records must be a list of {name, type, value}");
        c->extra_records = ARENA_ARRAY(&c->arena, (size_t)count + 1, struct server_dns_record);
        c->n_extra_records = 0;
        for (int i = 0; c->extra_records && i < count; i++) {
                struct fy_node *record = fy_node_sequence_get_by_index(node, i);
                if (!record || !fy_node_is_mapping(record))
                        return diag_set(w->diag, ERR_FORMAT,
                                "dns.extra_records must be a list of {name, type, value}");
                c->extra_records[c->n_extra_records++] = (struct server_dns_record){ field(c, record, "name"),
                        field(c, record, "type"), field(c, record, "value") };
        }
        return OK;
}

static enum err read_value(struct walk *w, const struct config_key *key, struct fy_node *node)
{
        const struct slice *items;
        size_t n, i = (size_t)(key - config_keys);
        enum err e;

        if (yaml_is_null(node))
                return OK;
        w->c->seen[i / 64] |= 1ULL << i % 64;
        switch (key->type) {
        case CONFIG_ANY:
                return OK;
        case CONFIG_SPLIT:
                return read_split(w, node);
        case CONFIG_RECORDS:
                return read_records(w, node);
        case CONFIG_LIST:
                e = read_items(w, key->name, node, &items, &n);
                if (e == OK)
                        config_set_list(w->c, key, items, n);
                return e;
        case CONFIG_TEXT:
        case CONFIG_BOOL:
        case CONFIG_INT:
        case CONFIG_DURATION:
        case CONFIG_PROM:
                break;
        }
        if (!fy_node_is_scalar(node))
                return diag_set(w->diag, ERR_FORMAT, "%s must be a single value", key->name);
        return config_set_text(w->c, key, yaml_text(node), w->diag);
}

static const struct config_removed *find_removed(struct slice name)
{
        for (size_t i = 0; i < n_config_removed; i++) {
                if (slice_equal_nocase(slice_str(config_removed[i].name), name))
                        return &config_removed[i];
        }
        return NULL;
}

/* Removed keys are listed together, so that one run names all of them. */
enum { REMOVED_MAX = 32 };
struct removed_list {
        const struct config_removed *items[REMOVED_MAX];
        size_t n;
};

static enum err walk_mapping(
        struct walk *w, struct fy_node *map, const char *prefix, unsigned depth, struct removed_list *removed)
{
        struct fy_node_pair *pair;
        void *iter = NULL;
        enum err e = OK;

        while (e == OK && (pair = fy_node_mapping_iterate(map, &iter)) != NULL) {
                char name[NAME_MAX_LEN];
                struct fy_node *value = fy_node_pair_value(pair);
                int len = snprintf(name, sizeof(name), "%s%s%.*s", prefix, *prefix ? "." : "",
                        SLICE_ARGS(slice_first(yaml_text(fy_node_pair_key(pair)), NAME_MAX_LEN)));
                if (len < 0 || (size_t)len >= sizeof(name))
                        return diag_set(w->diag, ERR_FORMAT, "a key of the config file is too long");
                struct slice text = slice_make(name, (size_t)len);
                const struct config_key *key = config_key_find(text);
                if (key)
                        e = read_value(w, key, value);
                else if (find_removed(text) && removed->n < REMOVED_MAX)
                        removed->items[removed->n++] = find_removed(text);
                else if (value && fy_node_is_mapping(value) && config_is_section(text) && depth < DEPTH_MAX)
                        e = walk_mapping(w, value, name, depth + 1, removed);
                else if (!(config_is_section(text) && yaml_is_null(value)))
                        config_warn(w->c, "the config file has an unknown key, which is ignored: %s", name);
        }
        return e;
}

/* An old key beside its replacement is a warning, alone it is an error. */
static enum err judge_removed(struct walk *w, const struct removed_list *removed)
{
        struct buf fatal = BUF_INIT(400), harmless = BUF_INIT(400);
        enum err e = OK;

        for (size_t i = 0; i < removed->n; i++) {
                const struct config_removed *key = removed->items[i];
                bool excused = key->unless_set && config_was_set(w->c, key->unless_set);
                struct buf *out = excused ? &harmless : &fatal;
                buf_printf(out, "%s%s (%s)", out->len ? "; " : "", key->name, key->advice);
        }
        if (harmless.len)
                config_warn(w->c, "the config file has keys that no longer exist: %s", buf_cstr(&harmless));
        if (fatal.len)
                e = diag_set(w->diag, ERR_UNSUPPORTED, "the config file has keys that no longer exist: %s",
                        buf_cstr(&fatal));
        buf_fini(&fatal);
        buf_fini(&harmless);
        return e;
}

static enum err walk_document(struct walk *w, struct fy_document *doc)
{
        struct removed_list removed = { .n = 0 };
        struct fy_node *root = fy_document_root(doc);
        enum err e;

        if (!root || yaml_is_null(root))
                return OK;
        if (!fy_node_is_mapping(root))
                return diag_set(
                        w->diag, ERR_FORMAT, "the config file must be a YAML mapping of keys to values");
        e = walk_mapping(w, root, "", 0, &removed);
        return e == OK ? judge_removed(w, &removed) : e;
}

enum err config_read_yaml(struct config *c, struct slice text, struct diag *diag)
{
        struct walk w = { c, diag };
        struct fy_document *doc = yaml_open(*c->path ? c->path : "the config file", text, diag);

        if (!doc)
                return ERR_FORMAT;
        enum err e = walk_document(&w, doc);
        fy_document_destroy(doc);
        return e;
}
