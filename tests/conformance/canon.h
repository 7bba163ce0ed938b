/* JSON in one form, so that what is meant to be equal is equal as text. */
#ifndef CANON_H
#define CANON_H

#include "base/buf.h"
#include "json/reader.h"

/* Writes the next value: members by name, lists whose order means nothing sorted,
 * null and [] as []. */
void canon_value(struct json_reader *r, struct buf *out);
/* A whole text; the result is in the arena. */
struct slice canon_text(struct slice json, struct arena *a);

#endif
