/*
 * The real program over real sockets on loopback: two nodes register with a pre-auth
 * key over Noise, poll, hear of each other, and one learns that the other was renamed.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli.h"
#include "client/control_io.h"
#include "net/http_client.h"
#include "net/listener.h"
#include "server/cli.h"

struct lab {
        char folder[64], config[128], socket[128], url[64], metrics[64];
        pid_t server;
        struct net_loop *loop;
        struct arena arena;
};

/* ---- the server ---------------------------------------------------------------------- */

/* A port that is free at this moment. */
static uint16_t free_port(struct net_loop *loop)
{
        static const struct net_listener_calls calls = { .on_accept = NULL };
        struct ip_port any = { ip_v4(127, 0, 0, 1), 0 };
        struct net_listener *l;
        struct diag diag;

        assert_int_equal(net_listen_tcp(loop, &any, 0, &calls, NULL, &l, &diag), OK);
        uint16_t port = net_listener_addr(l).port;
        net_listener_close(l);
        net_loop_run_once(loop, 0);
        return port;
}

static void start_server(struct lab *lab)
{
        char *const argv[] = { (char *)"weft-control", (char *)"-c", lab->config, (char *)"serve", NULL };
        char *const env[] = { (char *)"HEADSCALE_LOG_LEVEL=warn", NULL };

        lab->server = fork();
        assert_true(lab->server >= 0);
        if (lab->server == 0)
                _exit(cli_main(4, (char **)argv, (char **)env));
}

static void stop_server(struct lab *lab, int signum)
{
        int status;

        assert_int_equal(kill(lab->server, signum), 0);
        assert_int_equal(waitpid(lab->server, &status, 0), lab->server);
        if (signum == SIGTERM)
                assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void write_records(struct lab *lab, const char *text)
{
        char path[160], fresh[160];

        snprintf(path, sizeof(path), "%s/records.json", lab->folder);
        snprintf(fresh, sizeof(fresh), "%s/fresh.json", lab->folder);
        FILE *f = fopen(fresh, "w");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
        assert_int_equal(rename(fresh, path), 0);
}

static int lab_setup(void **state)
{
        struct lab *lab = calloc(1, sizeof(*lab));

        if (!lab)
                return -1;
        *state = lab;
        lab->arena = ARENA_INIT(64 << 20);
        snprintf(lab->folder, sizeof(lab->folder), "/tmp/weft-serve-XXXXXX");
        if (!mkdtemp(lab->folder) || net_loop_new(&lab->loop) != OK)
                return -1;
        snprintf(lab->config, sizeof(lab->config), "%s/config.yaml", lab->folder);
        snprintf(lab->socket, sizeof(lab->socket), "%s/control.sock", lab->folder);
        snprintf(lab->url, sizeof(lab->url), "http://127.0.0.1:%u", free_port(lab->loop));
        snprintf(lab->metrics, sizeof(lab->metrics), "http://127.0.0.1:%u", free_port(lab->loop));
        FILE *f = fopen(lab->config, "w");
        if (!f)
                return -1;
        fprintf(f,
                "server_url: %s\nlisten_addr: %s\nnoise: {private_key_path: noise.key}\nprefixes: {v4: "
                "100.64.0.0/10}\n"
                "database: {type: sqlite, sqlite: {path: db.sqlite}}\n"
                "dns: {base_domain: weft.test, override_local_dns: false, extra_records_path: %s/records.json}\nunix_socket: %s\n"
                "metrics_listen_addr: %s\n",
                lab->url, lab->url + 7, lab->folder, lab->socket, lab->metrics + 7);
        fclose(f);
        write_records(lab, "[{\"name\":\"first.example\",\"type\":\"A\",\"value\":\"100.64.0.1\"}]");
        start_server(lab);
        return 0;
}

static int lab_teardown(void **state)
{
        static const char *const files[] = { "config.yaml", "noise.key", "db.sqlite", "db.sqlite-wal",
                "db.sqlite-shm", "db.sqlite-lock", "control.sock", "records.json" };
        struct lab *lab = *state;
        char path[160];

        stop_server(lab, SIGTERM);
        net_loop_free(lab->loop);
        arena_fini(&lab->arena);
        for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
                snprintf(path, sizeof(path), "%s/%s", lab->folder, files[i]);
                unlink(path);
        }
        rmdir(lab->folder);
        free(lab);
        return 0;
}

