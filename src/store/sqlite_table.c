/*
 * The tables as data: for each the list of its columns, from which the statements are
 * made and by which rows are bound and read. The two directions cannot drift apart.
 */
#include "sqlite_internal.h"

/* What the row's member is, and how it stands in the column. */
enum kind {
        INT,           /* int64_t */
        SMALL,         /* int */
        FLAG,          /* bool */
        OPTIONAL,      /* int64_t; 0 is NULL */
        TEXT,          /* struct slice */
        OPTIONAL_TEXT, /* struct slice; an empty one is NULL */
        BLOB,          /* struct slice */
        MACHINE_KEY,   /* struct public_key, as text with its prefix; what is damaged reads as zero */
        NODE_KEY,
        DISCO_KEY,
        ADDRESS,       /* struct ip_addr, as text; IP_NONE is NULL */
        ENDPOINTS,     /* struct ip_port[], see encode.c */
        PREFIXES,      /* struct ip_prefix[] */
        METHOD,        /* enum store_register_method, as a word */
};

enum change { FIXED, CHANGES }; /* whether putting a row again may change the column */

struct sqlite_column {
        const char *name;
        enum kind kind;
        enum change change;
        size_t offset, count_offset; /* the member in the row, and for arrays their length */
};

#define COLUMN(table, name, kind, change, member) { name, kind, change, offsetof(struct store_##table, member), 0 }
#define ARRAY(table, name, kind, change, member) \
        { name, kind, change, offsetof(struct store_##table, member), offsetof(struct store_##table, n_##member) }
#define TABLE(name, columns) { name, columns, sizeof(columns) / sizeof(*(columns)) }

static const struct sqlite_column users[] = {
        COLUMN(user, "id", INT, FIXED, id),
        COLUMN(user, "tailnet_id", INT, FIXED, tailnet),
        COLUMN(user, "name", TEXT, CHANGES, name),
        COLUMN(user, "display_name", TEXT, CHANGES, display_name),
        COLUMN(user, "email", TEXT, CHANGES, email),
        COLUMN(user, "provider_identifier", OPTIONAL_TEXT, CHANGES, provider_id),
        COLUMN(user, "provider", TEXT, CHANGES, provider),
        COLUMN(user, "profile_pic_url", TEXT, CHANGES, picture_url),
        COLUMN(user, "created_at", INT, FIXED, created_us),
};

static const struct sqlite_column auth_keys[] = {
        COLUMN(auth_key, "id", INT, FIXED, id),
        COLUMN(auth_key, "tailnet_id", INT, FIXED, tailnet),
        COLUMN(auth_key, "user_id", OPTIONAL, FIXED, user_id),
        COLUMN(auth_key, "prefix", TEXT, FIXED, prefix),
        COLUMN(auth_key, "hash", BLOB, FIXED, hash),
        COLUMN(auth_key, "description", TEXT, FIXED, description),
        COLUMN(auth_key, "reusable", FLAG, FIXED, reusable),
        COLUMN(auth_key, "ephemeral", FLAG, FIXED, ephemeral),
        COLUMN(auth_key, "used", FLAG, CHANGES, used),
        COLUMN(auth_key, "tags", TEXT, FIXED, tags),
        COLUMN(auth_key, "expiration", OPTIONAL, CHANGES, expires_us),
        COLUMN(auth_key, "revoked", OPTIONAL, CHANGES, revoked_us),
        COLUMN(auth_key, "created_at", INT, FIXED, created_us),
};

static const struct sqlite_column api_keys[] = {
        COLUMN(api_key, "id", INT, FIXED, id),
        COLUMN(api_key, "tailnet_id", INT, FIXED, tailnet),
        COLUMN(api_key, "user_id", OPTIONAL, FIXED, user_id),
        COLUMN(api_key, "prefix", TEXT, FIXED, prefix),
        COLUMN(api_key, "hash", BLOB, FIXED, hash),
        COLUMN(api_key, "expiration", OPTIONAL, CHANGES, expires_us),
        COLUMN(api_key, "last_seen", OPTIONAL, CHANGES, last_seen_us),
        COLUMN(api_key, "created_at", INT, FIXED, created_us),
};

static const struct sqlite_column nodes[] = {
        COLUMN(node, "id", INT, FIXED, id),
        COLUMN(node, "tailnet_id", INT, FIXED, tailnet),
        COLUMN(node, "machine_key", MACHINE_KEY, CHANGES, machine_key),
        COLUMN(node, "node_key", NODE_KEY, CHANGES, node_key),
        COLUMN(node, "disco_key", DISCO_KEY, CHANGES, disco_key),
        ARRAY(node, "endpoints", ENDPOINTS, CHANGES, endpoints),
        COLUMN(node, "host_info", TEXT, CHANGES, hostinfo),
        COLUMN(node, "ipv4", ADDRESS, CHANGES, ipv4),
        COLUMN(node, "ipv6", ADDRESS, CHANGES, ipv6),
        COLUMN(node, "hostname", TEXT, CHANGES, hostname),
        COLUMN(node, "given_name", TEXT, CHANGES, given_name),
        COLUMN(node, "user_id", OPTIONAL, CHANGES, user_id),
        COLUMN(node, "register_method", METHOD, CHANGES, method),
        COLUMN(node, "tags", TEXT, CHANGES, tags),
        COLUMN(node, "auth_key_id", OPTIONAL, CHANGES, auth_key_id),
        COLUMN(node, "ephemeral", FLAG, CHANGES, ephemeral),
        COLUMN(node, "cap_version", SMALL, CHANGES, cap_version),
        ARRAY(node, "approved_routes", PREFIXES, CHANGES, approved_routes),
        COLUMN(node, "last_seen", OPTIONAL, CHANGES, last_seen_us),
        COLUMN(node, "expiry", OPTIONAL, CHANGES, expires_us),
        COLUMN(node, "created_at", INT, FIXED, created_us),
};

static const struct sqlite_column policies[] = {
        COLUMN(policy, "id", INT, FIXED, id),
        COLUMN(policy, "tailnet_id", INT, FIXED, tailnet),
        COLUMN(policy, "data", TEXT, FIXED, data),
        COLUMN(policy, "created_at", INT, FIXED, created_us),
};

const struct sqlite_table sqlite_users = TABLE("users", users);
const struct sqlite_table sqlite_auth_keys = TABLE("pre_auth_keys", auth_keys);
const struct sqlite_table sqlite_api_keys = TABLE("api_keys", api_keys);
const struct sqlite_table sqlite_nodes = TABLE("nodes", nodes);
const struct sqlite_table sqlite_policies = TABLE("policies", policies);

/* ---- statements --------------------------------------------------------------------- */

static void put_names(const struct sqlite_table *t, struct buf *sql)
{
        for (size_t i = 0; i < t->n_columns; i++)
                buf_printf(sql, "%s%s", i ? ", " : "", t->columns[i].name);
}

void sqlite_select_sql(const struct sqlite_table *t, struct buf *sql)
{
        buf_append_str(sql, "SELECT ");
        put_names(t, sql);
        buf_printf(sql, " FROM %s ORDER BY id", t->name);
}

void sqlite_put_sql(const struct sqlite_table *t, struct buf *sql)
{
        bool any = false;

        buf_printf(sql, "INSERT INTO %s (", t->name);
        put_names(t, sql);
        buf_append_str(sql, ") VALUES (");
        for (size_t i = 0; i < t->n_columns; i++)
                buf_append_str(sql, i ? ",?" : "?");
        buf_append_str(sql, ")");
        for (size_t i = 0; i < t->n_columns; i++) {
                const char *name = t->columns[i].name;
                if (t->columns[i].change == FIXED)
                        continue;
                buf_printf(sql, "%s%s = excluded.%s", any ? ", " : " ON CONFLICT (id) DO UPDATE SET ", name, name);
                any = true;
        }
}

/* ---- words for enums ---------------------------------------------------------------- */

static const char *method_text(enum store_register_method method)
{
        switch (method) {
        case STORE_REGISTER_AUTH_KEY:
                return "authkey";
        case STORE_REGISTER_CLI:
                return "cli";
        case STORE_REGISTER_OIDC:
                break;
        }
        return "oidc";
}

static enum store_register_method method_of(struct slice text)
{
        if (slice_is(text, "authkey"))
                return STORE_REGISTER_AUTH_KEY;
        return slice_is(text, "oidc") ? STORE_REGISTER_OIDC : STORE_REGISTER_CLI;
}

static const char *key_prefix(enum kind kind)
{
        return kind == MACHINE_KEY ? "mkey:" : kind == NODE_KEY ? "nodekey:" : "discokey:";
}

/* ---- a row into columns ---------------------------------------------------------------- */

static int bind_text(sqlite3_stmt *stmt, int at, struct slice s)
{
        return sqlite3_bind_text64(stmt, at, s.ptr ? (const char *)s.ptr : "", s.len, SQLITE_TRANSIENT, SQLITE_UTF8);
}

static int bind_optional(sqlite3_stmt *stmt, int at, int64_t v)
{
        return v ? sqlite3_bind_int64(stmt, at, v) : sqlite3_bind_null(stmt, at);
}

static int bind_key(sqlite3_stmt *stmt, int at, const char *prefix, const struct public_key *key)
{
        char text[KEY_TEXT_MAX];

        return bind_text(stmt, at, slice_make(text, key_format(prefix, key, text)));
}

static int bind_address(sqlite3_stmt *stmt, int at, const struct ip_addr *ip)
{
        char text[IP_TEXT_MAX];

        return ip_valid(ip) ? bind_text(stmt, at, slice_make(text, ip_format(ip, text))) : sqlite3_bind_null(stmt, at);
}

static int bind_array(sqlite3_stmt *stmt, int at, enum kind kind, const void *items, size_t n)
{
        struct buf list = BUF_INIT(1 << 20);
        int rc = SQLITE_TOOBIG;

        if (kind == ENDPOINTS)
                encode_endpoints(&list, items, n);
        else
                encode_prefixes(&list, items, n);
        if (buf_status(&list) == OK)
                rc = bind_text(stmt, at, buf_slice(&list));
        buf_fini(&list);
        return rc;
}

static int bind_column(sqlite3_stmt *stmt, int at, const struct sqlite_column *c, const void *row)
{
        const void *member = (const uint8_t *)row + c->offset;
        const struct slice *text = member;

        switch (c->kind) {
        case INT:
                return sqlite3_bind_int64(stmt, at, *(const int64_t *)member);
        case SMALL:
                return sqlite3_bind_int64(stmt, at, *(const int *)member);
        case FLAG:
                return sqlite3_bind_int64(stmt, at, *(const bool *)member);
        case OPTIONAL:
                return bind_optional(stmt, at, *(const int64_t *)member);
        case TEXT:
                return bind_text(stmt, at, *text);
        case OPTIONAL_TEXT:
                return text->len ? bind_text(stmt, at, *text) : sqlite3_bind_null(stmt, at);
        case BLOB:
                return sqlite3_bind_blob64(stmt, at, text->ptr, text->len, SQLITE_TRANSIENT);
        case MACHINE_KEY:
        case NODE_KEY:
        case DISCO_KEY:
                return bind_key(stmt, at, key_prefix(c->kind), member);
        case ADDRESS:
                return bind_address(stmt, at, member);
        case ENDPOINTS:
        case PREFIXES:
                return bind_array(stmt, at, c->kind, *(const void *const *)member,
                        *(const size_t *)((const uint8_t *)row + c->count_offset));
        case METHOD:
                return bind_text(stmt, at, slice_str(method_text(*(const enum store_register_method *)member)));
        }
        return SQLITE_MISUSE;
}

enum err sqlite_bind_row(sqlite3_stmt *stmt, const struct sqlite_table *t, const void *row)
{
        for (size_t i = 0; i < t->n_columns; i++)
                if (bind_column(stmt, (int)i + 1, &t->columns[i], row) != SQLITE_OK)
                        return ERR_SYS;
        return OK;
}

/* ---- columns into a row ------------------------------------------------------------------ */

static struct slice column_bytes(sqlite3_stmt *stmt, int at)
{
        const void *bytes = sqlite3_column_blob(stmt, at);

        return slice_make(bytes, bytes ? (size_t)sqlite3_column_bytes(stmt, at) : 0);
}

static enum err read_column(sqlite3_stmt *stmt, int at, const struct sqlite_column *c, struct arena *a, void *row)
{
        void *member = (uint8_t *)row + c->offset;
        size_t *count = (size_t *)((uint8_t *)row + c->count_offset);

        switch (c->kind) {
        case INT:
        case OPTIONAL: /* NULL reads as 0 */
                *(int64_t *)member = sqlite3_column_int64(stmt, at);
                return OK;
        case SMALL:
                *(int *)member = sqlite3_column_int(stmt, at);
                return OK;
        case FLAG:
                *(bool *)member = sqlite3_column_int64(stmt, at) != 0;
                return OK;
        case TEXT:
        case OPTIONAL_TEXT:
        case BLOB:
                *(struct slice *)member = column_bytes(stmt, at);
                return OK;
        case MACHINE_KEY:
        case NODE_KEY:
        case DISCO_KEY:
                if (key_parse(key_prefix(c->kind), column_bytes(stmt, at), member) != OK)
                        *(struct public_key *)member = (struct public_key){ 0 };
                return OK;
        case ADDRESS:
                if (ip_parse(column_bytes(stmt, at), member) != OK)
                        *(struct ip_addr *)member = (struct ip_addr){ 0 };
                return OK;
        case ENDPOINTS:
                return decode_endpoints(a, column_bytes(stmt, at), member, count);
        case PREFIXES:
                return decode_prefixes(a, column_bytes(stmt, at), member, count);
        case METHOD:
                *(enum store_register_method *)member = method_of(column_bytes(stmt, at));
                return OK;
        }
        return ERR_STATE;
}

enum err sqlite_read_row(sqlite3_stmt *stmt, const struct sqlite_table *t, struct arena *a, void *row)
{
        for (size_t i = 0; i < t->n_columns; i++) {
                enum err e = read_column(stmt, (int)i, &t->columns[i], a, row);
                if (e != OK)
                        return e;
        }
        return OK;
}
