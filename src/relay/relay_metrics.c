/* The counters as Prometheus text. */
#include "relay_io_internal.h"

static void one(struct buf *out, const char *prefix, const char *name, const char *type, uint64_t v)
{
        buf_printf(out, "# TYPE %s%s %s\n%s%s %llu\n", prefix, name, type, prefix, name, (unsigned long long)v);
}

static void drops(struct buf *out, const char *prefix, const struct relay_stats *s)
{
        static const char *const kinds[RELAY_KINDS] = { [RELAY_DISCO] = "disco", [RELAY_OTHER] = "other" };

        buf_printf(out, "# TYPE %spackets_dropped_total counter\n", prefix);
        for (int why = 0; why < RELAY_DROP_COUNT; why++)
                for (int kind = 0; kind < RELAY_KINDS; kind++)
                        buf_printf(out, "%spackets_dropped_total{reason=\"%s\",kind=\"%s\"} %llu\n", prefix,
                                   relay_drop_name((enum relay_drop)why), kinds[kind],
                                   (unsigned long long)s->dropped[why][kind]);
}

static void endings(struct buf *out, const char *prefix, const struct relay_stats *s)
{
        buf_printf(out, "# TYPE %sconnections_ended_total counter\n", prefix);
        for (int why = 0; why < RELAY_END_COUNT; why++)
                buf_printf(out, "%sconnections_ended_total{reason=\"%s\"} %llu\n", prefix,
                           relay_end_name((enum relay_end)why), (unsigned long long)s->ended[why]);
}

void relay_io_metrics(struct relay_io *io, const char *prefix, struct buf *out)
{
        const struct relay_stats *s = relay_stats(io->engine);
        const struct {
                const char *name, *type;
                uint64_t value;
        } plain[] = {
                { "connections", "gauge", s->conns },
                { "connections_peak", "gauge", s->peak_conns },
                { "nodes", "gauge", s->nodes },
                { "home_connections", "gauge", s->homes },
                { "mesh_routes", "gauge", s->routes },
                { "mesh_watchers", "gauge", s->watchers },
                { "accepts_total", "counter", s->accepts },
                { "logins_total", "counter", s->logins },
                { "refused_total", "counter", s->refused },
                { "packets_received_total", "counter", s->packets_in[RELAY_DISCO] + s->packets_in[RELAY_OTHER] },
                { "packets_received_disco_total", "counter", s->packets_in[RELAY_DISCO] },
                { "packets_sent_total", "counter", s->packets_out },
                { "bytes_received_total", "counter", s->bytes_in },
                { "bytes_sent_total", "counter", s->bytes_out },
                { "packets_forwarded_in_total", "counter", s->forwarded_in },
                { "packets_forwarded_out_total", "counter", s->forwarded_out },
                { "peer_gone_disconnected_total", "counter", s->peer_gone_disconnected },
                { "peer_gone_not_here_total", "counter", s->peer_gone_not_here },
                { "pings_total", "counter", s->pings },
                { "keep_alives_total", "counter", s->keep_alives },
                { "unknown_frames_total", "counter", s->unknown_frames },
        };

        for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
                one(out, prefix, plain[i].name, plain[i].type, plain[i].value);
        drops(out, prefix, s);
        endings(out, prefix, s);
}
