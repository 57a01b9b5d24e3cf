/* SPDX-License-Identifier: ISC */
/*
 * Resume, as a program sees it: it is told of nothing, but the wall clock jumps, and the kernel ends timers that asked
 * for this. No timer is wanted here: it is set to the end of time. Who only sets the clock causes one reseed too many.
 */
#include "randomd/agent.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static int arm(int fd)
{
    const struct itimerspec never = {.it_value = {.tv_sec = (time_t)1 << 33}};
    /* ECANCELED: the clock jumped since the timer was made; it is set all the same. */
    int rc = timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL);
    return rc < 0 && errno != ECANCELED ? -errno : 0;
}

int resume_open(int *fd)
{
    *fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (*fd < 0)
        return -errno;
    int rc = arm(*fd);
    if (rc < 0) {
        (void)close(*fd);
        *fd = -1;
    }
    return rc;
}

void resume_take(int fd)
{
    uint64_t expired;
    (void)!read(fd, &expired, sizeof(expired));
    (void)!arm(fd);
}
