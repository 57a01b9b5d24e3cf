/* SPDX-License-Identifier: ISC */
/*
 * Loaded before a program, stands between it and the kernel's generator: what it gives to /dev/random goes as lines
 * into the file $FAKE_KERNEL ("add BITS LENGTH FINGERPRINT", "reseed"), and the machine is resumed by a byte in the
 * FIFO $FAKE_RESUME. With $FAKE_REFUSE the kernel takes nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

__attribute__((format(printf, 1, 2))) static int note(const char *format, ...)
{
    char line[80];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    int fd = open(getenv("FAKE_KERNEL"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    ssize_t written = write(fd, line, (size_t)len);
    (void)close(fd);
    return written == len ? 0 : -1;
}

/* Enough to tell two apart (FNV-1a). */
static uint64_t fingerprint(const uint8_t *bytes, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ bytes[i]) * 0x100000001b3u;
    return h;
}

static int add(const void *arg)
{
    struct rand_pool_info info;
    memcpy(&info, arg, sizeof(info));
    return note("add %d %d %016llx\n", info.entropy_count, info.buf_size,
                (unsigned long long)fingerprint((const uint8_t *)arg + sizeof(info), (size_t)info.buf_size));
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    void *arg = va_arg(args, void *);
    va_end(args);
    if (request == RNDADDENTROPY || request == RNDRESEEDCRNG) {
        if (getenv("FAKE_REFUSE") != NULL) {
            errno = EPERM;
            return -1;
        }
        return request == RNDADDENTROPY ? add(arg) : note("reseed\n");
    }
    return (int)syscall(SYS_ioctl, fd, request, arg);
}

__attribute__((visibility("default"))) int timerfd_create(clockid_t clock, int flags)
{
    (void)clock;
    (void)flags;
    return open(getenv("FAKE_RESUME"), O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

__attribute__((visibility("default"))) int timerfd_settime(int fd, int flags, const struct itimerspec *to,
                                                           struct itimerspec *was)
{
    (void)fd;
    (void)flags;
    (void)to;
    (void)was;
    return 0;
}
