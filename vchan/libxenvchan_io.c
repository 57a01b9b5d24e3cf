/* SPDX-License-Identifier: ISC */
/*
 * libxenvchan.so.4.17: moving bytes, sleeping, and what programs ask of the channel's state. -1 comes with its reason
 * in errno.
 */
#include "vchan/libxenvchan.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>

static int failure(int rc)
{
    errno = -rc;
    return -1;
}

static uint32_t at_most(size_t size, uint32_t limit)
{
    return size < limit ? (uint32_t)size : limit;
}

/* Whether the peer has closed or died; a persistent server goes on. Bytes that are looked for afterwards are the last.
 */
static bool left_alone(const struct xids_lxv *v)
{
    if (v->ch.server && v->pub.server_persist != 0)
        return false;
    return xids_peer_load8_acquire(xids_vchan_peer_live_(&v->ch)) == VCHAN_GONE;
}

/*
 * Asks the peer for an event, before the look at its index that must follow. A request that it has not answered yet
 * stands: the locked operation and the barrier are for a new one.
 *
 * Nor is there a new one while the answer to the last waits to be taken: the program's next sleep ends at once by it,
 * and the look that it then takes asks again. The peer of a busy program is spared a system call for each message. Only
 * where libxenvchan_wait takes the events: of one that the program takes by itself we do not hear.
 */
static void ask(struct xids_lxv *v, uint8_t bits)
{
    uint8_t standing = xids_peer_load8(xids_vchan_ask_(&v->ch));
    if (v->waits)
        bits &= (uint8_t) ~(v->asked & ~standing);
    v->asked |= bits;
    if ((standing & bits) == bits)
        return;
    (void)xids_peer_set_bits8(xids_vchan_ask_(&v->ch), bits);
    xids_peer_fence();
}

/* The same after a read that came up short, and the look: how much there is now. */
static int ask_for_data(struct xids_lxv *v)
{
    ask(v, VCHAN_NOTIFY_WRITE);
    return xids_vchan_look_in_(&v->ch);
}

static int ask_for_room(struct xids_lxv *v)
{
    ask(v, VCHAN_NOTIFY_READ);
    return xids_vchan_look_out_(&v->ch);
}

/* Takes an event. Requests that are answered by now are answered by it, or by one that comes besides. */
static int take(struct xids_lxv *v)
{
    uint64_t start = v->platform.ops->now(v);
    int rc = xids_lxv_take_event(v);
    if (rc < 0)
        return rc;
    v->asked &= xids_peer_load8(xids_vchan_ask_(&v->ch));
    xids_vchan_slept_(&v->ch, v->platform.ops->now(v) - start);
    return 0;
}

/* The same, also where the program made the descriptor non-blocking. */
static int sleep_once(struct xids_lxv *v)
{
    int rc = take(v);
    if (rc != -XEN_EAGAIN)
        return rc;
    struct pollfd p = {.fd = xenevtchn_fd(v->pub.event), .events = POLLIN};
    return poll(&p, 1, -1) < 0 ? -errno : 0;
}

/* Waits until there may be want bytes to read, or none to come. 0: look again; or an error. */
static int wait_for_data(struct xids_lxv *v, uint32_t want)
{
    int n = xids_vchan_pace_(&v->ch, want, 0, UINT64_MAX);
    if (n == 0) {
        n = ask_for_data(v);
        if (n >= 0 && (uint32_t)n < want && !left_alone(v))
            n = sleep_once(v);
    }
    return n < 0 ? n : 0;
}

static int wait_for_room(struct xids_lxv *v, uint32_t want)
{
    int n = xids_vchan_pace_(&v->ch, 0, want, UINT64_MAX);
    if (n == 0) {
        n = ask_for_room(v);
        if (n >= 0 && (uint32_t)n < want && !left_alone(v))
            n = sleep_once(v);
    }
    return n < 0 ? n : 0;
}

/* A read of which len came short by some: what has come meanwhile too, with a request for what is to come. */
static int read_more(struct xids_lxv *v, uint8_t *data, uint32_t got, uint32_t len)
{
    int n = ask_for_data(v);
    if (n > 0)
        n = xids_vchan_read(&v->ch, data + got, len - got);
    /* An error shows at the next call: these bytes are delivered first. */
    return n > 0 ? (int)got + n : (int)got;
}

