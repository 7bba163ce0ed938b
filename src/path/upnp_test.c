/* A router of a hundred lines on loopback, and what it makes of our requests. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "path/upnp.h"
#include "upnp_job.h"

struct router {
        int fd;
        uint16_t port;
        pthread_t thread;
        const char *service;
        bool only_permanent; /* refuses leases that end */
        const char *external_ip;
        int adds, deletes; /* read after the thread ended */
        char last_add[8192];
};

static const char page[] =
        "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\"><device>"
        "<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>"
        "<deviceList><device><deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType>"
        "<serviceList><service><serviceType>urn:schemas-upnp-org:service:"
        "WANCommonInterfaceConfig:1</serviceType><controlURL>/cif</controlURL></service>"
        "</serviceList><deviceList><device><deviceType>urn:schemas-upnp-org:device:"
        "WANConnectionDevice:1</deviceType><serviceList><service>"
        "<serviceType>%s</serviceType><controlURL>/control</controlURL>"
        "</service></serviceList></device></deviceList></device></deviceList></device></root>";

static void reply(int fd, int status, const char *body)
{
        char head[256];
        int n = snprintf(head, sizeof(head),
                "HTTP/1.1 %d X\r\nContent-Type: text/xml\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                status, strlen(body));

        assert_int_equal(write(fd, head, (size_t)n), n);
        assert_int_equal(write(fd, body, strlen(body)), (ssize_t)strlen(body));
}

static void answer(struct router *r, int fd, const char *request)
{
        char body[2048];

        if (strstr(request, "GET /desc")) {
                snprintf(body, sizeof(body), page, r->service);
                reply(fd, 200, body);
        } else if (strstr(request, "PortMapping") && strstr(request, "<NewLeaseDuration>")) {
                r->adds++;
                snprintf(r->last_add, sizeof(r->last_add), "%s", request);
                if (r->only_permanent && !strstr(request, "<NewLeaseDuration>0<"))
                        reply(fd, 500,
                                "<s:Envelope><s:Body><s:Fault><detail><UPnPError><errorCode>725</errorCode>"
                                "</UPnPError></detail></s:Fault></s:Body></s:Envelope>");
                else
                        reply(fd, 200,
                                "<s:Envelope><s:Body><NewReservedPort>7777</NewReservedPort></s:Body>"
                                "</s:Envelope>");
        } else if (strstr(request, "GetExternalIPAddress")) {
                snprintf(body, sizeof(body),
                        "<s:Envelope><s:Body><NewExternalIPAddress>%s</NewExternalIPAddress>"
                        "</s:Body></s:Envelope>",
                        r->external_ip);
                reply(fd, 200, body);
        } else if (strstr(request, "DeletePortMapping")) {
                r->deletes++;
                reply(fd, 200, "<s:Envelope><s:Body></s:Body></s:Envelope>");
        } else {
                reply(fd, 404, "");
        }
}

/* Reads head and body: as long as Content-Length says. */
static bool read_request(int fd, char *buf, size_t cap)
{
        size_t len = 0;

        for (;;) {
                ssize_t n = read(fd, buf + len, cap - 1 - len);
                if (n <= 0)
                        return false;
                len += (size_t)n;
                buf[len] = '\0';
                const char *end = strstr(buf, "\r\n\r\n"), *length = strcasestr(buf, "content-length:");
                if (end && len >= (size_t)(end + 4 - buf) + (length ? strtoul(length + 15, NULL, 10) : 0))
                        return true;
        }
}

static void *serve(void *arg)
{
        struct router *r = arg;
        static char buf[8192];

        for (int fd; (fd = accept(r->fd, NULL, NULL)) >= 0; close(fd)) {
                if (read_request(fd, buf, sizeof(buf)))
                        answer(r, fd, buf);
        }
        return NULL;
}

static void router_start(struct router *r)
{
        struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t len = sizeof(at);

        r->fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(r->fd, (struct sockaddr *)&at, sizeof(at)), 0);
        assert_int_equal(listen(r->fd, 8), 0);
        assert_int_equal(getsockname(r->fd, (struct sockaddr *)&at, &len), 0);
        r->port = ntohs(at.sin_port);
        assert_int_equal(pthread_create(&r->thread, NULL, serve, r), 0);
}

static void router_stop(struct router *r)
{
        shutdown(r->fd, SHUT_RDWR);
        pthread_join(r->thread, NULL);
        close(r->fd);
}

static struct upnp_job job_for(const struct router *r, uint32_t lifetime_s)
{
        struct upnp_job job = { .gateway = ip_v4(127, 0, 0, 1),
                .self = ip_v4(127, 0, 0, 1),
                .internal_port = 41641,
                .external_port = 5000,
                .lifetime_s = lifetime_s };

        snprintf(job.location, sizeof(job.location), "http://127.0.0.1:%u/desc.xml", r->port);
        return job;
}