/* ---- the administrator ------------------------------------------------------------------ */

struct answer {
        struct lab *lab;
        const struct value *v;
        bool done;
};

static void on_done(void *ctx, const struct http_fetch_result *result)
{
        struct answer *a = ctx;

        a->done = true;
        if (result->e == OK && result->response.status == 200)
                a->v = value_parse(&a->lab->arena, arena_copy(&a->lab->arena, result->body));
}

static const struct value *admin(struct lab *lab, const char *method, const char *path, const char *body)
{
        static const struct http_fetch_events events = { .on_done = on_done };

        for (int i = 0; i < 100; i++) { /* the server may still be starting */
                struct answer a = { .lab = lab };
                char url[128];
                snprintf(url, sizeof(url), "http://localhost%s", path);
                struct http_fetch_options options = {
                        .url = url, .unix_path = lab->socket, .method = method, .body = slice_str(body)
                };
                assert_int_equal(http_fetch_start(lab->loop, &options, &events, &a, NULL), OK);
                while (!a.done)
                        net_loop_run_once(lab->loop, 100);
                if (a.v)
                        return a.v;
                usleep(50000);
        }
        fail_msg("%s %s does not succeed", method, path);
        return NULL;
}

/* ---- nodes ------------------------------------------------------------------------------- */

struct device {
        struct netmap *netmap;
        struct control_io *io;
        char problem[256];
};

static void on_problem(void *ctx, const char *text)
{
        struct device *d = ctx;

        snprintf(d->problem, sizeof(d->problem), "%s", text);
}

static const struct control_calls calls = { .problem = on_problem };

static void device_start(struct lab *lab, struct device *d, const char *hostname, const char *auth_key)
{
        struct secret_key machine;
        struct now now = net_loop_now(lab->loop);
        struct tailcfg_hostinfo hostinfo = {
                .os = SLICE_LIT("linux"), .backend_log_id = SLICE_LIT("x"), .hostname = slice_str(hostname)
        };
        struct diag diag;

        *d = (struct device){ .netmap = netmap_new() };
        struct control_config config = {
                .server_url = lab->url, .calls = &calls, .ctx = d, .netmap = d->netmap
        };
        struct control_io_options options = {
                .server_url = lab->url, .machine_key = &machine, .client = &config
        };
        key_generate(net_rng(), &machine);
        assert_int_equal(control_io_new(lab->loop, &options, &d->io, &diag), OK);
        control_client_set_hostinfo(control_io_client(d->io), &now, &hostinfo);
        control_client_login(control_io_client(d->io), &now, 0, auth_key);
        control_io_poke(d->io);
}

static void device_stop(struct device *d)
{
        control_io_free(d->io);
        netmap_free(d->netmap);
}

static bool sees(const struct device *d, const char *name)
{
        for (size_t i = 0; i < netmap_peer_count(d->netmap); i++) {
                if (slice_is(netmap_peer_at(d->netmap, i)->name, name))
                        return true;
        }
        return false;
}

static void wait_until_sees(struct lab *lab, struct device *d, const char *name)
{
        for (int i = 0; i < 200; i++) {
                if (sees(d, name))
                        return;
                net_loop_run_once(lab->loop, 50);
        }
        fail_msg("%s is not seen: %s", name, d->problem);
}

static bool knows_record(const struct device *d, const char *name)
{
        const struct tailcfg_dns_config *dns = netmap_dns(d->netmap);

        for (size_t i = 0; dns && i < dns->extra_records.count; i++) {
                if (slice_is(dns->extra_records.items[i].name, name))
                        return true;
        }
        return false;
}

static void wait_until_knows(struct lab *lab, struct device *d, const char *name)
{
        for (int i = 0; i < 200; i++) {
                if (knows_record(d, name))
                        return;
                net_loop_run_once(lab->loop, 50);
        }
        fail_msg("%s is not known: %s", name, d->problem);
}

