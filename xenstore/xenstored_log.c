/* SPDX-License-Identifier: ISC */
/* Log lines: to standard error in the foreground, with a priority when the journal reads it, else to syslog. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "xenstore/xenstored.h"

/* What others can cause at will is limited: so many lines in a period. */
#define BURST 20u
#define PERIOD_NS 10000000000ull

static enum log_level threshold = LOG_LEVEL_INFO;
static bool use_syslog, journal;
static uint64_t period_start, dropped;
static unsigned int in_period;

static const char *const names[] = {"error", "warning", "info", "debug"};
static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};

/* systemd says which stream is the journal's: that one may be standard error, or another by now. */
static bool journal_reads_us(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long dev, ino;
    struct stat st;
    return stream != NULL && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
           st.st_dev == dev && st.st_ino == ino;
}

void log_open(enum log_level level, bool to_syslog)
{
    threshold = level;
    use_syslog = to_syslog;
    journal = !to_syslog && journal_reads_us();
    if (to_syslog)
        openlog("xids-xenstored", LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

bool log_level_parse(enum log_level *level, const char *name)
{
    for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], name) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

__attribute__((format(printf, 2, 0))) static void write_line(enum log_level level, const char *format, va_list args)
{
    char line[512];
    (void)vsnprintf(line, sizeof(line), format, args);
    /* A line of somebody else's text stays one. */
    for (char *c = line; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ')
            *c = '?';
    }
    if (use_syslog)
        syslog(priorities[level], "%s", line);
    else if (journal)
        (void)fprintf(stderr, "<%d>%s\n", priorities[level], line);
    else
        (void)fprintf(stderr, "xids-xenstored: %s: %s\n", names[level], line);
}

void log_msg(enum log_level level, const char *format, ...)
{
    va_list args;
    if (level > threshold)
        return;
    va_start(args, format);
    write_line(level, format, args);
    va_end(args);
}

void log_limited(enum log_level level, const char *format, ...)
{
    va_list args;
    uint64_t now = uv_hrtime();
    if (level > threshold)
        return;
    if (now - period_start > PERIOD_NS) {
        period_start = now;
        in_period = 0;
    }
    if (in_period++ >= BURST) {
        dropped++;
        return;
    }
    va_start(args, format);
    write_line(level, format, args);
    va_end(args);
}

uint64_t log_dropped(void)
{
    return dropped;
}
