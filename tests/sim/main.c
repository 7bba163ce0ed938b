/* weft-sim: worlds by their seeds; see sim.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/text.h"
#include "sim.h"

enum { REPLAY_EVERY = 50 }; /* so many seeds: one is lived twice and must be the same */

static const char usage[] =
        "usage: weft-sim [--seed N | --seeds COUNT [--first N]] [--verbose]\n"
        "\n"
        "Runs two nodes, a control server and a relay in one process on virtual time.\n"
        "  --seed N       one world, and what it came to\n"
        "  --seeds COUNT  that many worlds (default 1000)\n"
        "  --first N      the first of their seeds (default 1)\n"
        "  --verbose      with --seed: tell what happens; twice: the engines' logs, too\n";

static bool live(uint64_t seed, bool is_verbose, uint64_t *digest)
{
        static struct world w;
        bool ok = world_live(&w, seed, is_verbose);

        *digest = w.digest;
        if (!ok)
                printf("seed %" PRIu64 " fails: %s\n", seed, w.failure);
        return ok;
}

static int many(uint64_t first, uint64_t count)
{
        uint64_t failed = 0, digest, again;

        for (uint64_t seed = first; seed < first + count; seed++) {
                bool ok = live(seed, false, &digest);

                if (ok && seed % REPLAY_EVERY == 0 && live(seed, false, &again) && again != digest) {
                        printf("seed %" PRIu64 " is another world the second time\n", seed);
                        ok = false;
                }
                failed += !ok;
        }
        printf("%" PRIu64 " of %" PRIu64 " worlds ended well\n", count - failed, count);
        if (failed)
                puts("replay one with: weft-sim --seed N --verbose");
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int one(uint64_t seed, bool is_verbose)
{
        uint64_t digest;
        bool ok = live(seed, is_verbose, &digest);

        if (ok)
                printf("seed %" PRIu64 " ends well, digest %016" PRIx64 "\n", seed, digest);
        return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static bool take_number(char **argv, int *i, uint64_t *out)
{
        return argv[*i + 1] && parse_u64(slice_str(argv[++*i]), UINT64_MAX, out) == OK;
}

int main(int argc, char **argv)
{
        uint64_t seed = 0, first = 1, count = 1000;
        unsigned verbose = 0;
        bool is_one = false, ok = true;

        for (int i = 1; i < argc && ok; i++) {
                struct slice a = slice_str(argv[i]);

                if (slice_is(a, "--seed"))
                        ok = is_one = take_number(argv, &i, &seed);
                else if (slice_is(a, "--seeds"))
                        ok = take_number(argv, &i, &count);
                else if (slice_is(a, "--first"))
                        ok = take_number(argv, &i, &first);
                else if (slice_is(a, "--verbose"))
                        verbose++;
                else
                        ok = false;
        }
        if (!ok) {
                fputs(usage, stderr);
                return EXIT_FAILURE;
        }
        log_set_level(verbose > 1 ? LOG_DEBUG : LOG_ERROR);
        return is_one ? one(seed, verbose != 0) : many(first, count);
}
