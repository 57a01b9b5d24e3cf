/* SPDX-License-Identifier: ISC */
/*
 * A seed saved by the last run. It counts once: before it is used, another stands in its place, and at a clean end yet
 * another with bytes of all sources. Whoever could have read or written it makes it worthless, so its permissions are
 * looked at.
 */
#include "randomd/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEAST 32u
#define TAG_OLD 0x30u
#define TAG_KERNEL 0x31u
#define OTHERS (S_IRWXG | S_IRWXO)

static bool ours(const struct stat *s)
{
    return s->st_uid == geteuid() || s->st_uid == 0;
}

/* Opens the folder. What others may write to there they may exchange. */
static int open_folder(struct source_io *io)
{
    char copy[SOURCE_PATH];
    struct stat s;
    snprintf(copy, sizeof(copy), "%s", io->path);
    const char *folder = dirname(copy);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return source_fail(io, -errno, "%s: %s", folder, strerror(errno));
    int rc = 0;
    if (fstat(fd, &s) < 0)
        rc = source_fail(io, -errno, "%s: %s", folder, strerror(errno));
    else if (!ours(&s) || ((s.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (s.st_mode & S_ISVTX) == 0))
        rc = source_fail(io, -XEN_EPERM, "%s: others may change what is in it", folder);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return fd;
}

static const char *leaf_of(const struct source_io *io)
{
    const char *slash = strrchr(io->path, '/');
    return slash != NULL ? slash + 1 : io->path;
}

static int write_new(struct source_io *io, int folder, const char *leaf, const uint8_t seed[SAVED_SEED])
{
    int rc = 0, fd = openat(folder, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0)
        return source_fail(io, -errno, "%s: %s", leaf, strerror(errno));
    errno = EIO;
    if (write(fd, seed, SAVED_SEED) != (ssize_t)SAVED_SEED || fsync(fd) != 0)
        rc = source_fail(io, -errno, "%s cannot be written: %s", leaf, strerror(errno));
    if (close(fd) != 0 && rc == 0)
        rc = source_fail(io, -errno, "%s cannot be written: %s", leaf, strerror(errno));
    return rc;
}

/* The new one is on the disk under the old one's name when this returns 0. */
static int replace(struct source_io *io, int folder, const uint8_t seed[SAVED_SEED])
{
    char fresh[SOURCE_PATH + 4];
    snprintf(fresh, sizeof(fresh), "%s.new", leaf_of(io));
    (void)unlinkat(folder, fresh, 0); /* of a run that was killed */
    int rc = write_new(io, folder, fresh, seed);
    if (rc == 0 && renameat(folder, fresh, folder, leaf_of(io)) < 0)
        rc = source_fail(io, -errno, "%s cannot be replaced: %s", leaf_of(io), strerror(errno));
    if (rc == 0 && fsync(folder) < 0)
        rc = source_fail(io, -errno, "%s: %s", leaf_of(io), strerror(errno));
    if (rc < 0)
        (void)unlinkat(folder, fresh, 0);
    return rc;
}

/* What follows from an old seed of len bytes and the kernel's bytes, if it has any; the old does not follow from it. */
static void successor(uint8_t seed[SAVED_SEED], const uint8_t *old, size_t len)
{
    struct xids_rng rng;
    xids_rng_init(&rng);
    xids_rng_mix(&rng, TAG_OLD, old, len);
    if (getrandom(seed, SAVED_SEED, GRND_NONBLOCK) == (ssize_t)SAVED_SEED)
        xids_rng_mix(&rng, TAG_KERNEL, seed, SAVED_SEED);
    xids_rng_fill(&rng, seed, SAVED_SEED);
    xids_rng_wipe(&rng);
}

static int check(struct source_io *io, size_t room)
{
    struct stat s;
    if (fstat(io->fd, &s) < 0)
        return source_fail(io, -errno, "%s: %s", io->path, strerror(errno));
    if (!S_ISREG(s.st_mode))
        return source_fail(io, -XEN_EINVAL, "%s: not a file", io->path);
    if (!ours(&s) || (s.st_mode & OTHERS) != 0 || s.st_nlink != 1)
        return source_fail(io, -XEN_EPERM, "%s: not for us alone (owner, mode %03o, %u names)", io->path,
                           (unsigned int)s.st_mode & 0777u, (unsigned int)s.st_nlink);
    if (s.st_size < (off_t)LEAST || s.st_size > (off_t)room)
        return source_fail(io, -XEN_EINVAL, "%s: %lld bytes, not %u to %zu", io->path, (long long)s.st_size, LEAST,
                           room);
    return (int)s.st_size;
}

/* 1: it is open, 0: there is none. */
static int open_seed(struct source_io *io, int folder)
{
    io->fd = openat(folder, leaf_of(io), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (io->fd >= 0)
        return 1;
    return errno == ENOENT ? 0 : source_fail(io, -errno, "%s: %s", io->path, strerror(errno));
}

/* Reads the seed and puts its successor in its place. 0: there is none. */
static int take(struct source_io *io, int folder, uint8_t *buf, size_t room)
{
    uint8_t next[SAVED_SEED];
    int rc = open_seed(io, folder), len = 0;
    if (rc > 0)
        rc = len = check(io, room);
    if (rc > 0)
        rc = source_read_all(io, buf, (size_t)len, source_deadline());
    if (rc < 0 || len == 0)
        return rc;
    successor(next, buf, (size_t)len);
    rc = replace(io, folder, next);
    xids_wipe(next, sizeof(next));
    if (rc < 0)
        xids_wipe(buf, room);
    return rc < 0 ? rc : len;
}

static int file_open(struct source_io *io)
{
    io->fd = -1;
    return 0;
}

static int file_read(struct source_io *io, uint8_t *buf, size_t len)
{
    int folder = open_folder(io);
    if (folder < 0)
        return folder;
    int rc = take(io, folder, buf, len);
    close(folder);
    source_close(io);
    return rc;
}

/* What stands there and was never a seed is somebody's by mistake: it is not replaced. */
static int file_save(struct source_io *io, const uint8_t seed[SAVED_SEED])
{
    int folder = open_folder(io);
    if (folder < 0)
        return folder;
    int rc = open_seed(io, folder);
    if (rc > 0)
        rc = check(io, SOURCE_READ_MAX);
    if (rc >= 0)
        rc = replace(io, folder, seed);
    source_close(io);
    close(folder);
    return rc;
}

const struct source_type source_file = {
    .name = "file",
    .kind = XIDS_HEALTH_BYTES,
    .claim = 4 * XIDS_HEALTH_BIT,
    .claim_max = 8 * XIDS_HEALTH_BIT,
    .batch = SOURCE_READ_MAX,
    .takes_path = true,
    .once = true,
    .open = file_open,
    .read = file_read,
    .close = source_close,
    .save = file_save,
};
