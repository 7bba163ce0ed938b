/* policy-conformance DIR...: runs the cases of every *.jsonl file in the directories
 * against the policy engine. Prints what differs, and the counts at the end. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy_case.h"

struct counts {
        size_t passed, failed, skipped;
};

static void run_line(struct slice line, struct counts *total)
{
        struct policy_case *c = calloc(1, sizeof(*c));
        struct buf why = BUF_INIT(64 << 20);

        if (!c)
                abort();
        c->arena = ARENA_INIT((size_t)1 << 30);
        if (case_parse(line, c) != OK) {
                printf("FAIL %.60s: not a case\n", (const char *)line.ptr);
                total->failed++;
        } else if (c->policy.ptr == NULL) {
                total->skipped++; /* a packet filter rule, not a policy */
        } else if (case_run(c, &why)) {
                total->passed++;
        } else {
                printf("FAIL %.*s\n%s", SLICE_ARGS(c->id), buf_cstr(&why));
                total->failed++;
        }
        buf_fini(&why);
        arena_fini(&c->arena);
        free(c);
}

static int run_file(const char *path, struct counts *total)
{
        FILE *f = fopen(path, "r");
        char *line = NULL;
        size_t cap = 0;
        ssize_t n;
        struct counts before = *total;

        if (!f) {
                perror(path);
                return 1;
        }
        while ((n = getline(&line, &cap, f)) > 0)
                run_line(slice_trim(slice_make(line, (size_t)n)), total);
        free(line);
        fclose(f);
        printf("%s: %zu passed, %zu failed, %zu skipped\n", path, total->passed - before.passed,
                total->failed - before.failed, total->skipped - before.skipped);
        return 0;
}

static int only_jsonl(const struct dirent *d)
{
        return slice_has_suffix(slice_str(d->d_name), SLICE_LIT(".jsonl"));
}

static int run_dir(const char *dir, struct counts *total)
{
        struct dirent **names;
        int n = scandir(dir, &names, only_jsonl, alphasort), bad = 0;
        char path[4096];

        if (n < 0) {
                perror(dir);
                return 1;
        }
        for (int i = 0; i < n; i++) {
                snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
                bad |= run_file(path, total);
                free(names[i]);
        }
        free(names);
        return bad;
}

int main(int argc, char **argv)
{
        struct counts total = { 0 };
        int bad = 0;

        if (argc < 2) {
                fprintf(stderr, "usage: policy-conformance DIR...\n");
                return 2;
        }
        for (int i = 1; i < argc; i++)
                bad |= run_dir(argv[i], &total);
        printf("%zu passed, %zu failed, %zu skipped\n", total.passed, total.failed, total.skipped);
        return bad || total.failed ? 1 : 0;
}
