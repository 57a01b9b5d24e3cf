/* SPDX-License-Identifier: ISC */
/* What the types of sources share: reading and waiting with a limit of time, and words for what went wrong. */
#include "randomd/daemon.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull
#define NAP_MS 20u

unsigned int source_read_ms = SOURCE_READ_MS;

static const struct source_type *const types[] = {&source_hwrng, &source_rdseed, &source_jitter,
                                                  &source_egd,   &source_file,   &source_tpm};

const struct source_type *source_type_find(const char *name)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(types[i]->name, name) == 0)
            return types[i];
    return NULL;
}

int source_fail(struct source_io *io, int rc, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(io->why, sizeof(io->why), fmt, args);
    va_end(args);
    return rc;
}

void source_close(struct source_io *io)
{
    if (io->fd >= 0)
        close(io->fd);
    io->fd = -1;
}

uint64_t source_deadline(void)
{
    return now_ns() + source_read_ms * MS;
}

static int stopped(struct source_io *io)
{
    return atomic_load(io->stop) ? source_fail(io, -XEN_EINTR, "stopped") : 0;
}

int source_wait(struct source_io *io, short events, uint64_t deadline)
{
    for (;;) {
        uint64_t now = now_ns();
        int rc = stopped(io);
        if (rc < 0)
            return rc;
        if (now >= deadline)
            return source_fail(io, -XEN_ETIMEDOUT, "no answer in %u ms", source_read_ms);
        struct pollfd p = {.fd = io->fd, .events = events};
        rc = poll(&p, 1, (int)((deadline - now) / MS + 1));
        if (rc > 0)
            return 0;
        if (rc < 0 && errno != EINTR)
            return source_fail(io, -errno, "poll: %s", strerror(errno));
    }
}

int source_nap(struct source_io *io, unsigned int ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000 * MS)};
    nanosleep(&t, NULL);
    return stopped(io);
}

int source_read_all(struct source_io *io, uint8_t *buf, size_t len, uint64_t deadline)
{
    size_t have = 0;
    while (have < len) {
        int rc = source_wait(io, POLLIN, deadline);
        if (rc < 0)
            return rc;
        ssize_t n = read(io->fd, buf + have, len - have);
        if (n == 0)
            return source_fail(io, -XEN_EIO, "it ended after %zu of %zu bytes", have, len);
        if (n > 0)
            have += (size_t)n;
        else if (errno != EAGAIN && errno != EINTR)
            return source_fail(io, -errno, "%s", strerror(errno));
        else if (errno == EAGAIN && source_nap(io, NAP_MS) < 0) /* the hwrng device says ready when it is not */
            return -XEN_EINTR;
    }
    return 0;
}

int source_write_all(struct source_io *io, const uint8_t *buf, size_t len, uint64_t deadline)
{
    size_t done = 0;
    while (done < len) {
        int rc = source_wait(io, POLLOUT, deadline);
        if (rc < 0)
            return rc;
        ssize_t n = write(io->fd, buf + done, len - done); /* the process ignores SIGPIPE */
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EAGAIN && errno != EINTR)
            return source_fail(io, -errno, "%s", strerror(errno));
    }
    return 0;
}

int source_connect(struct source_io *io)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(io->path) >= sizeof(at.sun_path))
        return source_fail(io, -XEN_EINVAL, "%s: too long for a socket", io->path);
    memcpy(at.sun_path, io->path, strlen(io->path) + 1);
    io->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (io->fd < 0)
        return source_fail(io, -errno, "socket: %s", strerror(errno));
    /* A local socket connects at once or, when too many wait before us, not at all. */
    if (connect(io->fd, (const struct sockaddr *)&at, sizeof(at)) == 0)
        return 0;
    int rc = -errno;
    source_close(io);
    return source_fail(io, rc, "%s: %s", io->path, strerror(-rc));
}
