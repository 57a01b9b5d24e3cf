/* SPDX-License-Identifier: ISC */
/*
 * A turn of libuv's loop costs as much as a request. While clients ask one thing after another and nothing else is to
 * be done, their sockets are waited for here, on the loop's own epoll descriptor; whatever is for somebody else stays
 * there for the loop, which then takes its turn at once.
 */
#include <sys/epoll.h>

#include "xenstore/xenstored.h"

#define EVENTS 64
/* The loop has a turn now and then in any case. */
#define ROUNDS_MAX 1024u

/*
 * The loop has nothing else: no timer, no work put off, no handle that is closing, no watcher that was started or
 * changed, of which epoll would hear in the loop's next turn only.
 */
static bool nothing_else(const struct daemon *d)
{
    return uv_backend_timeout(&d->loop) < 0;
}

static void on_check(uv_check_t *check)
{
    struct daemon *d = check->data;
    struct epoll_event events[EVENTS];
    bool all_ours = d->served;
    for (unsigned int round = 0; all_ours && round < ROUNDS_MAX && nothing_else(d); round++) {
        int n = epoll_wait(uv_backend_fd(&d->loop), events, EVENTS, -1);
        all_ours = n > 0;
        uv_update_time(&d->loop);
        tell_time(d);
        for (int i = 0; i < n; i++)
            all_ours = socket_event(d, events[i].data.fd, events[i].events) && all_ours;
        /* What follows from it is the loop's: it ends this. */
        if (xids_xs_server_busy(d->server) || xids_xs_server_deadline(d->server) != UINT64_MAX)
            flush_output(d);
    }
    d->served = false;
}

int linger_open(struct daemon *d)
{
    int rc = uv_check_init(&d->loop, &d->linger);
    d->linger.data = d;
    return rc < 0 ? rc : uv_check_start(&d->linger, on_check);
}
