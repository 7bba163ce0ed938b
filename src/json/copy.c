#include "json/copy.h"

void json_copy(struct json_reader *r, struct json_writer *w)
{
        struct slice name;

        switch (json_peek(r)) {
        case JSON_OBJECT:
                json_object_open(w);
                json_object_begin(r);
                while (json_member(r, &name)) {
                        json_name_slice(w, name);
                        json_copy(r, w);
                }
                json_object_close(w);
                return;
        case JSON_ARRAY:
                json_array_open(w);
                json_array_begin(r);
                while (json_element(r))
                        json_copy(r, w);
                json_array_close(w);
                return;
        case JSON_STRING:
                json_put_string(w, json_string(r));
                return;
        case JSON_NUMBER:
        case JSON_BOOL:
        case JSON_NULL:
        case JSON_NONE:
                json_put_raw(w, json_raw(r));
                return;
        }
}
