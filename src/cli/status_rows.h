/*
 * What `weft status` shows, as text or as a page: a row for each node, and the sentence
 * for a node that is not connected (spec/node.md 2.4).
 */
#ifndef CLI_STATUS_ROWS_H
#define CLI_STATUS_ROWS_H

#include "cli.h"

enum { STATUS_COLUMNS = 5, STATUS_CELL_MAX = 256 };

extern const char *const status_titles[STATUS_COLUMNS];

struct status_row {
        char cell[STATUS_COLUMNS][STATUS_CELL_MAX];
        const struct status_peer *peer;
};

/* What the user wants to see. */
struct status_show {
        bool self, peers;
        bool active; /* of the peers only those with traffic now */
};

/* This node, then the peers by name. The rows lie in the arena and borrow from st; NULL:
 * out of memory. */
struct status_row *status_rows(const struct status *st, const struct status_show *show, int64_t now_ns, struct arena *arena,
        size_t *count);
/* Connected, or about to be. */
bool status_is_up(const struct status *st);
/* Why it is not: one or two lines, in the official words that scripts look for. */
void status_why_not(const struct status *st, struct buf *out);

/* status_json.c: copies a status, but for the peers that nobody talks to. */
void status_copy_active(struct json_reader *r, struct json_writer *w);

/* status_web.c: serves the rows as a page until the process ends; returns the exit status
 * if that cannot be. listen is an address and port; with browser a program that shows the
 * page is started, where there is one. */
int status_serve(struct cli *cli, const struct status_show *show, const char *listen, bool browser);

#endif
