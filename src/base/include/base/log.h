/*
 * Log lines: a level, a component, a sentence, then facts as key=value.
 *
 *     log_info(&log, "path changed", "peer=%s path=%s", short_key, text);
 *
 * Info is what an operator acts on: a dozen lines for a healthy start. Whatever a
 * stranger can trigger is debug, or goes through log_limited(). Secrets have no
 * printing function. The sink is process-wide; the default writes to stderr.
 * Safe to call from any thread.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include <stdint.h>

#include "base/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

/* A component's name, e.g. { "derp" }; usually a static const. */
struct log {
        const char *component;
};

void log_set_level(enum log_level level);
enum log_level log_level(void);
/* "error" ... "trace"; ERR_FORMAT otherwise. */
enum err MUST_USE log_level_parse(const char *text, enum log_level *out);
/* JSON lines instead of text, for log collectors. */
void log_set_json(int on);
/* Redirects finished lines (without newline); NULL restores stderr. */
void log_set_sink(void (*sink)(void *ctx, enum log_level level, const char *line), void *ctx);

/* facts_fmt may be NULL. Prefer the macros: they skip formatting when disabled. */
void log_write(const struct log *log, enum log_level level, const char *what, const char *facts_fmt, ...)
        PRINTF_LIKE(4, 5);

#define log_at(lg, lvl, ...)                                           \
        do {                                                           \
                if ((lvl) <= log_level())                              \
                        log_write((lg), (lvl), __VA_ARGS__);           \
        } while (0)
#define log_error(lg, ...) log_at(lg, LOG_ERROR, __VA_ARGS__)
#define log_warn(lg, ...) log_at(lg, LOG_WARN, __VA_ARGS__)
#define log_info(lg, ...) log_at(lg, LOG_INFO, __VA_ARGS__)
#define log_debug(lg, ...) log_at(lg, LOG_DEBUG, __VA_ARGS__)

/* A token bucket for lines that strangers can trigger: one a second, burst 5.
 * True if the line may be written; counts what was swallowed in between. */
struct log_limit {
        uint64_t next_us;
        unsigned tokens, swallowed;
};
int log_allow(struct log_limit *limit, uint64_t mono_us);

#endif
