/*
 * A control server that says anything: each line is a step of the client's world.
 *   0..4  begin, end, pause, resume or change something
 *   else  the answer to the request that waits longest: a status of three digits and
 *         the body, as one frame of a map message if it follows a '+'
 */
#include <stdlib.h>

#include "client/control.h"
#include "proto/map_frame.h"

#include "fuzz.h"

enum { OPEN_MAX = 64 };

static uint64_t open_ids[OPEN_MAX];
static size_t open_count;

static void request(void *ctx, const struct control_request *rq)
{
        (void)ctx;
        if (open_count == OPEN_MAX)
                abort(); /* the client bounds what it asks for */
        open_ids[open_count++] = rq->id;
}

static void drop(uint64_t id)
{
        for (size_t i = 0; i < open_count; i++) {
                if (open_ids[i] != id)
                        continue;
                memmove(&open_ids[i], &open_ids[i + 1], (open_count - i - 1) * sizeof(open_ids[0]));
                open_count--;
                return;
        }
        abort(); /* the client cancels only what it has asked for */
}

static void cancel(void *ctx, uint64_t id)
{
        (void)ctx;
        drop(id);
}

static void answer(struct control_client *c, const struct now *now, struct slice line)
{
        struct buf body = BUF_INIT(1 << 20);
        uint64_t status = 200, id = open_ids[0];
        bool is_frame = line.len > 3 && line.ptr[3] == '+';

        (void)!parse_u64(slice_first(line, 3), 999, &status);
        if (!is_frame)
                buf_append_slice(&body, slice_after(line, 3));
        else if (map_frame_write(slice_after(line, 4), &body))
                buf_clear(&body);
        control_client_response(c, now, id, (unsigned)status, slice_str("7"));
        control_client_body(c, now, id, buf_slice(&body));
        if (!is_frame && open_count && open_ids[0] == id) {
                drop(id);
                control_client_end(c, now, id, status == 999 ? ERR_AUTH : OK, NULL);
        } else if (is_frame && open_count && open_ids[0] == id) {
                open_ids[0] = open_ids[open_count - 1]; /* another one's turn */
                open_ids[open_count - 1] = id;
        }
        buf_fini(&body);
}

static void step(struct control_client *c, const struct now *now, struct slice line)
{
        switch (line.len == 1 ? line.ptr[0] : 0) {
        case '0': control_client_login(c, now, 0, "key--TLx"); return;
        case '1': control_client_logout(c, now); return;
        case '2': control_client_pause(c, now, true); return;
        case '3': control_client_pause(c, now, false); return;
        case '4': control_client_set_disco_key(c, now, &(struct public_key){ { (uint8_t)now->mono_us } }); return;
        default:
                if (open_count)
                        answer(c, now, line);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static const struct control_wire wire = { request, cancel };
        static const struct control_calls calls = { 0 };
        struct rng_seeded rng;
        struct netmap *nm = netmap_new();
        struct control_config config = {
                .server_url = "https://control.example", .calls = &calls, .wire = &wire, .rng = &rng.rng, .netmap = nm,
        };
        struct control_client *c;
        struct now now = { .mono_us = TIME_S(1), .unix_us = INT64_C(1767225600000000) };
        struct slice rest = slice_make(data, len), line;

        rng_seed(&rng, 1);
        open_count = 0;
        c = control_client_new(&config);
        while (slice_split(&rest, '\n', &line)) {
                step(c, &now, line);
                now.mono_us += TIME_S(20);
                now.unix_us += (int64_t)TIME_S(20);
                if (control_client_next(c) <= now.mono_us)
                        control_client_run(c, &now);
        }
        control_client_free(c);
        if (open_count)
                abort(); /* everything is cancelled in the end */
        netmap_free(nm);
        return 0;
}
