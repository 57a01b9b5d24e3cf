/* SPDX-License-Identifier: ISC */
/* vchan, blocking: sleeping on the platform until the channel has something for us. */
#include <xids/vchan_open.h>

#include "vchan/internal.h"

/* How long a sleep lasts at most before the peer's domain is looked after: nothing tells of its death. */
#define LOOK_AFTER 1000000000u

/* How many events are taken before the deadline is looked at again: a peer can send them without end. */
#define EVENTS_AT_ONCE 64

/*
 * Takes the event that ended the last sleep, and gives ours to the channel. Before the next sleep, not right after the
 * one it ended: a peer that waits for our answer need not wait for these calls, and runs while we make them. As long as
 * an event is not taken its port is masked, and the next one is remembered (platform.h).
 */
static int take(struct xids_vchan *ch)
{
    const struct xids_platform *platform = ch->platform;
    void *ctx = platform->ctx;
    int rc = 0;
    ch->woken = false;
    for (int i = 0; i < EVENTS_AT_ONCE && (rc = platform->ops->evtchn_pending(ctx)) > 0; i++) {
        if ((evtchn_port_t)rc == ch->port) {
            (void)xids_vchan_event(ch);
            /* What else there may be can wait: to learn that there is nothing costs a system call at each sleep. */
            return 1;
        }
        (void)platform->ops->evtchn_unmask(ctx, (evtchn_port_t)rc);
    }
    return rc < 0 ? rc : 1;
}

/* Asks whether the peer's domain is still there, of whoever may know. */
static void look_after(struct xids_vchan *ch)
{
    if (ch->look_after != NULL)
        (void)ch->look_after(ch->look_after_ctx);
    else
        (void)xids_vchan_check_peer(ch);
}

/* Sleeps once, at most to the deadline. 1: look again; 0: the deadline has come; or an error. */
static int sleep_once(struct xids_vchan *ch, uint64_t deadline)
{
    const struct xids_platform *platform = ch->platform;
    if (ch->woken)
        return take(ch);
    uint64_t now = platform->ops->now(platform->ctx);
    if (now >= deadline)
        return 0;
    uint64_t limit = deadline - now > LOOK_AFTER ? now + LOOK_AFTER : deadline;
    int rc = platform->ops->wait(platform->ctx, limit);
    ch->woken = rc == 1;
    if (rc == 0)
        look_after(ch);
    else if (rc == 1 && ch->pace.limit != 0)
        xids_vchan_slept_(ch, platform->ops->now(platform->ctx) - now);
    return rc < 0 ? rc : 1;
}

/* Spins, for as long as it is worth it and the deadline is away. As arm. */
static int spin(struct xids_vchan *ch, uint32_t want_read, uint32_t want_write, uint64_t deadline)
{
    uint64_t left = UINT64_MAX;
    if (deadline != UINT64_MAX) {
        uint64_t now = ch->platform->ops->now(ch->platform->ctx);
        left = now < deadline ? deadline - now : 0;
    }
    return xids_vchan_pace_(ch, want_read, want_write, left);
}

int xids_vchan_wait(struct xids_vchan *ch, uint32_t want_read, uint32_t want_write, uint64_t deadline)
{
    for (;;) {
        int rc = spin(ch, want_read, want_write, deadline);
        if (rc == 0)
            rc = xids_vchan_arm(ch, want_read, want_write);
        if (rc != 0)
            return rc;
        rc = sleep_once(ch, deadline);
        if (rc <= 0)
            return rc;
        /* What we were woken for is there: no need to spin or arm for it, nor to take back a request that was served.
         */
        rc = xids_vchan_ready_(ch, want_read, want_write);
        if (rc != 0)
            return rc;
    }
}

int xids_vchan_wait_client(struct xids_vchan *ch, uint64_t deadline)
{
    while (xids_vchan_state(ch) == XIDS_VCHAN_CONNECTING) {
        int rc = sleep_once(ch, deadline);
        if (rc <= 0)
            return rc;
    }
    return ch->error != 0 ? ch->error : 1;
}

int xids_vchan_read_all(struct xids_vchan *ch, uint32_t *done, void *data, uint32_t len, uint64_t deadline)
{
    uint32_t got = 0;
    int rc = 0;
    while (got < len) {
        rc = xids_vchan_read(ch, (uint8_t *)data + got, len - got);
        if (rc > 0) {
            got += (uint32_t)rc;
            continue;
        }
        if (rc == 0)
            rc = -XEN_ENODATA;
        if (rc != -XEN_EAGAIN)
            break;
        rc = xids_vchan_wait(ch, 1, 0, deadline);
        if (rc == 0)
            rc = -XEN_ETIMEDOUT;
        if (rc < 0)
            break;
    }
    if (done != NULL)
        *done = got;
    return got == len ? 0 : rc;
}

int xids_vchan_write_all(struct xids_vchan *ch, uint32_t *done, const void *data, uint32_t len, uint64_t deadline)
{
    uint32_t put = 0;
    int rc = 0;
    while (put < len) {
        rc = xids_vchan_write(ch, (const uint8_t *)data + put, len - put);
        if (rc > 0) {
            put += (uint32_t)rc;
            continue;
        }
        if (rc != -XEN_EAGAIN)
            break;
        rc = xids_vchan_wait(ch, 0, 1, deadline);
        if (rc == 0)
            rc = -XEN_ETIMEDOUT;
        if (rc < 0)
            break;
    }
    if (done != NULL)
        *done = put;
    if (put < len)
        return rc;
    rc = xids_vchan_flush(ch);
    return rc < 0 ? rc : 0;
}

int xids_vchan_drain(struct xids_vchan *ch, uint64_t deadline)
{
    for (;;) {
        int rc = xids_vchan_wait(ch, 0, ch->out.at.size, deadline);
        if (rc <= 0)
            return rc < 0 ? rc : -XEN_ETIMEDOUT;
        /* Not whether there is sense in writing more: after a half-close, or when the reader has gone, there is none.
         */
        rc = xids_vchan_unread(ch);
        if (rc <= 0)
            return rc;
        if (ch->gone)
            return ch->lost ? -XEN_ENODEV : -XEN_ENOTCONN;
    }
}
