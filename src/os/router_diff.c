/* The pure half of os/router.h: from two wishes to a list of changes. */
#include <stdlib.h>

#include "os/router.h"

static int by_value(const void *a, const void *b)
{
        return ip_prefix_compare(a, b);
}

struct sorted {
        struct ip_prefix *items;
        size_t count;
};

static enum err sort_copy(struct sorted *s, const struct ip_prefix *items, size_t count)
{
        *s = (struct sorted){ 0 };
        if (count > ROUTER_PREFIX_MAX)
                return ERR_LIMIT;
        if (count == 0)
                return OK;
        s->items = malloc(count * sizeof(*items));
        if (!s->items)
                return ERR_NOMEM;
        memcpy(s->items, items, count * sizeof(*items));
        s->count = count;
        qsort(s->items, count, sizeof(*items), by_value);
        return OK;
}

struct output {
        void (*emit)(void *ctx, const struct router_change *c);
        void *ctx;
        uint32_t ifindex;
};

static void emit(const struct output *out, enum router_op op, const struct ip_prefix *p)
{
        static const struct ip_prefix none;
        struct router_change c = { (uint8_t)op, out->ifindex, p ? *p : none };
        out->emit(out->ctx, &c);
}

/* Emits op for what is in a but not in b; both are sorted, repetitions are skipped. */
static void emit_missing(const struct output *out, enum router_op op, const struct sorted *a, const struct sorted *b)
{
        for (size_t i = 0; i < a->count; i++) {
                const struct ip_prefix *p = &a->items[i];
                if (i > 0 && ip_prefix_equal(p, p - 1))
                        continue;
                if (!b->count || !bsearch(p, b->items, b->count, sizeof(*p), by_value))
                        emit(out, op, p);
        }
}

struct wish {
        struct sorted addresses, routes, throws;
};

static void wish_fini(struct wish *w)
{
        free(w->addresses.items);
        free(w->routes.items);
        free(w->throws.items);
}

static enum err wish_init(struct wish *w, const struct router_config *c)
{
        enum err e = OK;

        *w = (struct wish){ 0 };
        if (!c)
                return OK;
        if ((e = sort_copy(&w->addresses, c->addresses, c->address_count)) == OK &&
                (e = sort_copy(&w->routes, c->routes, c->route_count)) == OK)
                e = sort_copy(&w->throws, c->throws, c->throw_count);
        return e;
}

enum err router_diff(const struct router_config *from, const struct router_config *to,
        void (*emit_fn)(void *ctx, const struct router_change *c), void *ctx)
{
        struct output out = { emit_fn, ctx, to ? to->ifindex : from ? from->ifindex : 0 };
        bool had_rules = from && from->has_rules, want_rules = to && to->has_rules;
        struct wish old, new;
        enum err e = wish_init(&old, from), e2 = wish_init(&new, to);

        if (e || e2) {
                e = e ? e : e2;
                goto fini;
        }
        if (want_rules && !had_rules)
                emit(&out, ROUTER_RULES_ADD, NULL);
        emit_missing(&out, ROUTER_THROW_ADD, &new.throws, &old.throws);
        emit_missing(&out, ROUTER_THROW_DEL, &old.throws, &new.throws);
        emit_missing(&out, ROUTER_ADDRESS_ADD, &new.addresses, &old.addresses);
        emit_missing(&out, ROUTER_ROUTE_ADD, &new.routes, &old.routes);
        emit_missing(&out, ROUTER_ROUTE_DEL, &old.routes, &new.routes);
        emit_missing(&out, ROUTER_ADDRESS_DEL, &old.addresses, &new.addresses);
        if (had_rules && !want_rules)
                emit(&out, ROUTER_RULES_DEL, NULL);
fini:
        wish_fini(&old);
        wish_fini(&new);
        return e;
}

void router_change_write(struct writer *w, const struct router_change *c)
{
        wr_u8(w, c->op);
        wr_u8(w, c->prefix.ip.family);
        wr_u8(w, c->prefix.bits);
        wr_u8(w, 0);
        wr_le32(w, c->ifindex);
        wr_bytes(w, c->prefix.ip.b, sizeof(c->prefix.ip.b));
}

void router_change_read(struct reader *r, struct router_change *out)
{
        *out = (struct router_change){ .op = rd_u8(r) };
        out->prefix.ip.family = rd_u8(r);
        out->prefix.bits = rd_u8(r);
        rd_skip(r, 1);
        out->ifindex = rd_le32(r);
        rd_copy(r, out->prefix.ip.b, sizeof(out->prefix.ip.b));
        if (out->prefix.bits > ip_bits(&out->prefix.ip))
                r->failed = true;
}
