/* `weft status --json --active`: what is left out of the daemon's JSON. */
#include "json/copy.h"
#include "status_rows.h"

static bool is_active(struct slice peer, struct arena *arena)
{
        struct json_reader r;
        struct slice name;
        bool active = false;

        json_reader_init(&r, peer, arena);
        json_object_begin(&r);
        while (json_member(&r, &name))
                if (slice_is(name, "Active"))
                        active = json_bool(&r);
                else
                        json_skip(&r);
        return active;
}

void status_copy_active(struct json_reader *r, struct json_writer *w)
{
        struct json_reader peer;
        struct slice name;

        json_object_open(w);
        json_object_begin(r);
        while (json_member(r, &name)) {
                json_name_slice(w, name);
                if (!slice_is(name, "Peer") || json_peek(r) != JSON_OBJECT) {
                        json_copy(r, w);
                        continue;
                }
                json_object_open(w);
                json_object_begin(r);
                while (json_member(r, &name)) {
                        struct slice text = json_raw(r);
                        if (!is_active(text, r->arena))
                                continue;
                        json_reader_init(&peer, text, r->arena);
                        json_name_slice(w, name);
                        json_copy(&peer, w);
                }
                json_object_close(w);
        }
        json_object_close(w);
}
