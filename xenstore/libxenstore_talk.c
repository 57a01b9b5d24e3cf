/* SPDX-License-Identifier: ISC */
/* libxenstore.so.4: requests and answers of many threads over one connection. */
#include "xenstore/libxenstore.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "xenstore/device.h"

/* The engine's own watches and transactions are not used. */
static const struct xids_xs_client_limits limits = {
    .requests = 256, .watches = 1, .transactions = 1, .watch_path = 1, .out_bytes = 65536};

int lxs_start(struct xs_handle *h)
{
    size_t size = xids_xs_client_size(&limits);
    void *mem = malloc(size);
    if (mem == NULL)
        return -ENOMEM;
    int rc = xids_xs_client_init(&h->client, mem, size, &limits);
    if (rc < 0) {
        free(mem);
        return rc;
    }
    xids_xs_client_own_events(h->client, lxs_on_event, h);
    TAILQ_INIT(&h->calls);
    TAILQ_INIT(&h->events);
    TAILQ_INIT(&h->watches);
    h->poll_fd = h->bell_fd = -1;
    rc = pthread_mutex_init(&h->lock, NULL);
    rc = rc != 0 ? rc : pthread_cond_init(&h->room, NULL);
    return -rc;
}

int lxs_lock(struct xs_handle *h)
{
    int state;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    pthread_mutex_lock(&h->lock);
    return state;
}

void lxs_unlock(struct xs_handle *h, int state)
{
    pthread_mutex_unlock(&h->lock);
    (void)pthread_setcancelstate(state, NULL);
}

/* ---- bytes ---- */

/* Nobody need wait for anything any more. The calls have been completed by the engine. */
static void tell_all(struct xs_handle *h)
{
    lxs_disarm_for_good(h);
    pthread_cond_broadcast(&h->room);
}

static void lose(struct xs_handle *h)
{
    /* What callers of libxenstore get from a connection that is gone. */
    xids_xs_client_fail(h->client, -XEN_EBADF, "the connection to the store is lost");
    tell_all(h);
}

/* Sends what is queued. True: the connection takes no more now. */
static bool flush(struct xs_handle *h)
{
    const uint8_t *span;
    size_t len;
    while (xids_xs_client_error(h->client) == 0 && (len = xids_xs_client_output(h->client, &span)) > 0) {
        if (h->device && (len = xids_device_portion(h->client, &h->whole, span, len)) == 0)
            return false;
        ssize_t n = h->device ? write(h->fd, span, len) : send(h->fd, span, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0) {
            lose(h);
            return false;
        }
        if (h->device)
            h->whole -= (uint32_t)n;
        xids_xs_client_sent(h->client, (size_t)n);
        if (h->crowded > 0)
            pthread_cond_broadcast(&h->room);
    }
    return false;
}

/* Waits for the descriptor, unlocked. */
static void wait_fd(const struct xs_handle *h, short events)
{
    struct pollfd p = {.fd = h->fd, .events = events};
    (void)poll(&p, 1, -1);
}

/* What a read gave: n bytes of in, or, at its end or after an error, the loss of the connection. */
static void take(struct xs_handle *h, ssize_t n, int error)
{
    if (n < 0 && (error == EINTR || error == EAGAIN))
        return;
    if (n <= 0)
        lose(h);
    else if (xids_xs_client_input(h->client, h->in, (size_t)n) < 0)
        tell_all(h);
}

static ssize_t read_fd(struct xs_handle *h, int flags)
{
    return h->device ? read(h->fd, h->in, sizeof(h->in)) : recv(h->fd, h->in, sizeof(h->in), flags);
}

void lxs_look(struct xs_handle *h)
{
    if (h->reading || xids_xs_client_error(h->client) != 0)
        return;
    (void)flush(h);
    struct pollfd p = {.fd = h->fd, .events = POLLIN};
    if (h->device && poll(&p, 1, 0) <= 0)
        return;
    ssize_t n = read_fd(h, MSG_DONTWAIT);
    take(h, n, errno);
}

