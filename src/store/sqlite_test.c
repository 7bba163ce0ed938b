/* The SQLite backend on a real file: round trips, group commit, refusal and resumption. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/sqlite.h"

struct loaded {
        struct store_user *user;
        struct store_auth_key *auth_key;
        struct store_api_key *api_key;
        struct store_node *node;
        int users, auth_keys, api_keys, nodes, policies;
        int64_t last_user, last_node;
};

static enum err on_user(void *ctx, const struct store_user *row)
{
        struct loaded *l = ctx;
        free(l->user);
        l->user = store_user_dup(row);
        l->users++;
        return OK;
}

static enum err on_auth_key(void *ctx, const struct store_auth_key *row)
{
        struct loaded *l = ctx;
        free(l->auth_key);
        l->auth_key = store_auth_key_dup(row);
        l->auth_keys++;
        return OK;
}

static enum err on_api_key(void *ctx, const struct store_api_key *row)
{
        struct loaded *l = ctx;
        free(l->api_key);
        l->api_key = store_api_key_dup(row);
        l->api_keys++;
        return OK;
}

static enum err on_node(void *ctx, const struct store_node *row)
{
        struct loaded *l = ctx;
        free(l->node);
        l->node = store_node_dup(row);
        l->nodes++;
        return OK;
}

static enum err on_policy(void *ctx, const struct store_policy *row)
{
        (void)row;
        ((struct loaded *)ctx)->policies++;
        return OK;
}

static void on_last_ids(void *ctx, int64_t user, int64_t auth_key, int64_t api_key, int64_t node)
{
        struct loaded *l = ctx;
        (void)auth_key;
        (void)api_key;
        l->last_user = user;
        l->last_node = node;
}

static void load(struct store *st, struct loaded *out)
{
        struct store_visitor v = { out, on_user, on_auth_key, on_api_key, on_node, on_policy, on_last_ids };
        struct diag diag;

        *out = (struct loaded){ 0 };
        assert_int_equal(store_load(st, &v, &diag), OK);
}

static void loaded_free(struct loaded *l)
{
        free(l->user);
        free(l->auth_key);
        free(l->api_key);
        free(l->node);
}

struct fixture {
        char folder[64], path[128];
        struct store *st;
};

static struct store *open_store(struct fixture *f, struct diag *diag)
{
        return store_sqlite_open(
                &(struct store_sqlite_options){ .path = f->path, .wal_autocheckpoint = 1000 }, diag);
}

static int setup(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));
        struct diag diag;

        snprintf(f->folder, sizeof(f->folder), "/tmp/weft-store-XXXXXX");
        if (!mkdtemp(f->folder))
                return -1;
        snprintf(f->path, sizeof(f->path), "%s/db.sqlite", f->folder);
        f->st = open_store(f, &diag);
        *state = f;
        return f->st ? 0 : -1;
}

static int teardown(void **state)
{
        struct fixture *f = *state;
        char command_path[160];
        static const char *const suffixes[] = { "", "-wal", "-shm", "-lock" };

        if (f->st)
                store_close(f->st);
        for (size_t i = 0; i < 4; i++) {
                snprintf(command_path, sizeof(command_path), "%s%s", f->path, suffixes[i]);
                unlink(command_path);
        }
        rmdir(f->folder);
        free(f);
        return 0;
}

static struct store_result wait_for(struct store *st, uint64_t n)
{
        struct store_result r = { 0 };

        for (int i = 0; i < 2000; i++) {
                if (store_poll(st, &r) && (r.durable >= n || r.error != OK))
                        return r;
                usleep(1000);
        }
        fail_msg("the store did not answer");
        return r;
}

static const struct store_user alice = {
        .id = 1,
        .tailnet = 1,
        .name = { (const uint8_t *)"alice", 5 },
        .created_us = 7,
};

static struct store_node sample_node(int64_t id)
{
        static struct ip_port endpoints[2];
        static struct ip_prefix routes[1];
        struct store_node n = {
                .id = id,
                .tailnet = 1,
                .user_id = 1,
                .hostname = SLICE_LIT("Host One"),
                .given_name = SLICE_LIT("host-one"),
                .hostinfo = SLICE_LIT("{\"OS\":\"linux\"}"),
                .endpoints = endpoints,
                .n_endpoints = 2,
                .approved_routes = routes,
                .n_approved_routes = 1,
                .auth_key_id = 1,
                .cap_version = 131,
                .ephemeral = true,
                .created_us = 5,
                .method = STORE_REGISTER_AUTH_KEY,
        };

        endpoints[0] = (struct ip_port){ ip_v4(192, 0, 2, 1), 41641 };
        assert_int_equal(ip_port_parse(SLICE_LIT("[2001:db8::1]:1"), &endpoints[1]), OK);
        routes[0] = (struct ip_prefix){ ip_v4(10, 1, 0, 0), 16 };
        n.machine_key.b[0] = 1;
        n.node_key.b[0] = (uint8_t)id;
        n.ipv4 = ip_v4(100, 64, 0, (uint8_t)id);
        return n;
}

static void put_all(struct store *st)
{
        struct store_tx *tx = store_tx_new();
        struct store_auth_key key = { .id = 1,
                .tailnet = 1,
                .user_id = 1,
                .prefix = SLICE_LIT("00112233aabb"),
                .hash = SLICE_LIT("\x00hash"),
                .expires_us = 99,
                .created_us = 3 };
        struct store_api_key api = {
                .id = 4, .tailnet = 1, .prefix = SLICE_LIT("ffeeddccbbaa"), .hash = SLICE_LIT("h")
        };
        struct store_node node = sample_node(1);

        store_tx_put_user(tx, &alice);
        store_tx_put_auth_key(tx, &key);
        store_tx_put_api_key(tx, &api);
        store_tx_put_node(tx, &node);
        tx->number = 1;
        store_commit(st, tx);
        assert_int_equal(wait_for(st, 1).error, OK);
}

static void rows_come_back(void **state)
{
        struct fixture *f = *state;
        struct loaded l;
        struct diag diag;

        put_all(f->st);
        store_close(f->st);
        f->st = open_store(f, &diag);
        assert_non_null(f->st);
        load(f->st, &l);
        assert_int_equal(l.users, 1);
        assert_true(slice_is(l.user->name, "alice"));
        assert_true(slice_equal(l.auth_key->hash, SLICE_LIT("\x00hash")));
        assert_int_equal(l.auth_key->expires_us, 99);
        assert_int_equal(l.api_key->id, 4);

        struct store_node want = sample_node(1);
        assert_true(key_equal(&l.node->machine_key, &want.machine_key));
        assert_true(slice_equal(l.node->hostinfo, want.hostinfo));
        assert_int_equal(l.node->n_endpoints, 2);
        assert_true(ip_port_equal(&l.node->endpoints[1], &want.endpoints[1]));
        assert_true(ip_prefix_equal(&l.node->approved_routes[0], &want.approved_routes[0]));
        assert_true(ip_equal(&l.node->ipv4, &want.ipv4));
        assert_false(ip_valid(&l.node->ipv6));
        assert_true(l.node->ephemeral);
        loaded_free(&l);
}

static void ids_are_never_reused(void **state)
{
        struct fixture *f = *state;
        struct store_tx *tx;
        struct loaded l;

        put_all(f->st);
        tx = store_tx_new();
        store_tx_id(tx, STORE_DELETE_NODE, 1);
        tx->number = 2;
        store_commit(f->st, tx);
        assert_int_equal(wait_for(f->st, 2).error, OK);
        load(f->st, &l);
        assert_int_equal(l.nodes, 0);
        assert_int_equal(l.last_node, 1);
        loaded_free(&l);
}

static struct store_tx *use_key(uint64_t number, int64_t node_id)
{
        struct store_tx *tx = store_tx_new();
        struct store_node node = sample_node(node_id);

        store_tx_id(tx, STORE_USE_AUTH_KEY, 1);
        store_tx_put_node(tx, &node);
        tx->number = number;
        return tx;
}

static void a_used_key_refuses_the_whole_commit(void **state)
{
        struct fixture *f = *state;
        struct store_result r;
        struct loaded l;

        put_all(f->st);
        store_commit(f->st, use_key(2, 2));
        assert_int_equal(wait_for(f->st, 2).error, OK);
        store_commit(f->st, use_key(3, 3));
        r = wait_for(f->st, 3);
        assert_int_equal(r.error, ERR_EXISTS);
        assert_int_equal(r.durable, 2);
        assert_int_equal(store_check(f->st), ERR_EXISTS);

        /* Nothing passes before the state thread has taken back what it must. */
        store_commit(f->st, use_key(4, 4));
        store_resume(f->st, 3);
        assert_int_equal(store_check(f->st), OK);
        struct store_tx *tx = store_tx_new();
        store_tx_id(tx, STORE_DELETE_NODE, 1);
        tx->number = 3;
        store_commit(f->st, tx);
        assert_int_equal(wait_for(f->st, 3).error, OK);
        load(f->st, &l);
        assert_int_equal(l.nodes, 1);
        assert_int_equal(l.node->id, 2);
        loaded_free(&l);
}

static void a_second_process_is_refused(void **state)
{
        struct diag diag;

        assert_null(open_store(*state, &diag));
        assert_non_null(strstr(diag.text, "another weft-control"));
}

static void a_foreign_database_is_refused(void **state)
{
        struct fixture *f = *state;
        struct diag diag;
        FILE *file;

        store_close(f->st);
        f->st = NULL;
        file = fopen(f->path, "wb");
        assert_non_null(file);
        fputs("this is no database, but it is long enough to be mistaken for one", file);
        fclose(file);
        assert_null(open_store(f, &diag));
        assert_non_null(strstr(diag.text, "damaged"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(rows_come_back, setup, teardown),
                cmocka_unit_test_setup_teardown(ids_are_never_reused, setup, teardown),
                cmocka_unit_test_setup_teardown(a_used_key_refuses_the_whole_commit, setup, teardown),
                cmocka_unit_test_setup_teardown(a_second_process_is_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(a_foreign_database_is_refused, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
