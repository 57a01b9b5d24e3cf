/* SPDX-License-Identifier: ISC */
/* Asking the daemon that runs. */
#include "randomd/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static const char refusal[] = "{\"error\":";

int control_connect(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(at.sun_path))
        return -ENAMETOOLONG;
    memcpy(at.sun_path, path, strlen(path) + 1);
    const struct timeval most = {.tv_sec = ASK_SECONDS};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most)) == 0 &&
        connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0)
        return fd;
    int rc = -errno;
    close(fd);
    return rc;
}

static void complain(int error)
{
    fprintf(stderr, "xids-randomd: %s\n",
            error == 0        ? "the daemon hung up: it is stopping, or too many ask"
            : error == EAGAIN ? "the daemon runs, but does not answer"
                              : strerror(error));
}

/* Takes the answer and prints it: a refusal goes to standard error. */
static int take(int fd)
{
    char buf[4096], last = '\0';
    FILE *to = NULL;
    size_t have = 0;
    for (;;) {
        ssize_t n = read(fd, buf + have, sizeof(buf) - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n > 0)
            have += (size_t)n;
        if (to == NULL && n > 0 && have < sizeof(refusal) - 1)
            continue;
        if (to == NULL)
            to = have >= sizeof(refusal) - 1 && memcmp(buf, refusal, sizeof(refusal) - 1) == 0 ? stderr : stdout;
        if (have > 0 && fwrite(buf, 1, have, to) != have)
            return EXIT_FAILURE;
        if (have > 0)
            last = buf[have - 1];
        have = 0;
        if (n > 0)
            continue;
        if (n < 0 || last != '\n')
            complain(n < 0 ? errno : 0);
        /* An answer that was cut off has no line end. */
        return n == 0 && last == '\n' && to == stdout && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
}

int control_ask(const char *path, const char *request, const char *operand)
{
    int fd = control_connect(path);
    if (fd == -EAGAIN) {
        complain(EAGAIN);
        return EXIT_FAILURE;
    }
    if (fd < 0) {
        fprintf(stderr, "xids-randomd: %s: %s%s\n", path, strerror(-fd),
                fd == -ENOENT || fd == -ECONNREFUSED ? " (no xids-randomd serves there)" : "");
        return EXIT_FAILURE;
    }
    int rc = dprintf(fd, "%s%s%s\n", request, operand != NULL ? " " : "", operand != NULL ? operand : "");
    int status = rc < 0 ? EXIT_FAILURE : take(fd);
    close(fd);
    return status;
}
