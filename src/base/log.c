#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static _Atomic int level_now = LOG_INFO;
static _Atomic int as_json;
static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;
static void (*sink)(void *ctx, enum log_level level, const char *line);
static void *sink_ctx;

static const char *const level_names[] = { "error", "warn", "info", "debug", "trace" };

enum { LINE_MAX_LEN = 1024 };

void log_set_level(enum log_level level) { level_now = level; }
enum log_level log_level(void) { return (enum log_level)level_now; }
void log_set_json(int on) { as_json = on; }

enum err log_level_parse(const char *text, enum log_level *out)
{
        for (size_t i = 0; i < sizeof(level_names) / sizeof(*level_names); i++)
                if (strcasecmp(text, level_names[i]) == 0) {
                        *out = (enum log_level)i;
                        return OK;
                }
        return ERR_FORMAT;
}

void log_set_sink(void (*fn)(void *ctx, enum log_level level, const char *line), void *ctx)
{
        pthread_mutex_lock(&sink_lock);
        sink = fn;
        sink_ctx = ctx;
        pthread_mutex_unlock(&sink_lock);
}

/* A line of text being built in a fixed array; what does not fit is cut. */
struct line {
        char text[LINE_MAX_LEN];
        size_t len;
};

static void line_add(struct line *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void line_add(struct line *l, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(l->text + l->len, sizeof(l->text) - l->len, fmt, ap);
        va_end(ap);
        if (n > 0)
                l->len = (size_t)n < sizeof(l->text) - l->len ? l->len + (size_t)n : sizeof(l->text) - 1;
}

/* Control characters may come from strangers and must not reach a terminal. */
static void clean(char *text)
{
        for (; *text; text++)
                if ((unsigned char)*text < 0x20 || *text == 0x7f)
                        *text = ' ';
}

static void line_add_json_text(struct line *l, const char *s)
{
        line_add(l, "\"");
        for (; *s; s++)
                line_add(l, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
        line_add(l, "\"");
}

static void format_json(struct line *l, const char *when, const char *level, const char *component,
        const char *what, const char *facts)
{
        line_add(l, "{\"time\":\"%s\",\"level\":\"%s\",\"component\":\"%s\",\"message\":", when, level, component);
        line_add_json_text(l, what);
        if (*facts) {
                line_add(l, ",\"facts\":");
                line_add_json_text(l, facts);
        }
        line_add(l, "}");
}

void log_write(const struct log *log, enum log_level level, const char *what, const char *facts_fmt, ...)
{
        char facts[LINE_MAX_LEN / 2] = "", when[32];
        struct line l = { .len = 0 };
        struct timespec ts;
        struct tm tm;

        if (facts_fmt) {
                va_list ap;
                va_start(ap, facts_fmt);
                vsnprintf(facts, sizeof(facts), facts_fmt, ap);
                va_end(ap);
        }
        clock_gettime(CLOCK_REALTIME, &ts);
        gmtime_r(&ts.tv_sec, &tm);
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);

        if (as_json)
                format_json(&l, when, level_names[level], log->component, what, facts);
        else
                line_add(&l, "%s %-5s %s: %s%s%s", when, level_names[level], log->component, what,
                        *facts ? "  " : "", facts);

        clean(l.text);
        pthread_mutex_lock(&sink_lock);
        if (sink)
                sink(sink_ctx, level, l.text);
        else
                fprintf(stderr, "%s\n", l.text);
        pthread_mutex_unlock(&sink_lock);
}

int log_allow(struct log_limit *limit, uint64_t mono_us)
{
        enum { BURST = 5, REFILL_US = 1000000 };

        if (limit->next_us == 0)
                limit->tokens = BURST;
        while (limit->tokens < BURST && mono_us >= limit->next_us) {
                limit->tokens++;
                limit->next_us += REFILL_US;
        }
        if (limit->tokens == BURST)
                limit->next_us = mono_us + REFILL_US;
        if (limit->tokens == 0) {
                limit->swallowed++;
                return false;
        }
        limit->tokens--;
        return true;
}