int libxenvchan_read(struct libxenvchan *ctrl, void *data, size_t size)
{
    struct xids_lxv *v = xids_lxv_of(ctrl);
    uint32_t len = at_most(size, v->ch.in.at.size);
    for (;;) {
        bool end = left_alone(v);
        int rc = xids_vchan_read(&v->ch, data, len);
        if (rc >= 0) {
            bool blocks = ctrl->blocking != 0 && !v->sleeps;
            return blocks || (uint32_t)rc == len ? rc : read_more(v, data, (uint32_t)rc, len);
        }
        if (rc != -XEN_EAGAIN || end)
            return failure(end ? -XEN_ENOTCONN : rc);
        if (ctrl->blocking != 0) {
            rc = wait_for_data(v, 1);
            if (rc < 0)
                return failure(rc);
        } else if (ask_for_data(v) == 0) {
            return 0;
        }
    }
}

int libxenvchan_recv(struct libxenvchan *ctrl, void *data, size_t size)
{
    struct xids_lxv *v = xids_lxv_of(ctrl);
    if (size > v->ch.in.at.size)
        return failure(-XEN_EMSGSIZE);
    uint32_t len = (uint32_t)size;
    for (;;) {
        bool end = left_alone(v);
        int rc = xids_vchan_recv(&v->ch, data, len);
        if (rc >= 0)
            return rc;
        if (rc != -XEN_EAGAIN)
            return failure(rc);
        if (end)
            return failure(xids_bytering_known(&v->ch.in) != 0 ? -XEN_ENODATA : -XEN_ENOTCONN);
        if (ctrl->blocking != 0) {
            rc = wait_for_data(v, len);
            if (rc < 0)
                return failure(rc);
        } else {
            rc = ask_for_data(v);
            if (rc >= 0 && (uint32_t)rc < len)
                return 0;
        }
    }
}

/* Puts into the ring what fits, with a request for more room if not all does. The count, 0 included, or an error. */
static int put(struct xids_lxv *v, const uint8_t *data, uint32_t len)
{
    int n = xids_vchan_write(&v->ch, data, len);
    if (n == -XEN_EAGAIN)
        n = 0;
    if (n < 0 || (uint32_t)n == len)
        return n;
    if (ask_for_room(v) > 0) {
        int more = xids_vchan_write(&v->ch, data + n, len - (uint32_t)n);
        n += more > 0 ? more : 0;
    }
    /* An error that came after some bytes shows at the next call. */
    return n == 0 && v->ch.error != 0 ? v->ch.error : n;
}

/*
 * All of it. Whoever is interrupted by a signal is told what is in the ring already, so that nothing is sent twice; any
 * other failure is the end of the channel.
 */
static int put_all(struct xids_lxv *v, const uint8_t *data, uint32_t len)
{
    uint32_t done = 0;
    for (;;) {
        int rc = put(v, data + done, len - done);
        if (rc < 0)
            return rc;
        done += (uint32_t)rc;
        if (done == len)
            return (int)done;
        rc = wait_for_room(v, 1);
        if (rc == -XEN_EINTR && done > 0)
            return (int)done;
        if (rc == 0 && left_alone(v))
            rc = -XEN_ENOTCONN;
        if (rc < 0)
            return rc;
    }
}

int libxenvchan_write(struct libxenvchan *ctrl, const void *data, size_t size)
{
    struct xids_lxv *v = xids_lxv_of(ctrl);
    uint32_t len = at_most(size, INT_MAX);
    if (left_alone(v))
        return failure(-XEN_ENOTCONN);
    int rc = ctrl->blocking != 0 ? put_all(v, data, len) : put(v, data, len);
    return rc < 0 ? failure(rc) : rc;
}

