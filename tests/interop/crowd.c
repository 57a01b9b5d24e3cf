/* SPDX-License-Identifier: ISC */
/*
 * usage: crowd COUNT [LEAVE]
 *
 * COUNT clients connect to $XENSTORED_PATH and do nothing, then the last one asks for "/". With LEAVE it prints
 * "waiting" when it has asked, and so many of the first ones leave when a line comes on standard input. Ends with 0
 * when the answer has come.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xids/xswire.h>

static int fails(const char *what)
{
    (void)fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
    return EXIT_FAILURE;
}

static int come(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (strlen(path) >= sizeof(addr.sun_path))
        return -1;
    strcpy(addr.sun_path, path);
    return fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ? -1 : fd;
}

static int ask(int fd)
{
    uint8_t message[64];
    const struct xids_xswire_part part = {"/", 2};
    int n = xids_xswire_build(message, sizeof(message), XS_DIRECTORY, 1, 0, &part, 1);
    return n > 0 && write(fd, message, (size_t)n) == n ? 0 : -1;
}

static int answer(int fd)
{
    uint8_t head[XIDS_XSWIRE_HEADER];
    uint32_t type;
    if (recv(fd, head, sizeof(head), MSG_WAITALL) != (ssize_t)sizeof(head))
        return -1;
    memcpy(&type, head, sizeof(type));
    return type == XS_DIRECTORY ? 0 : -1;
}

int main(int argc, char **argv)
{
    const char *path = getenv("XENSTORED_PATH");
    struct rlimit limit;
    long count = argc > 1 ? strtol(argv[1], NULL, 10) : 0, leave = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    if (path == NULL || count < 1 || leave >= count)
        return 2;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    int *fds = calloc((size_t)count, sizeof(*fds));
    if (fds == NULL)
        return fails("memory");
    for (long i = 0; i < count; i++) {
        fds[i] = come(path);
        if (fds[i] < 0)
            return fails("connecting");
    }
    if (ask(fds[count - 1]) < 0)
        return fails("asking");
    if (leave > 0) {
        (void)puts("waiting");
        (void)fflush(stdout);
        (void)getchar();
    }
    for (long i = 0; i < leave; i++)
        (void)close(fds[i]);
    if (answer(fds[count - 1]) < 0)
        return fails("the answer");
    free(fds);
    return EXIT_SUCCESS;
}
