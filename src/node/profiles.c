#include "node/profiles.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"

static const char current_key[] = "_current-profile";
static const char list_key[] = "_profiles";
static const char legacy_key[] = "_daemon";

enum { LIST_MAX = 1 << 20 };

/* ---- JSON ---------------------------------------------------------------- */

void profile_write(struct json_writer *w, const struct profile *p)
{
        char date[40];

        json_object_open(w);
        json_field_str(w, "ID", p->id);
        json_field_slice(w, "Name", p->name);
        json_name(w, "NetworkProfile");
        json_put_raw(w, p->network.len ? p->network
                                       : SLICE_LIT("{\"MagicDNSName\":\"\",\"DomainName\":\"\",\"DisplayName\":\"\"}"));
        json_field_str(w, "Key", p->key);
        json_name(w, "UserProfile");
        json_put_raw(w, p->user_profile.len ? p->user_profile
                                            : SLICE_LIT("{\"ID\":0,\"LoginName\":\"\",\"DisplayName\":\"\"}"));
        json_field_slice(w, "NodeID", p->node_id);
        json_field_str(w, "LocalUserID", "");
        json_field_slice(w, "ControlURL", p->control_url);
        if (p->created_ns != UNIX_ZERO_DATE) {
                rfc3339_format(p->created_ns, date);
                json_field_str(w, "Created", date);
        }
        json_object_close(w);
}

static int newest_first(const void *a, const void *b)
{
        const struct profile *x = *(const struct profile *const *)a, *y = *(const struct profile *const *)b;

        return x->created_ns > y->created_ns ? -1 : x->created_ns < y->created_ns;
}

void profiles_write(struct json_writer *w, const struct profiles *ps)
{
        const struct profile *order[PROFILES_MAX];

        for (size_t i = 0; i < ps->count; i++)
                order[i] = &ps->list[i];
        qsort(order, ps->count, sizeof *order, newest_first);
        json_array_open(w);
        for (size_t i = 0; i < ps->count; i++)
                profile_write(w, order[i]);
        json_array_close(w);
}

static struct slice keep(struct profiles *ps, struct json_reader *r, struct slice text)
{
        struct slice copy = arena_copy(&ps->arena, text);

        if (arena_failed(&ps->arena))
                json_fail(r, ERR_LIMIT, "too many profiles");
        return copy;
}

static void take_user(struct json_reader *r, struct profiles *ps, struct profile *p)
{
        struct arena scratch = ARENA_INIT(LIST_MAX);
        struct json_reader user;
        struct slice name;

        p->user_profile = keep(ps, r, json_raw(r));
        json_reader_init(&user, p->user_profile, &scratch);
        if (json_peek(&user) == JSON_OBJECT) {
                json_object_begin(&user);
                while (json_member(&user, &name)) {
                        if (slice_equal_nocase(name, SLICE_LIT("LoginName")))
                                p->login_name = keep(ps, r, json_string(&user));
                        else
                                json_skip(&user);
                }
        }
        arena_fini(&scratch);
}

static void take_short(struct json_reader *r, char *out, size_t cap)
{
        struct slice text = json_string(r);

        if (text.len >= cap) {
                json_fail(r, ERR_FORMAT, "profile id or key is too long");
                return;
        }
        if (text.len)
                memcpy(out, text.ptr, text.len);
        out[text.len] = 0;
}

