/* SPDX-License-Identifier: ISC */
/* xids-vchan: what it says on standard error. */
#include "vchan/tool.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A peer that comes and goes without end must not fill a disk with what we say of it: so many lines in such a time. */
#define LINES_MAX 40u
#define LINES_TIME (10000 * MS)

#define PROGRESS_MS 500

/* Whether a line of progress stands on the terminal, to be written over. */
static bool shown;

static void clear_line(void)
{
    if (shown)
        (void)fputs("\r\033[K", stderr);
    shown = false;
}

/* Whether a line may be written now. */
static bool allowed(struct tool *t)
{
    static uint64_t since;
    static unsigned int lines;
    uint64_t now = tool_now(t);
    if (since == 0 || now - since >= LINES_TIME) {
        if (lines > LINES_MAX)
            (void)fprintf(stderr, "xids-vchan: %u messages were left out\n", lines - LINES_MAX);
        since = now;
        lines = 0;
    }
    return ++lines <= LINES_MAX;
}

void report(struct tool *t, const char *what, int error)
{
    t->status = EXIT_FAILURE;
    if (!allowed(t))
        return;
    clear_line();
    (void)fprintf(stderr, "xids-vchan: %s: %s\n", what, strerror(-error));
}

void tell(struct tool *t, const struct flow *f, const char *format, ...)
{
    va_list args;
    if (!allowed(t))
        return;
    clear_line();
    (void)fprintf(stderr, "xids-vchan: channel %u: ", f->number);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

/* A number of bytes as people read it. */
static const char *human(char text[32], double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        bytes /= 1024;
        unit++;
    }
    (void)snprintf(text, 32, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
    return text;
}

static unsigned int open_channels(const struct tool *t)
{
    unsigned int n = 0;
    for (size_t i = 0; i < t->flow_count; i++)
        n += t->flows[i]->state != FLOW_OFFERED;
    return n;
}

void progress(struct tool *t, bool last)
{
    char sent[32], received[32], rate[32];
    uint64_t now = tool_now(t);
    if (!t->o->progress || (!last && now < t->report_at))
        return;
    bool terminal = isatty(STDERR_FILENO) == 1;
    uint64_t moved = t->sent + t->received, span = last ? now - t->begun : now - t->report_at + PROGRESS_MS * MS;
    double fresh = (double)(last ? moved : moved - t->moved_before);
    double per_second = span > 0 ? fresh * 1e9 / (double)span : 0;
    (void)fprintf(stderr, "%s%u channel%s, %s sent, %s received, %s/s%s%s", terminal ? "\r" : "", open_channels(t),
                  open_channels(t) == 1 ? "" : "s", human(sent, (double)t->sent), human(received, (double)t->received),
                  human(rate, per_second), terminal ? "\033[K" : "", terminal && !last ? "" : "\n");
    shown = terminal && !last;
    t->moved_before = moved;
    t->report_at = now + PROGRESS_MS * MS;
}
