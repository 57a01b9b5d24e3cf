/* SPDX-License-Identifier: ISC */
/* Feeding the kernel's generator: random(4). */
#include "randomd/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <xids/rng.h>

int feed_open(int *fd)
{
    *fd = open("/dev/random", O_RDWR | O_CLOEXEC);
    return *fd < 0 ? -errno : 0;
}

int feed_kernel(int fd, const uint8_t bytes[FEED_BYTES], unsigned int bits)
{
    /* struct rand_pool_info: how many bits, how many bytes, the bytes. */
    union {
        struct rand_pool_info info;
        uint8_t bytes[sizeof(struct rand_pool_info) + FEED_BYTES];
    } give = {.info = {.entropy_count = (int)bits, .buf_size = FEED_BYTES}};
    memcpy(give.bytes + offsetof(struct rand_pool_info, buf), bytes, FEED_BYTES);
    int rc = ioctl(fd, RNDADDENTROPY, &give) < 0 ? -errno : 0;
    xids_wipe(&give, sizeof(give));
    /* Bytes alone wait in the pool for up to a minute. Without credit the kernel may not be ready for this yet. */
    if (rc == 0 && ioctl(fd, RNDRESEEDCRNG) < 0 && errno != ENODATA)
        rc = -errno;
    return rc;
}
