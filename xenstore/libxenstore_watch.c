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

/* The strings of an event as the user gets them: pointers and text in one block. */
static char **make_strings(const char *payload, uint32_t len, unsigned int count)
{
    char **strings = malloc(count * sizeof(*strings) + len);
    if (strings == NULL)
        return NULL;
    char *at = (char *)(strings + count);
    memcpy(at, payload, len);
    for (unsigned int i = 0; i < count; i++) {
        strings[i] = at;
        at += strlen(at) + 1;
    }
    return strings;
}

void lxs_on_event(void *ctx, const char *payload, uint32_t len)
{
    struct xs_handle *h = ctx;
    struct lxs_event *e = malloc(sizeof(*e));
    unsigned int count = xids_xswire_count(payload, len);
    char **strings = e != NULL ? make_strings(payload, len, count) : NULL;
    if (strings == NULL) {
        free(e);
        /* An event that is lost without a word would be worse. */
        xids_xs_client_fail(h->client, -XEN_ENOMEM, "no memory for an event");
        return;
    }
    e->strings = strings;
    e->count = count;
    TAILQ_INSERT_TAIL(&h->events, e, entry);
}

/* Locked: the first event, which is the user's to free, or NULL with *error set. */
static char **next_event(struct xs_handle *h, unsigned int *count, int *error)
{
    struct lxs_event *e = TAILQ_FIRST(&h->events);
    if (e == NULL) {
        bool lost = xids_xs_client_error(h->client) != 0;
        h->loss_told |= lost;
        *error = lost ? EINVAL : EAGAIN;
        return NULL;
    }
    char **strings = e->strings;
    *count = e->count;
    TAILQ_REMOVE(&h->events, e, entry);
    free(e);
    return strings;
}

char **xs_check_watch(struct xs_handle *h)
{
    unsigned int count;
    int error = 0;
    int state = lxs_lock(h);
    if (TAILQ_EMPTY(&h->events))
        lxs_look(h);
    char **strings = next_event(h, &count, &error);
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
    while ((strings = next_event(h, &count, &error)) == NULL && error == EAGAIN && h->poll_fd >= 0) {
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

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    const struct xids_xswire_part parts[2] = {xids_xswire_string(path), xids_xswire_string(token)};
    return lxs_talk(h, NULL, NULL, XS_WATCH, XBT_NULL, parts, 2);
}

bool xs_watch_depth(struct xs_handle *h, const char *path, const char *token, unsigned int depth)
{
    char text[11];
    unsigned int features;
    struct xids_xswire_part parts[3] = {xids_xswire_string(path), xids_xswire_string(token), {text, 0}};
    parts[2].len = xids_xswire_format_decimal(text, depth) + 1u;
    if (!xs_get_features_supported(h, &features))
        return false;
    /* A store that does not know of it would watch all that is below. */
    if ((features & XIDS_XS_FEATURE_WATCHDEPTH) == 0) {
        errno = ENOSYS;
        return false;
    }
    return lxs_talk(h, NULL, NULL, XS_WATCH, XBT_NULL, parts, 3);
}

bool xs_watch_try_depth(struct xs_handle *h, const char *path, const char *token, unsigned int depth)
{
    return xs_watch_depth(h, path, token, depth) || xs_watch(h, path, token);
}

/* Drops waiting events of a watch that is no more. */
static void drop_events(struct xs_handle *h, const char *path, const char *token)
{
    int state = lxs_lock(h);
    struct lxs_event *e = TAILQ_FIRST(&h->events);
    while (e != NULL) {
        struct lxs_event *next = TAILQ_NEXT(e, entry);
        if (strcmp(e->strings[XS_WATCH_TOKEN], token) == 0 && xs_path_is_subpath(path, e->strings[XS_WATCH_PATH])) {
            TAILQ_REMOVE(&h->events, e, entry);
            free(e->strings);
            free(e);
        }
        e = next;
    }
    lxs_set_bell(h);
    lxs_unlock(h, state);
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
    const struct xids_xswire_part parts[2] = {xids_xswire_string(path), xids_xswire_string(token)};
    bool done = lxs_talk(h, NULL, NULL, XS_UNWATCH, XBT_NULL, parts, 2);
    int error = errno;
    if (h->filter)
        drop_events(h, path, token);
    errno = error;
    return done;
}