/* The file is replaced; one with a mistake changes nothing. */
static void records_follow_their_file(void **state)
{
        struct lab *lab = *state;
        struct device d;

        admin(lab, "POST", "/api/v1/user", "{\"name\":\"alice\"}");
        const struct value *reply = admin(lab, "POST", "/api/v1/preauthkey", "{\"user\":\"1\"}");
        device_start(lab, &d, "one",
                arena_cstr(&lab->arena, value_text(value_get(reply, "preAuthKey"), "key")));
        wait_until_knows(lab, &d, "first.example");
        write_records(lab, "[{\"name\":\"second.example\",\"type\":\"A\",\"value\":\"100.64.0.2\"}]");
        wait_until_knows(lab, &d, "second.example");
        assert_false(knows_record(&d, "first.example"));
        write_records(lab, "[{\"name\":");
        for (int i = 0; i < 20; i++)
                net_loop_run_once(lab->loop, 50);
        assert_true(knows_record(&d, "second.example"));
        device_stop(&d);
}

static void two_devices_hear_of_each_other(void **state)
{
        struct lab *lab = *state;
        struct device one, two;

        admin(lab, "POST", "/api/v1/user", "{\"name\":\"alice\"}");
        const struct value *reply =
                admin(lab, "POST", "/api/v1/preauthkey", "{\"user\":\"1\",\"reusable\":true}");
        const char *key = arena_cstr(&lab->arena, value_text(value_get(reply, "preAuthKey"), "key"));
        device_start(lab, &one, "one", key);
        device_start(lab, &two, "two", key);
        wait_until_sees(lab, &one, "two.weft.test.");
        wait_until_sees(lab, &two, "one.weft.test.");
        assert_non_null(netmap_self(one.netmap));
        assert_true(netmap_has_filter(one.netmap));

        int64_t id = netmap_self(two.netmap)->id;
        char path[64];
        snprintf(path, sizeof(path), "/api/v1/node/%lld/rename/other", (long long)id);
        admin(lab, "POST", path, "");
        wait_until_sees(lab, &one, "other.weft.test.");

        /* Killed at any moment and started again: the nodes come back by themselves. */
        stop_server(lab, SIGKILL);
        start_server(lab);
        snprintf(path, sizeof(path), "/api/v1/node/%lld/rename/third", (long long)id);
        admin(lab, "POST", path, "");
        wait_until_sees(lab, &one, "third.weft.test.");
        device_stop(&one);
        device_stop(&two);
}

struct page {
        unsigned status;
        struct buf text;
};

static void on_page(void *ctx, const struct http_fetch_result *result)
{
        struct page *p = ctx;

        assert_int_equal(result->e, OK);
        p->status = result->response.status;
        buf_append_slice(&p->text, result->body);
}

static void prometheus_reads_metrics(void **state)
{
        static const struct http_fetch_events events = { .on_done = on_page };
        static const struct {
                const char *path, *text;
                unsigned status;
        } cases[] = {
                { "/metrics", "\nweft_control_users 1\n", 200 },
                { "/metrics", "\nweft_control_store_up 1\n", 200 },
                { "/metrics", "\nprocess_resident_memory_bytes ", 200 },
                { "/", "/metrics", 404 },
        };
        struct lab *lab = *state;

        admin(lab, "POST", "/api/v1/user", "{\"name\":\"alice\"}");
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct page p = { .text = BUF_INIT(1 << 20) };
                char url[128];
                snprintf(url, sizeof(url), "%s%s", lab->metrics, cases[i].path);
                struct http_fetch_options options = { .url = url, .method = "GET" };
                assert_int_equal(http_fetch_start(lab->loop, &options, &events, &p, NULL), OK);
                while (!p.status)
                        net_loop_run_once(lab->loop, 100);
                assert_int_equal(p.status, cases[i].status);
                assert_non_null(strstr(buf_cstr(&p.text), cases[i].text));
                buf_fini(&p.text);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(prometheus_reads_metrics, lab_setup, lab_teardown),
                cmocka_unit_test_setup_teardown(records_follow_their_file, lab_setup, lab_teardown),
                cmocka_unit_test_setup_teardown(two_devices_hear_of_each_other, lab_setup, lab_teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
