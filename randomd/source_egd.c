/* SPDX-License-Identifier: ISC */
/*
 * An entropy gathering daemon behind a unix socket. Of its requests one is used: byte 2 and a number n of 1 to 255, to
 * which it answers n bytes when it has them.
 */
#include "randomd/daemon.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define EGD_READ_BLOCKING 2u
#define EGD_MOST 255u

static int egd_read(struct source_io *io, uint8_t *buf, size_t len)
{
    uint64_t deadline = source_deadline();
    if (len > EGD_MOST)
        len = EGD_MOST;
    /* Nothing can have come: what has would be taken for the answer. */
    ssize_t n = recv(io->fd, buf, 1, MSG_DONTWAIT | MSG_PEEK);
    if (n > 0)
        return source_fail(io, -XEN_EBADMSG, "it sent more than it was asked for");
    if (n == 0)
        return source_fail(io, -XEN_EIO, "it hung up");
    if (errno != EAGAIN && errno != EINTR)
        return source_fail(io, -errno, "%s", strerror(errno));
    const uint8_t request[2] = {EGD_READ_BLOCKING, (uint8_t)len};
    int rc = source_write_all(io, request, sizeof(request), deadline);
    if (rc == 0)
        rc = source_read_all(io, buf, len, deadline);
    return rc < 0 ? rc : (int)len;
}

const struct source_type source_egd = {
    .name = "egd",
    .kind = XIDS_HEALTH_BYTES,
    .claim = 4 * XIDS_HEALTH_BIT,
    .claim_max = 8 * XIDS_HEALTH_BIT,
    .batch = 64,
    .takes_path = true,
    .open = source_connect,
    .read = egd_read,
    .close = source_close,
};
