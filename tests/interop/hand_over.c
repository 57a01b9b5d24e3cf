/* SPDX-License-Identifier: ISC */
/*
 * usage: hand_over PATH COMMAND...
 *
 * Becomes COMMAND, which gets a socket that listens at PATH, as from systemd. What it tells its manager is written to
 * PATH.said by a child, until it says that it stops.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int open_at(int type, const char *path, const char *end)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type, 0);
    if (snprintf(addr.sun_path, sizeof(addr.sun_path), "%s%s", path, end) >= (int)sizeof(addr.sun_path) || fd < 0 ||
        bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return -1;
    return fd;
}

static int write_down(int notify, const char *path)
{
    char name[200], text[500];
    ssize_t n;
    (void)snprintf(name, sizeof(name), "%s.said", path);
    int fd = open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
    (void)alarm(300);
    while (fd >= 0 && (n = recv(notify, text, sizeof(text) - 1, 0)) > 0) {
        text[n] = '\n';
        if (write(fd, text, (size_t)n + 1) < 0 || memcmp(text, "STOPPING", 8) == 0)
            return EXIT_SUCCESS;
    }
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    char pid[20], notify[200];
    if (argc < 3)
        return 2;
    int fd = open_at(SOCK_STREAM, argv[1], ""), manager = open_at(SOCK_DGRAM, argv[1], ".notify");
    if (fd < 0 || listen(fd, 100) < 0 || manager < 0) {
        perror(argv[1]);
        return EXIT_FAILURE;
    }
    pid_t child = fork();
    if (child == 0)
        return write_down(manager, argv[1]);
    (void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    (void)snprintf(notify, sizeof(notify), "%s.notify", argv[1]);
    (void)close(manager);
    if (child > 0 && (fd == 3 || dup2(fd, 3) == 3) && setenv("LISTEN_PID", pid, 1) == 0 &&
        setenv("LISTEN_FDS", "1", 1) == 0 && setenv("NOTIFY_SOCKET", notify, 1) == 0)
        (void)execv(argv[2], argv + 2);
    perror(argv[2]);
    return EXIT_FAILURE;
}
