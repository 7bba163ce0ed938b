/*
 * Requests of the LocalAPI to a backend without a system: the first line is method,
 * path and query separated by spaces, the rest the body. Whatever is asked, there is
 * an answer, and an unprivileged caller changes nothing.
 */
#include <assert.h>

#include "base/log.h"
#include "node/localapi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void control_start(void *ctx, const struct backend_control *c) { (void)ctx; (void)c; }
static void nothing(void *ctx) { (void)ctx; }
static void login(void *ctx, unsigned flags, const char *key) { (void)ctx; (void)flags; (void)key; }
static void pause_control(void *ctx, bool paused) { (void)ctx; (void)paused; }
static void apply(void *ctx, const struct netmap_changes *c) { (void)ctx; (void)c; }
static void save(void *ctx) { ((struct state_map *)ctx)->dirty = false; }
static bool load_cache(void *ctx, const char *id, struct netmap *nm) { (void)ctx; (void)id; (void)nm; return true; }
static void save_cache(void *ctx, const char *id, const struct netmap *nm, const struct netmap_changes *c)
{
        (void)ctx; (void)id; (void)nm; (void)c;
}
static void notify(void *ctx, const struct notify *n)
{
        struct buf line = BUF_INIT(1 << 20);

        (void)ctx;
        localapi_message(n, UINT16_MAX, &line);
        buf_fini(&line);
}
static void fill_peer(void *ctx, const struct tailcfg_node *n, struct arena *a, struct status_peer *p)
{
        (void)ctx; (void)n; (void)a; (void)p;
}
static void fill_self(void *ctx, struct arena *a, struct status_peer *p) { (void)ctx; (void)a; (void)p; }

static const struct backend_ops ops = {
        .control_start = control_start, .control_stop = nothing, .control_login = login, .control_logout = nothing,
        .control_pause = pause_control, .hostinfo_changed = nothing, .apply = apply, .save_state = save,
        .load_cache = load_cache, .save_cache = save_cache, .notify = notify, .fill_peer = fill_peer,
        .fill_self = fill_self,
};

/* Every parameter has the query text as its value. */
static bool query(void *ctx, const char *name, struct slice *value)
{
        (void)name;
        *value = *(const struct slice *)ctx;
        return true;
}

static void ask(struct backend *b, struct slice input, bool may_write)
{
        static const struct now now = { TIME_S(100), 1790000000000000 };
        struct slice rest = input, line, method = { 0 }, path = { 0 };
        struct localapi_reply reply;

        if (!slice_split(&rest, '\n', &line) || !slice_split(&line, ' ', &method) || !slice_split(&line, ' ', &path))
                return;
        const struct localapi_request rq = {
                .method = method, .path = path, .body = rest, .may_read = true, .may_write = may_write,
                .query = query, .query_ctx = &line,
        };
        localapi_handle(b, &rq, &now, &reply);
        assert(reply.status >= 200 && reply.status < 600);
        localapi_reply_fini(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct rng_seeded rng;
        struct state_map state;
        struct backend *b;
        struct diag diag;

        log_set_level(LOG_ERROR);
        rng_seed(&rng, 1);
        state_map_init(&state);
        const struct backend_config config = {
                .ops = &ops, .ctx = &state, .rng = &rng.rng, .state = &state, .host = { .hostname = "fuzz" },
        };
        if (backend_new(&config, &b, &diag) == OK) {
                struct prefs before;
                if (prefs_copy(&before, backend_prefs(b)) == OK) {
                        ask(b, slice_make(data, len), false);
                        assert(prefs_equal(&before, backend_prefs(b), UINT64_MAX));
                        prefs_fini(&before);
                }
                ask(b, slice_make(data, len), true);
                backend_free(b);
        }
        state_map_fini(&state);
        return 0;
}