static void mapping_is_made_and_deleted(void **state)
{
        (void)state;
        struct router r = { .service = "urn:schemas-upnp-org:service:WANIPConnection:1",
                .external_ip = "203.0.113.5" };
        struct ip_port want = { ip_v4(203, 0, 113, 5), 5000 };

        router_start(&r);
        struct upnp_job job = job_for(&r, 7200), end = job_for(&r, 0);
        assert_int_equal(upnp_job_run(&job), OK);
        assert_int_equal(upnp_job_run(&end), OK);
        router_stop(&r);
        assert_true(ip_port_equal(&job.external, &want));
        assert_int_equal(job.granted_s, 7200);
        assert_int_equal(r.adds, 1);
        assert_int_equal(r.deletes, 1);
        assert_non_null(strstr(r.last_add, "<NewProtocol>UDP<"));
        assert_non_null(strstr(r.last_add, "<NewInternalClient>127.0.0.1<"));
        assert_non_null(strstr(r.last_add, "<NewInternalPort>41641<"));
}

static void permanent_lease_when_nothing_else_is_given(void **state)
{
        (void)state;
        struct router r = { .service = "urn:schemas-upnp-org:service:WANIPConnection:1",
                .external_ip = "203.0.113.5",
                .only_permanent = true };

        router_start(&r);
        struct upnp_job job = job_for(&r, 7200);
        assert_int_equal(upnp_job_run(&job), OK);
        router_stop(&r);
        assert_int_equal(r.adds, 2);
        assert_int_equal(job.granted_s, 0);
}

static void version_two_chooses_the_port(void **state)
{
        (void)state;
        struct router r = { .service = "urn:schemas-upnp-org:service:WANIPConnection:2",
                .external_ip = "203.0.113.5" };

        router_start(&r);
        struct upnp_job job = job_for(&r, 7200);
        assert_int_equal(upnp_job_run(&job), OK);
        router_stop(&r);
        assert_non_null(strstr(r.last_add, "AddAnyPortMapping"));
        assert_int_equal(job.external.port, 7777);
}

static void useless_external_address_is_a_failure(void **state)
{
        (void)state;
        struct router r = { .service = "urn:schemas-upnp-org:service:WANIPConnection:1",
                .external_ip = "0.0.0.0" };

        router_start(&r);
        struct upnp_job job = job_for(&r, 7200);
        assert_int_equal(upnp_job_run(&job), ERR_DENIED);
        assert_false(ip_valid(&job.external.ip));
        router_stop(&r);
}

static void only_the_gateway_is_asked(void **state)
{
        (void)state;
        struct ip_addr gateway = ip_v4(192, 168, 1, 1);

        assert_true(upnp_url_is_at("http://192.168.1.1:5000/x", &gateway));
        assert_true(upnp_url_is_at("http://192.168.1.1/x", &gateway));
        assert_true(upnp_url_is_at("http://192.168.1.1", &gateway));
        assert_false(upnp_url_is_at("http://192.168.1.10:5000/x", &gateway));
        assert_false(upnp_url_is_at("http://192.168.1.1@evil/x", &gateway));
        assert_false(upnp_url_is_at("http://192.168.1.1.evil/x", &gateway));
        assert_false(upnp_url_is_at("https://192.168.1.1/x", &gateway));
        assert_false(upnp_url_is_at("http://router/x", &gateway));
        assert_false(upnp_url_is_at("", &gateway));
}

/* ---- on the loop ---- */

struct asker {
        struct net_loop *loop;
        struct ip_port external;
        unsigned done;
};

static void asked(void *ctx, const struct ip_port *external, uint32_t lifetime_s)
{
        struct asker *a = ctx;

        (void)lifetime_s;
        a->external = *external;
        a->done++;
        net_loop_stop(a->loop);
}

/* Nobody answers SSDP on loopback: the request ends without a mapping, and says so. */
static void failure_is_told_on_the_loop(void **state)
{
        (void)state;
        static const struct upnp_calls calls = { asked };
        struct asker a = { 0 };
        struct ip_addr gateway = ip_v4(127, 0, 0, 1);
        struct upnp *u;

        assert_int_equal(net_loop_new(&a.loop), OK);
        assert_int_equal(upnp_new(a.loop, &calls, &a, &u), OK);
        upnp_ask(u, 41641, 0, 7200); /* no gateway: nothing happens */
        upnp_set_network(u, &gateway, &gateway);
        upnp_ask(u, 41641, 0, 7200);
        upnp_ask(u, 41641, 0, 0); /* runs after it, and is not told of */
        net_loop_run(a.loop);
        assert_int_equal(a.done, 1);
        assert_false(ip_valid(&a.external.ip));
        upnp_free(u); /* while the second still runs */
        net_loop_free(a.loop);
        assert_int_equal(a.done, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(mapping_is_made_and_deleted),
                cmocka_unit_test(permanent_lease_when_nothing_else_is_given),
                cmocka_unit_test(version_two_chooses_the_port),
                cmocka_unit_test(useless_external_address_is_a_failure),
                cmocka_unit_test(only_the_gateway_is_asked),
                cmocka_unit_test(failure_is_told_on_the_loop),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
