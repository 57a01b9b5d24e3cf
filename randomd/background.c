/* SPDX-License-Identifier: ISC */
/* Going into the background so that whoever started the program learns whether it serves. */
#include "config.h"
#include "randomd/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int background_begin(void)
{
    int ends[2];
    char byte;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid < 0) {
        int rc = -errno;
        (void)close(ends[0]);
        (void)close(ends[1]);
        return rc;
    }
    if (pid > 0) {
        (void)close(ends[1]);
        ssize_t n;
        do
            n = read(ends[0], &byte, 1);
        while (n < 0 && errno == EINTR);
        /* The child has said why not, on the standard error that it still shares with us. */
        _exit(n == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    (void)close(ends[0]);
    (void)setsid();
    return ends[1];
}

void background_ready(int fd)
{
    if (fd < 0)
        return;
    log_to_syslog();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; null >= 0 && i < 3; i++)
        if (dup2(null, i) < 0)
            log_line(SAY_WARN, "standard streams: %s", strerror(errno));
    if (null > 2)
        (void)close(null);
    if (chdir("/") < 0)
        log_line(SAY_WARN, "/: %s", strerror(errno));
    if (write(fd, "", 1) < 0)
        log_line(SAY_DEBUG, "nobody waits for us to be ready");
    (void)close(fd);
}
