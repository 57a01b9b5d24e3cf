/* SPDX-License-Identifier: ISC */
/* usage: hand_over PATH COMMAND...: becomes COMMAND, which gets a socket that listens at PATH as from systemd. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char pid[20];
    if (argc < 3 || strlen(argv[1]) >= sizeof(addr.sun_path))
        return 2;
    strcpy(addr.sun_path, argv[1]);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 100) < 0 ||
        (fd != 3 && (dup2(fd, 3) < 0 || close(fd) < 0))) {
        perror(argv[1]);
        return EXIT_FAILURE;
    }
    (void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    if (setenv("LISTEN_PID", pid, 1) == 0 && setenv("LISTEN_FDS", "1", 1) == 0)
        (void)execv(argv[2], argv + 2);
    perror(argv[2]);
    return EXIT_FAILURE;
}
