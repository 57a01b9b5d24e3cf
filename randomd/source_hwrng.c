/* SPDX-License-Identifier: ISC */
/* A hardware generator that the kernel has a driver for, or anything else that can be read like one. */
#include "randomd/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static int hwrng_open(struct source_io *io)
{
    struct stat s;
    io->fd = open(io->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (io->fd < 0)
        return source_fail(io, -errno, "%s: %s", io->path, strerror(errno));
    if (fstat(io->fd, &s) < 0)
        return source_fail(io, -errno, "%s: %s", io->path, strerror(errno));
    /* What a file holds was known before, and comes again the next time. */
    if (!S_ISCHR(s.st_mode) && !S_ISFIFO(s.st_mode))
        return source_fail(io, -XEN_EINVAL, "%s: neither a device nor a pipe", io->path);
    return 0;
}

static int hwrng_read(struct source_io *io, uint8_t *buf, size_t len)
{
    int rc = source_read_all(io, buf, len, source_deadline());
    return rc < 0 ? rc : (int)len;
}

const struct source_type source_hwrng = {
    .name = "hwrng",
    .path = "/dev/hwrng",
    .kind = XIDS_HEALTH_BYTES,
    .claim = 4 * XIDS_HEALTH_BIT,
    .claim_max = 8 * XIDS_HEALTH_BIT,
    .batch = 64,
    .takes_path = true,
    .open = hwrng_open,
    .read = hwrng_read,
    .close = source_close,
};
