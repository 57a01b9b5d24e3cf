/* SPDX-License-Identifier: ISC */
/*
 * A TPM 2.0's generator: TPM2_GetRandom of the TPM 2.0 Library, part 3, over the kernel's device or over a socket that
 * carries the same bytes, as a software TPM's does.
 */
#include "randomd/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER 10u          /* tag (2), length (4), code (4); numbers are big-endian */
#define NO_SESSIONS 0x8001u /* TPM_ST_NO_SESSIONS */
#define GET_RANDOM 0x17bu   /* TPM_CC_GetRandom */
#define ANSWER_MAX 256u     /* bytes of an answer that we take */
#define TPM_TRIES 20u
#define TPM_BUSY_MS 100u

static uint32_t number(const uint8_t *p, unsigned int bytes)
{
    uint32_t v = 0;
    for (unsigned int i = 0; i < bytes; i++)
        v = v << 8 | p[i];
    return v;
}

static int tpm_open(struct source_io *io)
{
    struct stat s;
    if (stat(io->path, &s) < 0)
        return source_fail(io, -errno, "%s: %s", io->path, strerror(errno));
    if (S_ISSOCK(s.st_mode))
        return source_connect(io);
    if (!S_ISCHR(s.st_mode))
        return source_fail(io, -XEN_EINVAL, "%s: neither a device nor a socket", io->path);
    io->fd = open(io->path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (io->fd < 0)
        return source_fail(io, -errno, "%s: %s", io->path, strerror(errno));
    return 0;
}

/* Reads one answer, of the length that it says itself. The device gives it in one piece, a socket in any. */
static int read_answer(struct source_io *io, uint8_t *buf, size_t room, uint64_t deadline)
{
    size_t have = 0;
    for (;;) {
        int rc = source_wait(io, POLLIN, deadline);
        if (rc < 0)
            return rc;
        ssize_t n = read(io->fd, buf + have, room - have);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n < 0)
            return source_fail(io, -errno, "%s", strerror(errno));
        if (n == 0)
            return source_fail(io, -XEN_EIO, "its answer ended after %zu bytes", have);
        have += (size_t)n;
        size_t want = have < HEADER ? HEADER : number(buf + 2, 4);
        if (want < HEADER || want > room || have > want)
            return source_fail(io, -XEN_EBADMSG, "an answer of %zu bytes says that it has %zu", have, want);
        if (have >= HEADER && have == want)
            return (int)have;
    }
}

/* One command. Bytes that came, 0: the TPM is busy. */
static int ask(struct source_io *io, uint8_t *buf, size_t len, uint64_t deadline)
{
    const uint8_t command[HEADER + 2] = {
        NO_SESSIONS >> 8, NO_SESSIONS & 0xff, 0, 0, 0, HEADER + 2, 0, 0, GET_RANDOM >> 8, GET_RANDOM & 0xff, 0,
        (uint8_t)len,
    };
    uint8_t answer[ANSWER_MAX];
    int rc = source_write_all(io, command, sizeof(command), deadline);
    if (rc == 0)
        rc = read_answer(io, answer, sizeof(answer), deadline);
    if (rc < 0) {
        xids_wipe(answer, sizeof(answer));
        return rc;
    }
    size_t have = (size_t)rc;
    uint32_t code = number(answer + 6, 4), bytes = have >= HEADER + 2 ? number(answer + HEADER, 2) : 0;
    if (code == 0x908 || code == 0x90a || code == 0x922) /* TPM_RC_YIELDED, TPM_RC_TESTING, TPM_RC_RETRY */
        rc = 0;
    else if (code != 0)
        rc = source_fail(io, -XEN_EIO, "it answers with error %#x", code);
    else if (number(answer, 2) != NO_SESSIONS || bytes == 0 || bytes > len || have != HEADER + 2 + bytes)
        rc = source_fail(io, -XEN_EBADMSG, "%zu bytes asked for, %u in an answer of %zu", len, bytes, have);
    else
        rc = (int)bytes;
    if (rc > 0)
        memcpy(buf, answer + HEADER + 2, bytes);
    xids_wipe(answer, sizeof(answer));
    return rc;
}

static int tpm_read(struct source_io *io, uint8_t *buf, size_t len)
{
    uint64_t deadline = source_deadline();
    unsigned int busy = 0;
    for (size_t have = 0; have < len;) {
        int rc = ask(io, buf + have, len - have, deadline);
        if (rc == 0 && ++busy == TPM_TRIES)
            rc = source_fail(io, -XEN_EBUSY, "busy for %u times", TPM_TRIES);
        if (rc == 0)
            rc = source_nap(io, TPM_BUSY_MS);
        if (rc < 0)
            return rc;
        have += (size_t)rc;
    }
    return (int)len;
}

const struct source_type source_tpm = {
    .name = "tpm",
    .path = "/dev/tpmrm0",
    .kind = XIDS_HEALTH_BYTES,
    .claim = 4 * XIDS_HEALTH_BIT,
    .claim_max = 8 * XIDS_HEALTH_BIT,
    .batch = 32,
    .takes_path = true,
    .open = tpm_open,
    .read = tpm_read,
    .close = source_close,
};
