/*
 * What a policy costs: tailnets of three sizes under three policies of real shape. For
 * each, in processes of their own: everything compiled from nothing; one node added and
 * taken away again (the touched nodes known, nothing serialised); one rule changed; the
 * heap that the state keeps, and the process's peak. Times are the median of the processes.
 */
#include <malloc.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "policy/state.h"

enum { USERS = 500, GROUPS = 50, RULES = 200, TAGS = 1000, ADDED = 50, CHANGED = 5, RUNS = 7 };

struct shape {
        const char *name;
        void (*write)(struct buf *out, unsigned variant);
        bool tagged; /* nodes are tagged, else owned by users */
};

struct cost {
        unsigned classes;
        double cold_ms, added_ms, told_ms, removed_ms, rule_ms, heap_mb, peak_mb;
};

static double now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void must(bool ok, const char *what)
{
        if (ok)
                return;
        fprintf(stderr, "policy bench: %s failed\n", what);
        exit(1);
}

/* ---- the policies; another variant has one rule changed ------------------------------ */

static void write_allow_all(struct buf *out, unsigned variant)
{
        buf_printf(out, "{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:%s\"]}]}", variant ? "1-65535" : "*");
}

/* 50 groups of 15 of the 500 users, overlapping; 200 rules between groups, a few hosts. */
static void write_groups(struct buf *out, unsigned variant)
{
        buf_append_str(out, "{\"groups\":{");
        for (unsigned g = 0; g < GROUPS; g++) {
                buf_printf(out, "%s\"group:g%u\":[", g ? "," : "", g);
                for (unsigned i = 0; i < 15; i++)
                        buf_printf(out, "%s\"u%u@example.com\"", i ? "," : "", (g * 10 + i) % USERS);
                buf_append_str(out, "]");
        }
        buf_append_str(out, "},\"hosts\":{\"db\":\"10.20.0.0/16\",\"web\":\"10.30.1.5\"},\"acls\":[");
        for (unsigned r = 0; r < RULES; r++) {
                buf_printf(out, "%s{\"action\":\"accept\",\"src\":[\"group:g%u\"],\"dst\":[", r ? "," : "", r % GROUPS);
                if (r % 10 == 9)
                        buf_printf(out, "\"%s:%u\"]}", r % 20 == 9 ? "db" : "web", 5000 + r);
                else
                        buf_printf(out, "\"group:g%u:%u\"]}", (r * 7 + 3) % GROUPS, r == 100 && variant ? 9999 : 1000 + r % 20);
        }
        buf_append_str(out, "]}");
}

/* Each tag reaches the next two. */
static void write_tags(struct buf *out, unsigned variant)
{
        buf_append_str(out, "{\"tagOwners\":{");
        for (unsigned t = 0; t < TAGS; t++)
                buf_printf(out, "%s\"tag:t%u\":[\"u%u@example.com\"]", t ? "," : "", t, t % USERS);
        buf_append_str(out, "},\"acls\":[");
        for (unsigned t = 0; t < TAGS; t++)
                buf_printf(out, "%s{\"action\":\"accept\",\"src\":[\"tag:t%u\"],\"dst\":[\"tag:t%u:443\",\"tag:t%u:%u\"]}",
                        t ? "," : "", t, (t + 1) % TAGS, (t + 2) % TAGS, t == 500 && variant ? 23 : 22);
        buf_append_str(out, "]}");
}

static const struct shape shapes[] = {
        { "allow all", write_allow_all, false },
        { "50 groups, 200 rules", write_groups, false },
        { "1,000 tags", write_tags, true },
};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };
static const unsigned sizes[] = { 100, 1000, 10000 };
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

/* ---- one tailnet ------------------------------------------------------------------------ */

static struct policy_user *make_users(struct arena *a)
{
        struct policy_user *users = ARENA_ARRAY(a, USERS, struct policy_user);

        for (int i = 0; users && i < USERS; i++)
                users[i] = (struct policy_user){ .id = i + 1,
                        .name = slice_str(arena_printf(a, "u%d", i)),
                        .email = slice_str(arena_printf(a, "u%d@example.com", i)) };
        must(users && !arena_failed(a), "making users");
        return users;
}

