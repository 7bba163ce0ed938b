/* The rules as text for nftables, and a configuration as bytes. */
#include "os/firewall.h"

#include <string.h>

void firewall_config_write(struct writer *w, const struct firewall_config *c)
{
        wr_bytes(w, c->tun, sizeof(c->tun));
        wr_u8(w, c->mode);
        wr_u8(w, c->snat);
        wr_u8(w, c->stateful);
        wr_u8(w, c->keep_cgnat);
        wr_le16(w, c->port_v4);
        wr_le16(w, c->port_v6);
        wr_u8(w, c->own_count);
        for (size_t i = 0; i < c->own_count; i++) {
                wr_u8(w, c->own[i].family);
                wr_bytes(w, c->own[i].b, sizeof(c->own[i].b));
        }
}

/* The name becomes part of a command. */
static bool is_sane_name(const char *name)
{
        for (const char *p = name; *p; p++)
                if (*p <= ' ' || *p > '~' || *p == '"' || *p == '\\')
                        return false;
        return *name;
}

void firewall_config_read(struct reader *r, struct firewall_config *out)
{
        *out = (struct firewall_config){ 0 };
        rd_copy(r, out->tun, sizeof(out->tun));
        out->tun[sizeof(out->tun) - 1] = '\0';
        out->mode = rd_u8(r);
        out->snat = rd_u8(r);
        out->stateful = rd_u8(r);
        out->keep_cgnat = rd_u8(r);
        out->port_v4 = rd_le16(r);
        out->port_v6 = rd_le16(r);
        out->own_count = rd_u8(r);
        if (out->own_count > FIREWALL_OWN_MAX || out->mode > FIREWALL_ON || !is_sane_name(out->tun)) {
                r->failed = true;
                return;
        }
        for (size_t i = 0; i < out->own_count; i++) {
                out->own[i].family = rd_u8(r);
                rd_copy(r, out->own[i].b, sizeof(out->own[i].b));
        }
}

static void chains(const char *family, struct buf *out)
{
        static const struct {
                const char *table, *hook, *base, *chain;
        } all[] = {
                { "filter", "type filter hook input priority 0", "INPUT", "ts-input" },
                { "filter", "type filter hook forward priority 0", "FORWARD", "ts-forward" },
                { "nat", "type nat hook postrouting priority 100", "POSTROUTING", "ts-postrouting" },
        };

        for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
                /* Without a policy: one that the host has set already stays. */
                buf_printf(out, "add table %s %s\n", family, all[i].table);
                buf_printf(out, "add chain %s %s %s { %s; }\n", family, all[i].table, all[i].base, all[i].hook);
                buf_printf(out, "add chain %s %s %s\n", family, all[i].table, all[i].chain);
                buf_printf(out, "flush chain %s %s %s\n", family, all[i].table, all[i].chain);
        }
}

static void input_rules(const struct firewall_config *c, bool v6, const char *family, struct buf *out)
{
        uint16_t port = v6 ? c->port_v6 : c->port_v4;
        char text[IP_TEXT_MAX];

        for (size_t i = 0; i < c->own_count; i++) {
                if ((c->own[i].family == IP_V6) != v6)
                        continue;
                ip_format(&c->own[i], text);
                buf_printf(out, "add rule %s filter ts-input iifname \"lo\" %s saddr %s accept\n", family, family, text);
        }
        buf_printf(out, "add rule %s filter ts-input iifname \"%s\" accept\n", family, c->tun);
        if (port)
                buf_printf(out, "add rule %s filter ts-input udp dport %u accept\n", family, port);
        if (v6)
                return;
        buf_printf(out, "add rule ip filter ts-input iifname != \"%s\" ip saddr 100.115.92.0/23 return\n", c->tun);
        buf_printf(out, "add rule ip filter ts-input iifname != \"%s\" ip saddr 100.64.0.0/10 %s\n", c->tun,
                c->keep_cgnat ? "return" : "drop");
}

static void forward_rules(const struct firewall_config *c, bool v6, const char *family, struct buf *out)
{
        buf_printf(out, "add rule %s filter ts-forward iifname \"%s\" meta mark set meta mark & 0xff00ffff | 0x00040000\n",
                family, c->tun);
        buf_printf(out, "add rule %s filter ts-forward meta mark & 0x00ff0000 == 0x00040000 accept\n", family);
        if (!v6)
                buf_printf(out, "add rule ip filter ts-forward oifname \"%s\" ip saddr 100.64.0.0/10 drop\n", c->tun);
        if (c->stateful)
                buf_printf(out, "add rule %s filter ts-forward oifname \"%s\" ct state != { established, related } drop\n",
                        family, c->tun);
        buf_printf(out, "add rule %s filter ts-forward oifname \"%s\" accept\n", family, c->tun);
}

void firewall_script(const struct firewall_config *c, bool v6, struct buf *out)
{
        const char *family = v6 ? "ip6" : "ip";

        chains(family, out);
        input_rules(c, v6, family, out);
        forward_rules(c, v6, family, out);
        if (c->snat)
                buf_printf(out, "add rule %s nat ts-postrouting meta mark & 0x00ff0000 == 0x00040000 masquerade\n", family);
}