static void profile_parse(struct json_reader *r, struct profiles *ps, struct profile *p)
{
        struct slice name;

        *p = (struct profile){ .created_ns = UNIX_ZERO_DATE };
        json_object_begin(r);
        while (json_member(r, &name)) {
                if (slice_equal_nocase(name, SLICE_LIT("ID")))
                        take_short(r, p->id, sizeof p->id);
                else if (slice_equal_nocase(name, SLICE_LIT("Key")))
                        take_short(r, p->key, sizeof p->key);
                else if (slice_equal_nocase(name, SLICE_LIT("Name")))
                        p->name = keep(ps, r, json_string(r));
                else if (slice_equal_nocase(name, SLICE_LIT("NetworkProfile")))
                        p->network = keep(ps, r, json_raw(r));
                else if (slice_equal_nocase(name, SLICE_LIT("UserProfile")))
                        take_user(r, ps, p);
                else if (slice_equal_nocase(name, SLICE_LIT("NodeID")))
                        p->node_id = keep(ps, r, json_string(r));
                else if (slice_equal_nocase(name, SLICE_LIT("ControlURL")))
                        p->control_url = keep(ps, r, json_string(r));
                else if (slice_equal_nocase(name, SLICE_LIT("Created"))) {
                        if (rfc3339_parse(json_string(r), &p->created_ns) != OK)
                                json_fail(r, ERR_FORMAT, "not a date");
                } else
                        json_skip(r);
        }
}

static enum err load_list(struct profiles *ps, struct diag *diag)
{
        struct slice text = state_map_get(ps->state, list_key), name;
        struct arena scratch = ARENA_INIT(LIST_MAX);
        struct json_reader r;

        if (!text.len)
                return OK;
        json_reader_init(&r, text, &scratch);
        if (!json_take_null(&r)) {
                json_object_begin(&r);
                while (json_member(&r, &name)) {
                        struct profile p;
                        profile_parse(&r, ps, &p);
                        if (ps->count == PROFILES_MAX)
                                json_fail(&r, ERR_LIMIT, "too many profiles");
                        else if (p.id[0] && p.key[0])
                                ps->list[ps->count++] = p;
                }
        }
        enum err err = json_finish(&r);
        if (err)
                diag_set(diag, err, "the list of profiles: %s",
                        r.error ? r.error : err_str(err));
        arena_fini(&scratch);
        return err;
}

static enum err save_list(struct profiles *ps)
{
        struct buf text = BUF_INIT(LIST_MAX);
        struct json_writer w;

        json_writer_init(&w, &text, NULL);
        json_object_open(&w);
        for (size_t i = 0; i < ps->count; i++) {
                json_name(&w, ps->list[i].id);
                profile_write(&w, &ps->list[i]);
        }
        json_object_close(&w);
        enum err err = buf_status(&text);
        if (!err)
                err = state_map_put(ps->state, list_key, buf_slice(&text));
        buf_fini(&text);
        return err;
}

/* ---- the current profile --------------------------------------------------- */

static enum err save_prefs(struct profiles *ps)
{
        struct buf text = BUF_INIT(2 * PREFS_TEXT_MAX);
        struct json_writer w;

        json_writer_init(&w, &text, "\t");
        prefs_write(&w, &ps->prefs, PREFS_WITH_SECRETS);
        enum err err = buf_status(&text);
        if (!err)
                err = state_map_put(ps->state, ps->current.key, buf_slice(&text));
        buf_wipe(&text);
        return err;
}

static enum err load_prefs(struct profiles *ps, const char *key, struct diag *diag)
{
        struct slice text = state_map_get(ps->state, key);
        struct prefs fresh;
        struct diag inner;

        prefs_init(&fresh);
        fresh.logged_out = text.len == 0; /* a profile without preferences is as good as new */
        enum err err = text.len ? prefs_decode(text, &fresh, NULL, &inner) : OK;
        if (err) {
                prefs_fini(&fresh);
                return diag_set(diag, err, "%s: %s", key, inner.text);
        }
        /* spec 1.5: the hosted server's old name is its new one, and an automatic
         * update that nobody here can do is no error at start. */
        if (prefs_is_default_control(fresh.control_url))
                fresh.control_url = (struct slice){ 0 };
        if (fresh.update_apply == TRI_TRUE)
                fresh.update_apply = TRI_NULL;
        prefs_fini(&ps->prefs);
        ps->prefs = fresh;
        return OK;
}

static void make_new_current(struct profiles *ps)
{
        ps->current = (struct profile){ .created_ns = UNIX_ZERO_DATE };
        prefs_fini(&ps->prefs);
        prefs_init(&ps->prefs);
        ps->prefs.logged_out = true;
}