/* Reads once, and waits until there is something. */
static void read_once(struct xs_handle *h)
{
    bool blocked = flush(h);
    if (xids_xs_client_error(h->client) != 0)
        return;
    /* This thread may sleep long: those who wait for events are to know first. */
    lxs_set_bell(h);
    pthread_mutex_unlock(&h->lock);
    if (blocked)
        wait_fd(h, POLLIN | POLLOUT);
    ssize_t n = read_fd(h, blocked ? MSG_DONTWAIT : 0);
    int error = errno;
    if (n < 0 && error == EAGAIN && !blocked)
        wait_fd(h, POLLIN);
    pthread_mutex_lock(&h->lock);
    take(h, n, error);
}

/* ---- who reads ---- */

void lxs_wait(struct xs_handle *h, bool *reading, pthread_cond_t *cond)
{
    if (!*reading && !h->reading) {
        *reading = h->reading = true;
        lxs_arm(h, false);
    }
    if (*reading)
        read_once(h);
    else
        pthread_cond_wait(cond, &h->lock);
}

void lxs_stop_reading(struct xs_handle *h, bool reading)
{
    lxs_set_bell(h);
    if (!reading)
        return;
    h->reading = false;
    struct lxs_call *next = TAILQ_FIRST(&h->calls);
    if (next != NULL)
        pthread_cond_signal(&next->wake);
    else if (h->crowded > 0)
        pthread_cond_signal(&h->room);
    else
        lxs_arm(h, true);
}

/* ---- requests ---- */

static void on_reply(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct lxs_call *call = ctx;
    struct xs_handle *h = call->h;
    TAILQ_REMOVE(&h->calls, call, entry);
    call->done = true;
    call->rc = rc;
    if (rc == 0) {
        call->data = malloc((size_t)len + 1u);
        if (call->data != NULL) {
            memcpy(call->data, payload, len);
            call->data[len] = '\0';
            call->len = len;
        } else {
            call->rc = -ENOMEM;
        }
    }
    pthread_cond_signal(&call->wake);
    if (h->crowded > 0)
        pthread_cond_broadcast(&h->room);
}

/* Hands the request to the engine and the engine's bytes to the store. 0: an answer will come. */
static int send_request(struct lxs_call *call, bool *reading, uint32_t type, uint32_t tx,
                        const struct xids_xswire_part *parts, unsigned int count)
{
    struct xs_handle *h = call->h;
    int rc;
    /* Whoever reads lets the answer through, whoever polls must not see it: so one or the other before it is sent. */
    if (!h->reading) {
        *reading = h->reading = true;
        lxs_arm(h, false);
    }
    while ((rc = xids_xs_client_request(h->client, type, tx, parts, count, on_reply, call)) == -XEN_EBUSY) {
        h->crowded++;
        lxs_wait(h, reading, &h->room);
        h->crowded--;
    }
    if (rc < 0)
        return rc;
    TAILQ_INSERT_TAIL(&h->calls, call, entry);
    /* Whoever reads may not see that we cannot send; nor can we be told that there is nobody any more. */
    while (flush(h) && !*reading && h->reading) {
        pthread_mutex_unlock(&h->lock);
        wait_fd(h, POLLIN | POLLOUT);
        pthread_mutex_lock(&h->lock);
    }
    return 0;
}

static int talk(struct lxs_call *call, uint32_t type, uint32_t tx, const struct xids_xswire_part *parts,
                unsigned int count)
{
    struct xs_handle *h = call->h;
    bool reading = false;
    int state = lxs_lock(h);
    int rc = send_request(call, &reading, type, tx, parts, count);
    while (rc == 0 && !call->done)
        lxs_wait(h, &reading, &call->wake);
    lxs_stop_reading(h, reading);
    lxs_unlock(h, state);
    return rc < 0 ? rc : call->rc;
}

bool lxs_talk(struct xs_handle *h, char **data, uint32_t *len, uint32_t type, uint32_t tx,
              const struct xids_xswire_part *parts, unsigned int count)
{
    struct lxs_call call = {.h = h};
    int rc = -pthread_cond_init(&call.wake, NULL);
    if (rc == 0) {
        rc = talk(&call, type, tx, parts, count);
        pthread_cond_destroy(&call.wake);
    }
    if (rc < 0) {
        errno = -rc;
        return false;
    }
    if (data != NULL)
        *data = call.data;
    else
        free(call.data);
    if (len != NULL)
        *len = call.len;
    /* No C library does so, but Xen's does here, and test-xenstore fails without. */
    errno = 0;
    return true;
}
