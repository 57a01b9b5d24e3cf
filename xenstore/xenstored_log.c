/* SPDX-License-Identifier: ISC */
/* Log lines: to standard error in the foreground, else to syslog. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "xenstore/xenstored.h"

static enum log_level threshold = LOG_LEVEL_INFO;
static bool use_syslog;

static const char *const names[] = {"error", "warning", "info", "debug"};

void log_open(enum log_level level, bool to_syslog)
{
    threshold = level;
    use_syslog = to_syslog;
    if (to_syslog)
        openlog("xids-xenstored", LOG_PID, LOG_DAEMON);
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

void log_msg(enum log_level level, const char *format, ...)
{
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    char line[512];
    va_list args;
    if (level > threshold)
        return;
    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (use_syslog)
        syslog(priorities[level], "%s", line);
    else
        (void)fprintf(stderr, "xids-xenstored: %s: %s\n", names[level], line);
}