int libxenvchan_send(struct libxenvchan *ctrl, const void *data, size_t size)
{
    struct xids_lxv *v = xids_lxv_of(ctrl);
    if (size > v->ch.out.at.size)
        return failure(-XEN_EMSGSIZE);
    uint32_t len = (uint32_t)size;
    for (;;) {
        if (left_alone(v))
            return failure(-XEN_ENOTCONN);
        int rc = xids_vchan_send(&v->ch, data, len);
        if (rc >= 0)
            return rc;
        if (rc == -XEN_EAGAIN && ctrl->blocking != 0) {
            rc = wait_for_room(v, len);
        } else if (rc == -XEN_EAGAIN) {
            rc = ask_for_room(v);
            if (rc >= 0 && (uint32_t)rc < len)
                return 0;
        }
        if (rc < 0)
            return failure(rc);
    }
}

/* One more than what the program has seen, or 0 where that cannot be or was not asked for. */
static uint32_t next_of(const struct xids_lxv *v, const struct xids_bytering *r, uint8_t bit)
{
    uint32_t known = xids_bytering_known(r);
    return (v->asked & bit) != 0 && known < r->at.size ? known + 1 : 0;
}

/*
 * Spins for news of what the program asked for, without the peer's having to send an event. Only while all requests
 * stand: once one is answered its event is there or will be, and must be taken, or a program that polls the descriptor
 * would be told of it again and again. Whether there is news.
 */
static bool spin_for_news(struct xids_lxv *v)
{
    struct xids_vchan *ch = &v->ch;
    uint32_t want_read = next_of(v, &ch->in, VCHAN_NOTIFY_WRITE), want_write = next_of(v, &ch->out, VCHAN_NOTIFY_READ);
    if (ch->pace.budget == 0 || (want_read == 0 && want_write == 0) ||
        xids_peer_load8(xids_vchan_peer_live_(ch)) != VCHAN_LIVE)
        return false;
    uint8_t stood = xids_peer_clear_bits8(xids_vchan_ask_(ch), v->asked) & v->asked;
    bool answered = stood != v->asked;
    int rc = answered ? 0 : xids_vchan_pace_(ch, want_read, want_write, UINT64_MAX);
    /* What the news is about the program looks at next, and asks again if it is to sleep. */
    if (rc == 1 && want_read != 0 && xids_bytering_known(&ch->in) >= want_read)
        stood &= (uint8_t)~VCHAN_NOTIFY_WRITE;
    if (rc == 1 && want_write != 0 && xids_bytering_known(&ch->out) >= want_write)
        stood &= (uint8_t)~VCHAN_NOTIFY_READ;
    v->asked = stood;
    (void)xids_peer_set_bits8(xids_vchan_ask_(ch), stood);
    xids_peer_fence();
    return !answered && (rc != 0 || xids_vchan_ready_(ch, want_read, want_write) != 0);
}

int libxenvchan_wait(struct libxenvchan *ctrl)
{
    struct xids_lxv *v = xids_lxv_of(ctrl);
    v->sleeps = true;
    /* Nobody needs to send an event any more. */
    if (v->ch.error != 0)
        return failure(v->ch.error);
    v->waits = true;
    if (spin_for_news(v))
        return 0;
    int rc = take(v);
    return rc < 0 ? failure(rc) : 0;
}

int libxenvchan_fd_for_select(struct libxenvchan *ctrl)
{
    xids_lxv_of(ctrl)->sleeps = true;
    return xenevtchn_fd(ctrl->event);
}

int libxenvchan_is_open(struct libxenvchan *ctrl)
{
    struct xids_lxv *v = xids_lxv_of(ctrl);
    uint8_t live = xids_peer_load8_acquire(xids_vchan_peer_live_(&v->ch));
    if (v->ch.error != 0)
        return 0;
    if (v->ch.server && ctrl->server_persist != 0)
        return 1;
    if (live == VCHAN_GONE)
        return 0;
    return v->ch.server && live == VCHAN_NOT_YET ? 2 : 1;
}

int libxenvchan_data_ready(struct libxenvchan *ctrl)
{
    struct xids_lxv *v = xids_lxv_of(ctrl);
    v->sleeps = true;
    int n = ask_for_data(v);
    return n < 0 ? failure(n) : n;
}

int libxenvchan_buffer_space(struct libxenvchan *ctrl)
{
    struct xids_lxv *v = xids_lxv_of(ctrl);
    v->sleeps = true;
    int n = ask_for_room(v);
    return n < 0 ? failure(n) : n;
}
