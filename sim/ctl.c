/* SPDX-License-Identifier: ISC */
#include "sim/ctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int xids_sim_connect(const char *dir)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/daemon.sock", dir) >= (int)sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int rc;
    do
        rc = connect(fd, (const struct sockaddr *)&addr, sizeof(addr));
    while (rc < 0 && errno == EINTR);
    if (rc < 0) {
        rc = -errno;
        (void)close(fd);
        return rc;
    }
    return fd;
}

int xids_sim_ask(char answer[XIDS_SIM_LINE_MAX], const char *dir, const char *fmt, ...)
{
    char line[XIDS_SIM_LINE_MAX];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(line, sizeof(line) - 1, fmt, args);
    va_end(args);
    if (len < 0 || len >= (int)sizeof(line) - 1)
        return -E2BIG;
    line[len++] = '\n';
    int fd = xids_sim_connect(dir);
    if (fd < 0)
        return fd;
    int rc = send(fd, line, (size_t)len, MSG_NOSIGNAL) == len ? 0 : -EPIPE;
    size_t have = 0;
    while (rc == 0 && (have == 0 || line[have - 1] != '\n')) {
        ssize_t n = have < sizeof(line) ? recv(fd, line + have, sizeof(line) - have, 0) : 0;
        if (n > 0)
            have += (size_t)n;
        else if (n == 0 || errno != EINTR)
            rc = -EPIPE; /* the daemon ended */
    }
    (void)close(fd);
    if (rc < 0)
        return rc;
    line[have - 1] = '\0';
    if (strncmp(line, "error ", 6) == 0) {
        rc = atoi(line + 6);
        return rc > 0 ? -rc : -EIO;
    }
    if (strncmp(line, "ok", 2) != 0)
        return -EIO;
    (void)snprintf(answer, XIDS_SIM_LINE_MAX, "%s", line[2] == ' ' ? line + 3 : "");
    return 0;
}
