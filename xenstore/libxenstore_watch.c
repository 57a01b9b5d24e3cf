/* SPDX-License-Identifier: ISC */
/* libxenstore.so.4: watches, their events, and the descriptor that says when one waits. */
#include "xenstore/libxenstore.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- the descriptor ---- */

void lxs_set_bell(struct xs_handle *h)
{
    uint64_t one = 1;
    bool lost = xids_xs_client_error(h->client) != 0;
    bool ring = !TAILQ_EMPTY(&h->events) || (lost && (!h->loss_told || atomic_load(&h->watchers) > 0));
    if (h->bell_fd < 0 || ring == h->rung)
        return;
    ssize_t n = ring ? write(h->bell_fd, &one, sizeof(one)) : read(h->bell_fd, &one, sizeof(one));
    /* Not blocking, and its count is 0 or 1: neither can fail. */
    (void)n;
    h->rung = ring;
}

void lxs_arm(struct xs_handle *h, bool on)
{
    struct epoll_event what = {.events = on ? EPOLLIN : 0};
    if (h->poll_fd < 0 || on == h->armed || xids_xs_client_error(h->client) != 0)
        return;
    (void)epoll_ctl(h->poll_fd, EPOLL_CTL_MOD, h->fd, &what);
    h->armed = on;
}

/* A connection at its end is readable for ever; the bell tells of it once. */
void lxs_disarm_for_good(struct xs_handle *h)
{
    if (h->poll_fd >= 0)
        (void)epoll_ctl(h->poll_fd, EPOLL_CTL_DEL, h->fd, NULL);
    lxs_set_bell(h);
}

/* 0, or an errno. */
static int make_poll_fd(struct xs_handle *h)
{
    struct epoll_event what = {.events = EPOLLIN};
    int set = epoll_create1(EPOLL_CLOEXEC);
    int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (set < 0 || bell < 0 || epoll_ctl(set, EPOLL_CTL_ADD, bell, &what) < 0)
        goto fail;
    what.events = h->reading ? 0 : EPOLLIN;
    if (xids_xs_client_error(h->client) == 0 && epoll_ctl(set, EPOLL_CTL_ADD, h->fd, &what) < 0)
        goto fail;
    h->poll_fd = set;
    h->bell_fd = bell;
    h->armed = !h->reading;
    lxs_set_bell(h);
    return 0;
fail:;
    int error = errno;
    if (set >= 0)
        close(set);
    if (bell >= 0)
        close(bell);
    return error;
}

int xs_fileno(struct xs_handle *h)
{
    int state = lxs_lock(h);
    int error = h->poll_fd < 0 ? make_poll_fd(h) : 0;
    int fd = h->poll_fd;
    lxs_unlock(h, state);
    if (error != 0)
        errno = error;
    return fd;
}

/* ---- events ---- */

char **xs_check_watch(struct xs_handle *h)
{
    unsigned int count;
    int error = 0;
    int state = lxs_lock(h);
    if (TAILQ_EMPTY(&h->events))
        lxs_look(h);
    char **strings = lxs_next_event(h, &count, &error);
    lxs_set_bell(h);
    lxs_unlock(h, state);
    if (strings == NULL)
        errno = error;
    return strings;
}

/* A thread that is cancelled while it waits. */
static void leave(void *ctx)
{
    struct xs_handle *h = ctx;
    (void)atomic_fetch_sub(&h->watchers, 1);
}

/*
 * Locked by lxs_lock, which gave state: waits until there is something for watchers. Like a program that polls, it does
 * not read while others do, who would have to be woken for each answer then.
 */
static void wait_for_event(struct xs_handle *h, int state)
{
    struct pollfd p = {.fd = h->poll_fd, .events = POLLIN};
    lxs_unlock(h, state);
    pthread_cleanup_push(leave, h);
    (void)poll(&p, 1, -1);
    pthread_cleanup_pop(0);
    (void)lxs_lock(h);
}

char **xs_read_watch(struct xs_handle *h, unsigned int *num)
{
    unsigned int count = 0;
    int error = 0;
    char **strings;
    int state = lxs_lock(h);
    (void)atomic_fetch_add(&h->watchers, 1);
    if (h->poll_fd < 0)
        error = make_poll_fd(h);
    while ((strings = lxs_next_event(h, &count, &error)) == NULL && error == EAGAIN && h->poll_fd >= 0) {
        wait_for_event(h, state);
        if (TAILQ_EMPTY(&h->events))
            lxs_look(h);
    }
    (void)atomic_fetch_sub(&h->watchers, 1);
    lxs_set_bell(h);
    lxs_unlock(h, state);
    if (strings == NULL)
        errno = error;
    else if (num != NULL)
        *num = count;
    return strings;
}

/* ---- watches ---- */

/* Makes a watch, with a depth or, NULL, without, that is kept in mind for when its events are too many. */
static bool add_watch(struct xs_handle *h, const char *path, const char *token, const struct xids_xswire_part *depth)
{
    struct xids_xswire_part parts[3] = {xids_xswire_string(path), xids_xswire_string(token)};
    struct lxs_watch *w = lxs_add_watch(h, path, token);
    if (w == NULL)
        return false;
    if (depth != NULL)
        parts[2] = *depth;
    if (lxs_talk(h, NULL, NULL, XS_WATCH, XBT_NULL, parts, depth != NULL ? 3 : 2))
        return true;
    int error = errno;
    lxs_remove_watch(h, w);
    errno = error;
    return false;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    return add_watch(h, path, token, NULL);
}

bool xs_watch_depth(struct xs_handle *h, const char *path, const char *token, unsigned int depth)
{
    char text[11];
    unsigned int features;
    const struct xids_xswire_part part = {text, xids_xswire_format_decimal(text, depth) + 1u};
    if (!xs_get_features_supported(h, &features))
        return false;
    /* A store that does not know of it would watch all that is below. */
    if ((features & XIDS_XS_FEATURE_WATCHDEPTH) == 0) {
        errno = ENOSYS;
        return false;
    }
    return add_watch(h, path, token, &part);
}

bool xs_watch_try_depth(struct xs_handle *h, const char *path, const char *token, unsigned int depth)
{
    return xs_watch_depth(h, path, token, depth) || xs_watch(h, path, token);
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
    const struct xids_xswire_part parts[2] = {xids_xswire_string(path), xids_xswire_string(token)};
    bool done = lxs_talk(h, NULL, NULL, XS_UNWATCH, XBT_NULL, parts, 2);
    int error = errno;
    if (done)
        lxs_remove_watch(h, lxs_find_watch(h, path, token));
    if (h->filter)
        lxs_drop_events(h, path, token);
    errno = error;
    return done;
}
