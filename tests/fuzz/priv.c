/*
 * What the unprivileged process may write into the channel to the privileged one; the
 * first byte chooses the operation. What is taken is taken the same once more, and
 * firewall commands made of it are text of the kind that was meant.
 */
#include <assert.h>

#include "fuzz.h"
#include "os/dns.h"
#include "os/firewall.h"
#include "os/router.h"

enum { SPACE = OS_DNS_TEXT_MAX + 256 };

static void router(struct reader r)
{
        uint8_t space[ROUTER_CHANGE_LEN];
        struct writer w = writer_of(space, sizeof(space));
        struct router_change c, again;

        router_change_read(&r, &c);
        if (r.failed)
                return;
        router_change_write(&w, &c);
        assert(!w.failed);
        struct reader second = reader_of(slice_make(space, sizeof(space)));
        router_change_read(&second, &again);
        assert(!second.failed && again.op == c.op && again.ifindex == c.ifindex &&
                ip_prefix_equal(&again.prefix, &c.prefix));
}

static void script(const struct firewall_config *c, bool v6)
{
        struct buf out = BUF_INIT(64 << 10);

        firewall_script(c, v6, &out);
        assert(buf_status(&out) == OK);
        for (size_t i = 0; i < out.len; i++)
                assert(out.ptr[i] == '\n' || (out.ptr[i] >= ' ' && out.ptr[i] < 0x7f));
        buf_fini(&out);
}

static void firewall(struct reader r)
{
        uint8_t space[SPACE];
        struct writer w = writer_of(space, sizeof(space));
        struct firewall_config c, again;

        firewall_config_read(&r, &c);
        if (r.failed)
                return;
        script(&c, false);
        script(&c, true);
        firewall_config_write(&w, &c);
        assert(!w.failed);
        struct reader second = reader_of(slice_make(space, (size_t)(w.p - w.start)));
        firewall_config_read(&second, &again);
        assert(!second.failed && again.own_count == c.own_count && strcmp(again.tun, c.tun) == 0);
}

static void dns(struct reader r)
{
        uint8_t space[SPACE];
        struct writer w = writer_of(space, sizeof(space));
        struct os_dns_config c, again;

        os_dns_config_read(&r, &c);
        if (r.failed)
                return;
        os_dns_config_write(&w, &c);
        assert(!w.failed);
        struct reader second = reader_of(slice_make(space, (size_t)(w.p - w.start)));
        os_dns_config_read(&second, &again);
        assert(!second.failed && slice_equal(again.text, c.text) && strcmp(again.link, c.link) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static void (*const operations[])(struct reader) = { router, firewall, dns };

        if (len)
                operations[data[0] % 3](reader_of(slice_make(data + 1, len - 1)));
        return 0;
}
