/* SPDX-License-Identifier: ISC */
/* Where clients come in: a unix socket of our own, or one that the service manager has opened for us. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "xenstore/xenstored.h"

/* Taken at once, before those who are here already have their turn. */
#define ACCEPT_AT_ONCE 16u
/* When there are no descriptors left: until we look again, if no client goes before. */
#define PAUSE_MS 1000u
/* The first descriptor that a service manager hands over. */
#define FIRST_FD 3

/* ---- accepting ---- */

static void on_connection(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
    socket_resume(timer->data);
}

void socket_resume(struct daemon *d)
{
    if (!d->listen_paused || d->listen_fd < 0)
        return;
    d->listen_paused = false;
    (void)uv_timer_stop(&d->listen_pause);
    (void)uv_poll_start(&d->listen_poll, UV_READABLE, on_connection);
}

/* Who waits to be accepted makes the socket readable: without a pause we would do nothing but try. */
static void pause_listening(struct daemon *d, int error)
{
    log_limited(LOG_LEVEL_ERROR, "no more connections for now: %s", strerror(error));
    d->listen_paused = true;
    (void)uv_poll_stop(&d->listen_poll);
    (void)uv_timer_start(&d->listen_pause, on_pause_over, PAUSE_MS, 0);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct daemon *d = poll->data;
    (void)events;
    if (status < 0)
        return;
    for (unsigned int i = 0; i < ACCEPT_AT_ONCE; i++) {
        int fd = accept4(d->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            client_new(d, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_listening(d, errno);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

/* ---- a socket that was opened for us ---- */

int socket_handed_over(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    int found = -1;
    if (pid == NULL || fds == NULL || strtol(pid, NULL, 10) != (long)getpid())
        return -1;
    for (int fd = FIRST_FD; fd < FIRST_FD + (int)strtol(fds, NULL, 10); fd++) {
        struct sockaddr_un addr = {.sun_family = AF_UNSPEC};
        socklen_t len = sizeof(addr), on_len = sizeof(int);
        int on = 0;
        if (found < 0 && getsockname(fd, (struct sockaddr *)&addr, &len) == 0 && addr.sun_family == AF_UNIX &&
            getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &on_len) == 0 && on != 0 &&
            fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0) {
            found = fd;
        } else {
            log_msg(LOG_LEVEL_WARNING, "descriptor %d was handed over, and is not a unix socket that listens", fd);
            (void)close(fd);
        }
    }
    /* Not for what we may become later. */
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    return found;
}

/* ---- one of our own ---- */

int unix_connect(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    strcpy(addr.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
        return fd;
    int rc = -errno;
    (void)close(fd);
    return rc;
}

/* A socket that nobody answers on is left from before; one that somebody does is not ours to take. */
static int clear_stale(const char *path)
{
    int fd = unix_connect(path);
    if (fd >= 0) {
        (void)close(fd);
        return -EADDRINUSE;
    }
    return fd == -ECONNREFUSED && unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* Makes the folders above the socket, as C xenstored does for its run directory. The last one's descriptor, locked
 * until it is closed: two daemons that start at once may not both find the socket of none. -1: go on without. */
static int lock_folder(const char *path)
{
    char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)] = ".";
    for (size_t i = 1; path[i] != '\0' && i < sizeof(folder); i++) {
        if (path[i] != '/')
            continue;
        memcpy(folder, path, i);
        folder[i] = '\0';
        (void)mkdir(folder, 0755);
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)flock(fd, LOCK_EX);
    return fd;
}

static int open_at(const struct sockaddr_un *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = fd < 0 ? -errno : 0;
    mode_t mask = umask(0177); /* nobody else may connect, not for a moment */
    if (rc == 0 && (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 || listen(fd, SOMAXCONN) < 0))
        rc = -errno;
    (void)umask(mask);
    if (rc < 0 && fd >= 0)
        (void)close(fd);
    return rc < 0 ? rc : fd;
}

int unix_listen(const char *path, const char *who)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(addr.sun_path)) {
        log_msg(LOG_LEVEL_ERROR, "%s: the path is too long for a socket", path);
        return -ENAMETOOLONG;
    }
    strcpy(addr.sun_path, path);
    int folder = lock_folder(path), rc = clear_stale(path);
    if (rc == 0)
        rc = open_at(&addr);
    if (folder >= 0)
        (void)close(folder);
    if (rc == -EADDRINUSE)
        log_msg(LOG_LEVEL_ERROR, "%s: another %s is answering there, or it is no socket", path, who);
    else if (rc < 0)
        log_msg(LOG_LEVEL_ERROR, "%s: %s", path, strerror(-rc));
    return rc;
}

/* ---- life ---- */

int socket_open(struct daemon *d)
{
    int fd = d->listen_fd >= 0 ? d->listen_fd : d->handed_fd;
    if (fd < 0)
        fd = unix_listen(d->socket_path, "xenstored");
    if (fd < 0)
        return fd;
    d->listen_fd = fd;
    int rc = uv_timer_init(&d->loop, &d->listen_pause);
    if (rc == 0)
        rc = uv_poll_init(&d->loop, &d->listen_poll, fd);
    if (rc < 0)
        return rc;
    d->listen_poll.data = d->listen_pause.data = d;
    return uv_poll_start(&d->listen_poll, UV_READABLE, on_connection);
}

void socket_close(struct daemon *d)
{
    if (d->listen_fd < 0)
        return;
    clients_close(d);
    if (d->listen_poll.data != NULL)
        uv_close((uv_handle_t *)&d->listen_poll, NULL);
    (void)close(d->listen_fd);
    if (d->handed_fd < 0)
        (void)unlink(d->socket_path);
    d->listen_fd = -1;
}