static void put_node(struct policy_state *st, const struct shape *shape, unsigned i)
{
        char name[24];
        struct slice tag;
        struct policy_node n = { .id = (int64_t)i + 1,
                .ipv4 = ip_v4(100, (uint8_t)(64 + (i >> 16)), (uint8_t)(i >> 8), (uint8_t)i),
                .ipv6 = ip_v6((const uint8_t[16]){ 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, [13] = (uint8_t)(i >> 16),
                        [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i }) };

        if (shape->tagged) {
                snprintf(name, sizeof(name), "tag:t%u", i % TAGS);
                tag = slice_str(name);
                n.tags = &tag;
                n.tag_count = 1;
        } else {
                n.user_id = i % USERS + 1;
        }
        must(policy_state_set_node(st, &n) == OK, "adding a node");
}

static struct policy *parse(const struct shape *shape, unsigned variant, const struct policy_user *users)
{
        struct policy_settings settings = { .users = users, .user_count = USERS };
        struct buf text = BUF_INIT(POLICY_TEXT_MAX);
        struct policy_errors errors;

        policy_errors_init(&errors);
        shape->write(&text, variant);
        struct policy *p = policy_parse(buf_slice(&text), &settings, &errors);
        must(p != NULL, "parsing");
        policy_errors_fini(&errors);
        buf_fini(&text);
        return p;
}

static void enforce(struct policy_state *st, struct policy *p)
{
        struct policy_errors errors;

        policy_errors_init(&errors);
        must(policy_state_set_policy(st, p, &errors) == OK, "setting the policy");
        policy_errors_fini(&errors);
}

/* Who must be told: the number of nodes touched. */
static size_t visit(struct policy_state *st)
{
        struct policy_touched t = { 0 };
        size_t n = 0;

        while (policy_state_next_touched(st, &t))
                n++;
        policy_state_settle(st);
        return n;
}

static size_t heap_bytes(void)
{
        struct mallinfo2 m = mallinfo2();

        return m.uordblks + m.hblkhd;
}

/* Everything from nothing. The caller frees the state. */
static struct policy_state *compile(const struct shape *shape, unsigned n, const struct policy_user *users)
{
        struct policy_errors errors;
        struct policy_state *st = policy_state_new();

        policy_errors_init(&errors);
        must(st && policy_state_set_users(st, users, USERS, &errors) == OK, "setting the users");
        policy_errors_fini(&errors);
        for (unsigned i = 0; i < n; i++)
                put_node(st, shape, i);
        enforce(st, parse(shape, 0, users));
        must(visit(st) == n, "touching every node");
        return st;
}

static unsigned count_classes(const struct policy_state *st)
{
        unsigned classes = 0;

        for (uint32_t c = 0; c < policy_state_class_limit(st); c++) {
                size_t members;
                (void)policy_state_class_nodes(st, c, &members);
                classes += members > 0;
        }
        return classes;
}

static struct cost measure(const struct shape *shape, unsigned n)
{
        struct arena a = ARENA_INIT(16 << 20);
        struct policy_user *users = make_users(&a);
        size_t before = heap_bytes();
        struct cost cost = { 0 };
        struct rusage usage;
        double begin = now_ms();
        struct policy_state *st = compile(shape, n, users);

        cost.cold_ms = now_ms() - begin;
        cost.heap_mb = (double)(heap_bytes() - before) / 1e6;
        cost.classes = count_classes(st);
        for (unsigned i = 0; i < ADDED; i++) {
                begin = now_ms();
                put_node(st, shape, n + i);
                must(policy_state_touched(st, n + i + 1) && policy_state_class(st, n + i + 1) != POLICY_NO_CLASS, "placing the new node");
                double known = now_ms();
                visit(st);
                cost.added_ms += (known - begin) / ADDED;
                cost.told_ms += (now_ms() - known) / ADDED;
        }
        for (unsigned i = 0; i < ADDED; i++) {
                begin = now_ms();
                must(policy_state_remove_node(st, n + i + 1) == OK, "removing a node");
                visit(st);
                cost.removed_ms += (now_ms() - begin) / ADDED;
        }
        for (unsigned i = 0; i < CHANGED; i++) {
                begin = now_ms();
                enforce(st, parse(shape, (i + 1) % 2, users));
                visit(st);
                cost.rule_ms += (now_ms() - begin) / CHANGED;
        }
        getrusage(RUSAGE_SELF, &usage);
        cost.peak_mb = (double)usage.ru_maxrss / 1e3;
        policy_state_free(st);
        arena_fini(&a);
        return cost;
}

/* In a child, so that its peak is its own. */
static struct cost measure_apart(const struct shape *shape, unsigned n)
{
        struct cost cost = { 0 };
        int ends[2], status = 1;

        must(pipe(ends) == 0, "pipe");
        pid_t child = fork();
        if (child == 0) {
                cost = measure(shape, n);
                _exit(write(ends[1], &cost, sizeof(cost)) == sizeof(cost) ? 0 : 1);
        }
        close(ends[1]);
        bool got = child > 0 && read(ends[0], &cost, sizeof(cost)) == sizeof(cost);
        must(child > 0 && waitpid(child, &status, 0) == child && status == 0 && got, shape->name);
        close(ends[0]);
        return cost;
}

/* ---- several processes, and the middle of what they measured --------------------------- */

static const size_t times[] = { offsetof(struct cost, cold_ms), offsetof(struct cost, added_ms),
        offsetof(struct cost, told_ms), offsetof(struct cost, removed_ms), offsetof(struct cost, rule_ms) };
enum { TIMES = sizeof(times) / sizeof(times[0]) };

static double *field(struct cost *c, size_t at) { return (double *)(void *)((char *)c + at); }

static int by_value(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return x < y ? -1 : x > y;
}

static struct cost middle_of(struct cost runs[RUNS])
{
        struct cost middle = runs[0];
        double values[RUNS];

        for (int t = 0; t < TIMES; t++) {
                for (int i = 0; i < RUNS; i++)
                        values[i] = *field(&runs[i], times[t]);
                qsort(values, RUNS, sizeof(values[0]), by_value);
                *field(&middle, times[t]) = values[RUNS / 2];
        }
        return middle;
}

/* The sizes take turns, so that what else the machine does falls on all of them. */
static void measure_shape(const struct shape *shape, struct cost costs[SIZES])
{
        struct cost runs[SIZES][RUNS];

        for (int r = 0; r < RUNS; r++)
                for (int i = 0; i < SIZES; i++)
                        runs[i][r] = measure_apart(shape, sizes[i]);
        for (int i = 0; i < SIZES; i++)
                costs[i] = middle_of(runs[i]);
}

/* ---- telling ------------------------------------------------------------------------------ */

struct mark {
        char what[80];
        double value, limit;
        const char *unit;
};
enum { MARKS_MAX = 3 + 3 * SHAPES };

struct marks {
        struct mark all[MARKS_MAX];
        size_t count;
};

static bool is_met(const struct mark *m) { return m->value <= m->limit; }

static void add_mark(struct marks *m, double value, double limit, const char *unit, const char *what, const char *of)
{
        struct mark *to = &m->all[m->count++];

        *to = (struct mark){ .value = value, .limit = limit, .unit = unit };
        snprintf(to->what, sizeof(to->what), "%s%s", what, of);
}

/* Ten times the nodes, no more than ten times the time: where the classes are as many. */
static void add_growth(struct marks *m, const char *shape, const struct cost *small, const struct cost *big)
{
        if (big->classes != small->classes)
                return;
        add_mark(m, big->cold_ms / small->cold_ms, 10, "x", "10,000 to 1,000 nodes, cold compile, ", shape);
        add_mark(m, big->added_ms / small->added_ms, 10, "x", "10,000 to 1,000 nodes, one node added, ", shape);
        add_mark(m, big->rule_ms / small->rule_ms, 10, "x", "10,000 to 1,000 nodes, one rule changed, ", shape);
}

static struct marks judge(struct cost costs[SHAPES][SIZES])
{
        const struct cost *big = &costs[1][2];
        struct marks m = { 0 };

        add_mark(&m, big->cold_ms, 1000, "ms", "10,000 nodes, cold compile, ", shapes[1].name);
        add_mark(&m, big->added_ms, 1, "ms", "10,000 nodes, one node added, ", shapes[1].name);
        add_mark(&m, big->heap_mb, 200, "MB", "10,000 nodes, heap of the state, ", shapes[1].name);
        for (int s = 0; s < SHAPES; s++)
                add_growth(&m, shapes[s].name, &costs[s][1], &costs[s][2]);
        return m;
}

/* True if every mark is met. */
static bool print_marks(const struct marks *m)
{
        bool ok = true;

        for (size_t i = 0; i < m->count; i++) {
                const struct mark *k = &m->all[i];
                printf("%s  %-64s %9.3f %-2s (at most %g)\n", is_met(k) ? "pass" : "FAIL", k->what, k->value, k->unit, k->limit);
                ok &= is_met(k);
        }
        return ok;
}

static void write_json(FILE *f, struct cost costs[SHAPES][SIZES], const struct marks *m)
{
        fprintf(f, "{\"costs\":[");
        for (int s = 0; s < SHAPES; s++) {
                for (int i = 0; i < SIZES; i++) {
                        const struct cost *c = &costs[s][i];
                        fprintf(f,
                                "%s{\"policy\":\"%s\",\"nodes\":%u,\"classes\":%u,\"cold_ms\":%.3f,\"added_ms\":%.4f,"
                                "\"told_ms\":%.4f,\"removed_ms\":%.4f,\"rule_ms\":%.3f,\"heap_mb\":%.2f,\"peak_mb\":%.1f}",
                                s + i ? ",\n" : "", shapes[s].name, sizes[i], c->classes, c->cold_ms, c->added_ms, c->told_ms,
                                c->removed_ms, c->rule_ms, c->heap_mb, c->peak_mb);
                }
        }
        fprintf(f, "],\n\"marks\":[");
        for (size_t i = 0; i < m->count; i++) {
                const struct mark *k = &m->all[i];
                fprintf(f, "%s{\"what\":\"%s\",\"value\":%.4f,\"limit\":%g,\"unit\":\"%s\",\"pass\":%s}", i ? ",\n" : "",
                        k->what, k->value, k->limit, k->unit, is_met(k) ? "true" : "false");
        }
        fprintf(f, "]}\n");
}

static void measure_all(struct cost costs[SHAPES][SIZES])
{
        printf("%-22s %6s %7s %9s %9s %9s %9s %9s %8s %8s\n", "policy", "nodes", "classes", "cold ms", "added ms",
                "told ms", "rem. ms", "rule ms", "heap MB", "peak MB");
        for (int s = 0; s < SHAPES; s++) {
                measure_shape(&shapes[s], costs[s]);
                for (int i = 0; i < SIZES; i++) {
                        const struct cost *c = &costs[s][i];
                        printf("%-22s %6u %7u %9.2f %9.4f %9.4f %9.4f %9.2f %8.2f %8.1f\n", shapes[s].name, sizes[i],
                                c->classes, c->cold_ms, c->added_ms, c->told_ms, c->removed_ms, c->rule_ms, c->heap_mb,
                                c->peak_mb);
                        fflush(stdout);
                }
        }
        putchar('\n');
}

/* For a profiler, or for counting instructions: nothing but one cold compile. */
static int compile_once(const char *shape, const char *nodes)
{
        struct arena a = ARENA_INIT(16 << 20);
        uint64_t s, n;

        if (parse_u64(slice_str(shape), SHAPES - 1, &s) != OK || parse_u64(slice_str(nodes), 1 << 20, &n) != OK)
                return 2;
        policy_state_free(compile(&shapes[s], (unsigned)n, make_users(&a)));
        arena_fini(&a);
        return 0;
}

static const char usage[] =
        "usage: bench/policy [--json FILE]\n"
        "       bench/policy --cold POLICY NODES\n\n"
        "Compiles three policies for 100, 1,000 and 10,000 nodes. cold: everything from nothing;\n"
        "added: one node more, and the classes known that it touched; told: visiting every node\n"
        "it touched; removed: one node less, visits included; rule: the text with one rule changed\n"
        "parsed, compiled, visited; heap: what the state keeps; peak: of the process. Times are\n"
        "the median of seven processes. The marks follow, passed or failed; the exit status is 1\n"
        "if one is. --cold compiles policy 0, 1 or 2 once and says nothing, for a profiler.";

int main(int argc, char **argv)
{
        struct cost costs[SHAPES][SIZES];
        FILE *json = NULL;

        if (argc == 4 && strcmp(argv[1], "--cold") == 0)
                return compile_once(argv[2], argv[3]);
        if (argc == 3 && strcmp(argv[1], "--json") == 0) {
                json = fopen(argv[2], "w");
                if (!json) {
                        perror(argv[2]);
                        return 1;
                }
        } else if (argc != 1) {
                puts(usage);
                return strcmp(argv[1], "--help") == 0 ? 0 : 2;
        }
        measure_all(costs);
        struct marks marks = judge(costs);
        bool ok = print_marks(&marks);
        if (json) {
                write_json(json, costs, &marks);
                ok &= fclose(json) == 0;
        }
        return ok ? 0 : 1;
}
