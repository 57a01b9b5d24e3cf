/* SPDX-License-Identifier: ISC */
/* Lines for people, and the word to the service manager. */
#include "randomd/daemon.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

static enum log_level threshold = SAY_INFO;
static const char *program = "xids-randomd";
static bool use_syslog;
static uint64_t period_start, dropped;
static unsigned int in_period;

/* Who has caused lines in this period. */
static struct {
    domid_t domid;
    uint8_t lines; /* 0: nobody is here, nor behind */
} speakers[LOG_BURST];

static const char *const names[] = {"error", "warning", "info", "debug"};
static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};

void log_set_program(const char *name)
{
    program = name;
}

void log_set_level(enum log_level level)
{
    threshold = level;
}

int log_level_from(enum log_level *level, const char *name)
{
    for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0) {
            *level = (enum log_level)i;
            return 0;
        }
    return -XEN_EINVAL;
}

const char *log_level_name(enum log_level level)
{
    return names[level];
}

void log_to_syslog(void)
{
    openlog(program, LOG_PID, LOG_DAEMON);
    use_syslog = true;
}

__attribute__((format(printf, 2, 0))) static void write_line(enum log_level level, const char *fmt, va_list args)
{
    char line[512];
    vsnprintf(line, sizeof(line), fmt, args);
    if (use_syslog)
        syslog(priorities[level], "%s", line);
    else
        fprintf(stderr, "%s: %s: %s\n", program, names[level], line);
}

void log_line(enum log_level level, const char *fmt, ...)
{
    va_list args;
    if (level > threshold)
        return;
    va_start(args, fmt);
    write_line(level, fmt, args);
    va_end(args);
}

static void begin_period(void)
{
    uint64_t now = now_ns();
    if (now - period_start <= LOG_PERIOD_MS * 1000000ull)
        return;
    period_start = now;
    in_period = 0;
    memset(speakers, 0, sizeof(speakers));
}

bool log_allows(domid_t domid)
{
    begin_period();
    for (unsigned int i = 0; i < LOG_BURST; i++) {
        if (speakers[i].lines == 0)
            speakers[i].domid = domid;
        if (speakers[i].domid != domid)
            continue;
        if (speakers[i].lines < LOG_EACH) {
            speakers[i].lines++;
            return true;
        }
        dropped++;
        return false;
    }
    return true; /* so many speakers have used all lines up */
}

void log_guest(enum log_level level, const char *fmt, ...)
{
    va_list args;
    if (level > threshold)
        return;
    begin_period();
    if (in_period++ >= LOG_BURST) {
        dropped++;
        return;
    }
    va_start(args, fmt);
    write_line(level, fmt, args);
    va_end(args);
}

uint64_t log_dropped(void)
{
    return dropped;
}

void notify_manager(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(to.sun_path))
        return;
    memcpy(to.sun_path, path, strlen(path));
    if (path[0] == '@')
        to.sun_path[0] = '\0'; /* Linux's abstract names */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to, len) < 0)
        log_line(SAY_WARN, "cannot tell the service manager: %s", strerror(errno));
    close(fd);
}
