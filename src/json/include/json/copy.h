/* From a reader to a writer: JSON written anew, with the writer's indentation and escapes. */
#ifndef JSON_COPY_H
#define JSON_COPY_H

#include "json/reader.h"
#include "json/writer.h"

/* The next value, whatever it is; no deeper than the reader allows. Errors are the
 * reader's: json_finish() tells them. */
void json_copy(struct json_reader *r, struct json_writer *w);

#endif
