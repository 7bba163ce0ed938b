/* metrics_listen_addr: GET /metrics as Prometheus text, to whoever reaches that address. */
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "serve.h"

static void put(struct buf *out, const char *name, const char *type, double value)
{
        buf_printf(out, "# TYPE %s %s\n%s %.15g\n", name, type, name, value);
}

static void put_server(struct serve *sv, struct buf *out)
{
        struct server_counts c;

        server_count(sv->server, &c);
        const struct {
                const char *name, *type;
                double value;
        } list[] = {
                { "weft_control_users", "gauge", (double)c.users },
                { "weft_control_nodes", "gauge", (double)c.nodes },
                { "weft_control_nodes_online", "gauge", (double)c.online },
                { "weft_control_map_sessions", "gauge", (double)c.sessions },
                { "weft_control_map_sessions_blocked", "gauge", (double)c.blocked },
                { "weft_control_replies_waiting", "gauge", (double)c.waiting },
                { "weft_control_store_up", "gauge", server_health(sv->server) == OK },
                { "weft_control_connections", "gauge", http_server_connections(sv->outer) },
                { "weft_control_registrations_total", "counter", (double)c.since.registrations },
                { "weft_control_full_maps_total", "counter", (double)c.since.full_maps },
                { "weft_control_map_deltas_total", "counter", (double)c.since.deltas },
                { "weft_control_map_bytes_total", "counter", (double)c.since.map_bytes },
                { "weft_control_policies_total", "counter", (double)c.since.policies },
        };
        for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
                put(out, list[i].name, list[i].type, list[i].value);
        buf_append_str(out, "# TYPE weft_control_build_info gauge\n"
                            "weft_control_build_info{version=\"" WEFT_VERSION "\"} 1\n");
}

static double seconds(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec / 1e6; }

/* In the names that Prometheus client libraries use. */
static void put_process(const struct serve *sv, struct buf *out)
{
        struct rusage used;
        long pages = -1;
        FILE *f = fopen("/proc/self/statm", "r");

        if (f && fscanf(f, "%*s %ld", &pages) == 1)
                put(out, "process_resident_memory_bytes", "gauge", (double)pages * (double)sysconf(_SC_PAGESIZE));
        if (f)
                fclose(f);
        if (getrusage(RUSAGE_SELF, &used) == 0)
                put(out, "process_cpu_seconds_total", "counter", seconds(used.ru_utime) + seconds(used.ru_stime));
        put(out, "process_start_time_seconds", "gauge", (double)sv->started_us / 1e6);
}

static void on_request(void *ctx, struct http_exchange *x)
{
        struct serve *sv = ctx;
        const struct http_request *r = http_request(x);
        struct buf text = BUF_INIT(64 << 10);

        if (!slice_is(r->path, "/metrics")) {
                http_respond_text(x, 404, "not found; the metrics are at /metrics\n");
                return;
        }
        if (!slice_is(r->method, "GET") && !slice_is(r->method, "HEAD")) {
                http_respond_text(x, 405, "metrics are read with GET\n");
                return;
        }
        put_server(sv, &text);
        serve_derp_metrics(sv, &text);
        put_process(sv, &text);
        if (buf_status(&text) == OK)
                http_respond(x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_slice(&text));
        else
                http_respond_text(x, 503, "out of memory\n");
        buf_fini(&text);
}

enum err serve_metrics_start(struct serve *sv, struct diag *diag)
{
        static const struct http_server_calls calls = { .on_request = on_request };
        struct ip_port addr;

        sv->started_us = net_loop_now(sv->loop).unix_us;
        if (!*sv->config->metrics_listen_addr)
                return OK;
        if (ip_listen_parse(slice_str(sv->config->metrics_listen_addr), &addr) != OK)
                return diag_set(diag, ERR_FORMAT, "metrics_listen_addr: \"%s\" is no address such as 127.0.0.1:9090",
                        sv->config->metrics_listen_addr);
        if (http_server_new(sv->loop, NULL, &calls, sv, &sv->metrics) != OK)
                return diag_set(diag, ERR_NOMEM, "out of memory");
        return http_server_listen(sv->metrics, &addr, NULL, &sv->metrics_listener, diag);
}

void serve_metrics_stop(struct serve *sv)
{
        net_listener_close(sv->metrics_listener);
        http_server_free(sv->metrics);
}