enum err profiles_init(struct profiles *ps, struct state_map *state, struct diag *diag)
{
        *ps = (struct profiles){ .state = state, .arena = ARENA_INIT(4 * LIST_MAX) };
        prefs_init(&ps->prefs);
        make_new_current(ps);
        enum err err = load_list(ps, diag);
        if (err)
                return err;
        struct slice current = state_map_get(state, current_key);
        for (size_t i = 0; i < ps->count; i++) {
                if (!slice_is(current, ps->list[i].key))
                        continue;
                ps->current = ps->list[i];
                return load_prefs(ps, ps->current.key, diag);
        }
        /* A state file of before profiles: its preferences become the first one. */
        if (ps->count == 0 && state_map_get(state, legacy_key).len)
                return load_prefs(ps, legacy_key, diag);
        return OK;
}

void profiles_fini(struct profiles *ps)
{
        prefs_fini(&ps->prefs);
        arena_fini(&ps->arena);
        key_wipe(ps, sizeof *ps);
}

enum err profiles_set_prefs(struct profiles *ps, const struct prefs *p)
{
        struct prefs copy;
        enum err err = prefs_copy(&copy, p);

        if (err)
                return err;
        prefs_fini(&ps->prefs);
        ps->prefs = copy;
        return ps->current.id[0] ? save_prefs(ps) : OK;
}

const struct profile *profiles_find(const struct profiles *ps, struct slice id)
{
        for (size_t i = 0; i < ps->count; i++)
                if (slice_is(id, ps->list[i].id))
                        return &ps->list[i];
        return NULL;
}

static void drop_entry(struct profiles *ps, size_t i)
{
        state_map_remove(ps->state, ps->list[i].key);
        ps->list[i] = ps->list[--ps->count];
}

static void pick_id(struct profiles *ps, struct rng *rng, char out[static PROFILE_ID_LEN + 1])
{
        do
                snprintf(out, PROFILE_ID_LEN + 1, "%04x", (unsigned)rng_below(rng, 0x10000));
        while (profiles_find(ps, slice_str(out)));
}

static void user_json(struct buf *out, const struct profile_login *login)
{
        struct json_writer w;

        json_writer_init(&w, out, NULL);
        json_object_open(&w);
        json_field_i64(&w, "ID", login->user_id);
        json_field_slice(&w, "LoginName", login->login_name);
        json_field_slice(&w, "DisplayName", login->display_name);
        if (login->profile_pic_url.len)
                json_field_slice(&w, "ProfilePicURL", login->profile_pic_url);
        json_object_close(&w);
}

static void network_json(struct buf *out, const struct profile_login *login)
{
        struct json_writer w;

        json_writer_init(&w, out, NULL);
        json_object_open(&w);
        json_field_slice(&w, "MagicDNSName", login->magic_dns_name);
        json_field_slice(&w, "DomainName", login->domain_name);
        json_field_slice(&w, "DisplayName", login->network_name);
        json_object_close(&w);
}

/* Texts that did not change are kept, so that the arena does not grow with every
 * map response that repeats them. */
static void refresh_text(struct profiles *ps, struct slice *field, struct slice value)
{
        if (!slice_equal(*field, value))
                *field = arena_copy(&ps->arena, value);
}

/* The entry of the list that the current profile is, made if need be. */
static struct profile *current_entry(struct profiles *ps, struct rng *rng, const struct now *now)
{
        for (size_t i = 0; ps->current.id[0] && i < ps->count; i++)
                if (strcmp(ps->list[i].id, ps->current.id) == 0)
                        return &ps->list[i];
        if (ps->count == PROFILES_MAX)
                return NULL;
        struct profile *p = &ps->list[ps->count];
        *p = (struct profile){ .created_ns = now->unix_us * 1000 };
        pick_id(ps, rng, p->id);
        ps->count++;
        memcpy(p->key, "profile-", 8);
        memcpy(p->key + 8, p->id, sizeof p->id);
        return p;
}

