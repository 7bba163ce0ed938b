/*
 * The REST API, version 1 (spec/server.md 3): requests of an administrator, parsed,
 * done through the journal and answered in the shapes that headscale's clients know.
 * Ids are decimal strings, lists are never null, absent objects and times are.
 */
#ifndef SERVER_API_H
#define SERVER_API_H

#include "state.h"

enum { API_SEGMENTS = 6 };

struct api_request {
        struct server *s;
        struct server_call *call;
        struct slice method, query, body;
        struct slice segment[API_SEGMENTS]; /* of the path after /api/v1/, decoded */
        size_t n_segments;
        const char *doing; /* "renaming node": what an error's detail says */
        struct arena arena;
        struct buf out;
        struct json_writer json;
};

/* ---- api.c ---------------------------------------------------------------------- */

/* The problem in RFC 9457 form; message is a sentence. */
void api_fail(struct api_request *r, int status, const char *message);
void api_fail_diag(struct api_request *r, int status, const struct diag *diag);
/* 200 with what was written to r->json. */
void api_done(struct api_request *r);
/* 200 with {}. */
void api_done_empty(struct api_request *r);
bool api_is(const struct api_request *r, const char *method);
/* A query parameter, decoded; false if absent. */
bool api_query(struct api_request *r, const char *name, struct slice *value);
/* A decimal id; otherwise answers 400. */
bool api_id(struct api_request *r, struct slice text, int64_t *id);

enum api_field_type { API_TEXT, API_BOOL, API_ID, API_TIME, API_LIST };
struct api_time {
        bool set;
        int64_t us; /* the zero date is 1, long past */
};
struct api_field {
        const char *name;
        enum api_field_type type;
        void *out; /* slice, bool, int64_t, api_time, tailcfg_strings; untouched if absent or null */
};
/* Reads the body's members into the fields. Otherwise answers 400 or 422. An empty
 * body has no members. */
bool api_body(struct api_request *r, const struct api_field *fields, size_t n);

void api_name_id(struct json_writer *w, const char *name, int64_t id);
void api_name_time(struct json_writer *w, const char *name, int64_t us);         /* null if 0 */
void api_name_time_or_zero(struct json_writer *w, const char *name, int64_t us); /* the zero date if 0 */
void api_name_tags(struct json_writer *w, const char *name, struct slice tags);

/* Tags as asked for: sorted, without doubles, "tag:a,tag:b"; answers 400 on bad ones. */
bool api_tags(struct api_request *r, const struct tailcfg_strings *tags, struct slice *out);

/* ---- api_users.c, api_keys.c, api_nodes.c, api_backfill.c, api_auth.c, api_policy.c ------------------------------ */

void api_users(struct api_request *r);
void api_preauthkeys(struct api_request *r);
void api_apikeys(struct api_request *r);
void api_nodes(struct api_request *r);
void api_backfill(struct api_request *r);
void api_auth(struct api_request *r);
void api_policy(struct api_request *r);

void api_write_user(struct json_writer *w, const struct store_user *user);
void api_write_auth_key(const struct server *s, struct json_writer *w, const struct store_auth_key *key,
        const char *full_text, bool inside_node);
/* Answers {"node": ...} of the single-node endpoints. */
void api_reply_node(struct api_request *r, const struct node *n);

#endif