static enum err save_current(struct profiles *ps)
{
        enum err err = save_list(ps);

        if (!err)
                err = save_prefs(ps);
        if (!err)
                err = state_map_put(ps->state, current_key, slice_str(ps->current.key));
        return err;
}

enum err profiles_keep(struct profiles *ps, struct rng *rng, const struct now *now)
{
        struct profile *p = current_entry(ps, rng, now);

        if (!p)
                return ERR_LIMIT;
        refresh_text(ps, &p->control_url, ps->prefs.control_url);
        ps->current = *p;
        return save_current(ps);
}

static void drop_twins(struct profiles *ps, const struct profile_login *login)
{
        for (size_t i = ps->count; i-- > 0;) {
                const struct profile *p = &ps->list[i];
                if (strcmp(p->id, ps->current.id) != 0 && slice_equal(p->node_id, login->node_id) &&
                    slice_equal(p->login_name, login->login_name) &&
                    slice_equal(p->control_url, ps->prefs.control_url))
                        drop_entry(ps, i);
        }
}

enum err profiles_logged_in(struct profiles *ps, const struct profile_login *login, struct rng *rng,
        const struct now *now)
{
        struct buf user = BUF_INIT(16 << 10), network = BUF_INIT(16 << 10);

        drop_twins(ps, login);
        struct profile *p = current_entry(ps, rng, now);
        if (!p)
                return ERR_LIMIT;
        user_json(&user, login);
        network_json(&network, login);
        refresh_text(ps, &p->user_profile, buf_slice(&user));
        refresh_text(ps, &p->network, buf_slice(&network));
        refresh_text(ps, &p->login_name, login->login_name);
        refresh_text(ps, &p->node_id, login->node_id);
        refresh_text(ps, &p->control_url, ps->prefs.control_url);
        refresh_text(ps, &p->name, ps->prefs.profile_name.len ? ps->prefs.profile_name : login->login_name);
        ps->current = *p;
        enum err err = arena_failed(&ps->arena) ? ERR_NOMEM : buf_status(&user);
        if (!err)
                err = buf_status(&network);
        if (!err && !slice_equal(ps->prefs.persist.node_id, login->node_id))
                err = prefs_set_text(&ps->prefs, &ps->prefs.persist.node_id, login->node_id);
        if (!err && !slice_equal(ps->prefs.persist.user_profile, buf_slice(&user)))
                err = prefs_set_text(&ps->prefs, &ps->prefs.persist.user_profile, buf_slice(&user));
        buf_fini(&user);
        buf_fini(&network);
        return err ? err : save_current(ps);
}

enum err profiles_switch_new(struct profiles *ps)
{
        make_new_current(ps);
        return state_map_put(ps->state, current_key, SLICE_LIT(""));
}

enum err profiles_switch(struct profiles *ps, struct slice id, struct diag *diag)
{
        const struct profile *p = profiles_find(ps, id);

        if (!p)
                return diag_set(diag, ERR_NOTFOUND, "there is no profile \"%.*s\"", SLICE_ARGS(id));
        enum err err = load_prefs(ps, p->key, diag);
        if (err)
                return err;
        ps->current = *p;
        return state_map_put(ps->state, current_key, slice_str(p->key));
}

enum err profiles_delete(struct profiles *ps, struct slice id)
{
        if (slice_is(id, ps->current.id))
                return profiles_delete_current(ps);
        for (size_t i = 0; i < ps->count; i++) {
                if (!slice_is(id, ps->list[i].id))
                        continue;
                drop_entry(ps, i);
                return save_list(ps);
        }
        return ERR_NOTFOUND;
}

enum err profiles_delete_current(struct profiles *ps)
{
        for (size_t i = 0; ps->current.id[0] && i < ps->count; i++) {
                if (strcmp(ps->list[i].id, ps->current.id) == 0) {
                        drop_entry(ps, i);
                        break;
                }
        }
        enum err err = save_list(ps);
        return err ? err : profiles_switch_new(ps);
}
